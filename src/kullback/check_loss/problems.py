"""Small problems on which a loss is evaluated, with every batch that could be drawn."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, final, runtime_checkable

import numpy as np

from kullback.check_loss.categoricals import Pair, log_softmax
from kullback.check_loss.quantities import Array
from kullback.check_loss.roles import Role
from kullback.interop.loss_calls import Seed

Arguments = dict[str, Any]
#: Arguments by name, with what they are.
Reading = Mapping[str, Role]


@final
@dataclass(frozen=True, eq=False)
class Experiment:
    """One problem.

    Attributes:
        sizes: by name, as they enter scale factors: "B" examples, "T" tokens, "V" outcomes, "d" dimensions.
        rows: the shape of a loss that is not reduced.
        at: the arguments of every draw, at these parameters of q (flat); the draws stay.
        theta: the parameters.
        weights: the probability of every draw, by who draws: "q", "p", "other"; "" where nothing is drawn.
        pull: the gradient of one draw's arguments (stacked over draws) and weights, as one of theta.
        pair: logits of p and q, for what is compared.
        labels: logits of a third distribution, that of labels; None if there is none.
        advantages: of every outcome of each of the n distributions, (n, V); None if they are 0.
        kept: which parameters the gradient is of; all, but where the last token predicts nothing.
    """

    sizes: dict[str, int]
    rows: tuple[int, ...]
    at: Callable[[Array], list[Arguments]]
    theta: Array
    weights: dict[str, Array]
    pull: Callable[[dict[str, Array], Array], Array]
    pair: Any
    labels: Array | None = None
    advantages: Array | None = None
    kept: Any = ...  # an index: all

    def weigh(self, shape: tuple[int, ...]) -> Array | float:
        """Returns the weights of an output: a mean over rows; a sum over outcomes."""
        count = int(np.prod(shape, dtype=int)) if shape else 1
        last = self.sizes.get("V", self.sizes.get("d", 0))
        if len(shape) == len(self.rows) + 1 and shape[-1] == last:
            count //= last
        return 1.0 / count


def posed(
    reading: Reading,
    sizes: dict[str, int],
    rows: tuple[int, ...],
    theta: Array,
    weights: dict[str, Array],
    pair: Any,
    *,
    values: Callable[[Array], Callable[[Role, int], Array]],
    slope: Callable[[Role, Array, Array], Array],
    drawn: Array | None = None,
    others: Sequence[Array] = (),
    advantages: Array | None = None,
) -> Experiment:
    """Returns a problem, from what an argument of p or q is and how its gradient enters that of theta.

    Args:
        reading: what the arguments are.
        sizes, rows, theta, weights, pair: as of an Experiment.
        values: at parameters of q, the argument of a role in a draw.
        slope: the gradient of a role's argument, (M, size), and the weights of the M draws, as one of theta.
        drawn: what tokens or labels are in each draw, (M, *rows).
        others: what arguments are that say nothing of q, in order; zeros where these are not enough.
        advantages: of what is drawn in each draw; zeros where there are none.
    """

    def inert(role: Role, draw: int, rest: Iterator[Array]) -> Any:
        if role.kind == "constant":
            return constant(role.value, sizes)
        if role.kind == "key":
            return Seed(0)
        if role.kind == "advantage":
            shape = rows[:1] if role.value == "sequence" else rows
            return np.zeros(shape) if advantages is None else advantages[draw].copy()
        if role.kind in ("mask", "other"):
            other = others[0] if others else np.zeros(rows)
            return mask_of(role, rows) if role.kind == "mask" else next(rest, other)
        assert drawn is not None
        return drawn[draw, ...]

    def at(theta: Array) -> list[Arguments]:
        value = values(theta)

        def arguments(draw: int) -> Arguments:
            rest = iter(others)
            return {
                name: inert(role, draw, rest) if role.inert else value(role, draw)
                for name, role in reading.items()
            }

        return [arguments(draw) for draw in range(len(next(iter(weights.values()))))]

    def pull(gradients: dict[str, Array], w: Array) -> Array:
        parts = (slope(reading[n], g.reshape(len(w), -1), w) for n, g in gradients.items())
        return sum(parts, np.zeros_like(theta))

    return Experiment(sizes, rows, at, theta, weights, pull, pair)


def mask_of(role: Role, shape: tuple[int, ...]) -> Array:
    """A mask that keeps every token."""
    dtype, keep = role.value or (float, 1)
    return np.full(shape, keep, dtype)


def constant(value: Any, sizes: dict[str, int]) -> Any:
    """A constant; ("size", "V") stands for a size of the problem, "rows" for the number of rows."""
    if isinstance(value, tuple) and len(value) == 2 and value[0] == "size":
        if value[1] == "rows":
            return sizes.get("B", 1) * sizes.get("T", 1)
        return sizes.get(value[1], 1)
    return value


#: Sizes (B, T, V) without draws, and with all of them enumerated.
_PLAIN = ((3, 2, 5), (2, 3, 24), (4, 4, 130))
_DRAWN = ((2, 2, 3), (3, 1, 3), (2, 3, 2))
_SINGLE = ((2, 1, 4), (3, 1, 3), (4, 1, 2))
_SPREADS = (0.6, 1.0, 1.4)
_RATIOS = ("log_ratio", "ratio")


def pairs(
    reading: Reading, layout: str, key: int, spreads: Sequence[float] = _SPREADS
) -> list[Experiment]:
    """Returns problems for a loss of whole distributions, with labels or tokens or without.

    Args:
        reading: what the arguments are.
        layout: "(B,V)", "(B,T,V)", "(V)" or "(B,T,V) shifted", where labels are one token late.
        key: of the random numbers.
        spreads: sds of the logits.
    """
    rng = np.random.default_rng(key)
    kinds, sides = ({getattr(r, of) for r in reading.values()} for of in ("kind", "side"))
    drawn = "labels" if "labels" in kinds else "tokens" if "tokens" in kinds else ""
    posed_here: list[Experiment] = []
    shifted = layout.endswith("shifted")
    if shifted and drawn != "labels":
        return posed_here
    policies = {"": ("",), "labels": ("labels",) if "p" in sides else ("p",)}.get(
        drawn, ("other",) if "old" in sides else ("q", "p", "other")
    )
    for b, t, v in _DRAWN if drawn else _PLAIN:
        rows = {"(B,V)": (b,), "(B,T,V)": (b, t), "(V)": ()}.get(layout, (b, t))
        if shifted and t == 1:
            continue
        names = "LB" if layout == "[(B,V)]" else "BT"  # a list of L batches
        sizes = dict(zip(names, rows, strict=False)) | {"V": v}
        n = int(np.prod(rows, dtype=int))
        for spread in spreads:
            logits = spread * rng.standard_normal((3, n, v))
            one = _categorical(
                reading, sizes, rows, logits, np.arange(n), policies, old=2, late=shifted
            )
            posed_here.append(_without_last(one) if shifted else one)
    return posed_here


def sampled(
    reading: Reading,
    layout: str,
    key: int,
    spreads: Sequence[float] = _SPREADS,
    advantages: str = "",
) -> list[Experiment]:
    """Returns problems for a loss of log-probabilities of sampled tokens.

    Args:
        reading: what the arguments are.
        layout: "(B,T)" or "(B)".
        key: of the random numbers.
        spreads: sds of the logits.
        advantages: "token" or "sequence": of what they are; "" for 0.
    """
    rng = np.random.default_rng(key)
    old = any(role.side == "old" for role in reading.values())
    has_p = any(role.side == "p" or role.kind in _RATIOS for role in reading.values())
    policies = ("q", "other") if old else ("q", "p", "other") if has_p else ("p", "q")
    posed_here = []
    for b, t, v in _DRAWN if layout == "(B,T)" else _SINGLE:
        rows = (b, t) if layout == "(B,T)" else (b,)
        sizes = dict(zip("BT", rows, strict=False))
        for spread in spreads:
            logits = spread * rng.standard_normal((3, t, v))
            # The policy that drew the tokens is the old one, where the loss has one.
            for who in [(policy,) for policy in policies] if old else [policies]:
                drawing = {"p": 0, "q": 1, "other": 2}[who[0]]
                slots = np.tile(np.arange(t), b)
                posed_here.append(
                    _categorical(
                        reading, sizes, rows, logits, slots, who, old=drawing, advantages=advantages
                    )
                )
    return posed_here


def _without_last(experiment: Experiment) -> Experiment:
    """The same, the last token of each sequence left out of what is compared: it predicts nothing."""
    b, t = experiment.rows
    last = np.arange(b * t) % t == t - 1
    pair = Pair(experiment.pair.logits_p[~last], experiment.pair.logits_q[~last])
    kept, pull = np.repeat(~last, experiment.sizes["V"]), experiment.pull
    return replace(
        experiment,
        sizes=experiment.sizes | {"T": t - 1},
        pull=lambda gradients, w: pull(gradients, w)[kept],
        pair=pair,
        labels=None if experiment.labels is None else experiment.labels[~last],
        kept=kept,
    )


def _categorical(
    reading: Reading,
    sizes: dict[str, int],
    rows: tuple[int, ...],
    logits: Array,
    slots: Array,
    policies: Sequence[str],
    *,
    old: int,
    late: bool = False,
    advantages: str = "",
) -> Experiment:
    """Returns the problem of three rows of logits: of p, of q and of a third distribution.

    Args:
        reading, sizes, rows: as of `posed`.
        logits: (3, n, V).
        slots: for each token of a draw, which of the n distributions it is of.
        policies: who draws, "" for nobody.
        old: which of the three is the policy that drew.
        late: whether labels are one token late.
        advantages: "token", "sequence" or "": what has one.
    """
    v, logs = logits.shape[-1], log_softmax(logits)
    draws = itertools.product(range(v), repeat=len(slots)) if policies[0] else [[0] * len(slots)]
    tokens = np.array(list(draws)).reshape(-1, len(slots))
    of = {"p": logs[0], "q": logs[1], "other": logs[2], "labels": logs[2]}
    weights = {
        who: np.exp(of[who][slots, tokens].sum(axis=1)) if who else np.ones(1) for who in policies
    }
    drawn = _Drawn(logits, logs, slots, tokens, rows, old)
    shaped, q = tokens.reshape(-1, *rows), logits[1]
    table = np.random.default_rng(len(slots)).standard_normal(q.shape) if advantages else None
    given = None if table is None else table[slots, tokens].reshape(-1, *rows)
    if given is not None and advantages == "sequence":
        given = given.sum(axis=-1)
    experiment = posed(
        reading, sizes, rows, q.ravel(), weights, Pair(logits[0], q), values=drawn.values, slope=drawn.slope,
        drawn=np.roll(shaped, 1, axis=2) if late else shaped, advantages=given,
    )  # fmt: skip
    return replace(experiment, labels=logits[2] if "labels" in weights else None, advantages=table)


@final
@dataclass(frozen=True, eq=False)
class _Drawn:
    """Logits of p, q and a third with every draw of tokens: what arguments are, and how their gradients pull."""

    logits: Array
    logs: Array
    slots: Array
    tokens: Array
    rows: tuple[int, ...]
    old: int

    def _ratio(self, role: Role, log_q: Array, drawn: Array) -> Array:
        gap = (log_q - self.logs[0])[self.slots, drawn] * _sign(role)
        return np.exp(gap) if role.kind == "ratio" else gap

    def values(self, theta: Array) -> Callable[[Role, int], Array]:
        p, q = self.logits[0], theta.reshape(self.logits[1].shape)
        sides = {"q": q, "p": p, "old": self.logits[self.old]}
        log_of = {side: log_softmax(x) for side, x in sides.items()}

        def value(role: Role, draw: int) -> Array:
            drawn = self.tokens[draw]
            if role.kind in _RATIOS:
                return self._ratio(role, log_of["q"], drawn).reshape(self.rows)
            log = log_of[role.side]
            if role.kind == "sampled":
                return log[self.slots, drawn].reshape(self.rows)
            form = {"logits": sides[role.side], "log_probs": log, "probs": np.exp(log)}[role.kind]
            return form.reshape(*self.rows, q.shape[1]).copy()

        return value

    def slope(self, role: Role, g: Array, w: Array) -> Array:
        log_q = self.logs[1]
        mass = np.exp(log_q)
        if role.kind in ("sampled", *_RATIOS):
            if role.kind in _RATIOS:
                g = g * _sign(role)
                g = g * self._ratio(role, log_q, self.tokens) if role.kind == "ratio" else g
            hot = np.eye(mass.shape[1])[self.tokens] - mass[self.slots]
            out = np.zeros_like(mass)
            np.add.at(out, self.slots, np.einsum("m,ms,msv->sv", w, g, hot))
            return out.ravel()
        g = (w @ g).reshape(mass.shape)
        if role.kind == "log_probs":
            g = g - mass * g.sum(axis=1, keepdims=True)
        elif role.kind == "probs":
            g = mass * (g - (mass * g).sum(axis=1, keepdims=True))
        return g.ravel()


def _sign(role: Role) -> float:
    return 1.0 if role.side == "q" else -1.0


# Looking at a loss on experiments: expectations of its value and of its gradient.

#: Step of the differences and their weights, of fourth order.
_STEP = 1e-3
_STENCIL = ((1, 8.0 / 12.0), (-1, -8.0 / 12.0), (2, -1.0 / 12.0), (-2, 1.0 / 12.0))
_TOLERANCES = {64: 2e-5, 32: 2e-4, 16: 4e-3}


@runtime_checkable
class Call(Protocol):
    """A loss in its library; see `interop`."""

    name: str

    def many(
        self, draws: Sequence[Arguments], wanted: Sequence[str], weigh: Callable[..., Any]
    ) -> tuple[Array, dict[str, Array] | None, int]:
        """Returns values, gradients and the precision."""
        ...


@final
@dataclass(frozen=True, eq=False)
class Observed:
    """A loss on one experiment, under one way of drawing.

    Attributes:
        value: its expectation.
        deviation: the standard deviation of one batch.
        gradient: with respect to the parameters of q.
        given: the length of the gradient with respect to p's arguments.
        bits: the precision, 64, 32 or 16.
    """

    value: float
    deviation: float
    gradient: Array
    given: float
    bits: int


def observe(
    call: Call, experiment: Experiment, of_q: Sequence[str], of_p: Sequence[str]
) -> dict[str, Observed]:
    """Returns what a loss does on an experiment, for each way of drawing.

    Args:
        call: the loss.
        experiment: the problem.
        of_q, of_p: names of the arguments of q, and of p, that are differentiated.
    """
    draws = experiment.at(experiment.theta)
    values, slopes, bits = call.many(draws, (*of_q, *of_p), experiment.weigh)
    differences = None if slopes is not None else _differences(call, experiment)
    found = {}
    for policy, weights in experiment.weights.items():
        mean = float(weights @ values)
        spread = float(np.sqrt(max(weights @ (values - mean) ** 2, 0.0)))
        if slopes is None:
            gradient, given = (weights @ differences)[experiment.kept], 0.0
        else:
            gradient = experiment.pull({n: slopes[n] for n in of_q}, weights)
            given = float(sum(np.abs(slopes[n]).sum() for n in of_p))
        found[policy] = Observed(mean, spread, gradient, given, bits)
    return found


def differences(value: Callable[[Array], float], at: Array) -> Array:
    """Returns the gradient of a function of an array, by differences of fourth order."""
    columns = []
    for i in range(len(at)):
        moved = [at + step * _STEP * (np.arange(len(at)) == i) for step, _ in _STENCIL]
        columns.append(sum(w * value(x) for x, (_, w) in zip(moved, _STENCIL, strict=True)))
    return np.array(columns) / _STEP


def _differences(call: Call, experiment: Experiment) -> Array:
    """Gradients of every draw's loss, (M, n), by differences in the parameters of q."""
    columns = []
    for i in range(len(experiment.theta)):
        slope: Any = 0.0
        for step, weight in _STENCIL:
            moved = experiment.theta.copy()
            moved[i] += step * _STEP
            slope = slope + weight * call.many(experiment.at(moved), (), experiment.weigh)[0]
        columns.append(slope / _STEP)
    return np.stack(columns, axis=1)


def hidden(call: Call, experiment: Experiment, seen: Observed, policy: str) -> str:
    """Returns "none", "partly" or "wholly": how much of a loss's slope its gradient does not show.

    The slope along one direction by differences is compared with the gradient's; the draws stay.
    """
    if seen.bits == 16:
        return "none"  # differences of so few digits show nothing
    direction = np.random.default_rng(0).standard_normal(len(experiment.theta))
    moved_ones = np.zeros_like(direction)
    moved_ones[experiment.kept] = direction[experiment.kept]
    direction = moved_ones / np.linalg.norm(moved_ones)
    slope: Any = 0.0
    for step, weight in _STENCIL:
        draws = experiment.at(experiment.theta + step * _STEP * direction)
        slope = slope + weight * call.many(draws, (), experiment.weigh)[0]
    moved = float(experiment.weights[policy] @ slope) / _STEP
    shown = float(seen.gradient @ direction[experiment.kept])
    size = max(abs(moved), abs(shown), 1e-6)
    slack = 1e-4 * size + 1e-7 if seen.bits == 64 else 0.05 * size + 1e-3
    if abs(moved - shown) <= slack:
        return "none"
    return "wholly" if not np.any(seen.gradient) else "partly"


def tolerance(observed: Sequence[Observed], *, differences: bool) -> float:
    """Returns the relative error up to which two things are equal."""
    bits = min(o.bits for o in observed)
    return _TOLERANCES[bits] * (10.0 if differences and bits == 32 else 1.0)
