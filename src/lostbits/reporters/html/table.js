// Tables that sort by a click or Enter on a heading, search, choose their columns, and are saved.

function sortBy(head) {
  const orders = head.dataset.first === "descending" ? ["descending", "ascending"] : ["ascending", "descending"];
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

const wordsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

/** Rows whose tensor or layer has all words in its name, and that all filters let pass. */
function search() {
  const rows = [...document.getElementById("table").tBodies[0].rows];
  const words = wordsOf(document.getElementById("search").value);
  const filters = [...document.querySelectorAll("select.filter")].filter((filter) => filter.value);
  for (const row of rows) {
    const site = data.sites[row.dataset.site];
    const content = `${site.name} ${site.node}`.toLowerCase();
    const kept = filters.every((filter) => row.dataset[filter.dataset.by] === filter.value);
    row.hidden = !kept || !words.every((word) => content.includes(word));
  }
  const left = rows.filter((row) => !row.hidden).length;
  document.getElementById("nothing").hidden = left > 0;
  document.getElementById("found").textContent = say("chart.found", { count: left, all: rows.length });
}

/** What a column holds, for a filter to choose from. */
function fillFilters() {
  for (const filter of document.querySelectorAll("select.filter")) {
    const by = filter.dataset.by;
    const values = [...new Set([...document.querySelectorAll("#table tbody tr")].map((row) => row.dataset[by]))].sort();
    const chosen = filter.value;
    while (filter.options.length > 1) filter.remove(1);
    for (const value of values) filter.add(new Option(by === "grid" ? value : say(by === "role" ? `role.${value}` : `chart.${value}`), value));
    filter.value = chosen;
  }
}

/** One rule hides a column in every row, however many there are. */
function showColumns() {
  const hidden = [...document.querySelectorAll("[data-column]")].filter((box) => !box.checked);
  const rules = hidden.map((box) => `#table :is(th,td):nth-child(${box.dataset.column})`);
  document.getElementById("columns").textContent = rules.length ? `${rules.join(",")}{display:none}` : "";
}

/** A cell of the file; what a spreadsheet would take for a formula is marked as text. */
function quoted(text) {
  const safe = /^[=+@-]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** The rows that are shown, in their order, with every column; figures in full. */
function csvOf(table) {
  const heads = [...table.tHead.rows[0].cells].map((cell) => quoted(cell.textContent.trim()));
  const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
  const text = (cell, i) => (i ? cell.dataset.v : cell.textContent.trim());
  return [heads, ...rows.map((row) => [...row.cells].map((cell, i) => quoted(text(cell, i))))].map((row) => row.join(",")).join("\r\n") + "\r\n";
}

function saveCsv(button) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csvOf(document.getElementById(button.dataset.table))], { type: "text/csv" }));
  link.download = button.dataset.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
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
  for (const button of document.querySelectorAll("button.csv")) button.addEventListener("click", () => saveCsv(button));
  for (const box of document.querySelectorAll("[data-column]")) box.addEventListener("change", () => { showColumns(); keep(); });
  for (const filter of document.querySelectorAll("select.filter")) filter.addEventListener("change", () => { search(); keep(); });
  const table = document.getElementById("table");
  table.tBodies[0].addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row && !String(window.getSelection())) show(Number(row.dataset.site), true);
  });
  table.tBodies[0].addEventListener("keydown", (event) => step(event, "tr:not([hidden]) button.pick"));
  document.getElementById("search").addEventListener("input", () => { search(); keep(); });
}
