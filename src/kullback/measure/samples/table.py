"""KL where one side or both are known by samples or by counts only."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.numerics import one_thread
from kullback.core.run import generator
from kullback.distributions.base import Distribution
from kullback.inputs.given import distribution
from kullback.measure.neighbours import MOST_COLUMNS, far_rows, neighbour_kl
from kullback.measure.samples.cells import against_known
from kullback.measure.samples.classifiers import encode, varies
from kullback.measure.samples.counts import Tallied, Tally, of_codes, of_numbers, tally_kl
from kullback.measure.samples.dependence import (
    copies,
    counts_of,
    depends,
    groups_of,
    independent,
    lasting,
)
from kullback.measure.samples.estimates import LEVELS, RANKS, of_joint, of_tally
from kullback.measure.samples.joint import (
    FEWEST_ROWS,
    joint_kl,
)
from kullback.results.estimate import Estimate
from kullback.results.quantity import FORWARD_KL
from kullback.tables.kinds import check_whole
from kullback.targets import Counts, Samples

Table = Float[np.ndarray, "_n _d"]
#: Rows of each sample that several columns together are learned from, at most.
MOST_ROWS = 10_000
#: Draws of a known density stand for it: so many for each row of the other, within limits.
_DRAWS, _FEWEST_DRAWS, _MOST_DRAWS = 4, 4000, 200_000
_DIRECTION = "KL(p||q)"
#: With more of p than this at levels seen once, the entropy of p is not known.
_MOST_SINGLES = 0.15
#: A missing value is no place where a density has no mass.
_WHOLE = "and {}, which is a density, is of whole rows"


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


def column_tally(p: Samples, q: Samples, i: int = 0) -> tuple[Tallied, tuple[str, ...]]:
    """Returns the counts of a column of two samples, and what is said of rows that are not independent."""
    x, y = p.values[:, i], q.values[:, i]
    coded = p.kinds[i] == "category"
    times, counted, notes = (1.0, 1.0), [], []
    if not coded:
        times = copies(x[np.isfinite(x)], y[np.isfinite(y)])
    for values, side, t in zip((x, y), (p, q), times, strict=True):
        length, inferred = lasting([values], [coded], side.rows)
        of_side = counts_of(values, side.rows, length * t, levels=coded)
        counted.append(of_side)
        notes += [depends(length)] if inferred else []
    if not coded:
        return of_numbers(x, y, *counted), tuple(notes)
    labels = tuple(dict.fromkeys((*p.labels[i], *q.labels[i])))
    x, y = recoded(x, p.labels[i], labels), recoded(y, q.labels[i], labels)
    return of_codes(x, y, labels, *counted), tuple(notes)


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
        check_whole(p.values, p.columns, _WHOLE.format("q"))
        return _against_density(p, distribution(q, "q", normalize=normalize), rng)
    assert isinstance(q, Samples)
    check_whole(q.values, q.columns, _WHOLE.format("p"))
    known = distribution(p, "p", normalize=normalize)
    if known.support.discrete and known.support.dimension == 0:
        raise UnsupportedError(
            "p is discrete and known, q by samples only: draw from p and give Samples for both"
        )
    return _of_samples(_drawn(known, len(q.values), "p", rng), q, rng)


def _of_samples(p: Samples, q: Samples, rng: np.random.Generator) -> Estimate:
    p, q = _alike(p.written_out, q.written_out)
    found = _measured(p, q, rng)
    far = _far(p, q) if found.kind in ("estimate", "lower_bound") else 0
    if not far:
        return found
    low = max(found.interval[0], 0.0)
    return Estimate.unresolved(
        np.nan, f"{far} row(s) of p lie so far from all rows of q that they may decide it", FORWARD_KL,
        method=found.method, n=found.n, at_least=low if np.isfinite(low) else 0.0, notes=found.notes,
    )  # fmt: skip


def _far(p: Samples, q: Samples) -> int:
    """Returns how many rows of p are far from q, in columns of numbers."""
    numbers = [
        i for i, kind in enumerate(p.kinds)
        if kind == "continuous" and np.isfinite(p.values[:, i]).all() and varies(q.values[:, i])
    ]  # fmt: skip
    if not numbers or len(numbers) > MOST_COLUMNS:
        return 0
    x, y = (s.values[:, numbers][np.isfinite(s.values[:, numbers]).all(axis=1)] for s in (p, q))
    return far_rows(x, y)


def _measured(p: Samples, q: Samples, rng: np.random.Generator) -> Estimate:
    rows = len(p.values) + len(q.values)
    varying = [
        i
        for i, x in enumerate(zip(p.values.T, q.values.T, strict=True))
        if varies(np.concatenate(x))
    ]
    if len(varying) < 2:
        at = varying[0] if varying else 0
        tallied, notes = column_tally(p, q, at)
        made = of_tally(tally_kl(tallied.tally), _DIRECTION, rows)
        return replace(made, notes=(*made.notes, *notes))
    coded = np.array([kind == "category" for kind in p.kinds])
    lengths = [lasting(list(s.values.T), [bool(c) for c in coded], s.rows) for s in (p, q)]
    groups = [
        groups_of(s.rows, len(s.values), k) for s, (k, _) in zip((p, q), lengths, strict=True)
    ]
    rows_p, rows_q = independent(
        (p.values, q.values), (p.rows, q.rows), (groups[0], groups[1]), rng, MOST_ROWS
    )
    x, y = p.values[rows_p], q.values[rows_q]
    fewer = min(len(x), len(y))
    if fewer < FEWEST_ROWS:
        return Estimate.unresolved(
            np.nan, f"{fewer} independent rows are too few to learn from: it takes {FEWEST_ROWS} of each",
            FORWARD_KL, method="scores from other rows", n=rows, at_least=0.0,
        )  # fmt: skip
    found = joint_kl(encode(x, y, coded), rng)
    made = of_joint(found, 0, _DIRECTION, len(x) + len(y), x.shape[1])
    if (len(x), len(y)) == (len(p.values), len(q.values)):
        return made
    drawn = f"learned from {len(x):,} and {len(y):,} independent rows drawn of {rows:,}"
    lasts = tuple(depends(k) for k, inferred in lengths if inferred)
    return replace(made, notes=(*made.notes, drawn, *lasts))


def _alike(p: Samples, q: Samples) -> tuple[Samples, Samples]:
    """Returns two samples whose columns are the same, those of q in the order of p's."""
    if p.values.shape[1] != q.values.shape[1]:
        raise InputError(
            f"p has {p.values.shape[1]} columns and q {q.values.shape[1]}: they must have the same, "
            "or compare tables column by column with diff(p, q)"
        )
    if set(p.columns) == set(q.columns) and p.columns != q.columns:
        order = [q.columns.index(name) for name in p.columns]
        q = replace(
            q, values=q.values[:, order], columns=p.columns, kinds=tuple(q.kinds[i] for i in order),
            labels=tuple(q.labels[i] for i in order),
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
    return replace(side, values=np.column_stack(columns), labels=labels)


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
    p = p.written_out
    if _is_plain(p):
        x = p.values[rng.permutation(len(p.values))]
        log_q = q.log_prob(x[:, 0] if q.support.dimension == 0 else x)
        if np.isneginf(log_q).any():
            outside = int(np.isneginf(log_q).sum())
            return Estimate.infinite(
                f"support: q is 0 at {outside:,} of the {len(x):,} rows of p",
                FORWARD_KL, method="samples",
            )  # fmt: skip
        if d <= MOST_COLUMNS and min(len(x), MOST_ROWS) >= max(50 * d, 100):
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
    length, _ = lasting([x], [False], p.rows)
    of_rows = counts_of(x, p.rows, length, levels=False)
    counts = np.bincount(which, of_rows).astype(np.float64)
    return _known_masses(counts, q.log_prob(levels), [f"{v:g}" for v in levels])


def _known_masses(
    counts: Float[np.ndarray, " s"], log_q: Float[np.ndarray, " s"], names: list[str]
) -> Estimate:
    """KL of counted draws against known probabilities: Zhang's entropy estimate, log q exact."""
    held = counts > 0.0
    if np.isneginf(log_q[held]).any():
        at = names[int(np.flatnonzero(held)[np.argmax(np.isneginf(log_q[held]))])]
        return Estimate.infinite(
            f"support: q is 0 at level {at}, where p has draws", FORWARD_KL, method="digamma counts",
        )  # fmt: skip
    n = float(counts.sum())
    singles = float(counts[counts == 1.0].sum()) / n
    value, error = against_known(counts, log_q)
    method = "digamma counts"
    if singles > _MOST_SINGLES:
        return Estimate.unresolved(
            np.nan, f"{100.0 * singles:.0f} % of p's rows are at levels seen once only", FORWARD_KL,
            method=method, n=int(n),
        )  # fmt: skip
    return Estimate.sampled(value, error, FORWARD_KL, method=method, n=int(n))


def _of_counts(p: object, q: object, *, normalize: bool) -> Estimate:
    if isinstance(p, Counts) and isinstance(q, Counts):
        labels = tuple(dict.fromkeys((*p.labels, *q.labels)))
        x, y = (_at(side, labels) for side in (p, q))
        held = (x > 0.0) | (y > 0.0)
        found = tally_kl(Tally(x[held], y[held]))
        return of_tally(found, _DIRECTION, int(x.sum() + y.sum()))
    if not isinstance(p, Counts):
        raise UnsupportedError(
            "q is known by counts only, p is not: give Counts for both, or swap them and read the "
            "direction in the label"
        )
    known = distribution(q, "q", normalize=normalize)
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


# Which method answers where one side or both are known by samples or counts, before anything is computed.

_SCORES = "scores from other rows"
_NEAR = "nearest neighbours, bias measured on draws of q"
#: Names as in `Estimate.method`, to what they apply, and what they may give.
TABLE = (
    (LEVELS, "counts, or one column of levels or few values", "estimate, infinite, unresolved"),
    (_NEAR, f"rows of p, up to {MOST_COLUMNS} columns, and a density q", "estimate, infinite, unresolved"),
    (RANKS, "one column of numbers", "estimate, unresolved"),
    (_SCORES, "several columns", "estimate, lower bound, unresolved"),
)  # fmt: skip


def method(p: object, q: object, *, normalize: bool = False) -> str:
    """Returns the method of KL(p||q), of which one is known by samples or counts.

    Raises:
        InputError: the columns of the two are not as many.
        UnsupportedError: there is no method.
    """
    if isinstance(p, Counts) or isinstance(q, Counts):
        if not isinstance(p, Counts):
            raise UnsupportedError("q is known by counts only, p is not: give Counts for both")
        return LEVELS
    if isinstance(p, Samples) and isinstance(q, Samples):
        _check_columns(p.values.shape[1], q.values.shape[1])
        if p.values.shape[1] > 1:
            return _SCORES
        return LEVELS if column_tally(p, q)[0].tally.rest is None else RANKS
    if isinstance(p, Samples):
        check_whole(p.values, p.columns, _WHOLE.format("q"))
        return _method_against_density(p, distribution(q, "q", normalize=normalize))
    known = distribution(p, "p", normalize=normalize)
    if known.support.discrete:
        raise UnsupportedError("p is discrete and known, q by samples only: draw from p")
    assert isinstance(q, Samples)
    check_whole(q.values, q.columns, _WHOLE.format("p"))
    _check_columns(max(known.support.dimension, 1), q.values.shape[1])
    return _SCORES if q.values.shape[1] > 1 else RANKS


def _method_against_density(p: Samples, q: Distribution) -> str:
    n, d = p.values.shape
    _check_columns(d, max(q.support.dimension, 1))
    if not q.normalized:
        raise UnsupportedError("q is not normalised: cross_entropy(p, q) is what can be had")
    if q.support.discrete:
        return LEVELS
    if _is_plain(p) and d <= MOST_COLUMNS and min(n, MOST_ROWS) >= max(50 * d, 100):
        return _NEAR
    return _SCORES if d > 1 else RANKS


def _check_columns(of_p: int, of_q: int) -> None:
    if of_p != of_q:
        raise InputError(f"p has {of_p} column(s) and q {of_q}: they must have the same")


def _is_plain(p: Samples) -> bool:
    """Whether rows are independent, count alike and have no gaps, so that distances between them mean something."""
    if np.isnan(p.values).any() or not replace(p.rows, frequencies=None).plain:
        return False
    return lasting(list(p.values.T), [False] * len(p.columns), p.rows)[0] == 1.0
