// Optima of q's family in both directions, by descents with exact gradients; draws and what is fitted to them.

/** q's free parameters: location and log scale of each component, logits of the weights. Degrees of freedom are held. */
function encoded(parts) {
  const theta = [];
  for (const c of parts) theta.push(c.loc, Math.log(c.scale));
  const last = Math.log(Math.max(parts[parts.length - 1].weight, 1e-12));
  for (let k = 0; k < parts.length - 1; k++) theta.push(Math.log(Math.max(parts[k].weight, 1e-12)) - last);
  return theta;
}

function decoded(theta, like) {
  const k = like.length, logits = [...theta.slice(2 * k), 0], top = Math.max(...logits);
  const sizes = logits.map((v) => Math.exp(v - top)), total = sizes.reduce((a, b) => a + b, 0);
  return like.map((c, i) => ({ ...c, loc: theta[2 * i], scale: Math.exp(theta[2 * i + 1]), weight: sizes[i] / total }));
}

/** Whether a family can be fitted by its gradient; ends that move have none. */
function smooth(parts) { return parts.every((c) => c.family !== "uniform"); }

/** Adds r s, the gradient of log q at x with a factor, to a vector; returns log q. */
function addScore(q, x, factor, into) {
  const logQ = logDensity(q, x), n = q.n;
  for (let k = 0; k < n; k++) {
    const r = n === 1 ? 1 : Math.exp(q.logs[k] - logQ), z = (x - q.loc[k]) * q.inverse[k];
    let slope;
    switch (q.kind[k]) {
      case 0: slope = z; break;
      case 1: slope = (q.df[k] + 1) * z / (q.df[k] + z * z); break;
      case 2: slope = Math.sign(z); break;
      default: slope = Math.tanh(0.5 * z);
    }
    into[2 * k] += factor * r * slope * q.inverse[k];
    into[2 * k + 1] += factor * r * (slope * z - 1);
    if (k < n - 1) into[2 * n + k] += factor * (r - q.share[k]);
  }
  return logQ;
}

/** KL in one direction and its gradient at theta, over panels that follow p and q. */
function objective(p, like, direction) {
  return (theta) => {
    const q = compiled(decoded(theta, like)), gradient = new Float64Array(theta.length);
    if (q.n < like.length || !theta.every((v) => Math.abs(v) < 1e6)) return { value: Infinity, gradient };
    let value = 0;
    const add = (x, w, speed) => {
      const logP = logDensity(p, x), logQ = logDensity(q, x);
      const mp = Math.exp(logP + speed), mq = Math.exp(logQ + speed);
      if (direction === "forward") {
        if (logP === -Infinity) { value += w * mq; return; }
        const l = logP - logQ, m = Math.abs(l), over = excess(m);
        value += w * (l >= 0 ? mp * over : mq * shortfall(m, over));
        // The gradient of the excess: (q - p) s, which is exact where p = q.
        addScore(q, x, w * (mq - mp), gradient);
      } else {
        if (logQ === -Infinity) { value += w * mp; return; }
        const l = logQ - logP, m = Math.abs(l), over = excess(m);
        value += w * (l >= 0 ? mq * over : mp * shortfall(m, over));
        addScore(q, x, w * mq * l, gradient);
      }
    };
    const cuts = cutsOf(p, q);
    for (let i = 1; i < cuts.length; i++) {
      const half = 0.5 * (cuts[i] - cuts[i - 1]), middle = 0.5 * (cuts[i] + cuts[i - 1]);
      for (let j = 0; j < 15; j++) add(middle + half * X15[j], half * K15[j], 0);
    }
    for (const tail of tailsOf(p, q, cuts)) {
      for (let i = 1; i < tail.steps.length; i++) {
        const half = 0.5 * (tail.steps[i] - tail.steps[i - 1]), middle = 0.5 * (tail.steps[i] + tail.steps[i - 1]);
        for (let j = 0; j < 15; j++) {
          const t = middle + half * X15[j];
          add(tail.anchor + tail.factor * Math.expm1(t), half * K15[j], tail.logFactor + t);
        }
      }
    }
    return { value, gradient };
  };
}

/** Minus the mean log q over draws, and its gradient. */
function lossOf(draws, like) {
  return (theta) => {
    const q = compiled(decoded(theta, like)), gradient = new Float64Array(theta.length);
    if (q.n < like.length) return { value: Infinity, gradient };
    let value = 0;
    for (const x of draws) value -= addScore(q, x, -1 / draws.length, gradient) / draws.length;
    return { value, gradient };
  };
}

const dot = (a, b) => { let sum = 0; for (let i = 0; i < a.length; i++) sum += a[i] * b[i]; return sum; };

/** Yields the steps of a quasi-Newton descent (BFGS): {theta, value, size of the gradient}. */
function* descent(f, start, most = 200) {
  let theta = start.slice(), { value, gradient } = f(theta);
  const n = theta.length;
  let inverse = null;
  yield { theta, value, slope: Math.sqrt(dot(gradient, gradient)) };
  for (let step = 0; step < most && Number.isFinite(value); step++) {
    let direction = Array.from(gradient, (g, i) => (inverse ? -dot(inverse[i], gradient) : -g));
    let rate = dot(direction, gradient);
    if (!(rate < 0)) { inverse = null; direction = Array.from(gradient, (g) => -g); rate = -dot(gradient, gradient); }
    if (Math.sqrt(-rate) < 1e-11 || rate === 0) return;
    const longest = Math.max(...direction.map(Math.abs));
    let t = inverse ? Math.min(1, 2 / longest) : Math.min(1, 0.3 / longest), next = null;
    for (let tries = 0; tries < 40; tries++, t *= 0.4) {
      const moved = theta.map((v, i) => v + t * direction[i]), there = f(moved);
      if (there.value <= value + 1e-4 * t * rate || (there.value - value < 1e-13 && Math.abs(dot(there.gradient, direction)) < 0.9 * Math.abs(rate))) {
        next = { moved, ...there }; break;
      }
    }
    if (!next) { if (!inverse) return; inverse = null; continue; }
    const s = next.moved.map((v, i) => v - theta[i]), y = Array.from(next.gradient, (g, i) => g - gradient[i]), sy = dot(s, y);
    if (sy > 1e-14 * Math.sqrt(dot(s, s) * dot(y, y)) && sy > 0) {
      if (!inverse) inverse = Array.from({ length: n }, (_, i) => Float64Array.from({ length: n }, (_, j) => (i === j ? sy / dot(y, y) : 0)));
      const hy = inverse.map((row) => dot(row, y)), factor = (1 + dot(y, hy) / sy) / sy;
      for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) inverse[i][j] += factor * s[i] * s[j] - (hy[i] * s[j] + s[i] * hy[j]) / sy;
    }
    theta = next.moved; value = next.value; gradient = next.gradient;
    yield { theta, value, slope: Math.sqrt(dot(gradient, gradient)) };
  }
}

/** The end of a descent, for those who do not want to see it. */
function ended(f, start) {
  let last = null;
  for (const step of descent(f, start)) last = step;
  return last;
}

// Draws: the same for the same key.

function generator(key) {
  let a = (key ^ 0x9e3779b9) >>> 0, b = 0x243f6a88, c = 0xb7e15162, d = (key * 2654435761) >>> 0;
  const next = () => {
    const t = (((a + b) >>> 0) + d) >>> 0;
    d = (d + 1) >>> 0; a = b ^ (b >>> 9); b = (c + (c << 3)) >>> 0; c = ((c << 21) | (c >>> 11)) >>> 0; c = (c + t) >>> 0;
    return (t + 0.5) / 4294967296;
  };
  for (let i = 0; i < 20; i++) next();
  return next;
}

function gaussian(next) { return Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next()); }

/** A gamma variable of scale 1 (Marsaglia and Tsang). */
function gammaDraw(shape, next) {
  if (shape < 1) return gammaDraw(shape + 1, next) * next() ** (1 / shape);
  const d = shape - 1 / 3, c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const z = gaussian(next), v = (1 + c * z) ** 3;
    if (v > 0 && Math.log(next()) < 0.5 * z * z + d - d * v + d * Math.log(v)) return d * v;
  }
}

function drawOne(c, next) {
  const u = next();
  switch (c.family) {
    case "normal": return c.loc + c.scale * gaussian(next);
    case "student_t": return c.loc + c.scale * gaussian(next) / Math.sqrt(2 * gammaDraw(c.df / 2, next) / c.df);
    case "laplace": return c.loc + c.scale * (u < 0.5 ? Math.log(2 * u) : -Math.log(2 * (1 - u)));
    case "logistic": return c.loc + c.scale * Math.log(u / (1 - u));
    default: return c.loc + c.scale * (2 * u - 1);
  }
}

function pick(shares, next) {
  let u = next() * shares.reduce((a, b) => a + b, 0), k = 0;
  while (k < shares.length - 1 && (u -= shares[k]) > 0) k++;
  return k;
}

function drawn(parts, n, key) {
  const next = generator(key), shares = parts.map((c) => c.weight);
  return Array.from({ length: n }, () => drawOne(parts[pick(shares, next)], next));
}

/** Where descents start: locations at draws of p, scales of its spread and below. */
function startsOf(partsP, like, count) {
  const next = generator(5), pool = drawn(partsP, 400, 11).sort((a, b) => a - b);
  const spread = Math.max(0.5 * (pool[339] - pool[59]), 1e-9);
  return Array.from({ length: count }, (_, i) => like.map((c) => ({
    ...c, weight: 1 / like.length, loc: pool[Math.floor(400 * next())],
    scale: spread * (i === 0 ? 1 : 0.08 * 12 ** next()),
  })));
}

/** How far apart two densities are, on a grid: 0 to 2. */
function distance(a, b, low, high) {
  const p = compiled(a), q = compiled(b), n = 300, h = (high - low) / n;
  let sum = 0;
  for (let i = 0; i < n; i++) { const x = low + (i + 0.5) * h; sum += h * Math.abs(Math.exp(logDensity(p, x)) - Math.exp(logDensity(q, x))); }
  return sum;
}

/** The local optima among the ends of descents: {parts, value, share, start}, best first. */
function optimaOf(ends, low, high) {
  const found = [];
  for (const end of ends) {
    const same = found.find((o) => Math.abs(o.value - end.value) < 1e-6 + 1e-4 * Math.abs(end.value) && distance(o.parts, end.parts, low, high) < 0.02);
    if (!same) found.push({ ...end, count: 1 });
    else { same.count++; if (end.value < same.value) { same.value = end.value; same.parts = end.parts; } }
  }
  return found.map((o) => ({ ...o, share: o.count / ends.length })).sort((a, b) => a.value - b.value);
}

/** Mean and standard error of k1, k2 and k3 of KL(q||p) on draws of q. */
function estimators(logRatios) {
  const n = logRatios.length, of = (f) => {
    const v = logRatios.map(f), mean = v.reduce((a, b) => a + b, 0) / n;
    return { mean, error: Math.sqrt(v.reduce((a, b) => a + (b - mean) ** 2, 0) / (n - 1) / n) };
  };
  return { k1: of((l) => -l), k2: of((l) => 0.5 * l * l), k3: of((l) => Math.expm1(l) - l) };
}
