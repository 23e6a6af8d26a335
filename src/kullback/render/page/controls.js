// Fields for each parameter, the descents, the samples; and what happens once hands rest.

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

function controls() {
  for (const name of SIDES) {
    const box = $(`side-${name}`), focus = box.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    while (box.children.length > 1) box.lastChild.remove();
    const wrong = make("p", { class: "wrong", hidden: true, role: "alert" });
    const text = make("textarea", { class: "text", rows: 1, spellcheck: "false", "aria-label": `${name} as an expression`, "data-key": `${name} text`,
      onchange: (e) => typed(name, e.target.value, wrong), onkeydown: (e) => { if (e.key === "Enter" && !e.shiftKey) { e.preventDefault(); typed(name, e.target.value, wrong); } } });
    text.value = written(state[name]);
    box.append(text, wrong);
    if (discrete()) {
      box.append(make("div", { class: "bar add" }, make("button", { type: "button", onclick: () => outcomes(1), "data-key": `${name} more` }, "Add an outcome"),
        make("button", { type: "button", disabled: state[name].outcomes.length <= 2, onclick: () => outcomes(-1), "data-key": `${name} less` }, "Remove the last")));
    } else {
      state[name].parts.forEach((c, i) => box.append(partOf(name, c, i)));
      box.append(make("button", { type: "button", class: "add", disabled: state[name].parts.length >= 5, onclick: () => added(name), "data-key": `${name} add` }, "Add a component"));
    }
    tall(text);
    if (focus) box.querySelector(`[data-key="${focus}"]`)?.focus();
  }
  $("regions").hidden = $("fit").hidden = discrete();
  for (const input of document.getElementsByName("unit")) input.checked = input.value === state.unit;
  $("n").value = state.n; $("key").value = state.key;
  const preset = PRESETS.findIndex(([, p, q]) => same(parsed(p), state.p) && same(parsed(q), state.q));
  $("preset").value = preset >= 0 ? preset : "";
}

/** A field as high as what is in it. */
function tall(text) { text.style.height = "auto"; text.style.height = `${text.scrollHeight + 2}px`; }

function typed(name, text, wrong) {
  if (text === written(state[name])) return;
  try {
    const d = parsed(text), other = name === "p" ? "q" : "p", next = { ...state, [name]: d };
    if (Boolean(d.outcomes) !== discrete()) next[other] = d.outcomes ? { outcomes: d.outcomes.map(() => 1 / d.outcomes.length) } : { parts: [{ family: "normal", loc: 0, scale: 1, weight: 1 }] };
    if (d.outcomes) level(next);
    stop(); become(next);
  } catch (error) { wrong.textContent = error.message; wrong.hidden = false; }
}

function partOf(name, c, i) {
  const many = state[name].parts.length > 1, total = state[name].parts.reduce((sum, v) => sum + v.weight, 0), uniform = c.family === "uniform";
  const set = (change) => { stop(); become(replaced(name, i, change)); };
  const family = make("select", { "aria-label": `${name}, component ${i + 1}: family`, "data-key": `${name} ${i} family`,
    onchange: (e) => set({ family: e.target.value, df: e.target.value === "student_t" ? c.df || 3 : undefined }) },
  ...LINE.map((f) => make("option", { value: f, selected: f === c.family }, { student_t: "Student's t" }[f] || f)));
  const field = (label, key, value, take, extra = {}) => make("label", {}, label, make("input", { type: "number", step: "any", value: Number(value.toPrecision(5)), title: value, "data-key": `${name} ${i} ${key}`, ...extra,
    onchange: (e) => { const v = Number(e.target.value); if (e.target.value !== "" && Number.isFinite(v) && take(v) !== false) return; e.target.value = Number(value.toPrecision(5)); } }));
  const positive = (f) => (v) => (v > 0 ? f(v) : false);
  return make("div", { class: "part" },
    make("div", { class: "top" }, make("b", {}, String(i + 1)), family,
      make("button", { type: "button", hidden: !many, "aria-label": `${name}: remove component ${i + 1}`, onclick: () => removed(name, i), "data-key": `${name} ${i} remove` }, "×")),
    field(uniform ? "middle" : c.family === "normal" ? "mean" : "location", "loc", c.loc, (v) => set({ loc: v })),
    field(uniform ? "half width" : c.family === "normal" ? "sd" : "scale", "scale", c.scale, positive((v) => set({ scale: v }))),
    ...(c.family === "student_t" ? [field("df", "df", c.df, positive((v) => set({ df: v })))] : []),
    ...(many ? [field("weight", "weight", c.weight / total, (v) => (v >= 0 && v <= 1 ? (stop(), become({ ...state, [name]: { parts: weighted(state[name].parts, i, v) } })) : false), { min: 0, max: 1 })] : []));
}

function added(name) {
  const parts = state[name].parts, k = parts.length, last = parts[k - 1];
  const more = [...parts.map((c) => ({ ...c })), { ...last, loc: rounded(last.loc + 2 * last.scale, 1e-6), weight: 0 }];
  stop(); become({ ...state, [name]: { parts: weighted(more, k, 1 / (k + 1)) } });
}

function removed(name, i) {
  const parts = state[name].parts.filter((_, j) => j !== i);
  stop(); become({ ...state, [name]: { parts: parts.length === 1 ? [{ ...parts[0], weight: 1 }] : weighted(parts, 0, parts[0].weight / parts.reduce((a, c) => a + c.weight, 0)) } });
}

function outcomes(step) {
  const next = { ...state };
  for (const name of SIDES) {
    const list = state[name].outcomes;
    next[name] = { outcomes: step > 0 ? [...list, 0] : list.slice(0, -1) };
    if (step > 0) next[name].outcomes = chance(next[name].outcomes, list.length, 0.05);
    if (!(next[name].outcomes.reduce((a, b) => a + b, 0) > 0)) return;
  }
  if (next.p.outcomes.length <= 40) become(next);
}

// Descents and optima, in slices that leave the page alive.

/** Runs a generator in slices; a later one ends it. */
function sliced(steps, each, end) {
  const mine = ++job;
  const run = () => {
    if (mine !== job) return;
    const until = performance.now() + 10;
    while (performance.now() < until) {
      const { value, done } = steps.next();
      if (done) return end(value);
      if (each(value) === "show") break;
    }
    setTimeout(run, 0);
  };
  run();
}

function stop() { job++; $("fitting").textContent = ""; $("drawing").textContent = ""; }

/** Why no member of q's family can be fitted in a direction, "" if one can. */
function unfit(direction) {
  const p = compiled(state.p.parts), q = compiled(state.q.parts);
  if (!smooth(state.q.parts)) return "a uniform moves its ends, where there is no gradient to follow";
  if (direction === "forward" && lightness(q) > 0 && heaviness(p) <= lightness(q)) return "KL(p‖q) is infinite for every member: p lacks a moment that −log q needs";
  if (direction === "reverse" && lightness(p) === Infinity) return "KL(q‖p) is infinite for every member: q goes on where p ends";
  if (direction === "reverse" && heaviness(q) <= lightness(p)) return "KL(q‖p) is infinite for every member: q lacks a moment that −log p needs";
  return "";
}

function run(direction) {
  const like = state.q.parts, start = { p: state.p, q: state.q }, steps = descent(objective(compiled(state.p.parts), like, direction), encoded(like));
  way = [];
  before.push(start); $("undo").disabled = false;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  sliced(steps, (step) => {
    way.push({ ...step, parts: decoded(step.theta, like) });
    if (calm) return "go on";
    state = { ...state, q: { parts: tidy(way[way.length - 1].parts) } };
    redraw(); drawWay(direction);
    return "show";
  }, () => {
    const last = way[way.length - 1];
    state = { ...state, q: { parts: tidy(last.parts) } };
    controls(); redraw(); drawWay(direction);
    $("fitting").textContent = `${direction}: ${way.length - 1} steps to ${valued(inUnit(last.value))} ${state.unit}, where its slope is ${erred(last.slope)}`;
  });
}

/** Parameters to nine digits: the divergence does not see the rest at an optimum. */
function tidy(parts) {
  const few = (v) => Number(v.toPrecision(9)), w = shares(parts.map((c) => c.weight));
  return parts.map((c, i) => ({ ...c, loc: Math.abs(c.loc) < 1e-9 * c.scale ? 0 : few(c.loc), scale: few(c.scale), weight: w[i] }));
}

function drawWay(direction) {
  const plot = plots.steps, last = way[way.length - 1].value, n = way.length;
  const gaps = way.map((s) => Math.log10(Math.max(inUnit(s.value - last), 1e-12))).slice(0, -1);
  if (gaps.length < 2) return;
  if ($("way").hidden) { $("way").hidden = false; plot.resize(); }
  plot.root.setAttribute("class", `r-${direction}`);
  const low = Math.floor(Math.min(...gaps)), high = Math.ceil(Math.max(...gaps) + 0.01);
  plot.frame([0, Math.max(n - 1, 4)], [low, high]);
  plot.set("line", plot.curve(gaps.map((_, i) => i), gaps));
  $("way").querySelector("h3").textContent = `Way of the ${direction} descent: above its last value, ${state.unit}, step by step`;
  const c = plots.curves, every = Math.max(1, Math.floor(n / 10));
  const grid = gridOf(result.p, result.q, c.x, c.width);
  c.layers.path.setAttribute("class", `path r-${direction}`);
  c.layers.path.setAttribute("style", "stroke:var(--c);opacity:.4");
  c.set("path", way.filter((_, i) => i % every === 0).map((s) => { const d = compiled(s.parts); return c.curve(grid, grid.map((x) => Math.exp(logDensity(d, x)))); }).join(""));
}

function* searching(direction, count) {
  const like = state.q.parts, f = objective(compiled(state.p.parts), like, direction), ends = [];
  for (const start of [like, ...startsOf(state.p.parts, like, count - 1)]) {
    let last = null;
    for (const step of descent(f, encoded(start))) { last = step; yield direction; }
    if (last && Number.isFinite(last.value) && last.slope < 1e-5 * (1 + last.value)) ends.push({ value: last.value, parts: tidy(decoded(last.theta, like)) });
  }
  const [low, high] = rangeOf(compiled(state.p.parts), compiled(state.p.parts));
  return optimaOf(ends, low - (high - low) / 2, high + (high - low) / 2);
}

function* searchingBoth(count) {
  const both = {};
  for (const direction of ["forward", "reverse"]) both[direction] = unfit(direction) ? { none: unfit(direction) } : yield* searching(direction, count);
  return both;
}

function searchAll() {
  let steps = 0;
  $("fitting").textContent = "searching…";
  sliced(searchingBoth(STARTS), (direction) => { if (++steps % 50 === 0) $("fitting").textContent = `searching, ${direction}…`; }, (both) => {
    found = both; $("fitting").textContent = ""; optimaTable(); samples();
  });
}

const STARTS = 24;

function optimaTable() {
  $("optima").replaceChildren(...["forward", "reverse"].map((direction) => {
    const list = found[direction], head = make("h3", { class: `r-${direction}` }, `${direction} optima, of ${direction === "forward" ? "KL(p‖q)" : "KL(q‖p)"}`);
    if (list.none) return make("div", {}, head, make("p", { class: "caption" }, `None: ${list.none}.`));
    const rows = list.slice(0, 8).map((o, i) => make("tr", {}, make("td", { class: "num" }, valued(inUnit(o.value))), make("td", { class: "num" }, percent(o.share)),
      make("td", {}, make("code", {}, readable(o.parts, " +\n"))),
      make("td", {}, make("button", { type: "button", "aria-label": `show ${direction} optimum ${i + 1}`, onclick: () => { stop(); become({ ...state, q: { parts: o.parts } }); } }, "Show"))));
    return make("div", {}, head, make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, make("th", { class: "num" }, state.unit), make("th", { class: "num" }, "of starts"), make("th", {}, "q"), make("th", {}, ""))), make("tbody", {}, ...rows))));
  }), make("p", { class: "caption" }, `${STARTS} descents in each direction, the first from where q was. What none of them reached is not here.`));
}

function readable(parts, between = " + ") {
  const few = (c) => ({ ...c, loc: Number(c.loc.toPrecision(3)), scale: Number(c.scale.toPrecision(3)) });
  return parts.map((c) => (parts.length > 1 ? `${Number(c.weight.toFixed(3))}*` : "") + writtenPart(few(c))).join(between);
}

// Two samples of p, what maximum likelihood makes of them; draws of q for the three estimators.

function* sampling() {
  const out = [];
  let best = null;
  if (!discrete() && !unfit("forward")) best = found && !found.forward.none ? found.forward[0] : (yield* searching("forward", 6))[0];
  for (const nth of [0, 1]) {
    const key = 2 * state.key + nth, one = { key };
    if (discrete()) {
      const next = generator(key), counts = state.p.outcomes.map(() => 0);
      for (let i = 0; i < state.n; i++) counts[pick(state.p.outcomes, next)]++;
      one.fit = { outcomes: counts };
      one.kl = measureOutcomes(state.p.outcomes, counts).forward;
      one.best = 0; one.parameters = state.p.outcomes.length - 1;
    } else {
      one.draws = drawn(state.p.parts, state.n, key);
      if (best) {
        let last = null;
        for (const step of descent(lossOf(one.draws, best.parts), encoded(best.parts), 120)) { last = step; yield "sampling"; }
        one.fit = { parts: tidy(decoded(last.theta, best.parts)) };
        one.kl = measureLine(state.p.parts, one.fit.parts).forward;
        one.best = best.value; one.parameters = last.theta.length;
        one.expected = excessOf(compiled(state.p.parts), best.parts) / state.n;
      }
    }
    one.estimators = ofQ(key + 500000);
    out.push(one);
  }
  return out;
}

/** k1, k2, k3 on n draws of q. */
function ofQ(key) {
  if (discrete()) {
    const next = generator(key), { a, b } = result;
    return estimators(Array.from({ length: state.n }, () => { const i = pick(b, next); return Math.log(a[i]) - Math.log(b[i]); }));
  }
  return estimators(drawn(state.q.parts, state.n, key).map((x) => logDensity(result.p, x) - logDensity(result.q, x)));
}

function samples() {
  $("drawing").textContent = "fitting…";
  sliced(sampling(), () => {}, (list) => {
    $("drawing").textContent = "";
    $("samples").replaceChildren(...list.map((one, i) => sample(one, i)));
    list.forEach((one, i) => drawSample(one, i));
  });
}

function sample(one, i) {
  const rows = [];
  const row = (...cells) => rows.push(make("tr", {}, ...cells.map((c, j) => make("td", { class: j ? "num" : "" }, c))));
  if (one.fit) {
    const excess = one.kl.value - one.best;
    row("KL(p‖q̂) of the fit", valued(inUnit(one.kl.value)));
    row("least of the family", valued(inUnit(one.best)));
    row("excess", valued(inUnit(excess)));
    row(`d/(2n) = ${one.parameters}/${2 * state.n}, were p in the family`, valued(inUnit(one.parameters / (2 * state.n))));
    if (one.expected > 0) row("its mean for this p: tr(H⁻¹G)/(2n)", valued(inUnit(one.expected)));
  }
  const e = one.estimators, truth = result.reverse;
  const text = (k) => (Number.isFinite(k.mean) ? `${valued(inUnit(k.mean))} ± ${short(inUnit(k.error), 2)}` : "infinite");
  const table = make("div", { class: "scroll" }, make("table", {}, make("tbody", {}, ...rows,
    ...["k1", "k2", "k3"].map((name) => make("tr", {}, make("td", {}, `${name} of KL(q‖p), ${state.n} draws of q`), make("td", { class: "num" }, text(e[name])))),
    make("tr", {}, make("td", {}, "KL(q‖p)"), make("td", { class: "num" }, truth.kind === "infinite" ? "infinite" : valued(inUnit(truth.value)))))));
  const why = one.fit ? "" : ` Nothing is fitted: ${unfit("forward")}.`;
  return make("div", {}, make("h3", {}, `Sample ${i + 1}: ${state.n} draws of p, key ${one.key}`), svg("svg", { id: `sample-${i}`, role: "img", "aria-label": `sample ${i + 1} of p and the fit to it` }),
    make("p", { class: "caption" }, one.fit ? `q̂ = ${one.fit.parts ? readable(one.fit.parts) : "the observed shares"}, by maximum likelihood.` : why), table);
}

function drawSample(one, i) {
  const plot = new Plot($(`sample-${i}`), 170, [["bars", "bars r-p"], ["p", "line r-p"], ["fit", "line r-forward"], ["rug", "rug"]], `cut-sample-${i}`);
  if (discrete()) {
    const n = state.p.outcomes.length, total = one.fit.outcomes.reduce((a, b) => a + b, 0), shared = one.fit.outcomes.map((v) => v / total), xs = shared.map((_, j) => j);
    plot.frame([-0.6, n - 0.4], [0, 1.1 * Math.max(...shared, ...result.a)], xs.map((v) => [v, String(v)]));
    plot.set("bars", plot.bars(xs, result.a, 0.36, -0.19));
    plot.layers.fit.setAttribute("class", "bars r-forward");
    plot.set("fit", plot.bars(xs, shared, 0.36, 0.19));
    return;
  }
  const x = rangeOf(result.p, result.p), grid = gridOf(result.p, result.p, x, plot.width);
  const ys = grid.map((v) => Math.exp(logDensity(result.p, v))), bins = Math.min(60, Math.ceil(2 * state.n ** (1 / 3)) + 4), width = (x[1] - x[0]) / bins, heights = Array(bins).fill(0);
  for (const v of one.draws) { const b = Math.floor((v - x[0]) / width); if (b >= 0 && b < bins) heights[b] += 1 / (one.draws.length * width); }
  plot.frame(x, [0, 1.1 * Math.max(...ys, ...heights)]);
  plot.set("bars", plot.bars(heights.map((_, j) => x[0] + (j + 0.5) * width), heights, width * 0.94, 0));
  plot.set("p", plot.curve(grid, ys));
  if (one.fit) { const d = compiled(one.fit.parts); plot.set("fit", plot.curve(grid, grid.map((v) => Math.exp(logDensity(d, v))))); }
  if (state.n <= 200) plot.set("rug", one.draws.map((v) => `M${Math.round(10 * plot.px(v))},${10 * (plot.height - 24)}v-70`).join(""));
}

// Once hands rest: the link, the code, the samples.

let resting = 0;
function settle() {
  clearTimeout(resting);
  resting = setTimeout(() => {
    if (drag) return;
    $("code").textContent = asPython(state.p, state.q);
    tell();
    try { history.replaceState(null, "", fragment()); } catch { /* some browsers refuse it for files */ }
    if (!discrete()) {
      const names = {};
      for (const c of state.q.parts) names[c.family] = (names[c.family] || 0) + 1;
      const words = Object.entries(names).map(([f, k]) => `${k} ${f === "student_t" ? "Student's t" : f}${k > 1 && f !== "student_t" ? "s" : ""}`).join(" and ");
      const whys = ["forward", "reverse"].map((d) => [d, unfit(d)]);
      const free = state.q.parts.length > 1 ? "their locations, scales and weights" : "its location and scale";
      const none = whys.filter(([, w]) => w).map(([d, w]) => ` No ${d} fit: ${w}.`).join("");
      $("family").textContent = `The family is q's: ${words}, whatever ${free}.${none}`;
      for (const [d, w] of whys) $(`run-${d}`).disabled = w !== "";
      $("all").disabled = whys.every(([, w]) => w);
    }
    if ($("fitting").textContent === "" || /steps to/.test($("fitting").textContent)) samples();
  }, 350);
}

// In a notebook the page lies in a frame, and whoever made that is told of p and q, and tells.

const shown = () => ({ p: written(state.p), q: written(state.q), unit: state.unit });
function tell() { if (parent !== window) parent.postMessage({ kullback: shown() }, "*"); }
function told(e) {
  const next = e.source === parent && parent !== window && e.data?.kullback, now = shown();
  if (!next || Object.keys(now).every((name) => next[name] === now[name])) return;
  try { fresh(); become(fromFragment(`#${new URLSearchParams(next)}`)); } catch (error) { $("said").textContent = error.message; }
}

function copied(text, what) {
  const box = $("text");
  const by = () => { box.hidden = false; box.value = text; box.select(); let ok = false; try { ok = document.execCommand("copy"); } catch { ok = false; } box.hidden = ok; $("said").textContent = ok ? `${what} copied` : `${what}: copy it from the field`; };
  if (navigator.clipboard && window.isSecureContext) navigator.clipboard.writeText(text).then(() => { box.hidden = true; $("said").textContent = `${what} copied`; }, by);
  else by();
}

function begin() {
  plots.curves = new Plot($("curves"), 300, [["p", "area r-p"], ["bars", "bars r-p"], ["barsQ", "bars r-q"], ["path", "path"], ["piecesP", "piece r-p"], ["piecesQ", "piece r-q"], ["pLine", "line r-p"], ["q", "line r-q"]], "cut-curves");
  const layers = (role) => [["missing", "missing"], ["above", `strong ${role}`], ["below", "below"], ["bars", `bars ${role}`], ["line", `line ${role}`]];
  plots.overP = new Plot($("over-p"), 150, layers("r-forward"), "cut-over-p");
  plots.overQ = new Plot($("over-q"), 150, layers("r-reverse"), "cut-over-q");
  plots.steps = new Plot($("steps"), 200, [["line", "line"]], "cut-steps");
  plots.steps.word = (text) => (text.includes(".") ? "" : `1e${text}`);
  $("way").hidden = true;
  $("preset").append(make("option", { value: "" }, "your own"), ...PRESETS.map(([name], i) => make("option", { value: i }, name)));
  $("n").append(...SIZES.map((n) => make("option", { value: n }, String(n))));
  $("version").textContent = given.version;
  state = fromFragment(`#${new URLSearchParams({ p: given.p, q: given.q, unit: given.unit })}`);
  try { if (location.hash.length > 1) state = fromFragment(location.hash); } catch (error) { $("said").textContent = `the link cannot be read: ${error.message}`; }
  const root = $("curves");
  root.addEventListener("pointerdown", grab);
  root.addEventListener("pointermove", dragging);
  for (const name of ["pointerup", "pointercancel"]) root.addEventListener(name, release);
  root.addEventListener("keydown", pressed);
  $("preset").addEventListener("change", (e) => { if (e.target.value === "") return; const [, p, q] = PRESETS[e.target.value]; fresh(); become({ ...state, p: parsed(p), q: parsed(q) }); });
  for (const input of document.getElementsByName("unit")) input.addEventListener("change", () => { become({ ...state, unit: input.value }, { keep: false }); if (found) optimaTable(); if (way.length) $("way").hidden = true; });
  $("swap").addEventListener("click", () => { fresh(); become({ ...state, p: state.q, q: state.p }); });
  $("undo").addEventListener("click", () => { const last = before.pop(); if (last) { fresh(); become({ ...state, ...last }, { keep: false }); } });
  $("link").addEventListener("click", () => copied(location.href.split("#")[0] + fragment(), "Link"));
  $("python").addEventListener("click", () => copied(asPython(state.p, state.q), "Python"));
  for (const direction of ["forward", "reverse"]) $(`run-${direction}`).addEventListener("click", () => run(direction));
  $("all").addEventListener("click", searchAll);
  $("n").addEventListener("change", (e) => { state = { ...state, n: Number(e.target.value) }; settle(); });
  const rekey = (key) => { state = { ...state, key: Math.min(Math.max(0, Math.floor(key) || 0), 999999) }; $("key").value = state.key; settle(); };
  $("key").addEventListener("change", (e) => rekey(Number(e.target.value)));
  $("again").addEventListener("click", () => rekey(state.key + 1));
  addEventListener("hashchange", () => { if (location.hash !== fragment()) { try { become(fromFragment(location.hash)); } catch (error) { $("said").textContent = `the link cannot be read: ${error.message}`; } } });
  addEventListener("message", told);
  new ResizeObserver(() => { for (const plot of Object.values(plots)) plot.resize(); document.querySelectorAll(".text").forEach(tall); schedule(); }).observe(root);
  // In a frame of a report there is no address to copy.
  $("link").hidden = location.protocol === "about:";
  controls(); redraw();
}

function fresh() { stop(); way = []; $("way").hidden = true; plots.curves.set("path", ""); }

/** For tests, and for the console: the page's own numbers. */
globalThis.kullback = { parsed, written, measureLine, measureOutcomes, objective, ended, encoded, decoded, compiled, drawn, excessOf, redraw, move: (p, q) => { state = { ...state, p: parsed(p), q: parsed(q) }; redraw(); }, become: (p, q) => become({ ...state, p: parsed(p), q: parsed(q) }), pace: () => pace, state: () => state, result: () => result };
begin();
