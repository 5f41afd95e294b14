// The picture of what is in view. What is drawn can be found again by place.
const LEFT = 74, RIGHT = 24, OVERVIEW = 26;
// So many arrows can be told apart, and more be counted only: bars of so many pixels.
const ARROWS_MOST = 1200, LIES_MOST = 60, BAR = 6;
const VOTES = { PrePrepare: "", Prepare: "P ", Commit: "C ", NewView: "NV ", ViewChange: "VC " };
let from = 0, to = 1, only = null, focus = null, picked = null;
let wide = 1, high = 1, row = 1, touch = { arrows: [], signs: [], bars: [] };
const hidden = new Set();
const by = id => document.getElementById(id);
const stage = by("stage"), side = by("side"), canvas = by("canvas"), context = canvas.getContext("2d");

function clock(us) { return us >= 1e6 ? (us / 1e6).toFixed(us % 1e6 ? 6 : 0).replace(/0+$/, "").replace(/\.$/, "") + " s" : us >= 1000 ? (us / 1000).toFixed(3).replace(/\.?0+$/, "") + " ms" : us + " µs"; }
function px(place) { return LEFT + (place - from) / (to - from) * (wide - LEFT - RIGHT); }
function placeAt(px) { return from + (px - LEFT) / (wide - LEFT - RIGHT) * (to - from); }
function y(party) { return OVERVIEW + 34 + row * ((party === null ? 0 : party + (hasClients ? 1 : 0)) + .4); }
function isDim(a) { return (only !== null && a.n !== only) || (focus !== null && a.from !== focus && a.to !== focus); }

function draw() {
  [wide, high] = [stage.clientWidth, stage.clientHeight];
  row = Math.max(6, Math.min(150, (high - OVERVIEW - 60) / (data.size + (hasClients ? 1 : 0))));
  const scale = window.devicePixelRatio || 1, size = [Math.round(wide * scale), Math.round(high * scale)];
  if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, wide, high);
  paint(canvasPen(context));
  stage.dataset.drawn = touch.arrows.length;
}
let isDue = false;
function redraw() { if (!isDue) { isDue = true; requestAnimationFrame(() => { isDue = false; draw(); }); } }

function paint(pen) {
  touch = { arrows: [], signs: [], bars: [] };
  overview(pen);
  pen.within(LEFT, OVERVIEW, wide - LEFT, high - OVERVIEW, () => {
    axis(pen);
    const seen = inView();
    lifelines(pen);
    messages(pen, seen);
    happenings(pen);
    if (picked && picked.at !== undefined) pen.ring(px(placeOf(picked.at)), y(picked.r), 11, "#111", { dash: [3, 2] });
  });
  labels(pen);
}

function overview(pen) {
  const w = wide - LEFT - RIGHT, seen = new Set();
  pen.rect(LEFT, 4, w, OVERVIEW - 8, "#eef1f4");
  const tick = (place, colour, height) => {
    const at = LEFT + Math.round(place / whole * w), key = at * 64 + height;
    if (seen.has(key)) return;
    seen.add(key);
    pen.rect(at, OVERVIEW - 4 - height, 1, height, colour);
  };
  for (const m of marks) if (m.what === "decided") tick(m.p, "#2c9a3f", 6);
  for (const m of marks) if (m.what === "left" || m.what === "entered") tick(m.p, "#e67e00", 12);
  for (const a of arrows) if (a.lie) tick(a.q, LIE, 10);
  for (const c of crashes) tick(placeOf(c.at), "#000", 18);
  const [a, b] = [LEFT + from / whole * w, Math.max(3, (to - from) / whole * w)];
  pen.rect(a, 2, b, OVERVIEW - 4, "#1f6fd6", .15);
  for (const at of [a, a + b]) pen.line(at, 2, at, OVERVIEW - 2, "#1f6fd6");
  pen.text(8, OVERVIEW - 9, "whole run", { size: 9.5, fill: "#66717f" });
}

function axis(pen) {
  const small = { size: 9.5, fill: "#66717f", align: "center" };
  const steps = Math.max(2, Math.floor((wide - LEFT - RIGHT) / 120));
  for (let i = 0; i <= steps; i++) {
    const place = from + (to - from) * i / steps, at = px(place);
    pen.line(at, OVERVIEW + 18, at, high, "#eef1f4");
    pen.text(Math.min(wide - 28, Math.max(LEFT + 26, at)), OVERVIEW + 14, clock(Math.round(timeOf(place))), small);
  }
  // Where idle time was left out.
  let labelled = -1e9;
  const wideEnough = 6 * (to - from) / (wide - LEFT - RIGHT);
  for (let i = Math.max(1, search(places, from)); i < places.length && places[i - 1] <= to; i++) {
    const gap = places[i] - places[i - 1];
    if (gap < wideEnough || times[i] - times[i - 1] - gap < 1) continue;
    const middle = (px(places[i]) + px(places[i - 1])) / 2;
    pen.line(middle, OVERVIEW + 20, middle, high, "#c5ccd4", 1, { dash: [2, 4] });
    if (gap > 6 * wideEnough && middle - labelled > 60) {
      labelled = middle;
      pen.text(middle, high - 6, clock(times[i] - times[i - 1]), small);
    }
  }
}

function lifelines(pen) {
  const thick = Math.min(1, row / 30);
  if (hasClients) pen.line(LEFT, y(null), wide, y(null), "#b9c1ca", 2, { dash: [6, 4] });
  for (let r = 0; r < data.size; r++) {
    const names = [], starts = [];
    pen.line(LEFT, y(r), wide, y(r), "#dfe4ea");
    livesOf[r].forEach((life, i) => {
      for (const span of life.spans) {
        if (span.q < from || span.p > to) continue;
        const x1 = Math.max(LEFT - 9, px(span.p)), x2 = Math.max(x1 + .5, Math.min(wide + 9, px(span.q)));
        pen.line(x1, y(r), x2, y(r), span.flags ? LIE : VIEWS[span.view % VIEWS.length], thick * (span.isPrimary ? 9 : 5), { dash: span.normal ? null : [3, 3] });
        const at = Math.max(x1, LEFT + 3), name = "v" + span.view + (span.normal ? "" : "?") + (span.isPrimary ? " primary" : ""), last = names[names.length - 1];
        if (last && at - last.at < 26) names.pop();
        if (!names.length || names[names.length - 1].name !== name) names.push({ at, name });
      }
      if (life.next && life.next.p >= from && life.q <= to) {
        const at = px(life.q), back = px(life.next.p);
        pen.line(at, y(r), back, y(r), "#fff", 6);
        pen.line(at, y(r), back, y(r), "#444", 1, { dash: [1, 5] });
        pen.text(at, y(r) + 6, "✕", { size: 18, bold: true, align: "center" });
        if (row >= 22) pen.text(at + 9, y(r) - 8, "crash", { halo: true });
      }
      if (i > 0 && life.p >= from && life.p <= to && !(px(life.p) - starts[starts.length - 1] < 130)) {
        starts.push(px(life.p));
        if (row >= 40) pen.text(Math.max(LEFT + 70, Math.min(wide - 70, px(life.p))), y(r) + 17, life.how, { halo: true, align: "center" });
      }
    });
    if (row >= 22) for (const { at, name } of names) pen.text(at + 2, y(r) - 8, name, { halo: true, bold: true });
  }
}

// Arrows of which a part is in view.
function inView() {
  const seen = [];
  if (!arrows.length) return seen;
  const last = search(arrows, to, a => a.p);
  for (let i = search(reach, from); i <= last; i++) { const a = arrows[i]; if (a.q >= from && a.p <= to && !hidden.has(a.key)) seen.push(a); }
  return seen;
}

function messages(pen, seen) {
  const bright = seen.filter(a => !isDim(a)), isCrowd = bright.length > ARROWS_MOST;
  const lies = bright.filter(a => a.lie || a.refused);
  const shown = isCrowd ? (lies.length <= LIES_MOST ? lies : []) : bright;
  if (isCrowd) bars(pen, shown.length ? bright.filter(a => !a.lie && !a.refused) : bright);
  if (!isCrowd && seen.length <= ARROWS_MOST) for (const a of seen) if (isDim(a)) arrow(pen, a, true);
  by("note").textContent = isCrowd ? `${seen.length} of ${arrows.length} messages, counted where they were heard: zoom in for arrows` : `${seen.length} of ${arrows.length} messages`;
  const taken = shown.filter(a => !isCrowd && a.taken && a.digest && a.kind in VOTES), proposals = taken.filter(a => a.kind === "PrePrepare").length;
  for (const a of [...shown.filter(a => !a.lie), ...shown.filter(a => a.lie)]) arrow(pen, a, false);
  for (const a of taken) {
    if (a.kind === "PrePrepare" ? proposals > 24 : taken.length > 30) continue;
    const { x1, y1, x2, y2 } = ends(a), part = .3;
    pen.text(x1 + (x2 - x1) * part + 3, y1 + (y2 - y1) * part, `${VOTES[a.kind]}n${a.n} ${a.digest.slice(0, 4)}`, { halo: true, size: 9.5, fill: a.lie ? LIE : COLOURS[a.kind] });
  }
}
function ends(a) {
  let x1 = px(a.p), x2 = px(a.q), y1 = y(a.from), y2 = y(a.to);
  // Who sent what was refused nobody knows: it comes from nowhere. And what was not taken in ends somewhere.
  if (a.refused) [x1, y1] = [x2 - 18, y2 - 26];
  if (a.unheard) [x2, y2] = [x1 + (x2 - x1) * .3 + 4, y1 + (y2 - y1) * .3];
  return { x1, y1, x2, y2 };
}
function arrow(pen, a, faint) {
  const colour = a.lie || a.refused ? LIE : COLOURS[a.kind] || "#888", { x1, y1, x2, y2 } = ends(a);
  const dash = a.lie ? [6, 3] : a.refused || a.unheard ? [2, 2] : null;
  pen.line(x1, y1, x2, y2, colour, a === picked ? 3.5 : a.lie ? 2 : 1.2, { dash, alpha: faint ? .07 : .9 });
  touch.arrows.push({ a, x1, y1, x2, y2 });
  if (faint) return;
  if (a.refused || a.unheard) return pen.text(x2, y2 + 3, "×", { size: 10, align: "center", halo: true, fill: colour });
  const length = Math.hypot(x2 - x1, y2 - y1) || 1, [ux, uy] = [(x2 - x1) / length, (y2 - y1) / length];
  pen.polygon([[x2, y2], [x2 - 7 * ux + 3.5 * uy, y2 - 7 * uy - 3.5 * ux], [x2 - 7 * ux - 3.5 * uy, y2 - 7 * uy + 3.5 * ux]], colour);
}

// How many of each kind were heard by whom, over equal stretches. They stay the same ones while the picture moves.
function bars(pen, list) {
  const step = BAR * (to - from) / (wide - LEFT - RIGHT), columns = new Map();
  for (const a of list) {
    const at = a.unheard ? a.p : a.q, party = a.unheard ? a.from : a.to;
    if (at < from - step || at > to) continue;
    const key = Math.floor(at / step) * 1000 + (party === null ? 999 : party);
    let column = columns.get(key);
    if (!column) columns.set(key, column = { party, start: Math.floor(at / step) * step, total: 0, counts: {} });
    column.total++;
    column.counts[a.key] = (column.counts[a.key] || 0) + 1;
  }
  let top = 1;
  for (const column of columns.values()) top = Math.max(top, column.total);
  const room = Math.max(4, row * .62);
  for (const column of columns.values()) {
    const x = px(column.start), base = y(column.party) - 3;
    let at = base;
    for (const key of Object.keys(column.counts).sort((a, b) => column.counts[b] - column.counts[a])) {
      const h = Math.max(.6, column.counts[key] / top * room);
      at -= h;
      pen.rect(x, at, BAR - 1, h, COLOURS[key] || (key === "not taken in" ? "#888" : LIE), .85);
    }
    touch.bars.push({ x, top: at, base, column });
  }
}

function happenings(pen) {
  const here = [], crowd = new Map();
  for (let i = search(marks, from, m => m.p); i < marks.length && marks[i].p <= to; i++) if (marks[i].p >= from && SIGNS[marks[i].what] && !(marks[i].what === "note" && row < 16)) here.push(marks[i]);
  const isFaint = m => (only !== null && m.n !== null && m.n !== only) || (focus !== null && m.r !== focus);
  // Where there is no room for all, the telling ones come first.
  const ranks = Array.from({ length: 8 }, () => []), order = ["decided", "prepared", "note"];
  for (const m of here) ranks[(isFaint(m) ? 4 : 0) + order.indexOf(m.what) + 1].push(m);
  const room = row < 22 || here.length > 1500 ? 1 : row < 50 ? 3 : 4, count = room === 1 ? 14 : 9, size = Math.max(8, Math.min(13, row * .45));
  for (const m of ranks.flat()) {
    const x = px(m.p), key = m.r * 1e6 + Math.round(x / count), above = (crowd.get(key) || 0) + 1, [sign, fill] = SIGNS[m.what], isFar = isFaint(m);
    crowd.set(key, above);
    if (above > room) continue;
    const at = y(m.r) + 4 + (above - 1) * 9;
    pen.text(x, at, sign, { fill, size: m.what === "alarm" ? size * 1.5 : size, align: "center", halo: room > 1, alpha: isFar ? .15 : 1 });
    touch.signs.push({ m, x, y: at - 4 });
    if (m.what === "decided" && here.length < 150 && !isFar && row >= 40) pen.text(x, at + 13, "n" + m.n, { fill, size: 9.5, align: "center", halo: true });
  }
  if (room > 1) for (const [key, above] of crowd) if (above > room) pen.text((key % 1e6) * count, y(Math.floor(key / 1e6)) + 12 + room * 9, "+" + (above - room), { size: 9.5, fill: "#66717f", align: "center", halo: true });
}

function labels(pen) {
  const size = Math.max(7, Math.min(13, row * .8));
  if (hasClients) pen.text(8, y(null) + 4, "clients", { size, bold: true });
  for (let r = 0; r < data.size; r++) {
    const lies = liars.has(r);
    pen.text(8, y(r) + 4, "R" + r + (lies ? " lies" : ""), { size, bold: true, fill: lies ? LIE : "#1c2430", alpha: focus === null || focus === r ? 1 : .4 });
    if (!livesOf[r].length && row >= 22) pen.text(8, y(r) + 17, "no tape", { size: 9.5, fill: "#66717f" });
  }
}

// What was drawn there.
function near(x0, y0) {
  const sign = touch.signs.find(({ x, y }) => Math.abs(x - x0) < 7 && Math.abs(y - y0) < 6);
  if (sign) return { sign };
  let best = null, least = 5;
  for (const one of touch.arrows) {
    const { x1, y1, x2, y2 } = one, [dx, dy] = [x2 - x1, y2 - y1], part = Math.max(0, Math.min(1, ((x0 - x1) * dx + (y0 - y1) * dy) / (dx * dx + dy * dy || 1)));
    const away = Math.hypot(x0 - x1 - part * dx, y0 - y1 - part * dy) + (isDim(one.a) ? 3 : 0);
    if (away < least) [best, least] = [one, away];
  }
  if (best) return { arrow: best };
  return { bar: touch.bars.find(({ x, top, base }) => x0 >= x && x0 < x + BAR && y0 <= base && y0 >= Math.min(top, base - 12)) };
}
