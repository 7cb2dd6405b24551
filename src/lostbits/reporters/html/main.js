// Starts the page.

async function copy(button) {
  const text = button.parentNode.querySelector("pre");
  try {
    await navigator.clipboard.writeText(text.textContent);
  } catch {
    window.getSelection().selectAllChildren(text);
    document.execCommand("copy");
  }
  button.textContent = say("chart.copied");
  setTimeout(() => { button.textContent = say("chart.copy"); }, 1500);
}

function choose(hit) {
  const bar = data.attribution[hit.dataIndex];
  if (bar && bar.index !== null) show(bar.index, true);
}

function drawAll() {
  const bars = data.attribution;
  const rows = data.ledger;
  drawIfAny("attribution", bars, () => shares(bars), choose, 4 + 1.55 * bars.length);
  drawIfAny("roles", data.roles, () => shares(data.roles));
  if (data.layers.length) draw("depth", () => depth(data.layers));
  if (rows.length) drawIfAny("ledger", rows, () => ledger(rows), undefined, 5 + 2.2 * rows.length);
  show(chosenSite, false);
  visit(chosenStation);
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
  redraw();
}

for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", () => copy(button));
}
for (const link of document.querySelectorAll("a.more")) {
  link.addEventListener("click", () => show(Number(link.dataset.site), false));
}
for (const button of document.querySelectorAll("[data-station]")) {
  button.addEventListener("click", () => visit(Number(button.dataset.station)));
}
document.querySelector(".map").addEventListener("keydown", (event) => step(event, "[data-station]"));
document.getElementById("focus").addEventListener("change", (event) => show(Number(event.target.value), false));
document.getElementById("theme").addEventListener("change", (event) => dress(event.target.value));
document.getElementById("language").addEventListener("change", (event) => {
  speak(event.target.value);
  drawAll();
  search(document.getElementById("search").value);
});
chosenSite = data.culprit;
chosenStation = stationOf(chosenSite);
prepareTables();
drawAll();
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
window.matchMedia("(max-width: 639px)").addEventListener("change", redraw);
window.matchMedia("print").addEventListener("change", redraw);
page.dataset.ready = "true";
