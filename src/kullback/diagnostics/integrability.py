"""How a density falls far out: whether it can be integrated, and whether it has a variance."""

import itertools
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import DensityError
from kullback.diagnostics.importance import Weighed
from kullback.diagnostics.tempered import overall_root
from kullback.fitting.components import Components
from kullback.results.posterior import columns
from kullback.solvers.modes import CountedDensity
from kullback.targets import Unconstrained

#: Where along a ray the fall is measured, in sds: a power law falls alike from each to the next.
_PLACES = (1e2, 1e4, 1e6)
_RANDOM, _MOST_AXES = 16, 64
#: The exponent of a power law is known to about this share.
_SLACK = 1.03


@final
@dataclass(frozen=True, eq=False)
class Rays:
    """Exponents a of the fall of p as distance^-a; infinite where it falls faster than any power.

    Attributes:
        directions: (m, d), in the coordinates of q's root, along which was looked.
        exponents: (m,); NaN where the density could not be computed.
        generic: which directions are random, (m,).
    """

    directions: Float[np.ndarray, "m d"]
    exponents: Float[np.ndarray, " m"]
    generic: np.ndarray

    @property
    def improper(self) -> Float[np.ndarray, " d"] | None:
        """A direction along which the integral diverges; None if there is none."""
        limit = np.where(self.generic, self.directions.shape[1], 1.0)
        return self._first(self.exponents <= limit / _SLACK)

    @property
    def without_variance(self) -> Float[np.ndarray, " d"] | None:
        """A direction along which p has no variance: no Gaussian is near it in KL(p||q)."""
        limit = np.where(self.generic, self.directions.shape[1] + 2.0, 3.0)
        return self._first(self.exponents <= limit * _SLACK)

    @property
    def heavy(self) -> float:
        """The smallest exponent; infinite if p falls faster than any power everywhere."""
        known = self.exponents[~np.isnan(self.exponents)]
        return float(known.min()) if len(known) else np.inf

    def _first(self, rows: np.ndarray) -> Float[np.ndarray, " d"] | None:
        return self.directions[int(np.argmax(rows))] if rows.any() else None


def check_proper(
    target: Unconstrained, density: CountedDensity, q: Components, rng: np.random.Generator
) -> Rays:
    """Returns how p falls far from q. Raises DensityError if it cannot be normalised."""
    rays = look_out(density, q.means[0], overall_root(q), rng)
    direction = rays.improper
    if direction is None:
        return rays
    along = overall_root(q) @ direction
    scaled = along / np.abs(along).max()
    named = [
        f"{value:+.2g} {name}"
        for value, name in zip(scaled, target.coordinates, strict=True)
        if abs(value) > 0.05
    ]
    raise DensityError(
        f"the log density does not fall along {' '.join(named[:6])}: it cannot be normalised there "
        "(improper or flat). Add a proper prior on these parameters, or remove the direction that the "
        "data do not determine"
    )


def look_out(
    density: CountedDensity,
    mean: Float[np.ndarray, " d"],
    root: Float[np.ndarray, "d d"],
    rng: np.random.Generator,
) -> Rays:
    """Returns how p falls along the axes of the parameters, the longest axis of q and random rays."""
    d = len(mean)
    picked = np.eye(d)[rng.permutation(d)[:_MOST_AXES]] * np.linalg.norm(root, axis=1)
    axes = np.linalg.solve(root, picked.T).T
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    longest = np.linalg.svd(root)[2][:1]
    random = rng.standard_normal((_RANDOM, d))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    special = np.concatenate([axes, -axes, longest, -longest])
    directions = np.concatenate([special, random])
    generic = np.arange(len(directions)) >= len(special)
    with np.errstate(all="ignore"):
        logs = [density(mean + t * directions @ root.T)[0] for t in _PLACES]
        falls = [(a - b) / np.log(1e2) for a, b in itertools.pairwise(logs)]
        # Past where a density underflows nothing is known but that it fell; what follows may be the same
        # underflow, held at the largest number there is.
        falls = [
            np.where(np.isneginf(b), np.inf, np.where(np.isneginf(a), np.nan, fall))
            for fall, (a, b) in zip(falls, itertools.pairwise(logs), strict=True)
        ]
    exponents = np.maximum(falls[0], falls[1])
    exponents = np.where(exponents > 1e3, np.inf, exponents)
    return Rays(directions, exponents, generic)


# Log densities that are none: what went wrong, where, and what to write instead.

Array = np.ndarray
#: Rounding of the log density, in nats, beyond which differences of it mean nothing.
_ROUNDING = 1e-3
_INFINITE = "float('inf')"


def check_faults(density: CountedDensity, target: Unconstrained, weighed: Weighed) -> None:
    """Raises if log p or its gradient was no number at a draw of q, -inf there, or is too coarse."""
    own = weighed.log_p[: weighed.own]
    typical = float(np.median(own[np.isfinite(own)])) if np.isfinite(own).any() else 0.0
    largest = abs(typical)
    if largest * 2.0**-52 > _ROUNDING:
        raise DensityError(
            f"the log density is about {typical:.3g}, of which float64 keeps steps of "
            f"{largest * 2.0**-52:.1g} nats: subtract the constant from it"
        )
    check_found(density, target)
    if weighed.dead > 0.0:
        raise DensityError(_where_dead(target, weighed.x[: weighed.own], own))


def check_found(density: CountedDensity, target: Unconstrained) -> None:
    """Raises if faults have been met since they were last cleared."""
    kinds = {kind for kind, _ in density.faults}
    if not kinds:
        return
    share = 100.0 * density.faulty / max(density.count, 1)
    u = density.faults[0][1]
    where = place(target, u)
    if "value" in kinds:
        u = next(at for kind, at in density.faults if kind == "value")
        raise DensityError(
            f"the log density is NaN (or +inf) at {place(target, u)}, where q has mass ({density.faulty} "
            f"points, {share:.2g} % of all): check that parameter's data and formula there; where p has no "
            "mass return -inf, and say with support= where parameters live"
        )
    _, gradient = target.evaluate(u[None])
    bad = [
        name for name, g in zip(target.coordinates, gradient[0], strict=True) if not np.isfinite(g)
    ]
    raise DensityError(
        f"the log density is finite but its gradient in {', '.join(bad[:5])} is not, at {where}: often "
        "jnp.where whose unused branch is NaN or infinite (apply a safe value inside too: "
        "jnp.where(ok, f(jnp.where(ok, x, 1.0)), 0.0)), or jnp.abs, jnp.sqrt or norm at 0"
    )


def _where_dead(
    target: Unconstrained, x: Float[np.ndarray, "n d"], log_p: Float[np.ndarray, " n"]
) -> str:
    """Returns a message that says where the log density is -inf, and which support to give."""
    dead = np.isneginf(log_p)
    share = 100.0 * float(dead.mean())
    text = f"the log density is -inf at {share:.2g} % of q's draws: KL(q||p) is infinite"
    for name, values in columns(target.constrain(x), bare=target.bare).items():
        low, high = values[dead], values[~dead]
        if not len(high):
            break
        if low.max() < high.min():
            end = _end(float(low.max()), float(high.min()))
            return f"{text}. p has no mass for {name} < {end}; {_say(name, end, '')}"
        if low.min() > high.max():
            end = _end(float(high.max()), float(low.min()))
            start = "0" if values.min() > 0.0 else "float('-inf')"
            return f"{text}. p has no mass for {name} > {end}; {_say(name, start, end)}"
    first = x[int(np.argmax(dead))]
    return (
        f"{text}, such as {place(target, first)}; say where the parameters live, such as "
        'support="positive" or support=(low, high), or a dict of these by parameter'
    )


def place(target: Unconstrained, u: Float[np.ndarray, " d"]) -> str:
    """Returns a point in the user's names and the user's own parameters."""
    values = columns(target.constrain(u[None]), bare=target.bare)
    shown = [f"{name} = {value[0]:.4g}" for name, value in values.items()]
    more = f", and {len(shown) - 6} more" if len(shown) > 6 else ""
    return ", ".join(shown[:6]) + more


def _end(a: float, b: float) -> str:
    middle = 0.5 * (a + b)
    for digits in range(6):
        rounded = round(middle, digits)
        if a <= rounded <= b:
            return f"{rounded:g}"
    return f"{middle:.6g}"


def _say(name: str, low: str, high: str) -> str:
    stem = name.split("[", maxsplit=1)[0]
    words = f"({low}, {high or _INFINITE})"
    if not high and float(low) == 0.0:
        words = '"positive"'
    return f"say support={words}, or support={{'{stem}': {words}}} for that parameter alone"
