// Starts the page.

async function copy(button) {
  const text = button.parentNode.querySelector("pre");
  try {
    await navigator.clipboard.writeText(text.textContent);
  } catch {
    window.getSelection().selectAllChildren(text);
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function choose(hit) {
  const bar = data.attribution[hit.dataIndex];
  if (bar && bar.index !== null) show(bar.index, true);
}

function start() {
  const bars = data.attribution;
  document.getElementById("attribution").style.minHeight = `${Math.max(8, 4 + 1.55 * bars.length)}rem`;
  drawIfAny("attribution", bars, () => shares(bars), choose);
  drawIfAny("roles", data.roles, () => shares(data.roles));
  if (data.layers.length) draw("depth", () => depth(data.layers));
  prepareTables();
  show(0, false);
}

function drawIfAny(id, list, make, choose) {
  draw(id, list.length ? make : null, "Nothing was attributed.", choose);
}

for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", () => copy(button));
}
for (const link of document.querySelectorAll("a.more")) {
  link.addEventListener("click", () => show(Number(link.dataset.site), false));
}
document.getElementById("focus").addEventListener("change", (event) => show(Number(event.target.value), false));
start();
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
window.matchMedia("(max-width: 639px)").addEventListener("change", redraw);
window.matchMedia("print").addEventListener("change", redraw);
