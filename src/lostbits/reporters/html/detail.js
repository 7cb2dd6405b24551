// The panel of one tensor.

function fill(id, made) {
  document.getElementById(id).replaceChildren(...made);
}

function meter([label, text, part]) {
  const box = element("div");
  const track = element("div", undefined, "track");
  const bar = element("i");
  bar.style.width = `${100 * part}%`;
  track.append(bar);
  box.append(element("b", text), track, element("small", label));
  return box;
}

function fact([label, text]) {
  const box = element("div");
  box.append(element("dt", label), element("dd", text));
  return box;
}

const drawIf = (id, shown, make, missing) => draw(id, shown ? () => make(shown) : null, missing);

/** Shows site `index` everywhere; `move` takes the reader to the panel. */
function show(index, move) {
  const site = data.sites[index];
  if (!site) return;
  document.getElementById("detail-name").textContent = site.name;
  document.getElementById("detail-where").textContent = `${site.where}; carries ${site.share} of the output error`;
  document.getElementById("focus").value = String(index);
  for (const row of document.querySelectorAll("#table tbody tr")) {
    row.classList.toggle("chosen", row.dataset.site === String(index));
  }
  fill("detail-findings", site.findings.map((text) => element("p", text)));
  fill("detail-meters", site.meters.map(meter));
  fill("detail-facts", site.facts.map(fact));
  const exact = "Its grid holds every value exactly, or nothing was recorded: no bits are lost.";
  drawIf("waterfall", site.waterfall, waterfall, exact);
  drawIf("detail_waterfall", site.waterfall, waterfall, exact);
  drawIf("histogram", site.histogram, histogram, "No values were recorded for this tensor.");
  drawIf("trade_off", site.trade_off, tradeOff, "Its range does not follow from values of its own.");
  drawIf("channels", site.channels, channels, "It has no channels.");
  drawIf("by_channel", site.by_channel, byChannel, "Kept for the tensors that matter most only.");
  if (move) {
    const panel = document.getElementById("detail");
    panel.focus({ preventScroll: true });
    panel.scrollIntoView();
  }
}
