// What is told beside the picture.
function clear(title) { side.replaceChildren(); const h = document.createElement("h2"); h.textContent = title; side.append(h); }
function add(tag, text, name) { const node = document.createElement(tag); node.textContent = text; if (name) node.className = name; side.append(node); return node; }
function table(lines, head) {
  const t = document.createElement("table");
  for (const [i, cells] of (head ? [head, ...lines] : lines).entries()) {
    const row = t.insertRow();
    cells.forEach((cell, j) => { const c = document.createElement(head ? (i ? "td" : "th") : (j ? "td" : "th")); c.textContent = cell; row.append(c); });
  }
  side.append(t);
}
function party(p) { return p === null ? "a client" : "R" + p; }
function tellArrow(a) {
  clear(`${a.kind} from ${party(a.from)} to ${party(a.to)}`);
  if (a.lie) add("p", `A lie: it came in ${party(a.from)}'s name and under its key, and ${party(a.from)}'s own replica never said it. When it left is not known.`, "lie");
  if (a.refused) add("p", `Refused by ${party(a.to)}: it is not believed, and who sent it is not known. It says that it is ${party(a.from)}'s.`, "lie");
  if (a.unheard) add("p", `${party(a.from)}'s replica said it; ${party(a.to)} did not take it in. It was lost, came late, was not needed, or was held back by a traitor.`);
  const known = a.taken && !a.lie;
  table([["sent", a.lie || a.refused ? "not known" : clock(a.sent)], ["heard", a.unheard ? "" : clock(a.heard)], ["on its way", known ? clock(a.heard - a.sent) : ""], ["view", a.view ?? ""], ["position", a.n ?? ""], ["digest", a.digest ?? ""]]);
  add("h3", "in words");
  add("div", a.words, "mono");
}
function tellReplica(r, at) {
  picked = { r, at };
  redraw();
  clear(`R${r} at ${clock(at)}: what it knew`);
  const list = standsOf[r].filter(s => s.at <= at), s = list[list.length - 1];
  const life = livesOf[r].find((l, i) => at >= l.from && (at <= l.to || i === livesOf[r].length - 1));
  if (!life) add("p", "It was dead.");
  if (s) {
    const state = [[1, "its log was lost: silent"], [2, "its state is not the quorum's"], [4, "HALTED"]].filter(([bit]) => s.flags & bit).map(([, word]) => word).join(", ");
    table([["view", `${s.view}, ${s.normal ? "takes part" : "waits for it to begin"}; primary R${s.primary}`], ["wish", s.wish], ["head", "n" + s.head], ["decided", "n" + s.decided], ["executed", "n" + s.executed],
      ["stable", "n" + s.stable], ["requests waiting", s.pool], ["blocks held", s.blocks]].concat(state ? [["state", state]] : []));
  }
  const votes = new Map();
  const vote = (a, by) => {
    const key = `v${a.view} n${a.n} ${a.digest}`, entry = votes.get(key) || { key, n: a.n, Prepare: new Set(), Commit: new Set() };
    entry[a.kind === "Commit" ? "Commit" : "Prepare"].add(by);
    votes.set(key, entry);
  };
  for (const a of arrows) {
    if (!["PrePrepare", "Prepare", "Commit"].includes(a.kind) || (only !== null && a.n !== only)) continue;
    if (a.to === r && a.heard <= at && a.from !== null && a.taken) vote(a, a.from);
    if (a.from === r && a.sent <= at && !a.lie && !a.refused) vote(a, r);
  }
  const known = [...votes.values()].sort((a, b) => b.n - a.n).slice(0, 12);
  if (known.length) {
    add("h3", "votes that it had heard, and its own");
    const names = set => [...set].sort((a, b) => a - b).map(i => "R" + i).join(" ");
    table(known.map(v => [v.key, names(v.Prepare), names(v.Commit)]), ["for", "Prepare", "Commit"]);
  }
  add("h3", "before that, latest first");
  const heard = arrows.filter(a => a.to === r && a.heard <= at && !a.unheard).map(a => [a.heard, `← ${a.refused ? "refused" : party(a.from)}${a.lie ? " (a lie)" : ""}: ${a.words}`]);
  const said = arrows.filter(a => a.from === r && a.sent <= at && !a.lie && !a.refused).map(a => [a.sent, `→ ${party(a.to)}: ${a.words}`]);
  const done = marks.filter(m => m.r === r && m.at <= at).map(m => [m.at, m.words]);
  const lines = [...heard, ...said, ...done].sort((a, b) => b[0] - a[0]).slice(0, 40);
  for (const [when, words] of lines) add("div", `${clock(when)} ${words}`, "mono");
}
function welcome() {
  clear("Space and time");
  const says = "Each line is a replica, from left to right in time; each arrow a message that somebody took in (what was said and not taken in can be switched on). A line's colour is the replica's view; it is thick where it is the primary, and dashed while it waits for a view to begin.";
  add("p", says);
  table([["◇", "a quorum has prepared it"], ["●", "decided"], ["■", "stable checkpoint"], ["▲", "wishes for another view"], ["◀ ▶", "leaves, enters a view"], ["⚑", "evidence against a liar"], ["✕", "crash"]]);
  add("p", "Red and dashed: a lie. It came under a replica's key, and that replica's own tape has nothing of it. Red and dotted: refused, since it is not valid.", "lie");
  add("p", "Where there are more arrows than can be told apart, bars on a line count the messages that it heard, by kind; red are the lies.");
  add("p", "Wheel: zoom. Drag: move. Click a line: what that replica knew then. Click an arrow: what it says. Click a replica's name, or give a position, to see only what concerns it. Click in the legend to hide a kind.");
}

