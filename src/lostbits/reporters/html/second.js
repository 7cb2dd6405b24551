// Another result.json beside this page's: figures, and tensors by how much their part has changed.

let second = null;
const listed = 200;

/** Share of every site of a result, by tensor and role. */
function sharesOf(result) {
  const found = new Map();
  for (const each of result.network.attributions) {
    const key = `${each.tensor}:${each.role}`;
    found.set(key, (found.get(key) || 0) + each.share);
  }
  return found;
}

/** What is compared of a result; throws on what is none. */
function readSecond(text) {
  const result = JSON.parse(text);
  if (!String(result.format).startsWith("lostbits-result/")) throw new Error("format");
  const shares = sharesOf(result);
  const figures = result.recovered ? result.recovered.before : result.baseline;
  const after = result.recovered ? result.recovered.after : null;
  const kinds = { accuracy: "accuracy_quantized", agreement: "agreement", sqnr: "sqnr_db", kl: "kl" };
  const of = (known) => known && Object.fromEntries(Object.entries(kinds).map(([kind, name]) => [kind, known[name] ?? null]));
  return {
    model: result.model.path.split(/[/\\]/).pop(), sha: result.model.sha256, data: (result.evaluation || result.data).sha256,
    samples: (result.evaluation || result.data).samples, target: result.target.name, created: result.created, total: result.network.total,
    before: of(figures), after: of(after),
    sites: result.sites.map((site) => ({ name: site.tensor, role: site.role, grid: site.grid, sqnr: site.sqnr_db, value: shares.get(`${site.tensor}:${site.role}`) || 0 })),
  };
}

function figureText(kind, value) {
  if (value === null || value === undefined) return "–";
  if (kind === "sqnr") return `${value.toFixed(1)} dB`;
  return kind === "kl" ? figure(value) : percentOf(value);
}

function figureRow(kind) {
  const row = element("tr");
  const head = element("th", say(`figure.${kind}`));
  head.scope = "row";
  const side = (known) => [known.before, known.after].filter(Boolean).map((each) => figureText(kind, each[kind])).join(" → ");
  row.append(head, element("td", side(data.self), "figure"), element("td", side(second), "figure"));
  return row;
}

/** Sites of both sides, those whose part of the output error has changed most first. */
function changes() {
  const key = (site) => `${site.name}:${site.role}`;
  const there = new Map(second.sites.map((site) => [key(site), site]));
  const here = new Map(data.sites.map((site) => [key(site), site]));
  const total = data.self.total || 1;
  const rows = [...new Set([...here.keys(), ...there.keys()])].map((each) => {
    const [a, b] = [here.get(each), there.get(each)];
    return { a, b, any: a || b, moved: ((b ? b.value * second.total : 0) - (a ? a.value * data.self.total : 0)) / total };
  });
  return rows.sort((x, y) => Math.abs(y.moved) - Math.abs(x.moved));
}

function changeRow({ a, b, any, moved }) {
  const row = element("tr");
  const cell = (text, value, name) => {
    const made = element("td", text, name);
    made.dataset.v = value ?? "";
    row.append(made);
  };
  const head = element("th", any.name);
  head.scope = "row";
  head.dataset.v = any.name;
  row.append(head);
  cell(say(`role.${any.role}`), any.role, "");
  cell(percentOf(moved), moved, "figure");
  row.lastChild.classList.add("bar");
  row.lastChild.classList.toggle("below", moved < 0);
  row.lastChild.style.setProperty("--fill", Math.min(Math.abs(moved), 1));
  for (const side of [a, b]) cell(side ? percentOf(side.value) : "–", side?.value, "figure");
  for (const side of [a, b]) cell(side ? figureText("sqnr", side.sqnr) : "–", side?.sqnr, "figure");
  for (const side of [a, b]) cell(side ? side.grid : "–", side?.grid, "");
  return row;
}

function showSecond() {
  document.getElementById("comparing").hidden = !second;
  if (!second) return;
  document.getElementById("second-about").textContent = say("second.about", second);
  const warnings = [["sha", "second.other_model"], ["data", "second.other_data"], ["target", "second.other_target"]].filter(([part]) => data.self[part] !== second[part]);
  const warning = document.getElementById("second-warning");
  warning.hidden = !warnings.length;
  warning.textContent = warnings.map(([, code]) => say(code)).join(" ");
  const kinds = ["accuracy", "agreement", "sqnr", "kl"].filter((kind) => [data.self, second].some((side) => side.before[kind] !== null));
  fill("second-figures", kinds.map(figureRow));
  const rows = changes();
  document.querySelector("#second-table tbody").replaceChildren(...rows.slice(0, listed).map(changeRow));
}

async function takeSecond(file) {
  const refused = document.getElementById("second-refused");
  try {
    second = readSecond(await file.text());
    refused.hidden = true;
  } catch {
    refused.textContent = say("second.refused", { name: file.name });
    refused.hidden = false;
    refused.scrollIntoView();
    return;
  }
  showSecond();
  moveTo(document.getElementById("comparing"));
}

function prepareSecond() {
  const input = document.getElementById("second");
  input.addEventListener("change", () => { if (input.files.length) takeSecond(input.files[0]); input.value = ""; });
  document.getElementById("second-close").addEventListener("click", () => { second = null; showSecond(); });
  page.addEventListener("dragover", (event) => { event.preventDefault(); page.classList.add("dropping"); });
  page.addEventListener("dragleave", (event) => { if (!event.relatedTarget) page.classList.remove("dropping"); });
  page.addEventListener("drop", (event) => {
    event.preventDefault();
    page.classList.remove("dropping");
    if (event.dataTransfer.files.length) takeSecond(event.dataTransfer.files[0]);
  });
}
