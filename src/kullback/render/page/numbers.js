// Densities of the line, both divergences by Gauss-Kronrod panels, which integrals are infinite.

const LINE = ["normal", "student_t", "laplace", "logistic", "uniform"];
/** Where panels are cut, in scales from the location. */
const CUTS = {
  normal: [0, 0.8, 1.7, 2.7, 4, 5.5, 7.5, 10, 13],
  student_t: [0, 0.45, 1, 1.7, 2.7, 4.5, 8, 16, 40],
  laplace: [0, 0.7, 1.7, 3.2, 5.5, 9, 14, 21, 30, 42, 60],
  logistic: [0, 0.9, 2, 3.5, 5.5, 9, 14, 21, 30, 42, 60],
  uniform: [0, 1],
};
const NODES = [0.99145537112081263, 0.94910791234275852,
  0.86486442335976907, 0.74153118559939443,
  0.58608723546769113, 0.40584515137739716,
  0.20778495500789846, 0];
const KRONROD = [0.02293532201052922, 0.06309209262997855,
  0.10479001032225018, 0.14065325971552591,
  0.16900472663926790, 0.19035057806478540,
  0.20443294007529889, 0.20948214108472782];
const GAUSS = [0, 0.12948496616886969, 0, 0.27970539148927666,
  0, 0.38183005050511894, 0, 0.41795918367346938];
/** All fifteen, from left to right. */
const X15 = [...NODES.map((v) => -v), ...NODES.slice(0, 7).reverse()];
const K15 = [...KRONROD, ...KRONROD.slice(0, 7).reverse()];
const G7 = [...GAUSS, ...GAUSS.slice(0, 7).reverse()];
/** 1/n! from n = 2 on. */
const SERIES = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14].map((_, i) => { let v = 1; for (let n = 2; n <= i + 2; n++) v /= n; return v; });
const EPSILON = 2 ** -52;
/** Evaluations after which an integral is taken with the error that it has. */
const BUDGET = 24000;

/** log Gamma(x), x > 0: Stirling's series from 12 on. */
function logGamma(x) {
  let shift = 1;
  while (x < 12) { shift *= x; x += 1; }
  const s = 1 / (x * x);
  const series = (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s * (1 / 1188 - s * 691 / 360360))))) / x;
  return (x - 0.5) * Math.log(x) - x + 0.9189385332046727418 + series - Math.log(shift);
}

/** The log of the density at the location, for scale 1. */
function logPeak(c) {
  switch (c.family) {
    case "normal": return -0.9189385332046727418;
    case "student_t": return logGamma((c.df + 1) / 2) - logGamma(c.df / 2) - 0.5 * Math.log(c.df * Math.PI);
    case "laplace": case "uniform": return -Math.LN2;
    default: return 0;
  }
}

/** A mixture, with what its log density needs: components {family, weight, loc, scale, df}. */
function compiled(parts) {
  const total = parts.reduce((sum, c) => sum + c.weight, 0);
  const kept = parts.filter((c) => c.weight > 0);
  return {
    parts: kept,
    n: kept.length,
    kind: kept.map((c) => LINE.indexOf(c.family)),
    loc: kept.map((c) => c.loc),
    inverse: kept.map((c) => 1 / c.scale),
    top: kept.map((c) => Math.log(c.weight / total) + logPeak(c) - Math.log(c.scale)),
    share: kept.map((c) => c.weight / total),
    df: kept.map((c) => c.df || 1),
    logs: new Float64Array(kept.length),
  };
}

function logShape(kind, z, df) {
  switch (kind) {
    case 0: return -0.5 * z * z;
    case 1: return -0.5 * (df + 1) * Math.log1p(z * z / df);
    case 2: return -Math.abs(z);
    case 3: { const a = Math.abs(z); return -a - 2 * Math.log1p(Math.exp(-a)); }
    default: return Math.abs(z) <= 1 ? 0 : -Infinity;
  }
}

function logDensity(d, x) {
  const { n, logs } = d;
  let top = -Infinity;
  for (let k = 0; k < n; k++) {
    const l = d.top[k] + logShape(d.kind[k], (x - d.loc[k]) * d.inverse[k], d.df[k]);
    logs[k] = l;
    if (l > top) top = l;
  }
  if (n === 1 || top === -Infinity) return top;
  let sum = 0;
  for (let k = 0; k < n; k++) sum += Math.exp(logs[k] - top);
  return top + Math.log(sum);
}

/** e^-m - 1 + m, without cancellation. */
function excess(m) {
  if (!(Math.abs(m) < 0.4)) return m + Math.expm1(-m);
  let sum = 0;
  for (let i = SERIES.length - 1; i >= 0; i--) sum = sum * -m + SERIES[i];
  return sum * m * m;
}

/** 1 - e^-m (1 + m) for m >= 0, given the one above. */
function shortfall(m, over) {
  return m < 0.4 ? m * (m - over) - over : 1 - Math.exp(-m) * (1 + m);
}

/** p log(p/q), its terms taken as p log(p/q) - p + q, which are never negative. */
function contribution(p, q) {
  if (p === 0) return q;
  const l = Math.log(p) - Math.log(q), m = Math.abs(l), over = excess(m);
  return l >= 0 ? p * over : q * shortfall(m, over);
}

// Which integrals are infinite: a matter of supports and of tails, not of arithmetic.

/** How light q may be beyond which power of x p must have a moment; "ends" where it has an end. */
function lightness(d) {
  const has = (kind) => d.kind.includes(kind);
  return has(1) ? 0 : has(2) || has(3) ? 1 : has(0) ? 2 : Infinity;
}

/** The smallest degrees of freedom: moments of that order and above are infinite. */
function heaviness(d) {
  return Math.min(Infinity, ...d.df.filter((_, k) => d.kind[k] === 1));
}

/** The mass of p outside a union of intervals; p is made of uniforms. */
function uncovered(p, q) {
  const ends = q.parts.map((c) => [c.loc - c.scale, c.loc + c.scale]).sort((a, b) => a[0] - b[0]);
  let lost = 0;
  p.parts.forEach((c, k) => {
    let at = c.loc - c.scale;
    const stop = c.loc + c.scale, near = 1e-12 * (c.scale + Math.abs(c.loc));
    let gap = 0;
    for (const [a, b] of ends) {
      if (b <= at || a >= stop) continue;
      gap += Math.max(0, a - at > near ? a - at : 0);
      at = Math.max(at, b);
    }
    gap += stop - at > near ? stop - at : 0;
    lost += p.share[k] * gap / (2 * c.scale);
  });
  return lost;
}

/** Why KL(p||q) is infinite, "" if it is not. */
function infinity(p, q, names, outside) {
  const light = lightness(q);
  if (light === Infinity) {
    const lost = lightness(p) === Infinity ? uncovered(p, q) : Math.max(outside(), 1e-300);
    if (lost > 0) return `${names[1]} is 0 where ${names[0]} has mass ${short(lost, 3)}`;
  } else if (light > 0 && heaviness(p) <= light) {
    const tail = light === 2 ? "x²" : "|x|";
    return `tails: −log ${names[1]} grows like ${tail}, whose mean under ${names[0]} is infinite`;
  }
  return "";
}

/** A number to so many significant digits, without zeros at its end. */
function short(v, digits = 6) {
  if (!Number.isFinite(v)) return v > 0 ? "∞" : v < 0 ? "−∞" : "—";
  const text = Math.abs(v) >= 1e-4 && Math.abs(v) < 1e7 || v === 0
    ? String(Number(v.toPrecision(digits))) : v.toExponential(Math.min(digits - 1, 3));
  return text.replace("-", "−").replace("e−", "e−").replace("e+", "e");
}

// Panels: a and b, in x, or in t beyond the outermost cut: x = anchor + factor expm1(t).

/** Both integrands over one panel: Kronrod's sums, their distance to Gauss', and what rounding may move. */
function panel(p, q, a, b, tail, store, at) {
  const half = 0.5 * (b - a), middle = 0.5 * (a + b);
  const out = { a, b, tail, f: 0, r: 0, p: 0, q: 0, blurF: 0, blurR: 0, gapF: 0, gapR: 0, gapM: 0, outside: 0, missing: 0, middle, logP: 0 };
  let gaussF = 0, gaussR = 0, gaussP = 0, gaussQ = 0;
  for (let i = 0; i < 15; i++) {
    const t = middle + half * X15[i], k = K15[i], g = G7[i];
    const x = tail ? tail.anchor + tail.factor * Math.expm1(t) : t;
    const speed = tail ? tail.logFactor + t : 0;
    const lp = logDensity(p, x), lq = logDensity(q, x);
    if (store) { store.x[at + i] = x; store.logP[at + i] = lp; store.logQ[at + i] = lq; }
    if (i === 7) { out.middle = x; out.logP = lp; }
    const mp = Math.exp(lp + speed), mq = Math.exp(lq + speed);
    out.p += k * mp; out.q += k * mq; gaussP += g * mp; gaussQ += g * mq;
    let f = 0, r = 0;
    if (lq === -Infinity) { r = mp; out.outside += k * mp; }
    else if (lp === -Infinity) { f = mq; out.missing += k * mq; }
    else {
      const l = lp - lq, m = l < 0 ? -l : l;
      const over = excess(m), under = shortfall(m, over);
      const size = k * (1 + Math.abs(lp) + Math.abs(lq));
      if (l >= 0) { f = mp * over; r = mp * under; } else { f = mq * under; r = mq * over; }
      out.blurF += size * mp * (l > 1 ? 1 : m);
      out.blurR += size * mq * (l < -1 ? 1 : m);
    }
    out.f += k * f; out.r += k * r; gaussF += g * f; gaussR += g * r;
  }
  out.f *= half; out.r *= half; out.p *= half; out.q *= half; out.outside *= half; out.missing *= half;
  // Nodes far from 0 are rounded: on a narrow panel that moves the density.
  const coarse = tail ? 0 : Math.max(Math.abs(a), Math.abs(b)) / (b - a);
  out.blurF = out.blurF * half + coarse * out.f; out.blurR = out.blurR * half + coarse * out.r;
  out.gapF = sharper(Math.abs(out.f - half * gaussF), out.f);
  out.gapR = sharper(Math.abs(out.r - half * gaussR), out.r);
  out.gapM = Math.max(Math.abs(out.p - half * gaussP), Math.abs(out.q - half * gaussQ));
  return out;
}

/** The error of the Kronrod sum from its distance to Gauss', as QUADPACK takes it. */
function sharper(gap, size) {
  return gap === 0 ? 0 : size > 0 ? Math.min(gap, size * (200 * gap / size) ** 1.5) : gap;
}

/** Where panels are cut: around each component of both. */
function cutsOf(p, q) {
  const cuts = [];
  for (const d of [p, q]) {
    for (const c of d.parts) {
      for (const step of CUTS[c.family]) cuts.push(c.loc + step * c.scale, c.loc - step * c.scale);
    }
  }
  cuts.sort((a, b) => a - b);
  const near = 1e-13 * Math.max(Math.abs(cuts[0]), Math.abs(cuts[cuts.length - 1]));
  return cuts.filter((x, i) => i === 0 || x - cuts[i - 1] > near);
}

/** The maps beyond both ends and where their panels are cut; none without a power tail. */
function tailsOf(p, q, cuts) {
  if (Math.min(heaviness(p), heaviness(q)) === Infinity) return [];
  const falls = [decay(p, q), decay(q, p)].filter((v) => v > 0);
  const length = Math.min(Math.max(45 / Math.min(1, ...falls), 45), 260);
  const steps = [0, 0.5, 1, 1.5, 2, 3, 4, 6];
  while (steps[steps.length - 1] < length) {
    const last = steps[steps.length - 1];
    steps.push(Math.min(length, last + Math.min(8, 0.5 * last)));
  }
  const width = cuts[cuts.length - 1] - cuts[0];
  return [[cuts[0], -0.5 * width], [cuts[cuts.length - 1], 0.5 * width]].map(([anchor, factor]) => (
    { anchor, factor, logFactor: Math.log(Math.abs(factor)), steps, length }));
}

/** The power with which the integrand of KL(p||q), times x, falls far out; 0 or less where it does not. */
function decay(p, q) {
  return Math.min(heaviness(p) - lightness(q), heaviness(q));
}

/** What lies beyond the last panel of a tail: each power of p by itself. */
function beyond(p, q, tail) {
  const x = tail.anchor + tail.factor * Math.expm1(tail.length), light = lightness(q);
  const l = logDensity(p, x) - logDensity(q, x);
  let sum = 0;
  p.parts.forEach((c, k) => {
    if (c.family !== "student_t") return;
    const z = (x - c.loc) / c.scale;
    const mass = Math.exp(p.top[k] + logShape(1, z, c.df) + Math.log(Math.abs(x)));
    if (c.df > light) sum += mass * Math.max(l, 0) / (c.df - light);
  });
  return Number.isFinite(sum) ? sum : 0;
}

/** Finds where g changes sign between two points. */
function root(g, a, b) {
  let left = g(a);
  for (let i = 0; i < 60 && b - a > 1e-15 * (Math.abs(a) + Math.abs(b)); i++) {
    const m = 0.5 * (a + b), v = g(m);
    if (v > 0 === left > 0) { a = m; left = v; } else b = m;
  }
  return 0.5 * (a + b);
}

/** The least of g between two points, by golden sections. */
function valley(g, a, b) {
  const ratio = 0.6180339887498949;
  let c = b - ratio * (b - a), d = a + ratio * (b - a), gc = g(c), gd = g(d);
  for (let i = 0; i < 40; i++) {
    if (gc < gd) { b = d; d = c; gd = gc; c = b - ratio * (b - a); gc = g(c); }
    else { a = c; c = d; gc = gd; d = a + ratio * (b - a); gd = g(d); }
  }
  return 0.5 * (a + b);
}

/** The modes of p and the valleys between them, from its log density at sorted points; a dip counts if p halves. */
function modesOf(x, logP) {
  const modes = [], valleys = [];
  const n = x.length;
  let top = -Infinity;
  for (let i = 0; i < n; i++) {
    const left = i ? logP[i - 1] : -Infinity, right = i < n - 1 ? logP[i + 1] : -Infinity;
    if (!(logP[i] > left && logP[i] >= right)) continue;
    top = Math.max(top, logP[i]);
    if (!modes.length) { modes.push(i); continue; }
    const last = modes[modes.length - 1];
    let low = last;
    for (let j = last; j <= i; j++) if (logP[j] < logP[low]) low = j;
    if (logP[low] < Math.min(logP[last], logP[i]) - Math.LN2) { modes.push(i); valleys.push(low); }
    else if (logP[i] > logP[last]) modes[modes.length - 1] = i;
  }
  const keep = modes.map((m) => logP[m] > top - 12);
  return { modes: modes.filter((_, i) => keep[i]), valleys: valleys.filter((_, i) => keep[i + 1]) };
}

/** All that is said of p and q on the line. */
function measureLine(partsP, partsQ) {
  const p = compiled(partsP), q = compiled(partsQ);
  const cuts = cutsOf(p, q), tails = tailsOf(p, q, cuts);
  let panels = [];
  const n = 15 * (cuts.length - 1), nodes = { x: new Float64Array(n), logP: new Float64Array(n), logQ: new Float64Array(n) };
  for (let i = 1; i < cuts.length; i++) panels.push(panel(p, q, cuts[i - 1], cuts[i], null, nodes, 15 * (i - 1)));
  const seen = landscape(p, q, nodes);
  panels = split(p, q, panels, seen.cuts);
  for (const tail of tails) {
    for (let i = 1; i < tail.steps.length; i++) panels.push(panel(p, q, tail.steps[i - 1], tail.steps[i], tail));
  }
  const outside = (name) => () => panels.reduce((sum, v) => sum + v[name], 0);
  const reasons = [infinity(p, q, "pq", outside("outside")), infinity(q, p, "qp", outside("missing"))];
  const finite = reasons.map((r) => r === "");
  const done = refined(p, q, panels, finite);
  const sum = (name) => done.panels.reduce((total, v) => total + v[name], 0);
  const masses = [sum("p"), sum("q")];
  const rest = tails.map((t) => [finite[0] ? beyond(p, q, t) : 0, finite[1] ? beyond(q, p, t) : 0]);
  const side = (i, name, gap, blur) => {
    if (!finite[i]) return { value: Infinity, error: 0, kind: "infinite", reason: reasons[i] };
    const closed = normals(i ? partsQ : partsP, i ? partsP : partsQ);
    if (closed !== null) return { value: closed, error: closed * EPSILON, kind: "exact", reason: "" };
    const left = rest.reduce((total, t) => total + t[i], 0);
    const value = sum(name) + left;
    const error = sum(gap) + 4 * EPSILON * sum(blur) + 20 * EPSILON * value + 1e-6 * left;
    const lost = Math.max(...masses.map((m) => Math.abs(m - 1)));
    if (!(lost < 1e-6) || !Number.isFinite(value)) {
      return { value, error: Infinity, kind: "unresolved", reason: `the panels find mass ${short(1 - lost)}, not 1` };
    }
    return { value, error, kind: "numeric", reason: "" };
  };
  return { forward: side(0, "f", "gapF", "blurF"), reverse: side(1, "r", "gapR", "blurR"), evaluations: done.evaluations,
    ...masksOf(done.panels, seen, finite), p, q };
}

/** KL between two single normals, exact also where they are close; null where they are no such. */
function normals(a, b) {
  if (a.length !== 1 || b.length !== 1 || a[0].family !== "normal" || b[0].family !== "normal") return null;
  const s = b[0].scale, u = (a[0].scale - s) * (a[0].scale + s) / (s * s), d = (a[0].loc - b[0].loc) / s;
  return 0.5 * (d * d + excess(-Math.log1p(u)));
}

/** Modes, valleys, crossings and levels, seen on the nodes of the first panels. */
function landscape(p, q, { x, logP, logQ }) {
  const n = x.length;
  const { modes, valleys } = modesOf(x, logP);
  const gap = (t) => logDensity(p, t) - logDensity(q, t);
  const level = Math.min(...modes.map((m) => logP[m])) + Math.log(0.01);
  const borders = valleys.map((i) => valley((t) => logDensity(p, t), x[i - 1], x[i + 1]));
  const crossings = [], levels = [];
  for (let i = 1; i < n; i++) {
    const l = logP[i - 1] - logQ[i - 1], r = logP[i] - logQ[i];
    if (Math.max(logP[i], logQ[i]) > -60 && l * r < 0 && Number.isFinite(l * r)) crossings.push(root(gap, x[i - 1], x[i]));
    if ((logP[i - 1] < level) !== (logP[i] < level) && logP[i - 1] > -Infinity && logP[i] > -Infinity) {
      levels.push(root((t) => logDensity(p, t) - level, x[i - 1], x[i]));
    }
  }
  const inner = [...borders, ...crossings, ...levels].sort((a, b) => a - b);
  return { modes: modes.map((m) => (m > 0 && m < n - 1 ? valley((t) => -logDensity(p, t), x[m - 1], x[m + 1]) : x[m])), borders, crossings, level, cuts: inner };
}

/** The panels, cut at more points. */
function split(p, q, panels, cuts) {
  const out = [];
  let c = 0;
  for (const v of panels) {
    const inside = [];
    while (c < cuts.length && cuts[c] <= v.a) c++;
    while (c < cuts.length && cuts[c] < v.b) inside.push(cuts[c++]);
    const ends = [v.a, ...inside, v.b];
    if (ends.length === 2) out.push(v);
    else for (let i = 1; i < ends.length; i++) if (ends[i] > ends[i - 1]) out.push(panel(p, q, ends[i - 1], ends[i], null));
  }
  return out;
}

/** Halves panels until errors are small or only rounding. */
function refined(p, q, panels, finite) {
  let scaleF = 0, scaleR = 0, evaluations = 15 * panels.length;
  for (const v of panels) { scaleF += v.f; scaleR += v.r; }
  const out = [], open = panels.slice();
  const allowF = 2e-13 * scaleF + 1e-300, allowR = 2e-13 * scaleR + 1e-300;
  while (open.length) {
    const v = open.pop();
    const noise = EPSILON * (4 * v.blurF + 30 * v.f), noiseR = EPSILON * (4 * v.blurR + 30 * v.r);
    const rough = (finite[0] && v.gapF > Math.max(allowF, noise)) || (finite[1] && v.gapR > Math.max(allowR, noiseR))
      || v.gapM > 1e-11;
    const m = 0.5 * (v.a + v.b);
    if (!rough || evaluations > BUDGET || !(v.b - v.a > 1e-13 * (Math.abs(v.a) + Math.abs(v.b)))) { out.push(v); continue; }
    open.push(panel(p, q, v.a, m, v.tail), panel(p, q, m, v.b, v.tail));
    evaluations += 30;
  }
  return { panels: out, evaluations };
}

/** What q does with each mode of p; what it drops and spills; what both share. */
function masksOf(panels, seen, finite) {
  const { modes, borders, level } = seen;
  const found = modes.map((x, i) => ({ x, low: i ? borders[i - 1] : -Infinity, high: i < borders.length ? borders[i] : Infinity,
    p: 0, q: 0, forward: 0, reverse: 0 }));
  let overlap = 0, spilled = 0;
  for (const v of panels) {
    const middle = v.middle;
    overlap += Math.min(v.p, v.q);
    if (v.logP < level) spilled += v.q;
    const m = found[borders.filter((b) => b < middle).length] || found[found.length - 1];
    m.p += v.p; m.q += v.q;
    m.forward += v.f + v.p - v.q; m.reverse += v.r + v.q - v.p;
  }
  let dropped = 0;
  for (const m of found) {
    const share = m.q / m.p;
    m.verdict = share < 0.05 ? "dropped" : share < 0.5 ? "thin" : "covered";
    if (m.verdict === "dropped") dropped += m.p;
    if (!finite[0]) m.forward = NaN;
    if (!finite[1]) m.reverse = NaN;
  }
  return { modes: found, overlap, spilled, dropped, crossings: seen.crossings };
}

/** The same for outcomes: two lists of probabilities. */
function measureOutcomes(p, q) {
  const sums = [p, q].map((list) => list.reduce((a, b) => a + b, 0));
  const a = p.map((v) => v / sums[0]), b = q.map((v) => v / sums[1]);
  const side = (over, under, names) => {
    const lost = over.reduce((sum, v, i) => sum + (under[i] === 0 ? v : 0), 0);
    if (lost > 0) {
      return { value: Infinity, error: 0, kind: "infinite", reason: `${names[1]} is 0 where ${names[0]} has mass ${short(lost, 3)}` };
    }
    const value = over.reduce((sum, v, i) => sum + contribution(v, under[i]), 0);
    return { value, error: over.length * EPSILON * (value + 1e-3), kind: "exact", reason: "" };
  };
  return { forward: side(a, b, "pq"), reverse: side(b, a, "qp"), evaluations: a.length,
    overlap: a.reduce((sum, v, i) => sum + Math.min(v, b[i]), 0), a, b };
}
