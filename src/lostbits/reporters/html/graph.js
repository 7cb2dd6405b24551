// Lays out a graph in ranks from top to bottom, as its layers follow each other.

const box = { width: 190, height: 44, gapX: 18, gapY: 28, lane: 12 };

/**
 * Places of the items of a graph whose inputs come before them, and the lines between them.
 * A line that passes ranks keeps a lane in each, one for all readers of the same item.
 */
function layout(items) {
  const rank = [];
  for (const item of items) rank.push(Math.max(0, ...item.inputs.map((i) => rank[i] + 1)));
  const last = items.map((_, i) => rank[i]);
  items.forEach((item, n) => item.inputs.forEach((i) => { last[i] = Math.max(last[i], rank[n] - 1); }));
  const rows = Array.from({ length: Math.max(-1, ...rank) + 1 }, () => []);
  items.forEach((_, i) => { for (let r = rank[i]; r <= last[i]; r += 1) rows[r].push({ item: i, real: r === rank[i] }); });
  const x = items.map(() => new Map());
  rows.forEach((row, r) => place(row, r, items, x));
  const least = Math.min(0, ...rows.flatMap((row, r) => row.map((each) => x[each.item].get(r) - halfOf(each))));
  const most = Math.max(0, ...rows.flatMap((row, r) => row.map((each) => x[each.item].get(r) + halfOf(each))));
  for (const lanes of x) for (const [r, at] of lanes) lanes.set(r, at - least + 6);
  const y = (r) => 6 + r * (box.height + box.gapY);
  return {
    width: most - least + 12, height: y(rows.length) - box.gapY + 6,
    spots: items.map((_, i) => ({ x: x[i].get(rank[i]) - box.width / 2, y: y(rank[i]) })),
    paths: items.flatMap((item, n) => item.inputs.map((i) => pathOf(x[i], rank[i], x[n].get(rank[n]), rank[n], y))),
  };
}

const halfOf = (each) => (each.real ? box.width : box.lane) / 2;

/** Each as near as there is room below what it reads; boxes have the say, lanes make way. */
function place(row, r, items, x) {
  const wanted = (each) => {
    if (!each.real) return x[each.item].get(r - 1) + (x[each.item].size > 1 ? 0 : 1);
    const above = items[each.item].inputs.map((i) => x[i].get(r - 1)).filter((v) => v !== undefined);
    return above.length ? above.reduce((a, b) => a + b) / above.length : 0;
  };
  const all = row.map((each) => ({ each, at: wanted(each) })).sort((a, b) => a.at - b.at || a.each.item - b.each.item);
  let edge = -Infinity;
  let [moved, weight] = [0, 0];
  for (const one of all) {
    const half = halfOf(one.each);
    one.to = Math.max(one.at, edge + half);
    edge = one.to + half + box.gapX;
    const heavy = one.each.real ? 8 : 1;
    moved += heavy * (one.to - one.at);
    weight += heavy;
  }
  for (const one of all) x[one.each.item].set(r, one.to - moved / weight);
}

/** Down its lane rank by rank, and over to the reader at the end. */
function pathOf(lanes, from, x1, to, y) {
  let path = `M${lanes.get(from).toFixed(1)} ${y(from) + box.height}`;
  for (let r = from + 1; r <= to; r += 1) {
    const [a, b] = [r - 1 === from ? lanes.get(from) : lanes.get(r - 1), r === to ? x1 : lanes.get(r)];
    const [top, bottom] = [y(r) - box.gapY, y(r)];
    path += `C${a.toFixed(1)} ${top + 14} ${b.toFixed(1)} ${bottom - 14} ${b.toFixed(1)} ${bottom}`;
    if (r < to) path += `V${bottom + box.height}`;
  }
  return path;
}
