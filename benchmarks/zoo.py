"""Random densities whose every number is known, fitted in both directions: is what a fit says of itself true?

python -m benchmarks.zoo --seed 1 --n 40    prints each fit, and what is wrong; --write makes benchmarks/results/zoo.md

A density is a law with a sampler (normal, t, skewed, mixtures of Gaussians) carried through random maps that can be
undone: shears along a curve, scales that another coordinate sets, a linear map. So log p, draws of p and the evidence
are exact; KL(p||q) is a mean over draws of p, weighted where the curve is steep, and KL(q||p) one over draws of q,
by formulas that the library does not share.
"""

import argparse
import math
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import kullback as kb

REPORT = Path(__file__).parent / "results" / "zoo.md"
FAMILIES = ("mean_field", "full_rank", "full_rank", "low_rank:1", "mixture:2", "mixture:auto", "auto", "auto")  # fmt: skip
DRAWS = 200_000
#: Normal coordinates along which curves are steep are drawn so much wider, and weighted.
WIDE = 2.0
#: Errors from the truth beyond which a number is wrong.
FAR = 4.0


@dataclass
class Density:
    """A density of the zoo: its name, dimension, log p up to the constant `evidence`, and draws with their weights."""

    name: str
    dimension: int
    log_p: Callable
    draw: Callable
    evidence: float


# Laws of the coordinates before the maps.


def _normal(x):
    return -0.5 * x**2 - 0.5 * math.log(2.0 * math.pi)


def _base(rng, d):
    """Returns a name, log density and sampler of the coordinates before they are mapped."""
    kind = rng.choice(["normal", "normal", "t", "skewed", "modes", "modes"])
    if kind == "normal":
        return "normal", lambda z: _normal(z).sum(), lambda r, n: r.standard_normal((n, d))
    if kind == "t":
        nu = float(rng.choice([5.0, 8.0, 15.0]))
        constant = math.lgamma(0.5 * (nu + d)) - math.lgamma(0.5 * nu) - 0.5 * d * math.log(nu * math.pi)  # fmt: skip
        return (
            f"t({nu:.0f})",
            lambda z: constant - 0.5 * (nu + d) * jnp.log1p((z**2).sum() / nu),
            lambda r, n: r.standard_normal((n, d)) * np.sqrt(nu / r.chisquare(nu, (n, 1))),
        )
    if kind == "skewed":  # sinh-arcsinh: z = sinh(arcsinh(x) - e) is normal
        e = rng.uniform(-0.7, 0.7, d)

        def skewed(x):
            z = jnp.sinh(jnp.arcsinh(x) - e)
            return (_normal(z) + 0.5 * jnp.log1p(z**2) - 0.5 * jnp.log1p(x**2)).sum()

        return "skewed", skewed, lambda r, n: np.sinh(np.arcsinh(r.standard_normal((n, d))) + e)
    k = int(rng.integers(2, 5))
    weights = rng.dirichlet(np.full(k, 2.0))
    places = rng.normal(0.0, rng.choice([1.5, 4.0]), (k, d))
    sds = np.exp(rng.normal(0.0, 0.4, (k, d)))

    def log_p(z):
        logs = _normal((z - places) / sds) - np.log(sds)
        return jax.scipy.special.logsumexp(logs.sum(axis=-1) + np.log(weights))

    def draw(r, n):
        j = r.choice(k, n, p=weights)
        return places[j] + sds[j] * r.standard_normal((n, d))

    return f"{k} modes", log_p, draw


# Maps that can be undone; each has what its inverse adds to log p.


@dataclass
class Map:
    """A map of draws, its inverse with what that adds to log p, and the coordinate along which it is steep."""

    name: str
    there: Callable
    back: Callable
    source: int | None = None


CURVES = {
    "square": lambda m, t: t**2,
    "cube": lambda m, t: 0.3 * t**3,
    "exp": lambda m, t: m.exp(t),
    "wave": lambda m, t: 2.0 * m.sin(1.5 * t),
    "corner": lambda m, t: 2.0 * m.sqrt(t**2 + 0.05),
}


def _shear(rng, d, before):
    # Of the exponential of what is no longer normal not even a KL exists.
    names = [name for name in CURVES if name != "exp" or not before]
    name = str(rng.choice(names))
    i, j = rng.choice(d, 2, replace=False)
    a, width = rng.uniform(0.3, 1.0), rng.uniform(0.3, 1.0)
    curve = CURVES[name]

    def there(x):
        y = x.copy()
        y[:, j] = width * x[:, j] + a * curve(np, x[:, i])
        return y

    def back(y):
        return y.at[j].set((y[j] - a * curve(jnp, y[i])) / width), -math.log(width)

    return Map(name, there, back, int(i))


def _scale(rng, d):
    i, j = rng.choice(d, 2, replace=False)
    b = rng.uniform(0.2, 0.8)

    def there(x):
        y = x.copy()
        y[:, j] = x[:, j] * np.exp(b * x[:, i])
        return y

    def back(y):
        return y.at[j].set(y[j] * jnp.exp(-b * y[i])), -b * y[i]

    return Map("neck", there, back, int(i))


def _linear(rng, d):
    turned = np.linalg.qr(rng.normal(size=(d, d)))[0]
    sds = np.exp(rng.normal(0.0, 0.7, d))
    matrix, shift = turned * sds, rng.normal(0.0, 2.0, d)
    inverse, log_det = np.linalg.inv(matrix), float(np.log(sds).sum())
    return Map(
        "turned", lambda x: x @ matrix.T + shift, lambda y: (inverse @ (y - shift), -log_det)
    )


def density(seed: int) -> Density:
    """Returns a density of the zoo."""
    rng = np.random.default_rng([seed, 1])
    d = int(rng.choice([2, 2, 3, 4, 6, 10, 20]))
    name, base, drawn = _base(rng, d)
    maps: list[Map] = []
    for _ in range(int(rng.choice([0, 1, 1, 2]))):
        made = _scale(rng, d) if not maps and rng.random() < 0.35 else _shear(rng, d, maps)
        maps.append(made)
    if rng.random() < 0.6:
        maps.append(_linear(rng, d))
    evidence = float(rng.normal(0.0, 20.0))

    def log_p(x):
        x, total = jnp.asarray(x), evidence
        for one in reversed(maps):
            x, inside = one.back(x)
            total = total + inside
        return total + base(x)

    steep = sorted({one.source for one in maps if one.source is not None})

    def draw(r, n):
        x, log_weights = drawn(r, n), np.zeros(n)
        if name == "normal":
            x[:, steep] *= WIDE
            z = x[:, steep]
            log_weights = np.sum(math.log(WIDE) - 0.5 * z**2 * (1.0 - WIDE**-2), axis=1)
        for one in maps:
            x = one.there(x)
        return x, np.exp(log_weights)

    names = [name, *(one.name for one in maps)]
    return Density(f"{' '.join(names)}, d = {d}", d, log_p, draw, evidence)


@dataclass
class Row:
    """A fit, its numbers in errors from the truth, and what is wrong with it."""

    seed: int
    name: str
    family: str
    direction: str
    verdict: str
    z: tuple[float, float, float]
    said: str
    seconds: float
    wrong: str


def _apart(estimate, truth, error):
    """Errors between a number and the truth, whose own error counts; NaN where none is stated."""
    if estimate is None or estimate.kind not in ("estimate", "numeric", "exact"):
        return math.nan
    return (estimate.value - truth) / max(math.hypot(error, estimate.standard_error), 1e-9)


def judged(seed: int) -> Row:
    """Returns one fit of one density, judged."""
    p = density(seed)
    rng = np.random.default_rng([seed, 2])
    family = str(rng.choice(FAMILIES))
    direction = "forward" if rng.random() < 0.3 else "reverse"
    began = time.process_time()
    try:
        fit = kb.fit(
            kb.LogDensity(p.log_p, np.zeros(p.dimension)), family, direction=direction, key=seed
        )
    except kb.KullbackError as error:
        return Row(seed, p.name, family, direction, "refused", (math.nan,) * 3, str(error), time.process_time() - began, "refused")  # fmt: skip
    seconds = time.process_time() - began
    with jax.enable_x64(True):
        values = jax.jit(jax.vmap(p.log_p))
        x, w = p.draw(np.random.default_rng([seed, 3]), DRAWS)
        log_ratio = np.asarray(values(jnp.asarray(x))) - p.evidence - fit.log_prob(x)
        forward, forward_error = np.mean(w * log_ratio), np.std(w * log_ratio) / math.sqrt(len(x))
        y = fit.sample(DRAWS, key=seed + 7)
        back = fit.log_prob(y) - np.asarray(values(jnp.asarray(y))) + p.evidence
    reverse, reverse_error = np.mean(back), np.std(back) / math.sqrt(len(y))
    reported = fit.posterior is not None  # sums over a table of log p need no report
    z = (
        _apart(fit.forward_kl, forward, forward_error),
        _apart(fit.reverse_kl, reverse, reverse_error),
        _apart(fit.log_evidence, p.evidence, 0.0) if reported else math.nan,
    )
    verdict = str(fit.diagnosis.verdict if reported else fit.divergence.kind)
    wrong = [
        n for n, one in zip(("KL(p||q)", "KL(q||p)", "evidence"), z, strict=True) if abs(one) > FAR
    ]
    if (
        verdict == "trust"
        and max(forward - 3.0 * forward_error, reverse - 3.0 * reverse_error) > 1.0
    ):
        wrong.append("false trust")
    said = f"{fit.forward_kl} | true {forward:.4g} ± {forward_error:.2g} | {fit.reverse_kl} | true {reverse:.4g}"
    return Row(seed, p.name, family, direction, verdict, z, said, seconds, ", ".join(wrong))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--n", type=int, default=40)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for seed in range(asked.seed, asked.seed + asked.n):
        row = judged(seed)
        rows.append(row)
        z = " ".join(f"{one:6.1f}" for one in row.z)
        print(f"{row.seed:6} {row.name:34} {row.family:12} {row.direction:8} {row.verdict:22} {z} {row.seconds:5.1f} s {row.wrong}", flush=True)  # fmt: skip
        if row.wrong:
            print(" " * 7 + row.said, flush=True)
    print(text := summary(rows, asked.seed))
    if asked.write:
        REPORT.write_text(text)
    return int(any(row.wrong for row in rows))


def summary(rows: list[Row], seed: int) -> str:
    """Returns the table of the zoo."""
    z = np.array([row.z for row in rows])
    lines = [
        f"# {len(rows)} random densities (seeds {seed} to {seed + len(rows) - 1}): numbers against the truth",
        "",
        "|  | stated | rms of z | largest | mean |",
        "|---|---|---|---|---|",
    ]
    for name, column in zip(("KL(p‖q)", "KL(q‖p)", "log evidence"), z.T, strict=True):
        there = column[np.isfinite(column)]
        if len(there):
            lines.append(
                f"| {name} | {len(there)} of {len(column)} | {np.sqrt(np.mean(there**2)):.2f} "
                f"| {np.abs(there).max():.1f} | {there.mean():.2f} |"
            )
    verdicts = Counter(row.verdict for row in rows)
    lines += ["", "Verdicts: " + ", ".join(f"{n} {v}" for v, n in verdicts.most_common()) + "."]
    lines += [f"Median CPU seconds: {np.median([row.seconds for row in rows]):.1f}.", ""]
    wrong = [
        f"- seed {r.seed}: {r.name}, {r.family}, {r.direction}: {r.wrong}" for r in rows if r.wrong
    ]
    return "\n".join([*lines, *(wrong or ["Nothing is wrong."]), ""])


if __name__ == "__main__":
    sys.exit(main())
