// The page: what is set, what is drawn of it, and what answers to hands and keys.

const $ = (id) => document.getElementById(id);
const given = JSON.parse($("state").textContent);
const THREE = "0.3*normal(-2, sd=0.3) + 0.4*normal(0, sd=0.4) + 0.3*normal(2, sd=0.3)";
const TWO = "0.5*normal(-2, sd=0.7) + 0.5*normal(2, sd=0.7)";
const PRESETS = [
  ["Three modes, two components: the forward claim", THREE, "0.52*normal(-1.98, sd=0.41) + 0.48*normal(1.97, sd=0.42)"],
  ["Three modes, two components: the reverse claim", THREE, "0.426*normal(-2.001, sd=0.299) + 0.574*normal(0.01, sd=0.418)"],
  ["N(0, 2) and N(0, 3), read as standard deviations", "normal(0, sd=2)", "normal(0, sd=3)"],
  ["N(0, 2) and N(0, 3), read as variances", "normal(0, var=2)", "normal(0, var=3)"],
  ["Covering: one normal over two modes", TWO, "normal(0, sd=2.119)"],
  ["Seeking: one normal on one of two modes", TWO, "normal(2, sd=0.7)"],
  ["One mode missed: the forward price", "0.9*normal(-1, sd=1) + 0.1*normal(6, sd=0.6)", "normal(-1, sd=1)"],
  ["Heavy tails: a Cauchy has no variance", "cauchy(0, scale=1)", "normal(0, sd=2)"],
  ["Student's t with 3 degrees of freedom", "student_t(3, 0, scale=1)", "normal(0, sd=1.6)"],
  ["Supports: q ends where p goes on", "uniform(0, 2)", "uniform(0, 1)"],
  ["Five components and three", "0.15*normal(-6, sd=0.6) + 0.25*normal(-3, sd=0.9) + 0.3*normal(0, sd=0.7) + 0.2*laplace(3, scale=0.6) + 0.1*student_t(3, 6, scale=0.5)",
    "0.4*normal(-4, sd=1.5) + 0.4*normal(0.5, sd=1.2) + 0.2*normal(4, sd=2)"],
  ["Outcomes: a teacher's and a student's next word", "categorical([0.42, 0.23, 0.14, 0.09, 0.06, 0.04, 0.02])", "categorical([0.55, 0.2, 0.1, 0.05, 0.05, 0.03, 0.02])"],
  ["Outcomes: q says never to what p does", "categorical([0.5, 0.3, 0.2])", "categorical([0.6, 0.4, 0])"],
];
const SIDES = ["p", "q"];
const SIZES = [20, 50, 100, 200, 500, 1000, 5000];

let state = { p: null, q: null, unit: "nats", n: 200, key: 1 };
let result = null, held = null, frame = 0, drag = null, job = 0, way = [], found = null, before = [], pace = 0;
const plots = {};

const inUnit = (v) => (state.unit === "bits" ? v / Math.LN2 : v);
const discrete = () => state.p.outcomes !== undefined;
const same = (a, b) => written(a) === written(b);

// Text of numbers.

function valued(v) { return Number.isFinite(v) ? (v === 0 ? "0" : Math.abs(v) >= 1e-4 && Math.abs(v) < 1e6 ? v.toPrecision(6).replace("-", "−") : short(v, 6)) : v > 0 ? "infinite" : "—"; }
function erred(v) { return Number.isFinite(v) ? v.toExponential(0).replace("e-", "e−").replace("e+", "e") : "∞"; }
function percent(v) {
  const value = 100 * Math.min(Math.max(v, 0), 1);
  return value === 0 ? "0 %" : value < 0.01 ? `${value.toExponential(0).replace("-", "−")} %` : `${value.toFixed(value < 1 ? 2 : 1)} %`;
}
function signed(v) { return Number.isFinite(v) ? `${v < 0 ? "−" : "+"}${Math.abs(inUnit(v)).toFixed(4)}` : "—"; }

// State from text and to text.

function fragment() {
  const q = new URLSearchParams();
  for (const name of SIDES) q.set(name, written(state[name]));
  q.set("unit", state.unit); q.set("n", state.n); q.set("key", state.key);
  return `#${q.toString().replace(/%2C/g, ",").replace(/%28/g, "(").replace(/%29/g, ")").replace(/%3D/g, "=").replace(/%2A/g, "*")}`;
}

function fromFragment(text) {
  const q = new URLSearchParams(text.replace(/^#/, "")), next = { ...state };
  for (const name of SIDES) if (q.get(name)) next[name] = parsed(q.get(name));
  if (Boolean(next.p.outcomes) !== Boolean(next.q.outcomes)) throw new Error("p and q are both densities or both lists of probabilities");
  if (next.p.outcomes) level(next);
  if (["nats", "bits"].includes(q.get("unit"))) next.unit = q.get("unit");
  if (SIZES.includes(Number(q.get("n")))) next.n = Number(q.get("n"));
  if (q.has("key") && Number(q.get("key")) >= 0) next.key = Math.floor(Number(q.get("key")));
  return next;
}

/** Lists of one length: the shorter gets zeros. */
function level(next) {
  const n = Math.max(next.p.outcomes.length, next.q.outcomes.length);
  for (const name of SIDES) next[name] = { outcomes: [...next[name].outcomes, ...Array(n - next[name].outcomes.length).fill(0)] };
}

/** Takes a new state; with `keep` the one before can be had back. */
function become(next, { keep = true, build = true } = {}) {
  if (keep) { before.push({ p: state.p, q: state.q }); if (before.length > 60) before.shift(); }
  const family = found && (!same(next.p, state.p) || shapeOf(next.q) !== shapeOf(state.q));
  state = next;
  if (family) { found = null; $("optima").replaceChildren(); }
  $("undo").disabled = before.length === 0;
  if (build) controls();
  redraw();
}

const shapeOf = (d) => (d.parts ? d.parts.map((c) => c.family + (c.df || "")).join() : "outcomes");

function schedule() { if (!frame) frame = requestAnimationFrame(() => { frame = 0; redraw(); }); }

// What is drawn.

function rangeOf(p, q) {
  let low = Infinity, high = -Infinity;
  const reach = { normal: 3.6, student_t: 6, laplace: 6, logistic: 7, uniform: 1.15 };
  for (const d of [p, q]) for (const c of d.parts) {
    if (c.weight < 1e-4) continue;
    low = Math.min(low, c.loc - reach[c.family] * c.scale); high = Math.max(high, c.loc + reach[c.family] * c.scale);
  }
  return [low, high];
}

/** Points to draw at: every second pixel and, where components are narrow, their own. */
function gridOf(p, q, [low, high], width) {
  const n = Math.max(120, Math.min(380, Math.round(width / 2.3))), step = (high - low) / n, out = [];
  for (let i = 0; i <= n; i++) out.push(low + i * step);
  for (const d of [p, q]) for (const c of d.parts) {
    if (c.family === "uniform") { const e = 1e-9 * c.scale; out.push(c.loc - c.scale - e, c.loc - c.scale + e, c.loc + c.scale - e, c.loc + c.scale + e); }
    else if (c.scale < 4 * step) for (let j = -8; j <= 8; j++) out.push(c.loc + 0.5 * j * c.scale);
    else if (c.family === "laplace") out.push(c.loc);
  }
  return out.filter((x) => x >= low && x <= high).sort((a, b) => a - b);
}

function redraw() {
  const began = performance.now();
  result = discrete() ? measureOutcomes(state.p.outcomes, state.q.outcomes) : measureLine(state.p.parts, state.q.parts);
  facts();
  if (discrete()) drawOutcomes(); else drawLine();
  pace = performance.now() - began;
  settle();
}

function facts() {
  for (const name of ["forward", "reverse"]) {
    const e = result[name];
    $(name).textContent = e.kind === "infinite" ? "infinite" : e.kind === "unresolved" ? "unresolved" : `${valued(inUnit(e.value))} ${state.unit}`;
    const cost = name === "forward" ? "the mean under p of log p/q" : "the mean under q of log q/p";
    $(`${name}-detail`).textContent = e.reason || `± ${erred(inUnit(e.error))}, ${e.kind === "exact" ? "exact" : "numeric: quadrature"}; ${cost}`;
  }
  $("shared").textContent = percent(result.overlap);
  for (const name of ["dropped", "spilled"]) {
    $(name).parentElement.hidden = discrete();
    if (!discrete()) $(name).textContent = percent(result[name]);
  }
}

function drawLine() {
  const { p, q } = result, { width } = plots.curves;
  if (!drag) held = null;
  const x = held ? held.x : rangeOf(p, q);
  const grid = gridOf(p, q, x, width), n = grid.length;
  const yp = new Float64Array(n), yq = new Float64Array(n), f = new Float64Array(n), r = new Float64Array(n);
  let topP = 0, topQ = 0, low = 0, high = 0;
  for (let i = 0; i < n; i++) {
    const lp = logDensity(p, grid[i]), lq = logDensity(q, grid[i]);
    const a = Math.exp(lp), b = Math.exp(lq);
    yp[i] = a; yq[i] = b;
    f[i] = a === 0 ? 0 : lq === -Infinity ? Infinity : inUnit(a * (lp - lq));
    r[i] = b === 0 ? 0 : lp === -Infinity ? Infinity : inUnit(b * (lq - lp));
    topP = Math.max(topP, a); topQ = Math.max(topQ, b);
    for (const v of [f[i], r[i]]) if (Number.isFinite(v)) { low = Math.min(low, v); high = Math.max(high, v); }
  }
  // A q of almost no width does not press p flat.
  const y = held ? held.y : [0, 1.1 * Math.min(Math.max(topP, topQ), 4 * Math.min(topP, topQ))];
  const z = held ? held.z : [low - 0.06 * (high - low || 1), (high || 1) * 1.06];
  if (drag && !held) held = { x, y, z };
  const c = plots.curves;
  c.frame(x, y);
  const line = c.curve(grid, yp), base = Math.round(10 * c.py(0));
  c.set("p", `${line}V${base}H${Math.round(10 * c.px(grid[0]))}Z`); c.set("pLine", line); c.set("q", c.curve(grid, yq));
  pieces("piecesP", p); pieces("piecesQ", q);
  c.set("bars", ""); c.set("barsQ", "");
  for (const [plot, v, name, under] of [[plots.overP, f, "forward", "q"], [plots.overQ, r, "reverse", "p"]]) {
    plot.frame(x, z);
    plot.set("above", plot.curve(grid, v.map((t) => (t > 0 ? t : 0)), true));
    plot.set("below", z[0] < 0 ? plot.curve(grid, v.map((t) => (t < 0 ? t : 0)), true) : "");
    plot.set("line", plot.curve(grid, v));
    plot.shade(missing(grid, v), `∞: ${under} is 0 here`); plot.set("bars", "");
    plot.root.setAttribute("aria-label", described(name, under));
  }
  handles();
  modesTable();
}

function described(name, under) {
  const e = result[name], area = e.reason || `its area is ${valued(inUnit(e.value))} ${state.unit}`;
  return `${name === "forward" ? "p log(p/q)" : "q log(q/p)"} over x; ${area}${e.reason.startsWith(under) ? ", shaded there" : ""}`;
}

/** Where the integrand is infinite: stretches of neighbours. */
function missing(grid, v) {
  const out = [];
  for (let i = 1; i < grid.length; i++) {
    if (v[i] !== Infinity || v[i - 1] !== Infinity) continue;
    if (out.length && out[out.length - 1][1] === grid[i - 1]) out[out.length - 1][1] = grid[i]; else out.push([grid[i - 1], grid[i]]);
  }
  return out;
}

/** Components of a mixture, one by one, where they are not almost 0. */
function pieces(layer, d) {
  let path = "";
  for (let k = 0; k < d.n && d.n > 1; k++) {
    const far = d.kind[k] === 4 ? 1 : d.kind[k] === 0 ? 3.6 : 7, xs = Array.from({ length: 37 }, (_, i) => d.loc[k] + (i - 18) / 18 * far / d.inverse[k]);
    path += plots.curves.curve(xs, xs.map((x) => Math.exp(d.top[k] + logShape(d.kind[k], (x - d.loc[k]) * d.inverse[k], d.df[k]))));
  }
  plots.curves.set(layer, path);
}

function drawOutcomes() {
  const { a, b } = result, n = a.length, x = [-0.6, n - 0.4], xs = a.map((_, i) => i), names = xs.map((v) => [v, String(v)]);
  if (!drag) held = null;
  const y = held ? held.y : [0, 1.12 * Math.max(...a, ...b)];
  const f = a.map((v, i) => (v === 0 ? 0 : b[i] === 0 ? Infinity : inUnit(v * Math.log(v / b[i]))));
  const r = b.map((v, i) => (v === 0 ? 0 : a[i] === 0 ? Infinity : inUnit(v * Math.log(v / a[i]))));
  const all = [...f, ...r].filter(Number.isFinite), low = Math.min(0, ...all), high = Math.max(0, ...all) || 1;
  const z = held ? held.z : [low - 0.06 * (high - low), high * 1.06];
  if (drag && !held) held = { y, z };
  const c = plots.curves;
  c.frame(x, y, names);
  for (const layer of ["p", "pLine", "q", "piecesP", "piecesQ", "path"]) c.set(layer, "");
  c.set("bars", c.bars(xs, a, 0.36, -0.19)); c.set("barsQ", c.bars(xs, b, 0.36, 0.19));
  for (const [plot, v, name, under] of [[plots.overP, f, "forward", "q"], [plots.overQ, r, "reverse", "p"]]) {
    plot.frame(x, z, names);
    for (const layer of ["above", "below", "line"]) plot.set(layer, "");
    plot.set("bars", plot.bars(xs, v, 0.6, 0));
    plot.shade(xs.filter((i) => v[i] === Infinity).map((i) => [i - 0.3, i + 0.3]), `∞: ${under} is 0 here`);
    plot.root.setAttribute("aria-label", described(name, under));
  }
  handles();
}

function modesTable() {
  const tones = { covered: "good", thin: "unsure", dropped: "bad" }, body = $("modes"), rows = result.modes;
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((m, i) => {
    const row = body.rows[i] || body.insertRow();
    const cells = [`x = ${short(Math.abs(m.x) < 1e-4 * (plots.curves.x[1] - plots.curves.x[0]) ? 0 : m.x, 3)}`, percent(m.p), percent(m.q), m.verdict, signed(m.forward), signed(m.reverse)];
    cells.forEach((text, j) => {
      const cell = row.cells[j] || row.insertCell();
      if (cell.textContent !== text) cell.textContent = text;
      cell.className = j === 3 ? tones[m.verdict] : j ? "num" : "";
    });
  });
}

// Handles: a place for each parameter, for a pointer, a finger or the keys.

const nodes = new Map();

function handles() {
  const wanted = new Set();
  for (const name of SIDES) {
    if (discrete()) {
      state[name].outcomes.forEach((v, i) => place(wanted, `${name} outcome ${i}`, { side: name, i, kind: "chance" },
        i + (name === "p" ? -0.19 : 0.19), result[name === "p" ? "a" : "b"][i], `${name}, outcome ${i}: probability`, percent(result[name === "p" ? "a" : "b"][i])));
      continue;
    }
    const total = state[name].parts.reduce((sum, c) => sum + c.weight, 0);
    state[name].parts.forEach((c, i) => {
      if (c.weight / total <= 0) return;
      const top = Math.exp(Math.log(c.weight / total) + logPeak(c) - Math.log(c.scale)), many = state[name].parts.length > 1;
      const which = many ? `${name}, component ${i + 1}` : name;
      const value = `location ${short(c.loc, 5)}`, share = `, weight ${short(c.weight / total, 3)}`;
      place(wanted, `${name} ${i} loc`, { side: name, i, kind: "loc" }, c.loc, top, `${which}: location${many ? "; up and down, its weight" : ""}`, many ? value + share : value);
      const shape = Math.exp(logShape(LINE.indexOf(c.family), c.family === "uniform" ? 0 : 1, c.df));
      place(wanted, `${name} ${i} scale`, { side: name, i, kind: "scale" }, c.loc + c.scale, top * shape, `${which}: ${c.family === "normal" ? "standard deviation" : c.family === "uniform" ? "half its width" : "scale"}`, short(c.scale, 5));
    });
  }
  for (const [key, node] of nodes) if (!wanted.has(key)) { node.remove(); nodes.delete(key); }
}

function place(wanted, key, what, x, y, label, text) {
  wanted.add(key);
  let node = nodes.get(key);
  if (!node) {
    node = svg("g", { class: `handle r-${what.side}`, tabindex: 0, role: "slider" }, plots.curves.top);
    svg("circle", { class: "touch", r: 17 }, node);
    if (what.kind === "scale") svg("rect", { class: "mark side", x: -4.5, y: -4.5, width: 9, height: 9, transform: "rotate(45)" }, node);
    else svg("circle", { class: "mark", r: 6.5 }, node);
    node.what = what;
    nodes.set(key, node);
  }
  const plot = plots.curves, far = (v, a, b) => Math.min(Math.max(v, a), b);
  node.setAttribute("transform", `translate(${far(plot.px(x), plot.left, plot.width - 8).toFixed(1)},${far(plot.py(y), 8, plot.height - 24).toFixed(1)})`);
  for (const [name, value] of [["aria-label", label], ["aria-valuetext", text], ["aria-valuenow", Number((what.kind === "scale" ? state[what.side].parts[what.i].scale : x).toPrecision(6))]]) {
    if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
  }
  if (what.kind === "chance") { node.setAttribute("aria-valuenow", y); node.setAttribute("aria-valuemin", 0); node.setAttribute("aria-valuemax", 1); }
}

/** A step that a pixel is worth, as a power of ten. */
function grain() { return 10 ** Math.floor(Math.log10((plots.curves.x[1] - plots.curves.x[0]) / plots.curves.width * 2)); }
function rounded(v, step) { return Number((Math.round(v / step) * step).toPrecision(12)); }

function replaced(side, i, change) {
  const d = state[side];
  return { ...state, [side]: { parts: d.parts.map((c, j) => (j === i ? { ...c, ...change } : c)) } };
}

/** One weight as wanted, the others in their proportions, three decimals, together 1. */
function weighted(parts, i, wanted) {
  const total = parts.reduce((sum, c) => sum + c.weight, 0), rest = total - parts[i].weight, w = Math.min(Math.max(wanted, 0.001), 0.999);
  const list = parts.map((c, j) => (j === i ? w : (1 - w) * (rest > 0 ? c.weight / rest : 1 / (parts.length - 1)))).map((v) => Math.round(1000 * v) / 1000);
  const other = list.reduce((most, v, j) => (j !== i && (most < 0 || v > list[most]) ? j : most), -1);
  list[other] = Math.max(0, Number((1 - list.reduce((sum, v, j) => (j === other ? sum : sum + v), 0)).toFixed(3)));
  return parts.map((c, j) => ({ ...c, weight: list[j] }));
}

function chance(list, i, wanted) {
  const p = Math.min(Math.max(Math.round(1000 * wanted) / 1000, 0), 1), total = list.reduce((a, b) => a + b, 0), rest = total - list[i];
  const others = list.map((v, j) => (j === i ? p : (1 - p) * (rest > 0 ? v / rest : 1 / (list.length - 1))));
  return others.map((v) => Number(v.toPrecision(6)));
}

function moved(what, x, y) {
  const { side, i, kind } = what;
  if (kind === "chance") return { ...state, [side]: { outcomes: chance(state[side].outcomes, i, y) } };
  const c = state[side].parts[i], step = grain();
  if (kind === "scale") return replaced(side, i, { scale: Math.max(rounded(x - c.loc, step), step) });
  let next = replaced(side, i, { loc: rounded(x, step) });
  if (y !== null && state[side].parts.length > 1) next = { ...next, [side]: { parts: weighted(next[side].parts, i, y * c.scale / Math.exp(logPeak(c))) } };
  return next;
}

function dragging(event) {
  if (!drag) return;
  const plot = plots.curves, box = plot.root.getBoundingClientRect();
  const x = plot.x[0] + (event.clientX - box.left + drag.dx - plot.left) / plot.sx;
  const y = plot.y[0] + (plot.height - 24 - (event.clientY - box.top + drag.dy)) / plot.sy;
  // A weight changes only once the hand has clearly gone up or down.
  if (Math.abs(event.clientY - drag.y) > 7) drag.up = true;
  const next = moved(drag.what, x, drag.what.kind === "chance" || drag.up ? y : null);
  state = next;
  schedule();
}

function grab(event) {
  const node = event.target.closest(".handle");
  if (!node || event.button > 0) return;
  event.preventDefault();
  const box = plots.curves.root.getBoundingClientRect(), at = /translate\(([-\d.]+),([-\d.]+)\)/.exec(node.getAttribute("transform"));
  drag = { what: node.what, dx: at[1] - (event.clientX - box.left), dy: at[2] - (event.clientY - box.top), y: event.clientY, from: { p: state.p, q: state.q } };
  held = { x: plots.curves.x, y: plots.curves.y, z: plots.overP.y };
  stop();
  node.focus();
  try { node.setPointerCapture(event.pointerId); } catch { /* a pointer that is gone */ }
}

function release() {
  if (!drag) return;
  const from = drag.from;
  drag = null; held = null;
  if (!same(from.p, state.p) || !same(from.q, state.q)) { before.push(from); $("undo").disabled = false; forget(from); }
  controls(); redraw();
}

/** The optima found before are not those of another p, or of another family. */
function forget(from) {
  if (found && (!same(from.p, state.p) || shapeOf(from.q) !== shapeOf(state.q))) { found = null; $("optima").replaceChildren(); }
}

function pressed(event) {
  const node = event.target.closest(".handle");
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1], PageUp: [0, 5], PageDown: [0, -5] };
  if (!node || !(event.key in ways)) return;
  event.preventDefault();
  stop();
  const [dx, dy] = ways[event.key], many = event.shiftKey ? 10 : 1, { side, i, kind } = node.what;
  if (kind === "chance") {
    const total = state[side].outcomes.reduce((a, b) => a + b, 0);
    return become({ ...state, [side]: { outcomes: chance(state[side].outcomes, i, state[side].outcomes[i] / total + 0.01 * many * (dx + dy)) } });
  }
  const c = state[side].parts[i], step = 10 ** Math.floor(Math.log10((plots.curves.x[1] - plots.curves.x[0]) / 100));
  if (kind === "scale") return become(replaced(side, i, { scale: Math.max(rounded(c.scale + many * step * (dx + dy), step / 10), step / 10) }));
  if (dx) return become(replaced(side, i, { loc: rounded(c.loc + many * step * dx, step / 10) }));
  const total = state[side].parts.reduce((sum, v) => sum + v.weight, 0);
  if (state[side].parts.length > 1) become({ ...state, [side]: { parts: weighted(state[side].parts, i, c.weight / total + 0.01 * many * dy) } });
}
