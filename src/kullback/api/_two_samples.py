"""KL where one side or both are known by samples or by counts only."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from kullback._core.errors import InputError, UnsupportedError
from kullback._core.randomness import generator
from kullback._core.threads import one_thread
from kullback.api import _coerce
from kullback.distributions._base import Distribution
from kullback.estimators import _clusters, _column, _counts, _sampled
from kullback.estimators._encoding import encode
from kullback.estimators._independent import independent
from kullback.estimators._joint_kl import FEWEST_ROWS, joint_kl
from kullback.estimators._nearest_neighbours import MOST_COLUMNS as MOST_NEAR
from kullback.estimators._nearest_neighbours import neighbour_kl
from kullback.estimators._tally import Tally, tally_kl
from kullback.results._estimate import Estimate
from kullback.targets import Counts, Samples

Table = Float[np.ndarray, "_n _d"]
#: Rows of each sample that several columns together are learned from, at most.
MOST_ROWS = 10_000
#: Draws of a known density stand for it: so many for each row of the other, within limits.
_DRAWS, _FEWEST_DRAWS, _MOST_DRAWS = 4, 4000, 200_000
_DIRECTION = "KL(p||q)"
#: With more of p than this at levels seen once, the entropy of p is not known.
_MOST_SINGLES = 0.15


def is_sampled(p: object, q: object) -> bool:
    """Whether one of the two is known by draws only."""
    return isinstance(p, (Samples, Counts)) or isinstance(q, (Samples, Counts))


def sampled_kl(p: object, q: object, key: object, *, normalize: bool = False) -> Estimate:
    """Returns KL(p||q) where p or q are samples or counts.

    Args:
        p, q: `Samples`, `Counts`, or on one side what `kl_divergence` takes.
        key: randomness of folds, halves and draws.
        normalize: divide probabilities by their sum.

    Raises:
        InputError: the columns of the two do not fit together.
        UnsupportedError: counts against something without levels.
    """
    if isinstance(p, Counts) or isinstance(q, Counts):
        return _of_counts(p, q, normalize=normalize)
    with one_thread():
        return _of_draws(p, q, generator(key), normalize=normalize)


def column_tally(p: Samples, q: Samples, i: int = 0) -> _column.Tallied:
    """Returns the counts of a column of two samples, weights as rows."""
    x, y = p.values[:, i], q.values[:, i]
    coded = p.kinds[i] == "category"
    of_x, of_y = (_counted(side, i, levels=coded) for side in (p, q))
    if coded:
        labels = tuple(dict.fromkeys((*p.labels[i], *q.labels[i])))
        x, y = recoded(x, p.labels[i], labels), recoded(y, q.labels[i], labels)
        return _column.of_codes(x, y, labels, of_x, of_y)
    times = _clusters.copies(x[np.isfinite(x)], y[np.isfinite(y)])
    of_x, of_y = (
        w if t == 1.0 else (np.ones(len(v)) if w is None else w) / t
        for v, w, t in zip((x, y), (of_x, of_y), times, strict=True)
    )
    return _column.of_numbers(x, y, of_x, of_y)


def _counted(side: Samples, i: int, *, levels: bool) -> Float[np.ndarray, " n"] | None:
    """Returns how many independent rows each row of a column counts for."""
    weights = _sampled.scaled(side.weights)
    if weights is None or _clusters.whole(weights):
        return weights
    x = side.values[:, i]
    return weights / _clusters.design_effect(x, None, levels=levels, weights=weights)


def recoded(
    codes: Float[np.ndarray, " n"], have: tuple[str, ...], want: tuple[str, ...]
) -> Float[np.ndarray, " n"]:
    """Returns the codes of labels among other labels; NaN stays NaN."""
    if have == want:
        return codes
    place = {name: float(i) for i, name in enumerate(want)}
    table = np.array([place[name] for name in have])
    return np.where(np.isnan(codes), np.nan, table[np.nan_to_num(codes).astype(np.int64)])


def _of_draws(p: object, q: object, rng: np.random.Generator, *, normalize: bool) -> Estimate:
    if isinstance(p, Samples) and isinstance(q, Samples):
        return _of_samples(p, q, rng)
    if isinstance(p, Samples):
        return _against_density(p, _coerce.distribution(q, "q", normalize=normalize), rng)
    assert isinstance(q, Samples)
    known = _coerce.distribution(p, "p", normalize=normalize)
    if known.support.discrete and known.support.dimension == 0:
        raise UnsupportedError(
            "p is discrete and known, q by samples only: draw from p and give Samples for both"
        )
    return _of_samples(_drawn(known, len(q.values), "p", rng), q, rng)


def _of_samples(p: Samples, q: Samples, rng: np.random.Generator) -> Estimate:
    p, q = _alike(p, q)
    rows = len(p.values) + len(q.values)
    if p.values.shape[1] == 1:
        return _sampled.of_tally(tally_kl(column_tally(p, q).tally), _DIRECTION, rows)
    weights = (_sampled.scaled(p.weights), _sampled.scaled(q.weights))
    rows_p, rows_q = independent((p.values, q.values), weights, (None, None), rng, MOST_ROWS)
    x, y = p.values[rows_p], q.values[rows_q]
    fewer = min(len(x), len(y))
    if fewer < FEWEST_ROWS:
        return Estimate.unresolved(
            np.nan, f"{fewer} independent rows are too few to learn from: it takes {FEWEST_ROWS} of each",
            quantity="kl", direction=_DIRECTION, method="scores from other rows", n=rows, at_least=0.0,
        )  # fmt: skip
    coded = np.array([kind == "category" for kind in p.kinds])
    found = joint_kl(encode(x, y, coded), rng)
    made = _sampled.of_joint(found, 0, _DIRECTION, len(x) + len(y), x.shape[1])
    if (len(x), len(y)) == (len(p.values), len(q.values)):
        return made
    drawn = f"learned from {len(x):,} and {len(y):,} independent rows drawn of {rows:,}"
    return replace(made, notes=(*made.notes, drawn))


def _alike(p: Samples, q: Samples) -> tuple[Samples, Samples]:
    """Returns two samples whose columns are the same, those of q in the order of p's."""
    if p.values.shape[1] != q.values.shape[1]:
        raise InputError(
            f"p has {p.values.shape[1]} columns and q {q.values.shape[1]}: they must have the same, "
            "or compare tables column by column with diff(p, q)"
        )
    if set(p.columns) == set(q.columns) and p.columns != q.columns:
        order = [q.columns.index(name) for name in p.columns]
        q = Samples(
            q.values[:, order], q.weights, columns=p.columns, kinds=[q.kinds[i] for i in order],
            labels=tuple(q.labels[i] for i in order), missing=q.missing,
        )  # fmt: skip
    for name, a, b in zip(p.columns, p.kinds, q.kinds, strict=True):
        if (a == "category") != (b == "category"):
            raise InputError(
                f"column {name!r} is {a} in p and {b} in q: say kinds={{{name!r}: ...}}"
            )
    if not any(k == "category" for k in p.kinds):
        return p, q
    labels = tuple(tuple(dict.fromkeys((*a, *b))) for a, b in zip(p.labels, q.labels, strict=True))
    return _with_labels(p, labels), _with_labels(q, labels)


def _with_labels(side: Samples, labels: tuple[tuple[str, ...], ...]) -> Samples:
    columns = [
        recoded(side.values[:, i], side.labels[i], labels[i])
        if k == "category"
        else side.values[:, i]
        for i, k in enumerate(side.kinds)
    ]
    return Samples(
        np.column_stack(columns), side.weights, columns=side.columns, kinds=side.kinds,
        labels=labels, missing=side.missing,
    )  # fmt: skip


def _against_density(p: Samples, q: Distribution, rng: np.random.Generator) -> Estimate:
    """KL of draws against a density: -E_p[log q] is a mean, H(p) is by nearest neighbours."""
    d = max(q.support.dimension, 1)
    if p.values.shape[1] != d:
        raise InputError(f"p has {p.values.shape[1]} columns, but q lives on {q.support}")
    if not q.normalized:
        raise UnsupportedError(
            "q is not normalised, so KL(p||q) is known up to log Z only: cross_entropy(p, q) has that"
        )
    if q.support.discrete:
        return _against_masses(p, q)
    if p.weights is None and not np.isnan(p.values).any():
        x = p.values[rng.permutation(len(p.values))]
        log_q = q.log_prob(x[:, 0] if q.support.dimension == 0 else x)
        if np.isneginf(log_q).any():
            outside = int(np.isneginf(log_q).sum())
            return Estimate.infinite(
                f"support: q is 0 at {outside:,} of the {len(x):,} rows of p",
                quantity="kl", direction=_DIRECTION, method="samples",
            )  # fmt: skip
        if d <= MOST_NEAR and min(len(x), MOST_ROWS) >= max(50 * d, 100):
            return neighbour_kl(x, log_q, q, rng)
    return _of_samples(p, _drawn(q, len(p.values), "q", rng), rng)


def _drawn(known: Distribution, rows: int, name: str, rng: np.random.Generator) -> Samples:
    """Returns draws of a density that stand for it."""
    number = min(max(_DRAWS * rows, _FEWEST_DRAWS), _MOST_DRAWS)
    try:
        drawn = known.sample(rng, number)
    except UnsupportedError:
        raise UnsupportedError(
            f"{name} cannot be drawn from, and the other side is known by samples only: give "
            "Known(log_prob=..., sample=...)"
        ) from None
    return Samples(drawn.reshape(number, -1))


def _against_masses(p: Samples, q: Distribution) -> Estimate:
    if q.support.dimension:
        raise UnsupportedError(f"samples against a discrete q on {q.support}: give Counts for both")
    x = p.values[:, 0]
    levels, which = np.unique(x, return_inverse=True)
    counts = np.bincount(which, _sampled.scaled(p.weights)).astype(np.float64)
    return _known_masses(counts, q.log_prob(levels), [f"{v:g}" for v in levels])


def _known_masses(
    counts: Float[np.ndarray, " s"], log_q: Float[np.ndarray, " s"], names: list[str]
) -> Estimate:
    """KL of counted draws against known probabilities: Zhang's entropy estimate, log q exact."""
    held = counts > 0.0
    if np.isneginf(log_q[held]).any():
        at = names[int(np.flatnonzero(held)[np.argmax(np.isneginf(log_q[held]))])]
        return Estimate.infinite(
            f"support: q is 0 at level {at}, where p has draws", quantity="kl",
            direction=_DIRECTION, method="digamma counts",
        )  # fmt: skip
    n = float(counts.sum())
    singles = float(counts[counts == 1.0].sum()) / n
    value, error = _counts.against_known(counts, log_q)
    said = {"quantity": "kl", "direction": _DIRECTION, "method": "digamma counts", "n": int(n)}
    if singles > _MOST_SINGLES:
        return Estimate.unresolved(
            np.nan, f"{100.0 * singles:.0f} % of p's rows are at levels seen once only", **said
        )  # pyright: ignore[reportArgumentType] # fmt: skip
    return Estimate.sampled(value, error, **said)  # pyright: ignore[reportArgumentType]


def _of_counts(p: object, q: object, *, normalize: bool) -> Estimate:
    if isinstance(p, Counts) and isinstance(q, Counts):
        labels = tuple(dict.fromkeys((*p.labels, *q.labels)))
        x, y = (_at(side, labels) for side in (p, q))
        held = (x > 0.0) | (y > 0.0)
        found = tally_kl(Tally(x[held], y[held]))
        return _sampled.of_tally(found, _DIRECTION, int(x.sum() + y.sum()))
    if not isinstance(p, Counts):
        raise UnsupportedError(
            "q is known by counts only, p is not: give Counts for both, or swap them and read the "
            "direction in the label"
        )
    known = _coerce.distribution(q, "q", normalize=normalize)
    if not known.support.discrete or known.support.dimension:
        raise UnsupportedError(f"p is counts of levels, but q lives on {known.support}")
    if len(p.values) > known.support.high + 1.0:
        raise InputError(
            f"p has {len(p.values)} levels and q {known.support.high + 1:g} probabilities"
        )
    levels = np.arange(len(p.values), dtype=np.float64)
    return _known_masses(p.values, known.log_prob(levels), list(p.labels))


def _at(counts: Counts, labels: tuple[str, ...]) -> Float[np.ndarray, " s"]:
    held = dict(zip(counts.labels, counts.values.tolist(), strict=True))
    return np.array([held.get(name, 0.0) for name in labels])
