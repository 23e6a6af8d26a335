"""Losses that draw random numbers of their own: what they are in the mean, told from what they are not.

Nothing is equal here to rounding: a name is given where the means over many draws differ from it by no more than
their standard errors allow, where these errors are small, and where no other name stands as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy import special

from kullback.check_loss.functionals import Array, Catalogue, Functional
from kullback.check_loss.judging import Judged, Under, known
from kullback.check_loss.matching import Match, monomials, norms
from kullback.check_loss.problems import Experiment
from kullback.interop.loss_calls import LossCall

#: Draws of a problem; the factor of a one-draw KL of a Gaussian is then known to about 1 %.
_DRAWS = 4096
#: Draws that are enough where the errors of the gradient are below this share of it: of losses that average.
_FEW, _ENOUGH = 512, 0.01
#: Batches of draws, whose means show the standard error.
_BATCHES = 64
#: The largest deviation in standard errors: exceeded by chance in one of 1,000 checks of 50 numbers.
_FAR = 4.5
#: The chance of a mean square deviation as large, half as many parts being taken for independent.
_CHANCE = 1e-4
#: A factor, or a rest, of this share of the signal must be visible.
_PRECISION = 0.1
#: Factors that are taken for what they nearly are.
_USUAL = (1.0, -1.0, 0.5, -0.5, 2.0, -2.0)


def draws_noise(call: LossCall, experiment: Experiment) -> bool:
    """Returns whether a loss of the same arguments has another value with other random numbers."""
    arguments = experiment.at(experiment.theta)[0]
    values, _ = call.repeated(arguments, (), experiment.weigh, 3)
    return bool(np.ptp(values) > 1e-9 * (1e-9 + np.abs(values).max()))


@final
@dataclass(frozen=True, eq=False)
class _Mean:
    """A mean over draws, and its standard errors."""

    value: float
    value_error: float
    gradient: Array
    gradient_error: Array
    deviation: float


def judge_noisy(
    call: LossCall, experiments: Sequence[Experiment], of_q: Sequence[str]
) -> Judged | None:
    """Returns what a loss is in the mean over its own random numbers; None where something is drawn besides.

    Args:
        call: the loss.
        experiments: the problems.
        of_q: the arguments that are differentiated.
    """
    if any(len(w) > 1 for e in experiments for w in e.weights.values()):
        return None
    means = [_mean(call, e, of_q) for e in experiments]
    if any(m is None for m in means):
        return None
    seen = [m for m in means if m is not None]
    table, sizes = known(experiments), [e.sizes for e in experiments]
    gradient = _best(
        [(m.gradient, m.gradient_error) for m in seen],
        table,
        sizes,
        [q.gradients for q in table.plain],
    )
    as_values = [tuple(np.atleast_1d(v) for v in q.values) for q in table.plain]
    value = _best(
        [(np.array([m.value]), np.array([m.value_error])) for m in seen], table, sizes, as_values,
        like=gradient[0].functional.name if gradient[0] is not None and gradient[1] else "",
    )  # fmt: skip
    values = np.array([m.value for m in seen])
    under = Under(
        drawn="",
        gradient=gradient[0],
        value=value[0],
        gradient_named=gradient[1],
        value_named=value[1],
        offset="",
        values=values,
        deviations=np.array([m.deviation for m in seen]),
        forward=table.values("forward"),
        reverse=table.values("reverse"),
    )
    count = _DRAWS if call.name != "numpy" else len(values)
    precision = "" if gradient[0] is None else f"; its gradient agrees to {gradient[0].error:.0%}"
    note = (
        f"it draws random numbers of its own: what it is in the mean, over up to {count:,} draws of each problem"
        f"{precision}, and no more exactly than that"
    )
    return Judged((under,), "none", reaches_p=False, bits=64, notes=(note,))


def _mean(call: LossCall, experiment: Experiment, of_q: Sequence[str]) -> _Mean | None:
    few = _mean_of(call, experiment, of_q, _FEW)
    if few is None or np.linalg.norm(few.gradient_error) < _ENOUGH * np.linalg.norm(few.gradient):
        return few
    return _mean_of(call, experiment, of_q, _DRAWS)


def _mean_of(
    call: LossCall, experiment: Experiment, of_q: Sequence[str], count: int
) -> _Mean | None:
    draw = experiment.at(experiment.theta)[0]
    try:
        values, slopes = call.repeated(draw, of_q, experiment.weigh, count)
    except Exception:  # noqa: BLE001 - what cannot be repeated cannot be averaged
        return None
    if slopes is None or not np.isfinite(values).all():
        return None
    # Standard errors by batches of draws: a pull for each would take longer than the loss.
    batches = np.array_split(np.arange(len(values)), _BATCHES)
    pulled = np.stack(
        [
            experiment.pull({k: g[i] for k, g in slopes.items()}, np.full(len(i), 1.0 / len(i)))
            for i in batches
        ]
    )
    spread = float(values.std(ddof=1))
    error = pulled.std(axis=0, ddof=1) / np.sqrt(_BATCHES)
    return _Mean(
        float(values.mean()), spread / np.sqrt(len(values)), pulled.mean(axis=0), error, spread
    )


def _best(
    seen: Sequence[tuple[Array, Array]],
    table: Catalogue,
    sizes: Sequence[dict[str, int]],
    columns: Sequence[Sequence[Array]],
    *,
    like: str = "",
) -> tuple[Match | None, bool]:
    """The only functional that the means are within their errors, or the nearest; None if they are zero."""
    target = np.concatenate([m for m, _ in seen])
    error = np.concatenate([e for _, e in seen])
    scale_of_one = np.linalg.norm(np.concatenate(list(columns[0])))
    error = np.maximum(error, 1e-9 * scale_of_one)
    reference = np.concatenate(list(columns[0]))
    if _close(target, error) and np.linalg.norm(error) < _PRECISION * np.linalg.norm(reference):
        return None, True
    fits = [
        _fit(target, error, functional, parts, powers, sizes)
        for functional, parts in zip(table.plain, columns, strict=True)
        for powers in monomials(sizes)
    ]
    standing = [fit for fit in fits if fit[0]]
    alike = [fit for fit in standing if fit[2].functional.name == like]
    standing = alike or standing
    names = {fit[2].functional.name for fit in standing}
    nearest = min(fits, key=lambda fit: fit[1])[2]
    if len(names) != 1:
        return nearest, False
    simplest = min(standing, key=lambda fit: (len(fit[2].powers), fit[1]))
    return simplest[2], True


def _close(rest: Array, error: Array) -> bool:
    z = rest / error
    parts = max(0.5 * len(z), 1.0)
    limit = float(special.chdtri(parts, _CHANCE)) / parts
    return bool(np.abs(z).max() < _FAR and (z**2).mean() < limit)


def _fit(
    target: Array,
    error: Array,
    functional: Functional,
    parts: Sequence[Array],
    powers: tuple[tuple[str, int], ...],
    sizes: Sequence[dict[str, int]],
) -> tuple[bool, float, Match]:
    column = np.concatenate([n * c for n, c in zip(norms(powers, sizes), parts, strict=True)])
    squares = float((column**2 / error**2).sum())
    if not np.isfinite(squares) or squares == 0.0:
        return False, np.inf, Match(functional, 0.0, (), 0.0, 1.0)
    scale = float((column * target / error**2).sum()) / squares
    of_scale = squares**-0.5
    usual = [
        u for u in _USUAL if abs(u - scale) < 3.0 * of_scale and of_scale < _PRECISION * abs(u)
    ]
    scale = usual[0] if usual else scale
    rest = target - scale * column
    length = float(np.linalg.norm(target))
    share = float(np.linalg.norm(rest)) / length
    stands = _close(rest, error) and max(of_scale / abs(scale), share) < _PRECISION
    cosine = float(column @ target) / (float(np.linalg.norm(column)) * length)
    return (
        stands,
        float((rest**2 / error**2).mean()),
        Match(functional, scale, powers, cosine, share),
    )
