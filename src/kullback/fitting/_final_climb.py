"""The last climb of a mixture: maximum likelihood, but for components that it would shrink to points."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from kullback.fitting._climb import Climb, climb
from kullback.fitting._rows import Rows

#: How often components may be found to shrink, one after another, before all keep the prior.
_TIMES = 4


@final
@dataclass(frozen=True, eq=False)
class Last:
    """Where a last climb ended.

    Attributes:
        end: the climb.
        kept: components that the prior was kept for.
        passes: over the rows, with those of climbs that were given up.
    """

    end: Climb
    kept: tuple[int, ...]
    passes: int


def final_climb(
    family: Any,
    rows: Rows,
    at: Any,
    *,
    kept: tuple[int, ...] = (),
    tolerance: float,
    passes: int = 2000,
    watch: Callable[[int, float], None] = lambda *_: None,
    before: tuple[Any, ...] = (),
) -> Last:
    """Returns the maximum of the likelihood near a mixture, the prior kept where it must be.

    A component that the likelihood shrinks onto as many rows as there are columns, or fewer, has any
    density one likes: it keeps the prior on its covariance, and the climb begins anew. The others are free.

    Args:
        family: of the mixtures.
        rows: what is fitted to.
        at: where to begin.
        kept: components that keep the prior from the beginning.
        tolerance: nats over all rows that may be left to gain.
        passes: end after so many.
        watch: told the number of passes and the value after each.
        before: the path that led to `at`.
    """
    k, spent = len(at.weights), 0
    for _ in range(_TIMES):
        end = climb(
            family.keeping(kept, k),
            rows,
            at,
            tolerance=tolerance,
            passes=passes,
            watch=watch,
            before=before,
        )
        spent += end.passes
        few = tuple(i for i in family.floored(end.at, rows) if i not in kept)
        if end.interrupted or not few:
            return Last(end, kept, spent)
        kept = (*kept, *few)
    end = climb(
        family.model, rows, at, tolerance=tolerance, passes=passes, watch=watch, before=before
    )
    return Last(end, tuple(range(k)), spent + end.passes)
