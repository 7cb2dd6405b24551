// One function a figure: entry of the data -> options.

const series = (name, kind, hue, rest) => ({ name, type: kind, itemStyle: { color: hue }, emphasis: { disabled: true }, ...rest });

/** Bars of shares, stacked by cause. */
function shares(bars) {
  const most = narrow() ? 20 : 40;
  const names = bars.map((b) => (b.others ? say("chart.others", { count: b.others }) : b.name || say(`role.${b.role}`)));
  const causes = bars.some((b) => b.accumulate) ? ["round", "clip", "accumulate"] : ["round", "clip"];
  const stacked = (cause) => series(say(`chart.${cause}`), "bar", colour(cause), {
    stack: "share", barMaxWidth: 16, data: bars.map((b) => ({ value: b[cause] || 0, index: b.index })) });
  return base({
    tooltip: tooltip((hits) => {
      const bar = bars[hits[0].dataIndex];
      return [names[hits[0].dataIndex], ...causes.map((cause) => `${say(`chart.${cause}`)} ${percent(bar[cause] || 0)}`)];
    }, { trigger: "axis", axisPointer: { type: "shadow" } }),
    xAxis: axis("value", { min: ({ min }) => (min > -0.01 ? 0 : null), axisLabel: { formatter: tick } }),
    yAxis: axis("category", { data: names, inverse: true,
      axisLabel: { interval: 0, hideOverlap: false, fontSize: 11, formatter: (name) => shortened(name, most) } }),
    series: causes.map(stacked),
  });
}

/** From the bits of the grid down to those that are left. */
function waterfall(bars, grid) {
  const names = bars.map(([step]) => (step ? say(`step.${step}`) : grid));
  const hue = (i) => colour(i === 0 ? "round" : i === bars.length - 1 ? "left" : "loss");
  const label = (i) => `${i > 0 && i < bars.length - 1 && bars[i][2] >= 0.05 ? "−" : ""}${bars[i][2].toFixed(1)}`;
  return base({
    legend: { show: false },
    grid: { left: 8, right: 44, top: 4, bottom: 4, outerBoundsMode: "same", outerBoundsContain: "all" },
    tooltip: tooltip(([hit]) => [names[hit.dataIndex], `${bars[hit.dataIndex][2].toFixed(2)} ${say("chart.bits")}`],
      { trigger: "axis", axisPointer: { type: "shadow" } }),
    xAxis: axis("value", { name: say("chart.bits"), nameGap: 24, max: bars[0][2] }),
    yAxis: axis("category", { data: names, inverse: true, axisLabel: { interval: 0, hideOverlap: false } }),
    series: [
      { type: "bar", stack: "bits", stackStrategy: "all", silent: true, itemStyle: { color: "transparent" }, data: bars.map((b) => b[1]) },
      { type: "bar", stack: "bits", stackStrategy: "all", barMaxWidth: 22, emphasis: { disabled: true },
        label: { show: true, position: "right", color: colour("text"), formatter: (hit) => label(hit.dataIndex) },
        data: bars.map((b, i) => ({ value: b[2], itemStyle: { color: hue(i) } })) },
    ],
  });
}

const decibels = (v) => (v === null || v === undefined ? "–" : `${v.toFixed(1)} dB`);

/** Own error of every layer as a bar, inherited and whole as lines, in dB; what is less stands at the floor. */
function depth(layers) {
  const floor = -80;
  const clamped = (kind) => layers.map((l) => (l[kind] === null ? null : Math.max(l[kind], floor)));
  const line = (name, kind, hue, rest) => series(say(`chart.${name}`), "line", colour(hue), {
    data: clamped(kind), lineStyle: { color: colour(hue), width: 2 }, symbol: "none", ...rest });
  const lowest = Math.max(floor, 10 * Math.floor(Math.min(0, ...layers.flatMap((l) => [l.own_error, l.error]).filter((v) => v !== null)) / 10));
  const name = (i) => (layers[i] ? shortened(layers[i].name, 14) : "");
  const every = Math.max(1, Math.ceil(layers.length / (narrow() ? 5 : 14)));
  return base({
    tooltip: tooltip((hits) => {
      const layer = layers[hits[0].dataIndex];
      return [`${hits[0].dataIndex + 1}. ${layer.name} (${layer.op})`, `${say("chart.own")} ${decibels(layer.own_error)}`,
        `${say("chart.inherited")} ${decibels(layer.inherited_error)}`, `${say("chart.whole")} ${decibels(layer.error)}`];
    }, { trigger: "axis" }),
    xAxis: axis("category", { data: layers.map((_, i) => i + 1),
      axisLabel: { interval: every - 1, rotate: 30, hideOverlap: false, fontSize: 11, formatter: (n) => `${n} ${name(n - 1)}` } }),
    yAxis: axis("value", { name: narrow() ? "" : say("chart.error_axis"), nameGap: 40, min: lowest, startValue: lowest, axisLabel: { formatter: (v) => `${v} dB` } }),
    series: [
      series(say("chart.own"), "bar", colour("clip"), { data: clamped("own_error"), barMaxWidth: 14, barMinWidth: 1 }),
      line("inherited", "inherited_error", "round", {}),
      line("whole", "error", "total", { lineStyle: { color: colour("total"), width: 1.5, type: "dashed" } }),
    ],
  });
}

/** Figures of the output against the number of sites that are in float, the most costly first. */
function restore(points) {
  const right = ["accuracy", "agreement"].find((kind) => points.some((p) => p[kind] !== null));
  const shown = (kind, hue, rest) => series(say(`figure.${kind}`), "line", colour(hue), {
    data: points.map((p) => p[kind]), lineStyle: { color: colour(hue), width: 2.5 }, symbol: "circle", symbolSize: 7, ...rest });
  return base({
    tooltip: tooltip((hits) => {
      const p = points[hits[0].dataIndex];
      return [say("chart.in_float", { count: p.sites }), `${say("figure.sqnr")} ${decibels(p.sqnr)}`,
        ...["accuracy", "agreement"].filter((kind) => p[kind] !== null).map((kind) => `${say(`figure.${kind}`)} ${percent(p[kind])}`)];
    }, { trigger: "axis" }),
    xAxis: axis("category", { data: points.map((p) => p.sites), name: say("chart.sites_in_float"), nameGap: 26 }),
    yAxis: [axis("value", { axisLabel: { formatter: (v) => `${v} dB` } }),
      ...(right ? [axis("value", { max: 1, splitLine: { show: false }, axisLabel: { formatter: tick } })] : [])],
    series: [shown("sqnr", "round", {}), ...(right ? [shown(right, "left", { yAxisIndex: 1, symbol: "diamond" })] : [])],
  });
}

/** The two ends of the range in use, labelled towards the middle. */
const ends = (range) => range.map((v, i) => ({
  xAxis: v, name: say(i ? "chart.highest" : "chart.lowest"), label: { show: !narrow(), align: i ? "right" : "left" } }));

function histogram(shown) {
  const [lo, hi] = shown.range;
  const [first, last] = shown.axis;
  return base({
    legend: { show: false },
    grid: { left: 8, right: 20, top: 24, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "all" },
    tooltip: tooltip(([hit]) => [say("chart.near", { value: figure(hit.value[0]) }), say("chart.values", { count: figure(hit.value[1]) })]),
    xAxis: axis("value", { min: first, max: last, name: say("chart.value_axis", { zeros: shown.zeros }), nameGap: 26,
      axisLabel: { formatter: figure, showMinLabel: false, showMaxLabel: false } }),
    yAxis: axis("log", { min: 0.5, startValue: 0.5, axisLabel: { formatter: (v) => (v < 1 ? "" : v.toLocaleString("en")) } }),
    series: [series("", "bar", colour("round"), {
      barWidth: "99%", data: shown.counts.map((c, i) => [shown.middle + i * shown.width, c]),
      markLine: { symbol: "none", silent: true, lineStyle: { color: colour("clip"), width: 2, type: "solid" },
        label: { formatter: "{b}", color: colour("text"), fontSize: 11 }, data: ends(shown.range) },
      markArea: { silent: true, itemStyle: { color: colour("clip"), opacity: 0.15 },
        data: [[{ xAxis: first }, { xAxis: lo }], [{ xAxis: hi }, { xAxis: last }]] },
    })],
  });
}

const symbols = ["triangle", "rect", "diamond", "emptyTriangle", "emptyRect", "emptyDiamond", "arrow"];

function tradeOff(shown) {
  const line = (kind, hue, rest) => series(say(`chart.${kind}`), "line", colour(hue), {
    data: shown.factor.map((f, i) => [f, shown[kind][i]]), symbol: "none", lineStyle: { color: colour(hue), width: 2, ...rest } });
  const used = (m) => m[0] === "in_use";
  const title = (m) => named("range_method", m[0]);
  const mark = (m, i) => series(title(m), "scatter", used(m) ? colour("loss") : colour("quiet"), {
    data: [m.slice(1, 3)], z: used(m) ? 4 : 5, symbol: used(m) ? "circle" : symbols[i % symbols.length],
    symbolSize: used(m) ? 18 : 9 });
  const marks = new Map(shown.marks.map((m) => [title(m), m]));
  return base({
    grid: { left: 8, right: 20, top: narrow() ? 36 : 60, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "all" },
    legend: { ...base({}).legend, type: narrow() ? "scroll" : "plain", itemWidth: 14, itemHeight: 8, itemGap: 8 },
    tooltip: tooltip(([hit]) => {
      const m = marks.get(hit.seriesName);
      const range = say("chart.factor", { value: figure(m ? m[1] : hit.value[0]) });
      return m ? [hit.seriesName, range, `${say("chart.round")} ${figure(m[3])}`, `${say("chart.clip")} ${figure(m[4])}`]
        : [hit.seriesName, range, say("chart.error", { value: figure(hit.value[1]) })];
    }),
    xAxis: axis("log", { logBase: 2, name: say("chart.factor_axis"), nameGap: 26, axisLabel: { formatter: figure } }),
    yAxis: axis("log", { name: narrow() ? "" : say("chart.mse_axis"), nameGap: 44, axisLabel: { formatter: power } }),
    series: [line("round", "round"), line("clip", "clip"), line("total", "total", { type: "dashed" }), ...shown.marks.map(mark)],
  });
}

/** Width of every channel, on a logarithmic axis, with that of the range in use and of one level. */
function channels(shown) {
  const marks = [["chart.range_width", shown.range], ["chart.level_size", shown.level]].filter(([, v]) => v > 0);
  const lines = marks.map(([code, v]) => ({ yAxis: v, name: say(code, { value: figure(v) }), label: { position: "insideEndTop" } }));
  const widths = shown.width.filter((v) => v !== null);
  const floor = 10 ** Math.floor(Math.log10(Math.min(...widths, ...marks.map(([, v]) => v))) - 0.01);
  return base({
    legend: { show: false },
    grid: { left: 8, right: 20, top: 20, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "all" },
    tooltip: tooltip(([hit]) => {
      const i = hit.dataIndex;
      return [say("chart.channel_number", { number: shown.index[i] }),
        say("chart.span", { lo: figure(shown.lo[i]), hi: figure(shown.hi[i]) }),
        ...(shown.level && shown.width[i] ? [say("chart.levels_of", { count: figure(Math.max(1, shown.width[i] / shown.level)) })] : [])];
    }, { trigger: "axis", axisPointer: { type: "shadow" } }),
    xAxis: axis("category", { data: shown.index, name: say("chart.channel_sorted"), nameGap: 26 }),
    yAxis: axis("log", { min: floor, startValue: floor, axisLabel: { formatter: power } }),
    series: [series("", "bar", colour("round"), { barCategoryGap: "15%", data: shown.width,
      markLine: { symbol: "none", silent: true, lineStyle: { color: colour("clip"), width: 2, type: "solid" },
        label: { formatter: "{b}", color: colour("text"), fontSize: 11 }, data: lines } })],
  });
}

function byChannel(values) {
  return base({
    legend: { show: false },
    grid: { left: 8, right: 20, top: 12, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "all" },
    tooltip: tooltip(([hit]) => [say("chart.channel_number", { number: hit.dataIndex }), percent(hit.value)], { trigger: "axis", axisPointer: { type: "shadow" } }),
    xAxis: axis("category", { data: values.map((_, i) => i), name: say("chart.channel"), nameGap: 26 }),
    yAxis: axis("value", { axisLabel: { formatter: tick } }),
    series: [series("", "bar", colour("round"), { barCategoryGap: "15%", data: values })],
  });
}

/** Share of the values in every group of codes; the line is where all would be, were they used alike. */
function levels(shown) {
  return base({
    legend: { show: false },
    grid: { left: 8, right: 20, top: 20, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "all" },
    tooltip: tooltip(([hit]) => {
      const i = hit.dataIndex;
      return [say("chart.code_span", { first: shown.first[i], last: shown.last[i] }), percent(shown.shares[i] || 0)];
    }, { trigger: "axis", axisPointer: { type: "shadow" } }),
    xAxis: axis("category", { data: shown.first, name: say("chart.code"), nameGap: 26 }),
    yAxis: axis("log", { min: shown.floor, startValue: shown.floor, max: 1, axisLabel: { formatter: power } }),
    series: [series("", "bar", colour("left"), { barCategoryGap: "10%", data: shown.shares,
      markLine: { symbol: "none", silent: true, lineStyle: { color: colour("loss"), width: 2, type: "dashed" },
        label: { formatter: "{b}", color: colour("text"), fontSize: 11, position: "insideEndTop" },
        data: [{ yAxis: shown.even, name: say("chart.even") }] } })],
  });
}

/** From the network as it came to the recovered one; what was dropped is hollow and changes nothing. */
function ledger(rows) {
  const whole = (r) => r.start ?? r.end;
  const ends = (r) => whole(r) !== undefined;
  const name = (r) => ("start" in r ? say("chart.start") : "end" in r ? say("chart.end") : named("recovery_name", r.method));
  const low = (r) => (ends(r) ? Math.min(0, whole(r)) : Math.min(r.before, r.after));
  const size = (r) => Math.abs(ends(r) ? whole(r) : r.after - r.before);
  const look = (r) => {
    const hue = colour(ends(r) ? "round" : r.kept ? "left" : "quiet");
    return ends(r) || r.kept ? { color: hue } : { color: "transparent", borderColor: hue, borderWidth: 1.5 };
  };
  const lines = (r) => (ends(r) ? [name(r), say("chart.after", { value: whole(r).toFixed(1) })]
    : [`${name(r)}: ${say(r.kept ? "chart.kept" : "chart.dropped")}`, say("chart.predicted_value", { value: r.texts[0] }),
      say("chart.measured_value", { value: r.texts[1] }), say("chart.after", { value: r.after.toFixed(1) })]);
  const text = (r) => (ends(r) ? `${whole(r).toFixed(1)} dB` : r.texts[1]);
  return base({
    grid: { left: 8, right: 52, top: 34, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "all" },
    tooltip: tooltip(([hit]) => lines(rows[hit.dataIndex]), { trigger: "axis", axisPointer: { type: "shadow" } }),
    xAxis: axis("value", { name: "dB", nameGap: 24 }),
    yAxis: axis("category", { data: rows.map(name), inverse: true, axisLabel: { interval: 0, hideOverlap: false } }),
    series: [
      { type: "bar", stack: "dB", stackStrategy: "all", silent: true, itemStyle: { color: "transparent" }, data: rows.map(low) },
      { name: say("chart.measured"), type: "bar", stack: "dB", stackStrategy: "all", barMaxWidth: 20, emphasis: { disabled: true },
        itemStyle: { color: colour("left") }, data: rows.map((r) => ({ value: size(r), itemStyle: look(r), label: { position: r.predicted > Math.max(r.before, r.after) ? "left" : "right" } })),
        label: { show: !narrow(), color: colour("text"), formatter: (hit) => text(rows[hit.dataIndex]) } },
      series(say("chart.predicted"), "scatter", colour("loss"), { symbol: "diamond", symbolSize: 11, z: 5,
        data: rows.map((r) => (ends(r) ? null : r.predicted)) }),
    ],
  });
}
