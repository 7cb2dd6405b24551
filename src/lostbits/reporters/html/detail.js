// The panel of one tensor.

let chosenSite = 0;

function fill(id, made) {
  document.getElementById(id).replaceChildren(...made);
}

function meter([label, text, part]) {
  const box = element("div");
  const track = element("div", undefined, "track");
  const bar = element("i");
  bar.style.width = `${100 * part}%`;
  track.append(bar);
  box.append(element("b", said(text)), track, element("small", say(label)));
  return box;
}

function fact([label, text]) {
  const box = element("div");
  box.append(element("dt", say(label)), element("dd", said(text)));
  return box;
}

function comparison([label, before, after]) {
  const row = element("tr");
  const head = element("th", say(label));
  head.scope = "row";
  row.append(head, element("td", said(before)), element("td", said(after)));
  return row;
}

const drawIf = (id, shown, make, missing) => draw(id, shown ? () => make(shown) : null, () => say(missing));

/** Shows site `index` everywhere; `move` takes the reader to the panel. */
function show(index, move) {
  const site = data.sites[index];
  if (!site) return;
  chosenSite = index;
  const where = { role: say(`role.${site.role}`), node: site.node, op: site.op, share: site.share };
  document.getElementById("detail-name").textContent = site.name;
  document.getElementById("detail-where").textContent = say(site.node ? "where.layer" : "where.input", where);
  for (const row of document.querySelectorAll("#table tbody tr")) {
    row.classList.toggle("chosen", row.dataset.site === String(index));
  }
  fill("detail-findings", site.findings.map((number) => element("p", written(number))));
  fill("detail-meters", site.meters.map(meter));
  fill("detail-facts", site.facts.map(fact));
  if (document.getElementById("detail-compared")) fill("detail-compared", (site.compared || []).map(comparison));
  drawIf("detail_waterfall", site.waterfall, (bars) => waterfall(bars, site.grid), "chart.exact");
  drawIf("histogram", site.histogram, histogram, "chart.no_values");
  drawIf("levels", site.levels, levels, "chart.no_values");
  drawIf("trade_off", site.trade_off, tradeOff, "chart.no_trade_off");
  drawIf("channels", site.channels, channels, "chart.no_channels");
  drawIf("by_channel", site.by_channel, byChannel, "chart.few_only");
  keep();
  if (move) moveTo(document.getElementById("detail"));
}

function moveTo(panel) {
  panel.focus({ preventScroll: true });
  panel.scrollIntoView();
}
