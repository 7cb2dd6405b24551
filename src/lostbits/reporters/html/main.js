// Starts the page.

async function copy(button) {
  const text = button.closest(".command").querySelector("pre");
  try {
    await navigator.clipboard.writeText(text.textContent);
  } catch {
    window.getSelection().selectAllChildren(text);
    document.execCommand("copy");
  }
  button.textContent = say("chart.copied");
  setTimeout(() => { button.textContent = say("chart.copy"); }, 1500);
}

/** Only what a command has of its own, or all of it. */
function abridge(button, short) {
  button.closest(".command").classList.toggle("short", short);
  button.setAttribute("aria-expanded", String(!short));
}

function choose(hit) {
  const bar = data.attribution[hit.dataIndex];
  if (bar && bar.index !== null) show(bar.index, true);
}

function chooseLayer(hit) {
  const index = data.map.findIndex((stop) => stop.layer === hit.dataIndex);
  if (index < 0) return;
  visit(index, true);
  document.getElementById("map").scrollIntoView();
}

function drawAll() {
  const bars = data.attribution;
  const rows = data.ledger;
  if (data.restore) draw("restore", () => restore(data.restore));
  drawIfAny("attribution", bars, () => shares(bars), choose, 4 + 1.55 * bars.length);
  drawIfAny("roles", data.roles, () => shares(data.roles));
  if (data.layers.length) draw("depth", () => depth(data.layers), undefined, chooseLayer);
  if (rows.length) drawIfAny("ledger", rows, () => ledger(rows), undefined, 5 + 2.2 * rows.length);
  show(chosenSite, false);
  drawMap();
  visit(chosenStation, true);
}

function drawIfAny(id, list, make, choose, height) {
  if (height) document.getElementById(id).style.minHeight = `${Math.max(8, height)}rem`;
  draw(id, list.length ? make : null, () => say("chart.nothing_attributed"), choose);
}

/** The layer of a tensor; the first one, where none is its own. */
const stationOf = (index) => Math.max(data.map.findIndex((station) => station.sites.includes(index)), 0);

function dress(theme) {
  if (theme === "auto") delete page.dataset.theme;
  else page.dataset.theme = theme;
}

/** Everything that is written by the script, in the language of the page. */
function rewrite() {
  drawAll();
  fillFilters();
  search();
  seek(false);
  showSecond();
}

/** The section that is being read, in the list of sections. */
function watchSections() {
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.getAttribute("href").slice(1), link]));
  const watcher = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) links.get(target.id).toggleAttribute("aria-current", isIntersecting);
  }, { rootMargin: "-30% 0px -65% 0px" });
  for (const id of links.keys()) watcher.observe(document.getElementById(id));
}

for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", () => copy(button));
}
for (const button of document.querySelectorAll("button.unfold")) {
  button.addEventListener("click", () => abridge(button, button.getAttribute("aria-expanded") === "true"));
  abridge(button, true);
}
for (const link of document.querySelectorAll("a.more")) {
  link.addEventListener("click", () => show(Number(link.dataset.site), false));
}
document.getElementById("theme").addEventListener("change", (event) => { dress(event.target.value); redraw(); keep(); });
document.getElementById("language").addEventListener("change", (event) => { speak(event.target.value); rewrite(); keep(); });
document.getElementById("print").addEventListener("click", () => window.print());
window.addEventListener("hashchange", () => {
  const at = decodeURIComponent(location.hash.slice(1));
  if (at && document.getElementById(at)) keep(at);
});
prepareTables();
prepareMap();
prepareSecond();
fillFilters();
const taken = takeUp();
dress(value("theme"));
showColumns();
if (value("language") !== page.lang) speak(value("language"));
drawAll();
takeUpTables(taken);
fillFilters();
watchSections();
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
window.matchMedia("(max-width: 639px)").addEventListener("change", redraw);
window.matchMedia("print").addEventListener("change", redraw);
kept = true;
page.dataset.ready = "true";
