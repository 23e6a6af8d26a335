"""Finding what a loss equals, up to one number and powers of the sizes."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from scipy import optimize

from kullback.check_loss.quantities import Array, Catalogue, Family, Plane, Quantity, Seen

#: Steps of a first search along a family; it goes on if the error then is below the second number.
_ROUGH = 14
_PROMISING = 0.02


@final
@dataclass(frozen=True, eq=False)
class Match:
    """What was found, or the nearest.

    Attributes:
        quantity: what it is compared with; for mixtures the first part.
        scale: the number in front.
        powers: exponents of the sizes that go with it, such as {"V": -1}.
        cosine: of loss and match over all problems, with their sign.
        error: relative error over all problems.
        terms: for mixtures, all parts with their numbers.
    """

    quantity: Quantity
    scale: float
    powers: tuple[tuple[str, int], ...]
    cosine: float
    error: float
    terms: tuple[tuple[float, Quantity], ...] = ()

    def predicted_values(self, sizes: Sequence[dict[str, int]]) -> Array:
        """Returns the value the loss would have if it were this as a value too."""
        norm = norms(self.powers, sizes)
        if self.terms:
            return norm * sum(c * part.values for c, part in self.terms)
        return norm * self.scale * self.quantity.values


def norms(powers: Sequence[tuple[str, int]], sizes: Sequence[dict[str, int]]) -> Array:
    """Returns the product of powers of sizes, for each problem."""
    return np.array([np.prod([float(s[name]) ** e for name, e in powers]) for s in sizes])


def monomials(sizes: Sequence[dict[str, int]]) -> list[tuple[tuple[str, int], ...]]:
    """Returns powers of those sizes that vary, the simplest first."""
    names = [n for n in sizes[0] if len({s[n] for s in sizes}) > 1]
    found = itertools.product(*[[(n, e) for e in (0, -1, 1)] for n in names])
    kept = [tuple((n, e) for n, e in powers if e) for powers in found]
    return sorted(kept, key=len)


def match_gradient(seen: Seen, known: Catalogue) -> Match:
    """Returns what the gradient is, or the nearest to it; its `error` tells which."""
    search = _Search(seen)
    best = min((search.fit(q) for q in known.plain), key=_rank)
    uniform = known.named("reverse_uniform")
    if best.quantity.name == "entropy" and best.scale < 0.0 and uniform is not None:
        return search.fit(
            uniform
        )  # the same slope: raising the entropy is descending KL(q||uniform)
    if best.error <= seen.tolerance:
        return best
    for attempt in (_mixtures, _families, _with_extra, _planes):
        for found in attempt(search, known):
            if found.error <= seen.tolerance:
                return found
    return best


def match_values(seen: Seen, known: Sequence[Quantity]) -> Match:
    """Returns which quantity the values are, or the nearest."""
    as_vectors = Seen(
        seen.values, tuple(np.atleast_1d(v) for v in seen.values), seen.sizes, seen.tolerance
    )
    search = _Search(as_vectors, relative=True)
    rows = [
        Quantity(q.name, q.label, q.values, tuple(np.atleast_1d(v) for v in q.values), q.parameters)
        for q in known
    ]
    best = min((search.fit(row) for row in rows), key=lambda m: (m.error > seen.tolerance, m.error))
    original = next(q for q, row in zip(known, rows, strict=True) if row is best.quantity)
    return Match(original, best.scale, best.powers, best.cosine, best.error)


def _rank(match: Match) -> float:
    return match.error


@final
class _Search:
    """The target, scaled so that every problem counts alike."""

    def __init__(self, seen: Seen, *, relative: bool = False) -> None:
        lengths = np.array([np.linalg.norm(g) for g in seen.gradients])
        floor = 1e-3 * float(np.median(lengths)) or 1.0
        self.weights = 1.0 / np.maximum(lengths, floor)
        self.target = [w * g for w, g in zip(self.weights, seen.gradients, strict=True)]
        self.length = float(np.sqrt(sum((t**2).sum() for t in self.target))) or 1.0
        self.sizes = seen.sizes
        self.tolerance = seen.tolerance
        self.monomials = monomials(seen.sizes)
        self.norms = np.array([norms(m, seen.sizes) for m in self.monomials])
        self._squares = np.array([(t**2).sum() for t in self.target])

    def scaled(self, quantity: Quantity) -> list[Array]:
        return [w * g for w, g in zip(self.weights, quantity.gradients, strict=True)]

    def error(self, quantity: Quantity) -> float:
        """The relative error with the best powers, as fast as can be."""
        return float(np.min(self._errors(self.scaled(quantity))))

    def _errors(self, columns: list[Array]) -> Array:
        cross = np.array([float(c @ t) for c, t in zip(columns, self.target, strict=True)])
        squares = np.array([float(c @ c) for c in columns])
        above, below = self.norms @ cross, self.norms**2 @ squares
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(below > 0, above**2 / below, 0.0)
        return np.sqrt(np.maximum(1.0 - share / self.length**2, 0.0))

    def fit(self, quantity: Quantity) -> Match:
        columns = self.scaled(quantity)
        errors = self._errors(columns)
        good = np.flatnonzero(errors <= max(self.tolerance, float(errors.min()) + 1e-7))
        found = [self._exact([(quantity, columns)], int(i)) for i in good[:3]]
        return min(found, key=lambda m: m.error)

    def errors_of_sum(self, one: list[Array], other: list[Array]) -> Array:
        """The relative errors of the best sum of two, for each power of the sizes."""
        cross = np.array(
            [
                [c @ t, d @ t, c @ c, c @ d, d @ d]
                for c, d, t in zip(one, other, self.target, strict=True)
            ]
        )
        first, second = self.norms @ cross[:, 0], self.norms @ cross[:, 1]
        a, b, c = (self.norms**2 @ cross[:, i] for i in (2, 3, 4))
        with np.errstate(invalid="ignore", divide="ignore"):
            share = (c * first**2 - 2.0 * b * first * second + a * second**2) / (a * c - b**2)
        return np.sqrt(np.maximum(1.0 - np.nan_to_num(share) / self.length**2, 0.0))

    def fit_sum(self, quantities: Sequence[Quantity]) -> Match:
        parts = [(q, self.scaled(q)) for q in quantities]
        errors = self.errors_of_sum(*(columns for _, columns in parts))
        found = [self._exact(parts, int(i)) for i in np.argsort(errors)[:2]]
        return min(found, key=lambda m: m.error)

    def _exact(self, parts: list[tuple[Quantity, list[Array]]], which: int) -> Match:
        norm = self.norms[which]
        matrix = np.stack(
            [np.concatenate([n * c for n, c in zip(norm, cs, strict=True)]) for _, cs in parts], 1
        )
        target = np.concatenate(self.target)
        lengths = np.linalg.norm(matrix, axis=0)
        if not np.all(lengths > 0.0) or not np.isfinite(matrix).all():
            return Match(parts[0][0], 0.0, (), 0.0, 1.0)
        weights = np.linalg.lstsq(matrix / lengths, target, rcond=1e-10)[0] / lengths
        fitted = matrix @ weights
        size = float(np.linalg.norm(fitted)) or 1.0
        cosine = float(fitted @ target) / (size * self.length)
        error = float(np.linalg.norm(target - fitted)) / self.length
        first = int(np.argmax(np.abs(weights * lengths)))
        terms = tuple(zip(map(float, weights), (q for q, _ in parts), strict=True))
        sign = float(np.sign(weights[first])) if len(parts) == 1 else 1.0
        return Match(
            parts[first][0],
            float(weights[first]),
            self.monomials[which],
            cosine * sign,
            error,
            terms if len(parts) > 1 else (),
        )


def _mixtures(search: _Search, known: Catalogue) -> Iterator[Match]:
    parts = [q for name in known.mixed if (q := known.named(name)) is not None]
    for pair in itertools.combinations(parts, 2):
        found = search.fit_sum(pair)
        if all(abs(c) > 1e-6 * abs(found.scale) for c, _ in found.terms):
            yield found


def _families(search: _Search, known: Catalogue) -> Iterator[Match]:
    for family in known.families:
        errors = [search.error(family.at(value)) for value in family.grid]
        yield search.fit(_refined(search, family, int(np.argmin(errors))))


def _refined(search: _Search, family: Family, i: int) -> Quantity:
    """The family's best member between a grid point's neighbours; roughly, if it is no match."""
    grid = family.grid
    low, high = grid[max(i - 1, 0)], grid[min(i + 1, len(grid) - 1)]

    def best(steps: int) -> Any:
        return optimize.minimize_scalar(
            lambda value: search.error(family.at(value)),
            bounds=(low, high),
            method="bounded",
            options={"xatol": 1e-11 * max(abs(low), abs(high)), "maxiter": steps},
        )

    found = best(_ROUGH)
    return family.at(float((best(80) if found.fun < _PROMISING else found).x))


def _planes(search: _Search, known: Catalogue) -> Iterator[Match]:
    """Two parameters at once, such as a temperature of p and one of q."""
    for plane in known.planes:

        def made(t: Array, plane: Plane = plane) -> Quantity:
            return plane.at(*np.exp(np.clip(t, -6.0, 6.0)).tolist())

        def error(t: Array, made: Callable[[Array], Quantity] = made) -> float:
            return search.error(made(t))

        best = min(np.log(np.array(plane.starts)), key=error)
        found = _descend(error, best, 4 * _ROUGH)
        if found.fun < _PROMISING:
            found = _descend(error, found.x, 400)
        yield search.fit(made(found.x))


def _descend(error: Callable[[Array], float], start: Array, steps: int) -> Any:
    options = {"xatol": 1e-10, "fatol": 1e-12, "maxiter": steps}
    return optimize.minimize(error, start, method="Nelder-Mead", options=options)


def _with_extra(search: _Search, known: Catalogue) -> Iterator[Match]:
    """A divergence, with temperatures or without, and the cross-entropy of labels."""
    for extra in known.extra:
        yield search.fit(extra)
        for name in known.mixed:
            if (part := known.named(name)) is not None:
                yield search.fit_sum((part, extra))
        for family in known.families:
            if family.parameter != "temperature":
                continue

            fixed = search.scaled(extra)

            def error(t: float, family: Family = family, fixed: list[Array] = fixed) -> float:
                return float(search.errors_of_sum(search.scaled(family.at(t)), fixed).min())

            i = int(np.argmin([error(t) for t in family.grid]))
            low, high = family.grid[max(i - 1, 0)], family.grid[min(i + 1, len(family.grid) - 1)]
            found: Any = optimize.minimize_scalar(
                error, bounds=(low, high), method="bounded", options={"xatol": 1e-10}
            )
            yield search.fit_sum((family.at(float(found.x)), extra))


# What was found, in words and formulas.

_NEAR = 1e-4


def scale_words(
    scale: float, powers: Sequence[tuple[str, int]], constants: Mapping[str, float]
) -> str:
    """Returns a scale as it arises: "" for 1, such as "1/V", "0.5 B", "temperature²".

    Args:
        scale: the number.
        powers: exponents of sizes.
        constants: the loss's own numbers by name, in which the scale may be recognised.
    """
    above = [n for n, e in powers if e > 0]
    below = [n for n, e in powers if e < 0]
    number = _number_words(scale, constants)
    front = " ".join([*([number] if number not in ("", "-") else []), *above])
    if below:
        front = (
            f"{front or '1'}/{' '.join(below)}"
            if len(below) == 1
            else f"{front or '1'}/({' '.join(below)})"
        )
    if number == "-":
        return f"-{front}" if front else "-1"
    return front


def _number_words(scale: float, constants: Mapping[str, float]) -> str:
    if math.isclose(scale, 1.0, rel_tol=_NEAR):
        return ""
    if math.isclose(scale, -1.0, rel_tol=_NEAR):
        return "-"
    sign = "-" if scale < 0.0 else ""
    for name, value in constants.items():
        for power, mark in ((1, ""), (2, "²"), (-1, "⁻¹")):
            if value not in (0.0, 1.0) and math.isclose(abs(scale), value**power, rel_tol=_NEAR):
                return f"{sign}{name}{mark}"
    if math.isclose(abs(scale), 1.0 / math.log(2.0), rel_tol=_NEAR):
        return f"{sign}(1/log 2)"
    return f"{scale:.6g}"


def label(match: Match) -> str:
    """Returns what was found as a formula."""
    if match.terms:
        parts = [f"{c:.4g} {of_quantity(q)}" for c, q in match.terms]
        parts = [p.removeprefix("1 ") if p.startswith("1 ") else p for p in parts]
        return " + ".join(parts).replace("+ -", "- ")
    return of_quantity(match.quantity)


def of_quantity(quantity: Quantity) -> str:
    """Returns a quantity with its parameters."""
    found = dict(quantity.parameters)
    text = quantity.label
    if "temperature" in found:
        return f"{text} at temperature {found['temperature']:.4g}"
    if "temperature_p" in found:
        return f"{text} at temperatures {found['temperature_p']:.4g} of p, {found['temperature_q']:.4g} of q"
    if "label_smoothing" in found:
        share = found["label_smoothing"]
        return f"KL(p'||q), p' = {1.0 - share:.4g} p + {share:.4g}/V"
    if "epsilon" in found:
        return f"{text} with {found['epsilon']:.2g} added inside the logarithms"
    return text + "".join(f", {n} = {v:.4g}" for n, v in quantity.parameters)
