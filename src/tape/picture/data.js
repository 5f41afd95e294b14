// What there is to show, by name, and where it stands.
const W = data.words;
const COLOURS = {
  Request: "#8a94a0", PrePrepare: "#1f6fd6", Prepare: "#0d9aa8", Commit: "#2c9a3f", Certificate: "#6b8e23", Chain: "#8b6f47", Checkpoint: "#8e44ad",
  Stable: "#8e44ad", ViewChange: "#e67e00", NewView: "#d35400", Status: "#b9c1ca", Fetch: "#b9a88f", Reply: "#c3cbd4", Answered: "#c3cbd4",
  Evidence: "#c8102e", Manifest: "#a07cc0", Chunk: "#a07cc0", Rejoin: "#b5651d", Welcome: "#b5651d" };
const LIE = "#c8102e";
const VIEWS = ["#9db8d9", "#f0c987", "#a8d5a2", "#d9a7c7", "#c9b79c", "#93d1d1", "#e0a899", "#b7b3e0"];
const SIGNS = { prepared: ["◇", "#0d9aa8"], decided: ["●", "#2c9a3f"], stable: ["■", "#8e44ad"], wished: ["▲", "#e67e00"], left: ["◀", "#e67e00"], entered: ["▶", "#d35400"], evidence: ["⚑", LIE], alarm: ["!", LIE], note: ["·", "#444"] };
const FATES = [null, "lie", "refused", "not taken in"];

const arrows = data.arrows.map(([sent, from, heard, to, kind, view, n, digest, fate, words]) =>
  ({ sent, from, heard, to, kind: W[kind], view, n, digest: digest === null ? null : W[digest], lie: fate === 1, refused: fate === 2, unheard: fate === 3, taken: fate < 2, key: FATES[fate] || W[kind], words: W[words] }));
const marks = data.marks.map(([at, r, what, n, words]) => ({ at, r, what: W[what], n, words: W[words] }));
const lives = data.lives.map(([r, from, to, how]) => ({ r, from, to, how: W[how] }));
const stands = data.stands.map(([r, at, view, normal, primary, wish, decided, executed, head, stable, pool, blocks, flags]) =>
  ({ r, at, view, normal: !!normal, primary, wish, decided, executed, head, stable, pool, blocks, flags }));
const perReplica = list => { const lists = Array.from({ length: data.size }, () => []); for (const item of list) lists[item.r].push(item); return lists; };
const standsOf = perReplica(stands), livesOf = perReplica(lives);
const liars = new Set(arrows.filter(a => a.lie).map(a => a.from));
const crashes = livesOf.flatMap(list => list.slice(0, -1).map(l => ({ at: l.to, r: l.r })));
const hasClients = arrows.some(a => a.from === null || a.to === null);
const least = list => list.reduce((a, b) => Math.min(a, b), Infinity), most = list => list.reduce((a, b) => Math.max(a, b), 0);
const end = Math.max(1, most(arrows.map(a => a.heard)), most(marks.map(m => m.at)), most(lives.map(l => l.to)));

// Stretches of a life in which a line looks the same.
for (const life of lives) {
  const next = livesOf[life.r][livesOf[life.r].indexOf(life) + 1], stop = next ? life.to : end;
  const looks = s => [s.view, s.normal, s.primary, s.flags].join();
  life.next = next;
  life.spans = [];
  for (const s of standsOf[life.r]) {
    if (s.at < life.from || s.at > life.to) continue;
    const last = life.spans[life.spans.length - 1];
    if (last && last.looks === looks(s)) continue;
    if (last) last.until = s.at;
    life.spans.push({ at: s.at, until: stop, looks: looks(s), view: s.view, normal: s.normal, isPrimary: s.normal && s.primary === life.r, flags: s.flags });
  }
}

// Idle time is shortened: no gap between two events counts for more than a few usual ones. A place is a time after that.
const times = Float64Array.from([0, end, ...arrows.map(a => a.sent), ...arrows.map(a => a.heard), ...marks.map(m => m.at)]).sort().filter((t, i, all) => !i || t !== all[i - 1]);
let places = [], whole = 1, reach = [];
function lay(shorten) {
  const gaps = times.slice(1).map((t, i) => t - times[i]).sort();
  const cap = shorten ? Math.max(1, 8 * gaps[Math.floor(gaps.length * .8)]) : Infinity;
  let place = 0;
  places = times.map((t, i) => place += i ? Math.min(t - times[i - 1], cap) : 0);
  whole = places[places.length - 1];
  let far = 0;
  // The arrows are in the order of their beginnings; `reach` says how far any of those before goes.
  reach = arrows.map(a => { a.p = placeOf(a.sent); a.q = placeOf(a.heard); return far = Math.max(far, a.q); });
  for (const m of marks) m.p = placeOf(m.at);
  for (const life of lives) {
    [life.p, life.q] = [placeOf(life.from), placeOf(life.to)];
    for (const span of life.spans) [span.p, span.q] = [placeOf(span.at), placeOf(span.until)];
  }
}
// The last that is at most `value`, or the first.
function search(list, value, of = item => item) { let lo = 0, hi = list.length - 1; while (lo < hi) { const mid = (lo + hi + 1) >> 1; if (of(list[mid]) <= value) lo = mid; else hi = mid - 1; } return lo; }
function between(from, to, value) {
  const i = search(from, value);
  if (i + 1 >= from.length) return to[i];
  return to[i] + (from[i + 1] > from[i] ? (value - from[i]) / (from[i + 1] - from[i]) * (to[i + 1] - to[i]) : 0);
}
const placeOf = time => between(times, places, time), timeOf = place => between(places, times, place);
