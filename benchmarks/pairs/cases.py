"""Random distributions of SciPy (old and new), torch and NumPyro, each with what is true of it."""

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from mpmath import mp
from scipy import stats

from benchmarks.pairs import continuous, discrete
from benchmarks.pairs.continuous import Growth, Row
from benchmarks.pairs.reference import Case, weight

INF = math.inf
CONTINUOUS = {row.name: row for row in continuous.ROWS}
DISCRETE = {row.name: row for row in discrete.ROWS}


def torch_double(v: float) -> Any:
    import torch

    return torch.tensor(v, dtype=torch.float64)


def _torch(make: Callable[[Any, tuple[Any, ...], Any, Any], Any]) -> Any:
    def build(shapes: tuple[float, ...], loc: float, scale: float) -> Any:
        import torch.distributions as td

        t = torch_double
        return make(td, tuple(t(v) for v in shapes), t(loc), t(scale))

    return ("torch", build)


def _numpyro(make: Callable[[Any, tuple[Any, ...], Any, Any], Any]) -> Any:
    def build(shapes: tuple[float, ...], loc: float, scale: float) -> Any:
        import numpyro.distributions as nd

        f = np.float32
        return make(nd, tuple(f(v) for v in shapes), f(loc), f(scale))

    return ("numpyro", build)


def _both(make: Any) -> list[Any]:
    return [_torch(make), _numpyro(make)]


#: Other libraries' spellings of a row: with any loc and scale, with loc 0 ("scale"), with neither ("plain"), or
#: with the rate 1 / scale that is given in place of the scale ("rate").
OTHERS: dict[str, list[tuple[str, Any]]] = {
    "norm": [("any", b) for b in _both(lambda d, s, a, b: d.Normal(a, b))],
    "laplace": [("any", b) for b in _both(lambda d, s, a, b: d.Laplace(a, b))],
    "logistic": [("any", _numpyro(lambda d, s, a, b: d.Logistic(a, b)))],
    "hypsecant": [("any", _numpyro(lambda d, s, a, b: d.SoftLaplace(a, b)))],
    "cauchy": [("any", b) for b in _both(lambda d, s, a, b: d.Cauchy(a, b))],
    "t": [("any", b) for b in _both(lambda d, s, a, b: d.StudentT(s[0], a, b))],
    "gumbel_r": [("any", b) for b in _both(lambda d, s, a, b: d.Gumbel(a, b))],
    "levy": [("any", _numpyro(lambda d, s, a, b: d.Levy(a, b)))],
    "expon": [("rate", b) for b in _both(lambda d, s, a, r: d.Exponential(r))],
    "gamma": [("rate", b) for b in _both(lambda d, s, a, r: d.Gamma(s[0], r))],
    "chi2": [("plain", b) for b in _both(lambda d, s, a, b: d.Chi2(s[0]))],
    "weibull_min": [("scale", _torch(lambda d, s, a, b: d.Weibull(b, s[0]))),
                    ("scale", _numpyro(lambda d, s, a, b: d.Weibull(b, s[0])))],
    "invgamma": [("scale", b) for b in _both(lambda d, s, a, b: d.InverseGamma(s[0], b))],
    "halfnorm": [("scale", b) for b in _both(lambda d, s, a, b: d.HalfNormal(b))],
    "halfcauchy": [("scale", b) for b in _both(lambda d, s, a, b: d.HalfCauchy(b))],
    "pareto": [("scale", b) for b in _both(lambda d, s, a, b: d.Pareto(b, s[0]))],
    "gompertz": [("rate", _numpyro(lambda d, s, a, r: d.Gompertz(s[0], r)))],
    "burr": [("scale", _numpyro(lambda d, s, a, b: d.Dagum(s[1], s[0], b)))],
    "genpareto": [("any", _torch(lambda d, s, a, b: d.GeneralizedPareto(a, b, s[0])))],
    "f": [("plain", _torch(lambda d, s, a, b: d.FisherSnedecor(s[0], s[1])))],
    "foldnorm": [("scale", _numpyro(lambda d, s, a, b: d.FoldedDistribution(d.Normal(s[0], np.float32(1.0)))))],
    "beta": [("plain", b) for b in _both(lambda d, s, a, b: d.Beta(s[0], s[1]))],
    "kumaraswamy": [("plain", b) for b in _both(lambda d, s, a, b: d.Kumaraswamy(s[0], s[1]))],
    "continuous_bernoulli": [("plain", _torch(lambda d, s, a, b: d.ContinuousBernoulli(logits=s[0], lims=(0.499999, 0.500001))))],
    "loguniform": [("plain", _numpyro(lambda d, s, a, b: d.LogUniform(s[0], s[1])))],
    "poisson": [("plain", b) for b in _both(lambda d, s, a, b: d.Poisson(s[0]))],
    "bernoulli": [("plain", _torch(lambda d, s, a, b: d.Bernoulli(s[0]))), ("plain", _numpyro(lambda d, s, a, b: d.BernoulliProbs(s[0])))],
    "binom": [("plain", _torch(lambda d, s, a, b: d.Binomial(int(s[0]), s[1]))), ("plain", _numpyro(lambda d, s, a, b: d.BinomialProbs(s[1], int(s[0]))))],
    "betabinom": [("plain", _numpyro(lambda d, s, a, b: d.BetaBinomial(s[1], s[2], int(s[0]))))],
    "zero_inflated_poisson": [("plain", _numpyro(lambda d, s, a, b: d.ZeroInflatedPoisson(s[0], s[1])))],
}  # fmt: skip
OTHERS["foldnorm"][0] = ("plain", OTHERS["foldnorm"][0][1])


def number(g: np.random.Generator, kind: str, *, extreme: bool) -> float:
    """A shape parameter of a kind."""
    match kind:
        case "+":
            return float(np.clip(np.exp(g.normal(0.5, 2.5 if extreme else 0.8)), 3e-3, 2e3))
        case ".":
            return float(np.clip(np.exp(g.normal(0.2, 0.9 if extreme else 0.5)), 0.15, 12.0))
        case ">":
            return 1.05 + float(np.exp(g.normal(0.5, 1.2 if extreme else 0.6)))
        case "r":
            return float(g.normal() * (3.0 if extreme else 1.0)) or 0.5
        case "u":
            return (
                float(g.uniform(0.02, 0.98)) if not extreme else float(10.0 ** -g.uniform(0.5, 6.0))
            )
        case "n":
            return float(g.integers(1, 40 if not extreme else 400))
        case "k":
            return float(g.integers(2, 6 if not extreme else 12))
        case "m":
            return float(g.integers(2, 60 if not extreme else 900))
    raise ValueError(kind)


def scale_of(g: np.random.Generator, *, extreme: bool) -> float:
    return float(10.0 ** (g.normal() * (40.0 if extreme and g.random() < 0.3 else 2.0 if extreme else 0.4)))  # fmt: skip


def loc_of(g: np.random.Generator, *, extreme: bool) -> float:
    if extreme and g.random() < 0.3:
        return float(g.normal() * 10.0 ** g.uniform(1.0, 9.0))
    return 0.0 if g.random() < 0.4 else float(g.normal() * 2.0)


#: Ends that are one but for the rounding of what made them: (loc, scale) of distributions of the unit interval.
WRITTEN = [(0.1, 0.2), (0.1, 0.1 * 3 - 0.1), (0.3 - 0.2, 0.2), (0.1, 0.3 - 0.1), (1.1 - 1.0, 0.2)]

_LEVELS = [1e-9, 1e-4, 0.05, 0.5, 0.95]


def scipy_cuts(frozen: Any) -> list[float]:
    """Quantiles, only to place pieces."""
    found = []
    with np.errstate(all="ignore"):
        for quantile, levels in ((frozen.ppf, _LEVELS), (frozen.isf, [1e-4, 1e-9])):
            with suppress(OverflowError, RuntimeError):
                found += [float(v) for v in quantile(levels)]
    return [v for v in found if math.isfinite(v)]


def moved(growth: Growth, scale: Any, *, infinite: bool) -> Growth:
    """A growth in units of x, not of the standard form."""
    s = scale if infinite else 1 / scale
    if growth[0] == "pow":
        return ("pow", growth[1], growth[2] * s ** -growth[1])
    if growth[0] == "exp":
        return ("exp", growth[1], growth[2] * s ** -growth[1])
    return growth


def _frozen(name: str, shapes: tuple[float, ...], loc: float, scale: float) -> Any:
    if name == "kumaraswamy":
        return stats.powerlaw(shapes[0] * min(1.0, shapes[1]), loc, scale)  # for cuts only
    if name == "continuous_bernoulli":
        return stats.uniform(loc, scale)
    return getattr(stats, name)(*shapes, loc=loc, scale=scale)


def _new(name: str, shapes: tuple[float, ...], loc: float, scale: float) -> Any:
    """By SciPy's new infrastructure, if it makes the family; None otherwise."""
    try:
        if name == "norm":
            return stats.Normal(mu=loc, sigma=scale)
        if name == "uniform" and loc + scale > loc:
            return stats.Uniform(a=loc, b=loc + scale)
        cls = stats.make_distribution(getattr(stats, name))
        names = [info.name for info in getattr(stats, name)._shape_info()]  # noqa: SLF001
        return cls(**dict(zip(names, shapes, strict=True))) * scale + loc
    except (ValueError, NotImplementedError, TypeError, AttributeError):
        return None


def on_the_line(g: np.random.Generator, row: Row, *, extreme: bool, style: str) -> Case:
    """A member of a family.

    Args:
        g: randomness.
        row: the family.
        extreme: whether parameters are far from 1.
        style: "any" loc, "home" (loc 0, an interval as it is) or "written" (ends by arithmetic).
    """
    raw = tuple(number(g, kind, extreme=extreme) for kind in row.shapes)
    shapes = continuous.scipy_shapes(row.name, raw)
    loc, scale = loc_of(g, extreme=extreme), scale_of(g, extreme=extreme)
    if style == "home":
        loc = 0.0
    low, high = row.ends(*shapes)[:2]
    bounded = math.isfinite(low) and math.isfinite(high)
    if bounded and style == "home":
        scale = 1.0
    if bounded and style == "written":
        loc, scale = WRITTEN[int(g.integers(len(WRITTEN)))]
    options = OTHERS.get(row.name, [])
    own = row.name in ("kumaraswamy", "continuous_bernoulli")
    if options and (own or g.random() < 0.5):
        way, (library, build) = options[int(g.integers(len(options)))]
        loc = loc if way == "any" else 0.0
        scale = 1.0 if way == "plain" else scale
        if library == "numpyro":
            scale = float(np.clip(scale, 1e-30, 1e30))
            shapes = tuple(float(np.float32(v)) for v in shapes)
            loc, scale = float(np.float32(loc)), float(np.float32(scale))
        thing = build(shapes, loc, scale)
        exact = 1 / mp.mpf(scale) if way == "rate" else mp.mpf(scale)
        label = f"{library}.{row.name}"
    else:
        thing = _new(row.name, shapes, loc, scale) if g.random() < 0.25 else None
        label = f"{'new ' if thing is not None else ''}{row.name}"
        thing = _frozen(row.name, shapes, loc, scale) if thing is None else thing
        exact = mp.mpf(scale)
    return _moved_case(row, shapes, mp.mpf(loc), exact, thing, label)


def _moved_case(row: Row, shapes: Any, loc: Any, scale: Any, thing: Any, label: str) -> Case:
    numbers = tuple(mp.mpf(v) for v in shapes)
    base, log_scale = row.log(*numbers), mp.log(scale)
    low, high, left, right = row.ends(*numbers)
    ends = [e if math.isinf(e) else loc + scale * e for e in (low, high)]
    inner = (low, high)

    def log(x: Any) -> Any:
        z = mp.fsub(x, loc, exact=True)  # what is close to an end stays so
        z = z if scale == 1 else z / scale
        return base(z) - log_scale if inner[0] < z < inner[1] else -mp.inf

    growths = (
        moved(left, scale, infinite=math.isinf(low)),
        moved(right, scale, infinite=math.isinf(high)),
    )
    plain = scipy_cuts(_frozen(row.name, tuple(float(v) for v in shapes), 0.0, 1.0))
    cuts = [mp.fadd(loc, scale * mp.mpf(v), exact=True) for v in plain]
    marks = [loc + scale * v for v in row.marks(*numbers)]
    text = f"{label}({', '.join(map(repr, map(float, shapes)))}; {float(loc)!r}, {float(scale)!r})"
    return Case(text, thing, log, ends[0], ends[1], growths, cuts, marks)


def on_integers(g: np.random.Generator, row: Row, *, extreme: bool, style: str) -> Case:
    """A member of a family of counts; SciPy's moved by an integer unless at home."""
    raw = tuple(number(g, kind, extreme=extreme) for kind in row.shapes)
    shapes = discrete.scipy_shapes(row.name, raw)
    loc, label, thing = 0, row.name, None
    options = OTHERS.get(row.name, [])
    if options and (row.name == "zero_inflated_poisson" or g.random() < 0.5):
        _, (library, build) = options[int(g.integers(len(options)))]
        if library == "numpyro":
            shapes = tuple(float(np.float32(v)) for v in shapes)
        thing, label = build(shapes, 0.0, 1.0), f"{library}.{row.name}"
    elif row.name == "binom" and g.random() < 0.3:
        thing = stats.Binomial(n=int(shapes[0]), p=shapes[1])
    else:
        loc = int(g.integers(-2, 3)) if style != "home" else 0
        thing = _count(row.name, shapes, loc)
    numbers = tuple(mp.mpf(v) for v in (shapes[1:] if row.name == "randint" else shapes))
    base = row.log(*numbers)
    low, high, left, right = row.ends(*numbers)
    text = f"{label}({', '.join(map(repr, shapes))}; {loc})"

    def log(k: Any) -> Any:
        return base(k - loc) if low <= k - loc <= high else -mp.inf

    ends = [e if math.isinf(e) else float(e) + loc for e in (low, high)]
    # How far it reaches; where SciPy's search for quantiles takes for ever, its tail is a power's.
    light = right[0] != "log" and hasattr(stats, row.name)
    cuts = [v + loc for v in scipy_cuts(_count(row.name, shapes, 0))] if light else []
    return Case(text, thing, log, ends[0], ends[1], (left, right), cuts, discrete=True)


def _count(name: str, shapes: tuple[float, ...], loc: int) -> Any:
    integral = tuple(int(v) if v == int(v) and v > 1 else v for v in shapes)
    return getattr(stats, name)(*integral, loc=loc)


def mixture(g: np.random.Generator, parts: list[Case], *, text: str = "") -> Case:
    """Components that may be of different families and libraries, as one distribution of ours."""
    from kullback.distributions.compound import Mixture
    from kullback.interop import as_distribution

    w = float(g.uniform(0.02, 0.98)) if g.random() < 0.8 else float(10.0 ** -g.uniform(2.0, 12.0))
    components = [as_distribution(c.thing) for c in parts]
    assert all(components)
    thing = Mixture(np.array([w, 1 - w]), tuple(c for c in components if c is not None))
    weights = [mp.log(mp.mpf(v)) for v in (w, 1 - w)]

    def log(x: Any) -> Any:
        logs = [v + c.log(x) for v, c in zip(weights, parts, strict=True)]
        top = max(logs)
        return top if top == -mp.inf else top + mp.log(mp.fsum(continuous.E(v - top) for v in logs))

    low, high = min(c.low for c in parts), max(c.high for c in parts)
    ends = tuple(
        min((c.ends[i] for c in parts if (c.low, c.high)[i] == end), key=weight)
        for i, end in enumerate((low, high))
    )
    middle = sorted(parts, key=lambda c: c.low)
    reach = middle[0].high + (1 if parts[0].discrete else 0)  # between neighbours is no integer
    gaps = ((middle[0].high, middle[1].low),) if reach < middle[1].low else ()
    cuts = [v for c in parts for v in c.cuts]
    marks = [
        v for c in parts for v in (c.low, c.high, *c.marks) if low < v < high and not math.isinf(v)
    ]
    label = text or f"{w!r} {parts[0].text} + {parts[1].text}"
    clusters = [
        (mp.mpf(sorted(c.cuts)[len(c.cuts) // 2]), mp.mpf(max(c.cuts) - min(c.cuts)))
        for c in parts
        if c.cuts
    ]
    return Case(label, thing, log, low, high, ends, cuts, marks, gaps, parts[0].discrete, clusters)  # type: ignore[arg-type]


LINE = [r for r in continuous.ROWS if r.ends(*[mp.mpf("0.7")] * len(r.shapes))[:2] == (-INF, INF)]
HALF = [r for r in continuous.ROWS if r.ends(*[mp.mpf("0.7")] * len(r.shapes))[:2] == (0.0, INF)]
UNIT = [r for r in continuous.ROWS if r.ends(*[mp.mpf("0.7")] * len(r.shapes))[:2] == (0.0, 1.0)]


def pick(g: np.random.Generator, rows: list[Row]) -> Row:
    return rows[int(g.integers(len(rows)))]


def pair(g: np.random.Generator, *, counts: bool) -> tuple[Case, Case]:
    """Two distributions: most of one support, so that their KL is not infinite at sight."""
    extreme = g.random() < 0.25
    if counts:
        rows = discrete.ROWS
        draw = lambda: on_integers(
            g, pick(g, rows), extreme=extreme, style="home" if g.random() < 0.6 else "any"
        )
        if g.random() < 0.15:
            return mixture(g, [draw(), draw()]), mixture(g, [draw(), draw()])
        if g.random() < 0.15:
            row = pick(g, rows)
            return tuple(on_integers(g, row, extreme=extreme, style="home") for _ in "pq")  # type: ignore[return-value]
        return draw(), draw()
    u = g.random()
    rows, style = ((LINE, "any") if u < 0.3 else (HALF, "home") if u < 0.6 else (UNIT, "home") if u < 0.7
                   else (UNIT, "written") if u < 0.8 else (continuous.ROWS, "any"))  # fmt: skip

    def one() -> Case:
        return on_the_line(g, pick(g, rows), extreme=extreme, style=style)

    if g.random() < 0.2:
        a, b = [one(), one()], [one(), one()]
        return (mixture(g, a) if g.random() < 0.6 else one()), mixture(g, b)
    if g.random() < 0.1:
        return near(g, pick(g, rows), extreme=extreme)
    return one(), one()


def near(g: np.random.Generator, row: Row, *, extreme: bool) -> tuple[Case, Case]:
    """Two members of a family whose parameters differ in late digits, or not at all."""
    raw = tuple(number(g, kind, extreme=False) for kind in row.shapes)
    step = float(g.choice([0.0, 1e-12, 1e-8, 1e-4, 1e-2]))
    found = []
    for moved_by in (0.0, step):
        moved = (
            v if kind == "k" else v * (1 + moved_by)
            for v, kind in zip(raw, row.shapes, strict=True)
        )
        shapes = continuous.scipy_shapes(row.name, tuple(moved))
        scale = 1.0 if extreme else 1.0 + 0.3 * moved_by
        if all(math.isfinite(e) for e in row.ends(*map(mp.mpf, shapes))[:2]):
            scale = 1.0
        options = [b for way, b in OTHERS.get(row.name, []) if b[0] == "torch" and way in ("any", "scale", "plain")]  # fmt: skip
        if options and row.name in ("kumaraswamy", "continuous_bernoulli"):
            scale = 1.0
            thing, label = options[0][1](shapes, 0.0, scale), f"torch.{row.name}"
        else:
            thing, label = _frozen(row.name, shapes, 0.0, scale), row.name
        found.append(_moved_case(row, shapes, mp.mpf(0), mp.mpf(scale), thing, label))
    return found[0], found[1]
