"""Planning: which method would answer, printed before anything is computed."""

from kullback._core.errors import UnsupportedError
from kullback.api import _sampled_plan
from kullback.api._extremes import extremes_told
from kullback.api._measure import pair
from kullback.api._two_samples import is_sampled
from kullback.distributions._base import Distribution
from kullback.estimators import _directions, _select
from kullback.estimators._question import KL
from kullback.results._plan import Cell, Plan, PlanRow


def plan(p: object, q: object, *, normalize: bool = False) -> Plan:
    """Returns the table of methods with the rows that KL(p||q) and KL(q||p) would take.

    Args:
        p, q: as in `kl_divergence`.
        normalize: divide probabilities by their sum.

    Raises:
        InputError: p or q cannot be used.

    Example:
        >>> plan("normal(0, sd=1)", "laplace(0, scale=1)").forward.method
        'closed form'
    """
    if is_sampled(p, q):
        chosen = [_of_samples(p, q, normalize=normalize), _of_samples(q, p, normalize=normalize)]
        table = _sampled_plan.TABLE
    else:
        with extremes_told(p=p, q=q):
            left, right = pair(p, q, normalize=normalize)
            chosen = [_chosen(left, right), _chosen(right, left)]
        table = tuple((row.name, row.applies, row.gives) for row in _select.TABLE)
    rows = tuple(PlanRow(*row, row[0] == chosen[0], row[0] == chosen[1]) for row in table)
    return Plan(
        rows,
        _cell("forward", "KL(p||q)", chosen[0]),
        _cell("reverse", "KL(q||p)", chosen[1]),
    )


def _chosen(p: Distribution, q: Distribution) -> str:
    try:
        return _select.choose(KL, p, q)[0].name
    except UnsupportedError as error:
        return f"none: {error}"


def _of_samples(p: object, q: object, *, normalize: bool) -> str:
    try:
        return _sampled_plan.method(p, q, normalize=normalize)
    except UnsupportedError as error:
        return f"none: {error}"


def _cell(name: str, direction: str, method: str) -> Cell:
    return Cell(
        direction,
        name,
        method,
        _directions.EXPECTATION[name],
        _directions.NEEDS[name],
        _directions.DOES[name],
    )
