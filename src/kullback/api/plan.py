"""Planning: which method would answer, before anything is computed."""

from kullback.api.measure import pair
from kullback.core.errors import InputError, KullbackError, UnsupportedError
from kullback.distributions.base import Distribution
from kullback.families import recipe_of
from kullback.inputs.given import is_sampled
from kullback.inputs.target import Target, read, sampled
from kullback.measure.question import KL
from kullback.measure.table import METHODS, choose
from kullback.results.plan import Cell, Plan, PlanRow
from kullback.results.status import Status
from kullback.routes.table import DOES, EXPECTATION, NEEDS, ROUTES, Route
from kullback.routes.table import choose as choose_route


def plan(p: object, q: object = None, *, family: object = None, normalize: bool = False) -> Plan:
    """Returns which method would answer in both directions, before anything is computed.

    With q, the table of methods that measure KL(p||q) and KL(q||p); with a family, the table of routes by
    which a member of it would be fitted to p.

    Args:
        p, q: as in `kl_divergence`; p as in `fit`, where a family is given.
        family: as in `fit`, instead of q.
        normalize: divide probabilities by their sum.

    Raises:
        InputError: p or q cannot be used, or neither q nor a family is given.

    Example:
        >>> plan("normal(0, sd=1)", "laplace(0, scale=1)").forward.method
        'closed form'
        >>> import numpy as np
        >>> plan(np.zeros((9, 2)), family="mixture:2").reverse.method
        'plug_in'
    """
    if (q is None) == (family is None):
        raise InputError("plan takes q, to measure KL, or family=, to fit one: give one of them")
    if family is not None:
        return _plan_of_fit(read(p), recipe_of(family))
    p, q = sampled(p, "p"), sampled(q, "q")
    if is_sampled(p, q):
        chosen = [_of_samples(p, q, normalize=normalize), _of_samples(q, p, normalize=normalize)]
        from kullback.measure.samples.table import TABLE  # noqa: PLC0415 - it loads classifiers

        table = TABLE
    else:
        left, right = pair(p, q, normalize=normalize)
        chosen = [_chosen(left, right), _chosen(right, left)]
        table = tuple((row.name, row.applies, row.gives) for row in METHODS)
    names = [name for name, _ in chosen]
    rows = tuple(PlanRow(*row, row[0] == names[0], row[0] == names[1]) for row in table)
    return Plan(
        rows, _cell("forward", "KL(p||q)", *chosen[0]), _cell("reverse", "KL(q||p)", *chosen[1])
    )


def _plan_of_fit(p: Target, family: object) -> Plan:
    """The routes from what is known of p, and those that a family would take."""
    routes: dict[str, Route | str] = {}
    for direction in ("forward", "reverse"):
        try:
            routes[direction] = choose_route(p, family, direction)
        except KullbackError as error:
            routes[direction] = f"none: {error}"
    rows = tuple(
        PlanRow(
            row.solver, f"{row.direction}: {row.families.words}", row.gives,
            row is routes["forward"], row is routes["reverse"],
        )
        for row in ROUTES if row.known == p.known and row.solver and row.least <= p.dimension <= row.most
    )  # fmt: skip
    named = {
        d: (r, Status.REFUSED) if isinstance(r, str) else (r.solver, Status.DONE)
        for d, r in routes.items()
    }
    return Plan(
        rows,
        _cell("forward", "KL(p||q)", *named["forward"]),
        _cell("reverse", "KL(q||p)", *named["reverse"]),
        str(family),
    )


def _chosen(p: Distribution, q: Distribution) -> tuple[str, Status]:
    """The method, or why there is none."""
    try:
        return choose(KL, p, q)[0].name, Status.DONE
    except UnsupportedError as error:
        return f"none: {error}", Status.REFUSED


def _of_samples(p: object, q: object, *, normalize: bool) -> tuple[str, Status]:
    from kullback.measure.samples.table import method  # noqa: PLC0415 - it loads classifiers

    try:
        return method(p, q, normalize=normalize), Status.DONE
    except UnsupportedError as error:
        return f"none: {error}", Status.REFUSED


def _cell(name: str, direction: str, method: str, status: Status) -> Cell:
    return Cell(direction, name, method, EXPECTATION[name], NEEDS[name], DOES[name], status)
