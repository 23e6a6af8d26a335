"""Finding what a loss equals, up to one number and powers of the sizes."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from scipy import optimize

from kullback.check_loss.functionals import (
    Array,
    Catalogue,
    Functional,
    FunctionalFamily,
    FunctionalPlane,
)

#: Steps of a first search along a family; it goes on if the error then is below the second number.
_ROUGH = 14
_PROMISING = 0.02
#: An error after which no other name is looked for.
_EXACT = 1e-7


@final
@dataclass(frozen=True, eq=False)
class Observations:
    """What a loss did on K problems.

    Attributes:
        values: (K,).
        gradients: K vectors.
        sizes: K dicts of sizes, such as {"B": 2, "V": 5}.
        tolerance: relative error up to which two things are called equal.
    """

    values: Array
    gradients: tuple[Array, ...]
    sizes: Sequence[dict[str, int]]
    tolerance: float


@final
@dataclass(frozen=True, eq=False)
class Match:
    """What was found, or the nearest.

    Attributes:
        functional: what it is compared with; for mixtures the first part.
        scale: the number in front.
        powers: exponents of the sizes that go with it, such as {"V": -1}.
        cosine: of loss and match over all problems, with their sign.
        error: relative error over all problems.
        terms: for mixtures, all parts with their numbers.
    """

    functional: Functional
    scale: float
    powers: tuple[tuple[str, int], ...]
    cosine: float
    error: float
    terms: tuple[tuple[float, Functional], ...] = ()

    def predicted_values(self, sizes: Sequence[dict[str, int]]) -> Array:
        """Returns the value the loss would have if it were this as a value too."""
        terms = self.terms or ((self.scale, self.functional),)
        return norms(self.powers, sizes) * sum(c * part.values for c, part in terms)


def norms(powers: Sequence[tuple[str, int]], sizes: Sequence[dict[str, int]]) -> Array:
    """Returns the product of powers of sizes, for each problem."""
    return np.array([math.prod(float(s[name]) ** e for name, e in powers) for s in sizes])


def monomials(sizes: Sequence[dict[str, int]]) -> list[tuple[tuple[str, int], ...]]:
    """Returns powers of those sizes that vary, the simplest first."""
    names = [n for n in sizes[0] if len({s[n] for s in sizes}) > 1]
    found = itertools.product(*[[(n, e) for e in (0, -1, 1)] for n in names])
    return sorted((tuple((n, e) for n, e in powers if e) for powers in found), key=len)


def _best(matches: Iterable[Match]) -> Match:
    """The first that is nearest but for rounding: KL(p||q) and its cross-entropy have one gradient."""
    found = list(matches)
    least = min(match.error for match in found)
    return next(match for match in found if match.error <= least + 1e-9)


def match_gradient(seen: Observations, known: Catalogue) -> Match:
    """Returns what the gradient is, or the nearest to it; its `error` tells which."""
    target = _Target(seen)
    best = _best(target.fit(q) for q in known.plain)
    if best.functional.name == "entropy" and best.scale < 0.0 and known.named("reverse_uniform"):
        return target.fit(*known.named("reverse_uniform"))  # to raise the entropy is to descend it
    for attempt in (_mixtures, _families, _with_extra, _planes):
        if best.error <= seen.tolerance:
            return best
        close = [best]
        for found in attempt(target, known):
            close.append(found)
            if found.error <= _EXACT:
                break
        close = _best(close)
        best = close if close.error <= seen.tolerance else best
    return best


def match_values(seen: Observations, known: Sequence[Functional]) -> Match:
    """Returns which functional the values are, or the nearest."""
    target = _Target(replace(seen, gradients=tuple(seen.values[:, None])))
    found = []
    for q in known:
        match = target.fit(replace(q, gradients=tuple(q.values[:, None])))
        found.append(replace(match, functional=q))
    return _best(found)


@final
class _Target:
    """What is to be matched, scaled so that every problem counts alike."""

    def __init__(self, seen: Observations) -> None:
        lengths = np.array([np.linalg.norm(g) for g in seen.gradients])
        floor = 1e-3 * float(np.median(lengths)) or 1.0
        counts = [len(g) for g in seen.gradients]
        self._starts = np.cumsum([0, *counts[:-1]])
        self._problem = np.repeat(np.arange(len(counts)), counts)  # of every number
        self._weights = (1.0 / np.maximum(lengths, floor))[self._problem]
        self._target = self._weights * np.concatenate(seen.gradients)
        self._length = float(np.linalg.norm(self._target)) or 1.0
        self._tolerance = seen.tolerance
        self._monomials = monomials(seen.sizes)
        self._norms = np.array([norms(m, seen.sizes) for m in self._monomials])

    def _columns(self, parts: Sequence[Functional]) -> Array:
        """The scaled gradients of the parts side by side, of all problems one below the other."""
        return np.stack([self._weights * np.concatenate(part.gradients) for part in parts], axis=1)

    def error(self, *parts: Functional) -> float:
        """Returns the relative error of the best sum of these, with the best powers, as fast as can be."""
        return float(self._errors(self._columns(parts)).min())

    def _errors(self, columns: Array) -> Array:
        both = columns[:, :, None] * columns[:, None, :]
        cross = np.add.reduceat(columns * self._target[:, None], self._starts)
        grams = np.add.reduceat(both, self._starts)
        above = self._norms @ cross
        below = np.tensordot(self._norms**2, grams, 1)
        if not (np.isfinite(above).all() and np.isfinite(below).all()):
            return np.full(len(above), 1.0)
        if above.shape[1] == 1:
            share = np.square(above[:, 0]) / np.maximum(below[:, 0, 0], np.finfo(float).tiny)
        else:
            inverse = np.linalg.pinv(below, hermitian=True)
            share = np.einsum("mi,mij,mj->m", above, inverse, above)
        return np.sqrt(np.maximum(1.0 - share / self._length**2, 0.0))

    def fit(self, *parts: Functional) -> Match:
        """Returns the best sum of these."""
        columns = self._columns(parts)
        errors = self._errors(columns)
        good = np.flatnonzero(errors <= max(self._tolerance, float(errors.min()) + 1e-7))
        return _best(self._exact(parts, columns, int(i)) for i in good[:3])

    def _exact(self, parts: Sequence[Functional], columns: Array, which: int) -> Match:
        matrix, target = self._norms[which][self._problem, None] * columns, self._target
        lengths = np.linalg.norm(matrix, axis=0)
        if not np.all(lengths > 0.0) or not np.isfinite(matrix).all():
            return Match(parts[0], 0.0, (), 0.0, 1.0)
        weights = np.linalg.lstsq(matrix / lengths, target, rcond=1e-10)[0] / lengths
        fitted = matrix @ weights
        cosine = float(fitted @ target) / ((float(np.linalg.norm(fitted)) or 1.0) * self._length)
        first = int(np.argmax(np.abs(weights * lengths)))
        scale = float(weights[first])
        one = len(parts) == 1
        return Match(
            parts[first],
            scale,
            self._monomials[which],
            cosine * (float(np.sign(scale)) if one else 1.0),
            float(np.linalg.norm(target - fitted)) / self._length,
            () if one else tuple(zip(map(float, weights), parts, strict=True)),
        )


def _mixtures(target: _Target, known: Catalogue) -> Iterator[Match]:
    for pair in itertools.combinations(known.named(*known.mixed), 2):
        found = target.fit(*pair)
        if all(abs(c) > 1e-6 * abs(found.scale) for c, _ in found.terms):
            yield found


def _families(target: _Target, known: Catalogue) -> Iterator[Match]:
    for family in known.families:
        yield target.fit(_best_member(target, family))


def _best_member(target: _Target, family: FunctionalFamily, *fixed: Functional) -> Functional:
    """The best member, between a grid point's neighbours; roughly, if it is no match."""
    grid = family.grid

    def error(value: float) -> float:
        return target.error(family.at(value), *fixed)

    errors = [error(value) for value in grid]
    i = int(np.argmin(errors))
    low, high = grid[max(i - 1, 0)], grid[min(i + 1, len(grid) - 1)]

    def best(steps: int) -> Any:
        options = {"xatol": 1e-11 * max(abs(low), abs(high)), "maxiter": steps}
        return optimize.minimize_scalar(
            error, bounds=(low, high), method="bounded", options=options
        )

    found = best(_ROUGH)
    if errors[i] <= min(found.fun, _EXACT):
        return family.at(grid[i])  # exact, as where the error is a step function
    return family.at(float((best(80) if found.fun < _PROMISING else found).x))


def _planes(target: _Target, known: Catalogue) -> Iterator[Match]:
    """Two parameters at once, such as a temperature of p and one of q."""
    for plane in known.planes:

        def member(t: Array, plane: FunctionalPlane = plane) -> Functional:
            return plane.at(*np.exp(np.clip(t, -6.0, 6.0)).tolist())

        def error(t: Array, member: Callable[[Array], Functional] = member) -> float:
            return target.error(member(t))

        found = _descend(error, min(np.log(np.array(plane.starts)), key=error), 4 * _ROUGH)
        if found.fun < _PROMISING:
            found = _descend(error, found.x, 400)
        yield target.fit(member(found.x))


def _descend(error: Callable[[Array], float], start: Array, steps: int) -> Any:
    options = {"xatol": 1e-10, "fatol": 1e-12, "maxiter": steps}
    return optimize.minimize(error, start, method="Nelder-Mead", options=options)


def _with_extra(target: _Target, known: Catalogue) -> Iterator[Match]:
    """A divergence, with temperatures or without, and the cross-entropy of labels."""
    for extra in known.extra:
        yield target.fit(extra)
        for part in known.named("forward", "reverse", "jensen_shannon"):
            yield target.fit(part, extra)
        for family in known.families:
            if family.parameter == "temperature":
                yield target.fit(_best_member(target, family, extra), extra)


# What was found, in words and formulas.

_NEAR = 1e-4


def scale_words(
    scale: float, powers: Sequence[tuple[str, int]], constants: Mapping[str, float]
) -> str:
    """Returns a scale as it arises: "" for 1, such as "1/V", "0.5 B", "temperature²", by the loss's own numbers."""
    above = [n for n, e in powers if e > 0]
    below = [n for n, e in powers if e < 0]
    number = _number_words(abs(scale), constants)
    words = " ".join([*([number] if number else []), *above])
    if below:
        names = below[0] if len(below) == 1 else f"({' '.join(below)})"
        words = f"{words or '1'}/{names}"
    return f"-{words or '1'}" if scale < 0.0 else words


def _number_words(size: float, constants: Mapping[str, float]) -> str:
    if math.isclose(size, 1.0, rel_tol=_NEAR):
        return ""
    for power, mark in ((1, ""), (2, "²"), (-1, "⁻¹")):
        names = [
            name
            for name, value in constants.items()
            if value not in (0.0, 1.0) and math.isclose(size, value**power, rel_tol=_NEAR)
        ]
        if len(names) == 1:  # of two with one value, either may be meant
            return f"{names[0]}{mark}"
    return "(1/log 2)" if math.isclose(size, 1.0 / math.log(2.0), rel_tol=_NEAR) else f"{size:.6g}"


def label(match: Match) -> str:
    """Returns what was found as a formula."""
    if match.terms:
        parts = (f"{c:.4g} {_in_words(q)}".removeprefix("1 ") for c, q in match.terms)
        return " + ".join(parts).replace("+ -", "- ")
    return _in_words(match.functional)


def _in_words(functional: Functional) -> str:
    found = dict(functional.parameters)
    text = functional.label
    if "temperature" in found:
        return f"{text} at temperature {found['temperature']:.4g}"
    if "temperature_p" in found:
        return f"{text} at temperatures {found['temperature_p']:.4g} of p, {found['temperature_q']:.4g} of q"
    if "label_smoothing" in found:
        share = found["label_smoothing"]
        return f"KL(p'||q), p' = {1.0 - share:.4g} p + {share:.4g}/V"
    if "epsilon" in found:
        return f"{text} with {found['epsilon']:.2g} added inside the logarithms"
    return text + "".join(f", {n} = {v:.4g}" for n, v in functional.parameters)
