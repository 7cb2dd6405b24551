// Charts in the colours of the page. Names reach the page as text only, never as markup.
const drawn = new Map();
const narrow = () => window.innerWidth < 640;
const probe = document.querySelector("header");

const colours = new Map();

/** A colour of the style as the theme in force has it; each is asked for once, which is costly. */
function colour(name) {
  if (!colours.has(name)) {
    probe.style.accentColor = `var(--${name})`;
    colours.set(name, getComputedStyle(probe).accentColor);
  }
  return colours.get(name);
}

const percent = (v) => `${(100 * v).toFixed(Math.abs(v) < 0.01 ? 2 : 1)}%`;
const tick = (v) => `${Number((100 * v).toFixed(3))}%`;
const figure = (v) => (v === null || v === undefined ? "–" : Number(v.toPrecision(3)).toString());

const raised = (n) => [...String(n)].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] || "⁻").join("");
const power = (v) => (v >= 0.001 && v < 1e5 ? figure(v) : `10${raised(Math.round(Math.log10(v)))}`);

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

/** Draws a figure, or says why there is none; `make` returns the options in today's colours. */
function draw(id, make, missing, choose) {
  const place = document.getElementById(id);
  const known = drawn.get(id);
  if (known) {
    known.observer.disconnect();
    known.chart.dispose();
    drawn.delete(id);
  }
  place.textContent = "";
  place.classList.toggle("empty", !make);
  if (!make) {
    place.textContent = missing();
    return;
  }
  const chart = echarts.init(place, null, { renderer: "svg" });
  chart.on("rendered", () => frame(place.querySelector("svg")));
  chart.setOption(make());
  if (choose) chart.on("click", choose);
  const observer = new ResizeObserver(() => chart.resize());
  observer.observe(place);
  drawn.set(id, { chart, make, observer });
}

/** Lets paper, which is told no new size, shrink the picture as a whole instead of cutting it off. */
function frame(svg) {
  svg.setAttribute("viewBox", `0 0 ${svg.getAttribute("width")} ${svg.getAttribute("height")}`);
}

/** At once, for a printer does not wait for the next frame. */
function redraw() {
  colours.clear();
  for (const { chart, make } of drawn.values()) {
    chart.setOption(make(), true);
    chart.resize();
    chart.getZr().flush();
    frame(chart.getDom().querySelector("svg"));
  }
}

/** What all charts share. */
function base(rest) {
  return {
    animation: false,
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: colour("text") },
    grid: { left: 8, right: 20, top: 36, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "all" },
    legend: { type: "scroll", top: 0, left: 0, textStyle: { color: colour("text") }, inactiveColor: colour("line"),
      pageTextStyle: { color: colour("text") }, pageIconColor: colour("text"), itemHeight: 10 },
    ...rest,
  };
}

function tooltip(lines, rest) {
  const formatter = (hit) => {
    const box = element("div");
    box.style.cssText = "max-width:18rem;white-space:normal;overflow-wrap:anywhere";
    for (const line of lines(Array.isArray(hit) ? hit : [hit])) box.append(element("div", line));
    return box;
  };
  return { confine: true, backgroundColor: colour("card"), borderColor: colour("line"),
    textStyle: { color: colour("text"), fontSize: 13 }, formatter, ...rest };
}

function axis(type, rest) {
  const { axisLabel, ...others } = rest || {};
  return {
    type,
    axisLine: { show: type !== "category", lineStyle: { color: colour("line") } },
    axisTick: { show: false },
    splitLine: { show: type !== "category", lineStyle: { color: colour("line"), opacity: 0.6 } },
    nameTextStyle: { color: colour("quiet") },
    nameLocation: "middle",
    ...others,
    axisLabel: { color: colour("quiet"), hideOverlap: true, ...axisLabel },
  };
}

/** Both ends of a long name tell it from its like. */
function shortened(name, most) {
  if (name.length <= most) return name;
  const head = Math.floor((most - 1) * 0.45);
  return `${name.slice(0, head)}…${name.slice(head + 1 - most)}`;
}
