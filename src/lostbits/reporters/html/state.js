// What a reader has chosen stands behind the # of the address, so that a link shows the same.

let kept = false; // nothing is written before the page stands
const value = (id) => document.getElementById(id).value;
const keyOf = (index) => (data.sites[index] ? `${data.sites[index].name}:${data.sites[index].role}` : "");
const boxes = () => [...document.querySelectorAll("[data-column]")];
const usual = { lang: page.lang, columns: boxes().map((box) => Number(box.checked)).join("") };

/** Every choice that is not the usual one. */
function state() {
  const sorted = document.querySelector("#table th[aria-sort]:not([aria-sort=none])");
  const order = sorted ? `${sorted.cellIndex}${sorted.ariaSort === "ascending" ? "+" : "-"}` : "";
  const columns = boxes().map((box) => Number(box.checked)).join("");
  const found = {
    t: chosenSite === data.culprit ? "" : keyOf(chosenSite),
    l: chosenStation === stationOf(data.culprit) ? "" : data.map[chosenStation]?.name,
    lang: page.lang === usual.lang ? "" : page.lang,
    theme: value("theme") === "auto" ? "" : value("theme"),
    map: mode() === "blocks" ? "" : mode(),
    q: value("search"), sort: order === usual.order ? "" : order, columns: columns === usual.columns ? "" : columns,
  };
  for (const filter of document.querySelectorAll("select.filter")) found[filter.dataset.by] = filter.value;
  return Object.entries(found).filter(([, each]) => each);
}

/** Where the reader is, if a link led there, stands last. */
function keep(at) {
  if (!kept) return;
  const parts = new URLSearchParams(state());
  if (at && parts.size) parts.set("at", at);
  history.replaceState(null, "", parts.size ? `#${parts}` : at ? `#${at}` : location.pathname + location.search);
}

/** Takes up the choices of an address; what is unknown is passed over. */
function takeUp() {
  usual.order ??= new Map(state()).get("sort");
  const parts = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  const choose = (id, name) => {
    const list = document.getElementById(id);
    if ([...list.options].some((option) => option.value === parts.get(name))) list.value = parts.get(name);
  };
  choose("language", "lang");
  choose("theme", "theme");
  choose("detail-of-map", "map");
  if (parts.get("q")) document.getElementById("search").value = parts.get("q");
  boxes().forEach((box, i) => { if (parts.get("columns")?.[i]) box.checked = parts.get("columns")[i] === "1"; });
  const site = data.sites.findIndex((_, i) => keyOf(i) === parts.get("t"));
  chosenSite = site < 0 ? data.culprit : site;
  const station = data.map.findIndex((stop) => stop.name === parts.get("l"));
  chosenStation = station < 0 ? stationOf(chosenSite) : station;
  return parts;
}

/** What can only be taken up when the page speaks and its tables are filled. */
function takeUpTables(parts) {
  for (const filter of document.querySelectorAll("select.filter")) filter.value = parts.get(filter.dataset.by) ?? "";
  const [, column, order] = /^(\d+)([+-])$/.exec(parts.get("sort") ?? "") ?? [];
  const head = document.querySelector("#table thead tr").cells[column];
  const wanted = order === "+" ? "ascending" : "descending";
  for (let n = 0; head && n < 2 && head.ariaSort !== wanted; n += 1) sortBy(head);
  search();
  if (parts.get("at")) document.getElementById(parts.get("at"))?.scrollIntoView({ behavior: "instant" });
}
