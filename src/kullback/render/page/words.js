// Expressions as Python reads and writes them: the whole state of the page is text.

const CALL = /^([a-z_]+)\((.*)\)$/;

/** "0.3*normal(-2, sd=0.3) + 0.7*laplace(0, scale=1)" as components; a list of probabilities as outcomes. */
function parsed(text) {
  const list = /^(?:categorical\()?\[([^\]]*)\]\)?$/.exec(text.trim());
  if (list) {
    const outcomes = list[1].split(",").map(Number);
    if (outcomes.length < 2 || outcomes.length > 40 || !outcomes.every((v) => v >= 0) || !(outcomes.reduce((a, b) => a + b) > 0)) {
      throw new Error("2 to 40 probabilities, 0 or more");
    }
    return { outcomes };
  }
  const parts = terms(text.trim()).map(component);
  if (parts.length > 5) throw new Error("at most five components");
  return { parts };
}

/** The terms of a sum; a + within brackets or a number is none. */
function terms(text) {
  const out = [];
  let depth = 0, start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "(") depth++;
    else if (text[i] === ")") depth--;
    else if (text[i] === "+" && depth === 0 && !/[0-9.]e$/i.test(text.slice(Math.max(0, i - 2), i))) { out.push(text.slice(start, i)); start = i + 1; }
  }
  return [...out, text.slice(start)];
}

function component(term) {
  const found = /^\s*(?:([-+0-9.eE]+)\s*\*\s*)?(.*?)\s*$/.exec(term);
  const weight = found[1] === undefined ? 1 : number(found[1]);
  if (!(weight >= 0)) throw new Error("a weight is 0 or more");
  const call = CALL.exec(found[2]);
  if (!call) throw new Error(`“${found[2]}” is no family with its parameters, such as normal(0, sd=1)`);
  const given = {}, plain = [];
  for (const part of call[2].split(",").map((v) => v.trim()).filter(Boolean)) {
    const [name, value] = part.split("=").map((v) => v.trim());
    if (value === undefined) plain.push(number(name)); else given[name] = number(value);
  }
  return { weight, ...member(call[1], plain, given) };
}

function number(text) {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new Error(`“${text}” is no number`);
  return value;
}

function member(name, plain, given) {
  const first = plain.length ? plain[0] : given.loc ?? 0;
  const positive = (v, what) => { if (!(v > 0)) throw new Error(`${name}: ${what} must be more than 0`); return v; };
  switch (name) {
    case "normal": {
      const sd = given.sd ?? (given.var === undefined ? undefined : Math.sqrt(given.var))
        ?? (given.precision === undefined ? undefined : 1 / Math.sqrt(given.precision));
      return { family: name, loc: first, scale: positive(sd, "sd") };
    }
    case "laplace": case "logistic":
      return { family: name, loc: first, scale: positive(given.scale ?? plain[1], "scale") };
    case "cauchy": return { family: "student_t", df: 1, loc: first, scale: positive(given.scale ?? plain[1], "scale") };
    case "student_t": case "t":
      return { family: "student_t", df: positive(given.df ?? plain[0], "df"), loc: given.loc ?? plain[1] ?? 0, scale: positive(given.scale ?? 1, "scale") };
    case "uniform": {
      const low = given.low ?? plain[0], high = given.high ?? plain[1];
      if (!(high > low)) throw new Error("uniform: low must be less than high");
      return { family: name, loc: 0.5 * (low + high), scale: 0.5 * (high - low) };
    }
    default: throw new Error(`there is no ${name} on this page; it has ${LINE.join(", ")}, cauchy and categorical`);
  }
}

/** A number as Python reads it back to the same. */
function digits(v) { return String(v === 0 ? 0 : v); }

/** Without the last bit, which halves and sums move. */
function clean(v) { return Number(v.toPrecision(15)); }

function writtenPart(c) {
  switch (c.family) {
    case "normal": return `normal(${digits(c.loc)}, sd=${digits(c.scale)})`;
    case "student_t": return c.df === 1 ? `cauchy(${digits(c.loc)}, scale=${digits(c.scale)})`
      : `student_t(${digits(c.df)}, ${digits(c.loc)}, scale=${digits(c.scale)})`;
    case "uniform": return `uniform(${digits(clean(c.loc - c.scale))}, ${digits(clean(c.loc + c.scale))})`;
    default: return `${c.family}(${digits(c.loc)}, scale=${digits(c.scale)})`;
  }
}

function written(d) {
  if (d.outcomes) {
    const total = d.outcomes.reduce((a, b) => a + b, 0);
    return `categorical([${shares(d.outcomes.map((v) => v / total)).map(digits).join(", ")}])`;
  }
  if (d.parts.length === 1) return writtenPart(d.parts[0]);
  const total = d.parts.reduce((a, c) => a + c.weight, 0);
  return d.parts.map((c, i) => `${digits(shares(d.parts.map((v) => v.weight / total))[i])}*${writtenPart(c)}`).join(" + ");
}

/** Shares of few digits that still sum to 1. */
function shares(values) {
  const kept = values.map((v) => Number(v.toPrecision(12)));
  const most = kept.indexOf(Math.max(...kept));
  kept[most] = Number((1 - kept.reduce((sum, v, i) => (i === most ? sum : sum + v), 0)).toPrecision(15));
  return kept;
}

/** What was set, as Python. */
function asPython(p, q) {
  const k = q.parts ? q.parts.length : 0, recipe = k === 1 ? "kb.FullRank()" : `kb.Mixture(${k})`;
  const fit = k && q.parts.every((c) => c.family === "normal")
    ? [`family = ${recipe}`,
      'for direction in ("forward", "reverse"):', "    print(kb.fit(p, family, direction=direction))"] : [];
  return ["import kullback as kb", "", `p = "${written(p)}"`, `q = "${written(q)}"`, "print(kb.kl_divergence(p, q))",
    "print(kb.kl_divergence(q, p))", ...fit].join("\n");
}
