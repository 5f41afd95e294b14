// Moving about.
function show(a, b) {
  const size = Math.max(Math.min(b - a, whole), Math.min(whole, 5));
  from = Math.max(0, Math.min(a, whole - size));
  to = from + size;
  redraw();
}
function zoom(factor, at) { const size = (to - from) * factor; show(at - (at - from) * factor, at - (at - from) * factor + size); }
const middle = () => (from + to) / 2;
function jump(x) { const at = (x - LEFT) / (wide - LEFT - RIGHT) * whole, half = (to - from) / 2; show(at - half, at + half); }
canvas.addEventListener("wheel", event => { event.preventDefault(); zoom(event.deltaY > 0 ? 1.25 : .8, placeAt(event.offsetX)); }, { passive: false });

let drag = null, wasDragged = false;
canvas.addEventListener("pointerdown", event => { drag = { x: event.offsetX, from, to, isMoved: false, isStrip: event.offsetY < OVERVIEW }; by("tip").style.display = "none"; });
canvas.addEventListener("pointermove", event => {
  if (!drag) return hint(event);
  if (Math.abs(event.offsetX - drag.x) > 3) drag.isMoved = true;
  if (!drag.isMoved) return;
  if (drag.isStrip) return jump(event.offsetX);
  const by = (drag.x - event.offsetX) / (wide - LEFT - RIGHT) * (drag.to - drag.from);
  show(drag.from + by, drag.to + by);
});
canvas.addEventListener("pointerleave", () => { by("tip").style.display = "none"; });
addEventListener("pointerup", () => { wasDragged = !!drag && drag.isMoved; drag = null; });

function hint(event) {
  const tip = by("tip"), [x, y] = [event.offsetX, event.offsetY], found = y < OVERVIEW || x < LEFT ? {} : near(x, y);
  const counts = ({ column: { party: p, counts, start } }) => `${p === null ? "clients" : "R" + p}, ${clock(Math.round(timeOf(start)))}: ` + Object.entries(counts).sort((a, b) => b[1] - a[1]).map(([key, n]) => `${key} ${n}`).join(", ");
  const says = found.sign ? `${clock(found.sign.m.at)} R${found.sign.m.r} ${found.sign.m.words}` : found.arrow ? found.arrow.a.words : found.bar ? counts(found.bar) : "";
  canvas.style.cursor = found.sign || found.arrow || (x < LEFT && y > OVERVIEW) ? "pointer" : "grab";
  tip.style.display = says ? "block" : "none";
  tip.textContent = says;
  tip.style.left = Math.max(0, Math.min(x + 12, wide - tip.offsetWidth - 8)) + "px";
  tip.style.top = Math.max(0, Math.min(y + 14, high - tip.offsetHeight - 4)) + "px";
}
canvas.addEventListener("click", event => {
  const [x0, y0] = [event.offsetX, event.offsetY];
  if (wasDragged) return;
  if (y0 < OVERVIEW) return jump(x0);
  const party = Array.from({ length: data.size }, (_, r) => r).reduce((a, b) => Math.abs(y0 - y(b)) < Math.abs(y0 - y(a)) ? b : a, 0), isOn = Math.abs(y0 - y(party)) < Math.min(14, row / 2);
  if (x0 < LEFT) { if (isOn) { focus = focus === party ? null : party; redraw(); } return; }
  const { sign, arrow } = near(x0, y0);
  if (sign) return tellReplica(sign.m.r, sign.m.at);
  if (isOn) return tellReplica(party, Math.round(timeOf(placeAt(x0))));
  if (arrow) { picked = arrow.a; redraw(); tellArrow(arrow.a); }
});
canvas.addEventListener("dblclick", event => zoom(.4, placeAt(event.offsetX)));
by("in").onclick = () => zoom(.5, middle());
by("out").onclick = () => zoom(2, middle());
by("all").onclick = () => show(0, whole);
function choosePosition(value) {
  only = value === "" ? null : Number(value);
  const of = only === null ? [] : arrows.filter(a => a.n === only && a.kind !== "Reply");
  if (!of.length) return redraw();
  const [a, b] = [least(of.map(a => a.p)), most(of.map(a => a.q))];
  show(a - (b - a) * .1 - 2, b + (b - a) * .1 + 2);
}
by("position").oninput = event => choosePosition(event.target.value);
by("idle").onchange = event => { const a = timeOf(from), b = timeOf(to); lay(event.target.checked); show(placeOf(a), placeOf(b)); };
function svg() {
  const out = [`<svg xmlns="http://www.w3.org/2000/svg" width="${wide}" height="${high}" font-family="sans-serif"><rect width="100%" height="100%" fill="#fff"/>`];
  paint(svgPen(out));
  return out.join("\n") + "\n</svg>\n";
}
by("save").onclick = () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([svg()], { type: "image/svg+xml" }));
  link.download = "run.svg";
  link.click();
};
for (const button of document.querySelectorAll("[data-next]")) {
  button.onclick = () => {
    const what = button.dataset.next, now = timeOf(middle()) + 1;
    const all = what === "lie" ? arrows.filter(a => a.lie).map(a => a.heard) : what === "crash" ? crashes.map(c => c.at) : marks.filter(m => m.what === what).map(m => m.at);
    const next = all.sort((a, b) => a - b).find(at => at > now) ?? all[0];
    if (next === undefined) { by("note").textContent = "there is none"; return; }
    const half = Math.min((to - from) / 2, whole / 8);
    show(placeOf(next) - half, placeOf(next) + half);
  };
}
addEventListener("keydown", event => {
  if (event.target.tagName === "INPUT") return;
  const step = (to - from) / 6;
  if (event.key === "+" || event.key === "=") zoom(.7, middle());
  if (event.key === "-") zoom(1.4, middle());
  if (event.key === "ArrowLeft") show(from - step, to - step);
  if (event.key === "ArrowRight") show(from + step, to + step);
  if (event.key === "Home") show(0, whole);
});
addEventListener("resize", redraw);

const counts = {};
for (const a of arrows) counts[a.key] = (counts[a.key] || 0) + 1;
for (const name of [...Object.keys(COLOURS), ...FATES.slice(1)].filter(name => counts[name])) {
  const entry = document.createElement("span"), sample = document.createElement("i");
  sample.style.borderTopColor = COLOURS[name] || (name === "not taken in" ? "#888" : LIE);
  if (!COLOURS[name]) sample.style.borderTopStyle = name === "lie" ? "dashed" : "dotted";
  entry.append(sample, `${name} ${counts[name]}`);
  if (["Status", "Reply", "Answered", "not taken in"].includes(name) || (name === "Request" && counts[name] > 60)) { hidden.add(name); entry.className = "off"; }
  entry.onclick = () => { entry.classList.toggle("off"); if (hidden.has(name)) hidden.delete(name); else hidden.add(name); redraw(); };
  by("legend").append(entry);
}
by("title").textContent = document.title = data.title;
lay(true);
welcome();
// At first: as much as can be read. In the address, #t=FROM-TO in microseconds, &n=POSITION, &pick=REPLICA@TIME say otherwise; #all is the whole run.
const asked = new URLSearchParams(location.hash.slice(1));
const first = arrows.filter(a => a.from !== null && a.to !== null && a.taken && !hidden.has(a.kind)).slice(0, 70);
let [a, b] = first.length && !asked.has("all") ? [first[0].p, first[first.length - 1].q] : [0, whole];
[a, b] = [a - (b - a) * .05, b + (b - a) * .03];
for ([from, to] = [a, b]; first.length && !asked.has("all") && inView().length > ARROWS_MOST / 4; to = b) b = a + (b - a) * .8;
if (asked.get("t")) [a, b] = asked.get("t").split("-").map(time => placeOf(Number(time)));
show(a, b);
if (asked.get("n")) { by("position").value = asked.get("n"); choosePosition(asked.get("n")); if (asked.get("t")) show(a, b); }
if (asked.get("pick")) { const [r, at] = asked.get("pick").split("@").map(Number); tellReplica(r, at); }
draw();
