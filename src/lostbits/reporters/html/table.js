// Tables that sort by a click or Enter on a heading, and search.

function sortBy(head) {
  const orders = head.classList.contains("figure") ? ["descending", "ascending"] : ["ascending", "descending"];
  const order = head.getAttribute("aria-sort") === orders[0] ? orders[1] : orders[0];
  for (const other of head.parentNode.children) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", order);
  const body = head.closest("table").tBodies[0];
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...body.rows].map((row) => [row, row.cells[head.cellIndex].dataset.v]);
  rows.sort(([, a], [, b]) => compare(a, b, sign));
  body.append(...rows.map(([row]) => row));
}

/** Numbers as numbers, names as names, what is missing last. */
function compare(a, b, sign) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const [x, y] = [Number(a), Number(b)];
  return sign * (Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y);
}

function search(text) {
  const rows = [...document.getElementById("table").tBodies[0].rows];
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of rows) {
    const content = [0, 1, 2, 3].map((i) => row.cells[i].dataset.v + " " + row.cells[i].textContent).join(" ").toLowerCase();
    row.hidden = !words.every((word) => content.includes(word));
  }
  const left = rows.filter((row) => !row.hidden).length;
  document.getElementById("found").textContent = say("chart.found", { count: left, all: rows.length });
}

/** Arrow keys go from tensor to tensor, or from layer to layer. */
function step(event, buttons) {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const shown = [...event.currentTarget.querySelectorAll(buttons)];
  const next = shown[shown.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1)];
  if (!next || !shown.includes(document.activeElement)) return;
  event.preventDefault();
  next.focus();
}

function prepareTables() {
  for (const button of document.querySelectorAll("table.sortable thead button")) {
    button.addEventListener("click", () => sortBy(button.closest("th")));
  }
  const table = document.getElementById("table");
  table.tBodies[0].addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row && !String(window.getSelection())) show(Number(row.dataset.site), true);
  });
  table.tBodies[0].addEventListener("keydown", (event) => step(event, "tr:not([hidden]) button.pick"));
  document.getElementById("search").addEventListener("input", (event) => search(event.target.value));
  search("");
}
