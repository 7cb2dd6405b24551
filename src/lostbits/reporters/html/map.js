// The map: blocks that unfold, a strip of the whole depth, a search, and the panel of a layer.

let chosenStation = 0;
let shownItems = [];
const opened = new Set(); // first stations of what was unfolded
const costs = 0.01;
const most = Math.max(1e-12, ...data.map.map((stop) => Math.abs(stop.share)));
const strength = (share) => Math.sqrt(Math.min(Math.abs(share) / most, 1));
const mode = () => document.getElementById("detail-of-map").value;

/** Runs of stations that are drawn as one: blocks, or what costs little; all else stands alone. */
function folds() {
  if (mode() === "all") return [];
  if (mode() === "blocks") return data.blocks;
  const found = [];
  data.map.forEach((stop, i) => {
    const run = found.at(-1);
    if (Math.abs(stop.share) >= costs) return;
    if (run && run.first + run.count === i) run.count += 1;
    else found.push({ name: "", first: i, count: 1 });
  });
  return found.filter((run) => run.count > 1);
}

/** What is drawn, in the order of the network: `stations` from `first`, and the items it reads. */
function itemsOf() {
  const closed = folds().filter((run) => !opened.has(run.first));
  const starts = new Map(closed.map((run) => [run.first, run]));
  const items = [];
  const owner = [];
  for (let i = 0; i < data.map.length;) {
    const run = starts.get(i) || { first: i, count: 1, name: "" };
    for (let n = 0; n < run.count; n += 1) owner.push(items.length);
    const own = data.map.slice(run.first, run.first + run.count);
    items.push({ ...run, share: own.reduce((sum, stop) => sum + stop.share, 0), read: own.flatMap((stop) => stop.inputs) });
    i += run.count;
  }
  items.forEach((item, n) => { item.inputs = [...new Set(item.read.map((i) => owner[i]))].filter((i) => i !== n); });
  return items;
}

function drawMap() {
  shownItems = itemsOf();
  const drawn = layout(shownItems);
  const place = document.querySelector("#stations .map");
  place.style.width = `${drawn.width}px`;
  place.style.height = `${drawn.height}px`;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, value] of [["width", drawn.width], ["height", drawn.height], ["aria-hidden", "true"], ["focusable", "false"]]) svg.setAttribute(name, value);
  for (const d of drawn.paths) {
    const path = document.createElementNS(svg.namespaceURI, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  place.replaceChildren(svg, ...shownItems.map((item, i) => stationButton(item, drawn.spots[i])));
  mark();
}

function stationButton(item, spot) {
  const button = element("button");
  const first = data.map[item.first];
  const folded = item.count > 1;
  const name = folded && item.name ? item.name : first.name;
  button.type = "button";
  button.dataset[folded ? "fold" : "station"] = item.first;
  if (folded) button.setAttribute("aria-expanded", "false");
  button.title = name;
  button.style.cssText = `left:${spot.x}px;top:${spot.y}px;--fill:${strength(item.share).toFixed(3)}`;
  if (item.share < 0) button.className = "below";
  const kind = folded ? say("chart.layers", { count: item.count }) : first.op || say("chart.input");
  button.append(element("span", shortened(name, 26)), element("small", kind), element("b", percentOf(item.share)));
  button.addEventListener("click", () => (folded ? unfold(item.first) : visit(item.first)));
  return button;
}

const percentOf = (v) => `${(100 * v).toFixed(1).replace(/^-(0\.0)$/, "$1")}%`;

/** The strip of the whole depth: a stroke a layer, in the order of the network. */
function drawStrip() {
  const strip = document.getElementById("strip");
  strip.setAttribute("viewBox", `0 0 ${Math.max(data.map.length, 1)} 10`);
  const bars = data.map.map((stop, i) => [i, 1, stop.share < 0 ? "below" : "above", strength(stop.share)]);
  strip.replaceChildren(...[...bars, [chosenStation, 1, "here", 1]].map(([x, width, name, opacity]) => {
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [key, value] of [["x", x], ["y", 0], ["width", width], ["height", 10], ["class", name], ["opacity", opacity]]) bar.setAttribute(key, value);
    return bar;
  }));
}

/** The chosen layer on the map and the strip. */
function mark() {
  for (const button of document.querySelectorAll("#stations [data-station]")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.station) === chosenStation));
  }
  drawStrip();
}

function unfold(first) {
  opened.add(first);
  drawMap();
  visit(first, true);
}

/** The run of stations that a station is in, folded or not. */
const foldOf = (index) => folds().find((run) => run.first <= index && index < run.first + run.count);

/** Brings a layer into the middle of the window that the map has, and moves nothing else. */
function reveal(index) {
  const run = foldOf(index);
  if (run && !opened.has(run.first)) {
    opened.add(run.first);
    drawMap();
  }
  const button = document.querySelector(`#stations [data-station="${index}"]`);
  const frame = document.getElementById("stations");
  if (!button) return;
  frame.scrollTop = button.offsetTop - (frame.clientHeight - button.offsetHeight) / 2;
  frame.scrollLeft = button.offsetLeft - (frame.clientWidth - button.offsetWidth) / 2;
}

/** A tensor of a layer, leading to its details. */
function siteOf(index) {
  const site = data.sites[index];
  const row = element("li");
  const button = element("button", undefined, "pick");
  button.type = "button";
  button.append(element("span", site.name));
  button.addEventListener("click", () => show(index, true));
  row.append(element("b", site.share), button, element("small", `${say(`role.${site.role}`)}, ${site.grid}`));
  return row;
}

/** Shows a layer beside the map; `jump` scrolls the map to it. */
function visit(index, jump) {
  const station = data.map[index];
  if (!station) return;
  chosenStation = index;
  if (jump) reveal(index);
  mark();
  const text = (id, shown) => { document.getElementById(id).textContent = shown; };
  text("station-number", station.layer === null ? "" : `${station.layer + 1} / ${data.layers.length}`);
  text("station-name", station.op ? `${station.name} (${station.op})` : station.name);
  text("station-share", percentOf(station.share));
  text("station-own", station.errors[0]);
  text("station-inherited", station.errors[1]);
  const run = foldOf(index);
  const block = document.getElementById("station-block");
  block.hidden = !run;
  if (run) block.firstElementChild.textContent = `${run.name || data.map[run.first].name}: ${say("chart.layers", { count: run.count })}`;
  const none = () => [element("li", say("chart.none_quantized"))];
  fill("station-sites", station.sites.length ? station.sites.map(siteOf) : none());
  keep();
}

/** Layers whose name, kind or tensors hold all words. */
function sought() {
  const words = wordsOf(document.getElementById("seek").value);
  if (!words.length) return [];
  const content = (stop) => [stop.name, stop.op, ...stop.sites.map((i) => data.sites[i].name)].join(" ").toLowerCase();
  return data.map.map((stop, i) => [content(stop), i]).filter(([text]) => words.every((word) => text.includes(word))).map(([, i]) => i);
}

function seek(next) {
  const found = sought();
  const text = document.getElementById("seek").value.trim();
  document.getElementById("sought").textContent = text ? say("chart.found_layers", { count: found.length, all: data.map.length }) : "";
  const later = next ? found.find((i) => i > chosenStation) : undefined;
  if (found.length) visit(later ?? found[0], true);
}

/** From one layer that costs much to the next smaller one, and round again. */
function nextCulprit() {
  const ranked = data.map.map((stop, i) => [stop.share, i]).filter(([share]) => share >= costs).sort(([a], [b]) => b - a).map(([, i]) => i);
  if (ranked.length) visit(ranked[(ranked.indexOf(chosenStation) + 1) % ranked.length], true);
}

function prepareMap() {
  const on = (id, event, action) => document.getElementById(id).addEventListener(event, action);
  on("seek", "input", () => seek(false));
  on("seek", "keydown", (event) => { if (event.key === "Enter") seek(true); });
  on("seek-next", "click", () => seek(true));
  on("next-culprit", "click", nextCulprit);
  on("detail-of-map", "change", () => { opened.clear(); drawMap(); visit(chosenStation, true); });
  on("fold", "click", () => { const run = foldOf(chosenStation); opened.delete(run.first); drawMap(); });
  on("strip", "click", (event) => {
    const frame = document.getElementById("strip").getBoundingClientRect();
    visit(Math.floor(((event.clientX - frame.left) / frame.width) * data.map.length), true);
  });
  document.getElementById("stations").addEventListener("keydown", (event) => step(event, "[data-station],[data-fold]"));
}
