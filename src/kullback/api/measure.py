"""Measuring: the divergence between p and q, with its error."""

import math
from dataclasses import replace

import numpy as np

from kullback.api.extremes import extremes_told
from kullback.core.errors import InputError, UnsupportedError
from kullback.distributions.base import Distribution
from kullback.inputs.batch import Batch, batch, is_batch, plain_normal
from kullback.inputs.given import distribution, grids, is_sampled
from kullback.inputs.target import sampled
from kullback.losses.divergences import divergence_row
from kullback.measure.batch import normal_kls, row_kls
from kullback.measure.question import CROSS_ENTROPY, ENTROPY, KL, Question, of_divergence
from kullback.measure.sums import measure_grid
from kullback.measure.table import Effort, choose, label
from kullback.results.batch import Answer, EstimateArray
from kullback.results.estimate import Estimate, Outcome, unresolved
from kullback.tables.kinds import check_whole
from kullback.tables.rows import Rows
from kullback.targets import Counts, Samples

#: A gigabyte or two of numbers in one dimension.
_MOST_DRAWS = 2**26


def kl_divergence(
    p: object,
    q: object,
    *,
    method: str | None = None,
    n: int | None = None,
    tolerance: float | None = None,
    dx: float | None = None,
    normalize: bool = False,
    key: object = 0,
) -> Answer:
    """Returns KL(p||q), the mean under p of log p - log q, in nats, with its error.

    The method is the first row of `plan(p, q)` that applies: a closed form in float64, a sum, quadrature
    on the line, Monte Carlo otherwise. It is 0 only if p = q, and infinite where q is 0 and p is not.

    Args:
        p, q: NumPyro, SciPy or torch distributions, LogDensity, Known, expressions such as
            "normal(0, sd=2)", probability vectors, or densities on a grid (with `dx`). One or both
            may be `Samples`, a data frame or the path of a table of them, or `Counts`: then the answer is
            an estimate, or a lower bound, or unresolved with what it is at least.
        method: "closed form", "sum", "quadrature" or "monte carlo", instead of the table's choice.
        n: draws, for Monte Carlo; otherwise as many as `tolerance` takes.
        tolerance: the standard error to reach, in nats; a thousandth of the value by default.
        dx: spacing of the grid, when p and q are densities on one.
        normalize: divide probabilities by their sum.
        key: randomness, an int or a JAX key.

    Raises:
        InputError: what was given cannot be used; the message says what, where and the remedy.
        UnsupportedError: no method can answer.

    Example:
        >>> print(kl_divergence("normal(0, sd=2)", "normal(0, sd=3)"))
        KL(p||q) = 0.127687 nats (exact, closed form)

    Source: Kullback and Leibler (1951), On information and sufficiency.
    """
    effort = _effort(n, tolerance, key)
    p, q = sampled(p, "p"), sampled(q, "q")
    if is_sampled(p, q):
        _check_plain(method=method, n=n, tolerance=tolerance, dx=dx)
        # Here and not above: classifiers and trees take as long to load as a closed form to answer.
        from kullback.measure.samples.table import sampled_kl  # noqa: PLC0415

        return sampled_kl(p, q, key, normalize=normalize)
    return _ask(KL, p, q, effort, method=method, dx=dx, normalize=normalize)


def divergence(
    p: object,
    q: object,
    *,
    kind: str,
    alpha: float | None = None,
    method: str | None = None,
    n: int | None = None,
    tolerance: float | None = None,
    dx: float | None = None,
    normalize: bool = False,
    key: object = 0,
) -> Answer:
    """Returns an f-divergence between p and q; `notes` say which convention it follows.

    Args:
        p, q, method, n, tolerance, dx, normalize, key: as in `kl_divergence`.
        kind: "forward_kl", "reverse_kl", "jeffreys", "jensen_shannon", "jensen_shannon_sum",
            "jensen_shannon_distance", "pearson_chi2", "neyman_chi2", "squared_hellinger",
            "total_variation", "alpha" or "renyi".
        alpha: the order, for "alpha" and "renyi".

    Raises:
        InputError: the kind is unknown, or something given cannot be used.

    Example:
        >>> print(divergence([0.5, 0.5], [0.9, 0.1], kind="total_variation"))
        TV(p,q) = 0.4 ± ... (numeric, sum, n = 2)

    Source: Nowozin, Cseke and Tomioka (2016), f-GAN, table 1; Renyi (1961).
    """
    effort = _effort(n, tolerance, key)
    p, q = sampled(p, "p"), sampled(q, "q")
    question = of_divergence(divergence_row(kind, alpha))
    return _ask(question, p, q, effort, method=method, dx=dx, normalize=normalize)


def cross_entropy(
    p: object,
    q: object,
    *,
    method: str | None = None,
    n: int | None = None,
    tolerance: float | None = None,
    dx: float | None = None,
    normalize: bool = False,
    key: object = 0,
) -> Answer:
    """Returns H(p, q), the mean under p of -log q, in nats: KL(p||q) + H(p), never called a KL.

    p may be `Samples` or what holds rows, or `Counts`: the mean of -log q over them, with its standard error.

    Args:
        p, q, method, n, tolerance, dx, normalize, key: as in `kl_divergence`.

    Raises:
        InputError, UnsupportedError: as of `kl_divergence`.

    Example:
        >>> print(cross_entropy("normal(0, sd=1)", "normal(0, sd=1)"))
        H(p,q) = 1.41894 nats (exact, closed form)
    """
    effort = _effort(n, tolerance, key)
    p, q = sampled(p, "p"), sampled(q, "q")
    if isinstance(p, (Samples, Counts)):
        _check_plain(method=method, n=n, tolerance=tolerance, dx=dx)
        return _over_samples(p, distribution(q, "q", normalize=normalize))
    return _ask(CROSS_ENTROPY, p, q, effort, method=method, dx=dx, normalize=normalize)


def entropy(
    p: object,
    *,
    method: str | None = None,
    n: int | None = None,
    tolerance: float | None = None,
    dx: float | None = None,
    normalize: bool = False,
    key: object = 0,
) -> Answer:
    """Returns H(p), the mean under p of -log p, in nats; of a density it may be negative.

    Args:
        p, method, n, tolerance, dx, normalize, key: as in `kl_divergence`.

    Raises:
        InputError, UnsupportedError: as of `kl_divergence`.

    Example:
        >>> print(entropy([0.5, 0.5]).bits)
        H(p) = 1 bits (exact, closed form)
    """
    effort = _effort(n, tolerance, key)
    p = sampled(p, "p")
    return _ask(ENTROPY, p, p, effort, method=method, dx=dx, normalize=normalize)


def pair(p: object, q: object, *, normalize: bool = False) -> tuple[Distribution, Distribution]:
    """Returns p and q as distributions of one shape.

    Raises:
        InputError: they are not distributions, or events of different dimension.
    """
    left = distribution(p, "p", normalize=normalize)
    right = left if q is p else distribution(q, "q", normalize=normalize)
    a, b = left.support, right.support
    if a.dimension != b.dimension:
        raise InputError(f"p and q are not of one shape: p lives on {a}, q on {b}")
    if a.kind == b.kind == "integers" and _both_vectors(p, q) and a.high != b.high:
        raise InputError(f"p has {a.high + 1:g} probabilities and q {b.high + 1:g}")
    return left, right


def _both_vectors(p: object, q: object) -> bool:
    return all(isinstance(x, (list, tuple, np.ndarray)) for x in (p, q))


def _ask(
    question: Question,
    p: object,
    q: object,
    effort: Effort,
    *,
    method: str | None,
    dx: float | None,
    normalize: bool,
) -> Answer:
    if dx is not None and not (math.isfinite(dx) and dx > 0.0):
        raise InputError(f"dx={dx}: dx must be positive and finite, the spacing of the grid")
    with extremes_told(p=p, q=q, dx=dx):
        if question is KL and method is None and dx is None:
            left, right = plain_normal(p), plain_normal(q)
            if left is not None and right is not None:
                return label(KL, _number(choose(KL, left, right)[1](effort)), left, right)
        gridded = grids(p, q, dx)
        if gridded is not None:
            left, right = gridded
            return label(question, measure_grid(question, left.density, right.density, left.dx))
        if is_batch(p) or is_batch(q):
            pairs = batch(p, "p", normalize=normalize), batch(q, "q", normalize=normalize)
            return _each(question, *pairs, effort, method)
        first, second = pair(p, q, normalize=normalize)
        _, run = choose(question, first, second, method)
        return label(question, _number(run(effort)), first, second)


def _each(question: Question, p: Batch, q: Batch, effort: Effort, method: str | None) -> Answer:
    """The answers for a batch: by one formula for all where there is one, else one by one."""
    try:
        shape = np.broadcast_shapes(p.shape, q.shape)
    except ValueError:
        raise InputError(f"p is a batch of shape {p.shape} and q of shape {q.shape}") from None
    plain = question.name in ("kl", "forward_kl") and method in (None, "closed form")
    found: tuple[np.ndarray, np.ndarray] | None = None
    if plain and p.normal is not None and q.normal is not None:
        found = normal_kls(*p.normal, *q.normal)
    elif plain and p.rows is not None and q.rows is not None:
        if p.rows.shape[-1] != q.rows.shape[-1]:
            raise InputError(f"p has {p.rows.shape[-1]} probabilities and q {q.rows.shape[-1]}")
        found = row_kls(p.rows, q.rows)
    if found is not None and not np.isnan(found[0]).any():
        value, error = (np.broadcast_to(a, shape) for a in found)
        endless = np.isinf(value)
        kind = np.full(shape, "exact", dtype="<U8")
        kind[endless] = "infinite"
        nowhere: tuple[str, ...] = ("support: q is 0 where p is not",)
        notes: dict[tuple[int, ...], tuple[str, ...]] = {
            tuple(map(int, at)): nowhere for at in np.argwhere(endless)
        }
        error = np.where(endless, 0.0, error)
        ends = np.stack([value - error, value + error], axis=-1)
        return EstimateArray(
            value, error, ends, kind, question.quantity, "closed form", None, notes
        ).answer
    return _one_by_one(question, p, q, effort, method, shape).answer


def _one_by_one(
    question: Question,
    p: Batch,
    q: Batch,
    effort: Effort,
    method: str | None,
    shape: tuple[int, ...],
) -> EstimateArray:
    places = [np.arange(math.prod(b.shape)).reshape(b.shape) for b in (p, q)]
    spread = [np.broadcast_to(place, shape) for place in places]
    answers: dict[tuple[int, int], Estimate] = {}
    found = np.empty(shape, dtype=object)
    for at in np.ndindex(*shape):
        pair_of = int(spread[0][at]), int(spread[1][at])
        if pair_of not in answers:
            left, right = (
                b.element(tuple(int(i) for i in np.unravel_index(k, b.shape)) if b.shape else ())
                for b, k in zip((p, q), pair_of, strict=True)
            )
            first, second = pair(left, right)
            _, run = choose(question, first, second, method)
            answers[pair_of] = label(question, _number(run(effort)), first, second)
        found[at] = answers[pair_of]
    return EstimateArray.of(found)


def _number(outcome: Outcome) -> Outcome:
    """NaN is no number and no error, whatever computed it: it is said, with no value that looks like one."""
    if outcome.kind == "unresolved" or not (math.isnan(outcome.value) or math.isnan(outcome.error)):
        return outcome
    reason = "the arithmetic left the range of float64: no number came out"
    return unresolved(math.nan, reason, outcome.method, outcome.n)


def _over_samples(p: Samples | Counts, q: Distribution) -> Estimate:
    values, account = _rows_of(p, q)
    counts = np.ones(len(values)) if account.counts is None else account.counts
    x = values[:, 0] if q.support.dimension == 0 and values.shape[1] == 1 else values
    if x.ndim == 2 and x.shape[1] != q.support.dimension:
        raise InputError(f"p has {x.shape[1]} columns, but q lives on {q.support}")
    if isinstance(p, Samples) and not q.takes_gaps:
        check_whole(values, p.columns, "and q is a density of whole rows")
    losses = -q.log_prob(x)
    if np.isposinf(losses[counts > 0.0]).any():
        at = int(np.argmax(np.isposinf(losses) & (counts > 0.0)))
        reason = f"support: q is 0 at row {at}"
        return label(CROSS_ENTROPY, Outcome(np.inf, 0.0, "infinite", "samples", notes=(reason,)))
    # Here and not above: a closed form needs none of it.
    from kullback.measure.samples.means import mean_of  # noqa: PLC0415

    found = mean_of(losses, account, list(values.T))
    notes = (found.note,) if found.note else ()
    n = len(losses) if account.weighted else round(found.n)
    if found.reason and isinstance(p, Samples):
        outcome = unresolved(found.value, found.reason, "mean over samples", n)
        return label(CROSS_ENTROPY, replace(outcome, notes=(*outcome.notes, *notes)))
    outcome = Outcome(found.value, found.error, "estimate", "mean over samples", n, notes=notes)
    return label(CROSS_ENTROPY, outcome)


def _rows_of(p: Samples | Counts, q: Distribution) -> tuple[np.ndarray, Rows]:
    """Returns rows, and what they stand for."""
    if isinstance(p, Samples):
        return p.values, p.rows
    if not q.support.discrete or q.support.dimension:
        raise UnsupportedError(f"p is counts of levels, but q lives on {q.support}")
    if len(p.values) > q.support.high + 1.0:
        raise InputError(f"p has {len(p.values)} levels and q {q.support.high + 1:g} probabilities")
    return np.arange(float(len(p.values)))[:, None], Rows(frequencies=p.values, order=False)


def _check_plain(**asked: object) -> None:
    """Raises InputError for options that mean nothing where draws are what is known."""
    for name, value in asked.items():
        if value is not None:
            raise InputError(
                f"{name}={value!r} is for densities: samples and counts are measured in one way only"
            )


def _effort(n: int | None, tolerance: float | None, key: object) -> Effort:
    if n is not None and (isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 32):
        raise InputError(f"n={n}: the number of draws must be an integer of at least 32")
    if n is not None and n > _MOST_DRAWS:
        raise InputError(
            f"n={n}: at most {_MOST_DRAWS:,} draws are taken at once, which is a relative error of about 1e-4; "
            "give fewer"
        )
    if tolerance is not None and not tolerance > 0.0:
        raise InputError(f"tolerance={tolerance}: the standard error to reach must be positive")
    return Effort(None if n is None else int(n), tolerance, key)
