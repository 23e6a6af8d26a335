"""What can be said of a fit to samples once it is made: goodness of fit, forward KL, what fewer rows cost."""

from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from kullback.diagnostics._goodness import gap, goodness
from kullback.diagnostics._learning_curve import learning_curve, too_much
from kullback.distributions._base import Distribution
from kullback.estimators._nearest_neighbours import (
    MOST_COLUMNS,
    MOST_ROWS,
    neighbour_kl,
    ruled_by_one,
)
from kullback.fitting._rows import Rows
from kullback.fitting._run import Run
from kullback.fitting._scores import Score
from kullback.results._estimate import Estimate
from kullback.results._likelihood import Goodness, Learnt, Likelihood

_NO_KL = "KL(p||q) itself is not estimated"
#: Rows at a time where they are gathered.
_BLOCK = 16_384


@final
@dataclass(frozen=True, eq=False)
class Checked:
    """Findings on a fit to samples.

    Attributes:
        goodness, gap, learning: as of `Likelihood`.
        forward_kl: by nearest neighbours; None where it does not resolve.
        notes: what was not done, and why.
    """

    goodness: tuple[Goodness, ...] = ()
    gap: Estimate | None = None
    learning: tuple[Learnt, ...] = ()
    forward_kl: Estimate | None = None
    notes: tuple[str, ...] = ()

    def added_to(self, likelihood: Likelihood) -> Likelihood:
        """Returns what is known of the maximum with these findings."""
        return replace(likelihood, goodness=self.goodness, gap=self.gap, learning=self.learning)


def check(
    family: Any,
    at: Any,
    rows: Rows,
    sample: Rows,
    left_out: Score | None,
    run: Run,
    *,
    kept_prior: tuple[int, ...],
) -> Checked:
    """Returns the findings on a fit; none where no rows could be left out.

    Args:
        family: of the mixtures.
        at: the fit, in scaled coordinates.
        rows: all.
        sample: some of them, in memory.
        left_out: the score of rows left out.
        run: randomness and someone to tell.
        kept_prior: components that have the prior.
    """
    if left_out is None:
        return Checked()
    q, notes = family.distribution(at, rows), []
    run.watch("goodness of fit")
    rng = run.generator("goodness of fit")
    tests = goodness(family, at, rows, sample, rng, kept_prior=kept_prior)
    apart = None if rows.source.missing else gap(q, left_out, rng)
    run.watch("KL(p||q) by nearest neighbours")
    kl, reason = _forward_kl(family, q, left_out, rows, run.generator("nearest neighbours"))
    notes += [f"{_NO_KL}: {reason}"] if reason else []
    learnt: tuple[Learnt, ...] = ()
    if left_out.values is not None and ruled_by_one(left_out.values):
        notes.append("one row decides the score of rows left out: fits to fewer rows say nothing")
    elif not too_much(family, rows, len(at.weights)):
        rng = run.generator("fits to fewer rows")
        learnt = learning_curve(family, rows, left_out, rng, run.watch)
    return Checked(tests, apart, learnt, kl, tuple(notes))


def _forward_kl(
    family: Any, q: Distribution, left_out: Score, rows: Rows, rng: np.random.Generator
) -> tuple[Estimate | None, str]:
    """The estimate, or why there is none."""
    if any(kind != "continuous" for kind in rows.kinds):
        return None, "some columns are not continuous"
    if rows.source.missing:
        return None, "values are missing"
    if len(rows.kinds) > MOST_COLUMNS:
        return None, f"neighbours are too far away in more than {MOST_COLUMNS} columns"
    if abs(rows.effective - rows.total) > 1e-3 * rows.total:
        return None, "weights are not numbers of rows"
    x, log_q = _gathered(family, left_out, rng)
    found = neighbour_kl(x, log_q, q, rng)
    return (found, "") if found.kind != "unresolved" else (None, found.notes[0])


def _gathered(
    family: Any, left_out: Score, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Rows left out in random order, with log q of the fit that has not seen them."""
    chance = min(1.0, 1.2 * MOST_ROWS / sum(part.total for _, part in left_out.parts))
    points, logs = [], []
    for q, part in left_out.parts:
        for x, weights in part.blocks(_BLOCK):
            times = rng.binomial(weights.astype(np.int64), chance)
            picked = np.repeat(np.arange(len(times)), times)
            if len(picked):
                chosen = x[:, picked]
                logs.append(family.final.log_prob(q, chosen) - part.log_unit(chosen))
                points.append(chosen.T * part.scale + part.center)
    order = rng.permutation(sum(len(v) for v in logs))
    return np.concatenate(points)[order], np.concatenate(logs)[order]
