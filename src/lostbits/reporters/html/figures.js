// One function a figure: entry of the data -> options.

const series = (name, kind, hue, rest) => ({ name, type: kind, itemStyle: { color: hue }, emphasis: { disabled: true }, ...rest });

/** Bars of shares, stacked by cause. */
function shares(bars) {
  const most = narrow() ? 16 : 40;
  const stacked = (cause) => series(cause, "bar", colour(cause), {
    stack: "share", barMaxWidth: 16, data: bars.map((b) => ({ value: b[cause], index: b.index })) });
  return base({
    tooltip: tooltip((hits) => {
      const bar = bars[hits[0].dataIndex];
      return [`${bar.name}${bar.role ? ` (${bar.role})` : ""}`, `round ${percent(bar.round)}`, `clip ${percent(bar.clip)}`];
    }, { trigger: "axis", axisPointer: { type: "shadow" } }),
    xAxis: axis("value", { min: ({ min }) => (min > -0.01 ? 0 : null), axisLabel: { formatter: tick } }),
    yAxis: axis("category", { data: bars.map((b) => b.name), inverse: true,
      axisLabel: { interval: 0, hideOverlap: false, fontSize: 11, formatter: (name) => shortened(name, most) } }),
    series: [stacked("round"), stacked("clip")],
  });
}

/** From the bits of the grid down to those that are left. */
function waterfall(bars) {
  const hue = (i) => colour(i === 0 ? "round" : i === bars.length - 1 ? "left" : "loss");
  const label = (i) => `${i > 0 && i < bars.length - 1 && bars[i][2] >= 0.05 ? "−" : ""}${bars[i][2].toFixed(1)}`;
  return base({
    legend: { show: false },
    grid: { left: 8, right: 44, top: 4, bottom: 4, outerBoundsMode: "same", outerBoundsContain: "all" },
    tooltip: tooltip(([hit]) => [bars[hit.dataIndex][0], `${bars[hit.dataIndex][2].toFixed(2)} bits`],
      { trigger: "axis", axisPointer: { type: "shadow" } }),
    xAxis: axis("value", { name: "bits", nameGap: 24, max: bars[0][2] }),
    yAxis: axis("category", { data: bars.map((b) => b[0]), inverse: true, axisLabel: { interval: 0, hideOverlap: false } }),
    series: [
      { type: "bar", stack: "bits", stackStrategy: "all", silent: true, itemStyle: { color: "transparent" }, data: bars.map((b) => b[1]) },
      { type: "bar", stack: "bits", stackStrategy: "all", barMaxWidth: 22, emphasis: { disabled: true },
        label: { show: true, position: "right", color: colour("text"), formatter: (hit) => label(hit.dataIndex) },
        data: bars.map((b, i) => ({ value: b[2], itemStyle: { color: hue(i) } })) },
    ],
  });
}

/** Own, inherited and whole error along the network. */
function depth(layers) {
  const line = (name, kind, hue, rest) => series(name, "line", colour(hue), {
    data: layers.map((l) => l[kind]), lineStyle: { color: colour(hue), width: 2 }, symbolSize: 6, ...rest });
  return base({
    tooltip: tooltip((hits) => {
      const layer = layers[hits[0].dataIndex];
      return [`${hits[0].dataIndex + 1}. ${layer.name} (${layer.op})`, `own ${figure(layer.own_error)}`,
        `inherited ${figure(layer.inherited_error)}`, `whole ${figure(layer.error)}`];
    }, { trigger: "axis" }),
    xAxis: axis("category", { data: layers.map((_, i) => i + 1), name: "layer, in the order of the network", nameGap: 26 }),
    yAxis: axis("log", { name: narrow() ? "" : "error / power of the float output", nameGap: 44, axisLabel: { formatter: power } }),
    series: [
      line("own", "own_error", "clip", { symbol: "diamond" }),
      line("inherited", "inherited_error", "round", { symbol: "circle" }),
      line("whole", "error", "total", { symbol: "none", lineStyle: { color: colour("total"), width: 1.5, type: "dashed" } }),
    ],
  });
}

/** The two ends of the range in use, labelled towards the middle. */
const ends = (range) => range.map((v, i) => ({
  xAxis: v, name: i ? "highest code" : "lowest code", label: { show: !narrow(), align: i ? "right" : "left" } }));

function histogram(shown) {
  const [lo, hi] = shown.range;
  const [first, last] = shown.axis;
  return base({
    legend: { show: false },
    grid: { left: 8, right: 20, top: 24, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "all" },
    tooltip: tooltip(([hit]) => [`near ${figure(hit.value[0])}`, `${figure(hit.value[1])} values`]),
    xAxis: axis("value", { min: first, max: last, name: `value (${shown.zeros} exact zeros not drawn)`, nameGap: 26,
      axisLabel: { formatter: figure, showMinLabel: false, showMaxLabel: false } }),
    yAxis: axis("log", { min: 0.5, startValue: 0.5, axisLabel: { formatter: (v) => (v < 1 ? "" : v.toLocaleString("en")) } }),
    series: [series("values", "bar", colour("round"), {
      barWidth: "99%", data: shown.points,
      markLine: { symbol: "none", silent: true, lineStyle: { color: colour("clip"), width: 2, type: "solid" },
        label: { formatter: "{b}", color: colour("text"), fontSize: 11 }, data: ends(shown.range) },
      markArea: { silent: true, itemStyle: { color: colour("clip"), opacity: 0.15 },
        data: [[{ xAxis: first }, { xAxis: lo }], [{ xAxis: hi }, { xAxis: last }]] },
    })],
  });
}

const symbols = ["triangle", "rect", "diamond", "emptyTriangle", "emptyRect", "emptyDiamond", "arrow"];

function tradeOff(shown) {
  const line = (kind, hue, rest) => series(kind, "line", colour(hue), {
    data: shown[kind], symbol: "none", lineStyle: { color: colour(hue), width: 2, ...rest } });
  const mark = (m, i) => series(m[0], "scatter", m[0] === "in use" ? colour("loss") : colour("quiet"), {
    data: [m.slice(1, 3)], z: m[0] === "in use" ? 4 : 5, symbol: m[0] === "in use" ? "circle" : symbols[i % symbols.length],
    symbolSize: m[0] === "in use" ? 18 : 9 });
  const marks = new Map(shown.marks.map((m) => [m[0], m]));
  return base({
    grid: { left: 8, right: 20, top: narrow() ? 36 : 60, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "all" },
    legend: { ...base({}).legend, type: narrow() ? "scroll" : "plain", itemWidth: 14, itemHeight: 8, itemGap: 8 },
    tooltip: tooltip(([hit]) => {
      const m = marks.get(hit.seriesName);
      return m ? [m[0], `range ${figure(m[1])} × full`, `round ${figure(m[3])}`, `clip ${figure(m[4])}`]
        : [hit.seriesName, `range ${figure(hit.value[0])} × full`, `error ${figure(hit.value[1])}`];
    }),
    xAxis: axis("log", { logBase: 2, name: "range / full range of the data", nameGap: 26, axisLabel: { formatter: figure } }),
    yAxis: axis("log", { name: narrow() ? "" : "mean squared error", nameGap: 44, axisLabel: { formatter: power } }),
    series: [line("round", "round"), line("clip", "clip"), line("total", "total", { type: "dashed" }), ...shown.marks.map(mark)],
  });
}

function channels(shown) {
  const lines = (shown.range || []).map((v, i) => ({
    yAxis: v, name: i ? "highest code" : "lowest code", label: { position: i ? "insideEndTop" : "insideEndBottom" } }));
  return base({
    legend: { show: false },
    grid: { left: 8, right: 20, top: 20, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "all" },
    tooltip: tooltip(([hit]) => {
      const i = hit.dataIndex;
      return [`channel ${shown.index[i]}`, `${figure(shown.lo[i])} to ${figure(shown.lo[i] + shown.extent[i])}`];
    }, { trigger: "axis", axisPointer: { type: "shadow" } }),
    xAxis: axis("category", { data: shown.index, name: "channel", nameGap: 26 }),
    yAxis: axis("value", { axisLabel: { formatter: figure } }),
    series: [
      { type: "bar", stack: "range", stackStrategy: "all", silent: true, itemStyle: { color: "transparent" }, data: shown.lo },
      series("range", "bar", colour("round"), { stack: "range", stackStrategy: "all", barCategoryGap: "15%", data: shown.extent,
        markLine: { symbol: "none", silent: true, lineStyle: { color: colour("clip"), width: 2, type: "solid" },
          label: { formatter: "{b}", color: colour("text"), fontSize: 11 }, data: lines } }),
    ],
  });
}

function byChannel(values) {
  return base({
    legend: { show: false },
    grid: { left: 8, right: 20, top: 12, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "all" },
    tooltip: tooltip(([hit]) => [`channel ${hit.dataIndex}`, percent(hit.value)], { trigger: "axis", axisPointer: { type: "shadow" } }),
    xAxis: axis("category", { data: values.map((_, i) => i), name: "channel", nameGap: 26 }),
    yAxis: axis("value", { axisLabel: { formatter: tick } }),
    series: [series("share", "bar", colour("round"), { barCategoryGap: "15%", data: values })],
  });
}
