"""Small problems on which a loss is looked at, with every batch that could be drawn."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, final, runtime_checkable

import numpy as np

from kullback.check_loss.categoricals import Pair, log_softmax
from kullback.check_loss.quantities import Array
from kullback.check_loss.readings import Role

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
    kept: Any = ...  # an index: all

    def weigh(self, shape: tuple[int, ...]) -> Array | float:
        """Returns the weights of an output: a mean over rows; a sum over outcomes."""
        count = int(np.prod(shape, dtype=int)) if shape else 1
        last = self.sizes.get("V", self.sizes.get("d", 0))
        if len(shape) == len(self.rows) + 1 and shape[-1] == last:
            count //= last
        return 1.0 / count


#: Sizes (B, T, V) without draws, and with all of them enumerated.
_PLAIN = ((3, 2, 5), (2, 3, 24), (4, 4, 130))
_DRAWN = ((2, 2, 3), (3, 1, 3), (2, 3, 2))
_SPREADS = (0.6, 1.0, 1.4)


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
    drawn = _drawn_kind(reading)
    made: list[Experiment] = []
    shifted = layout.endswith("shifted")
    if shifted and drawn != "labels":
        return made
    for sizes in _DRAWN if drawn else _PLAIN:
        b, t, v = sizes
        rows = {"(B,V)": (b,), "(B,T,V)": (b, t), "(V)": ()}.get(layout, (b, t))
        if shifted and t == 1:
            continue
        named = dict(zip("BT", rows, strict=False)) | {"V": v}
        problems = [_pair(reading, named, rows, rng, spread, shifted=shifted) for spread in spreads]
        made += [_without_last(x) for x in problems] if shifted else problems
    return made


def _without_last(experiment: Experiment) -> Experiment:
    """The same, the last token of each sequence left out of what is compared: it predicts nothing."""
    b, t = experiment.rows
    last = np.arange(b * t) % t == t - 1
    v = experiment.sizes["V"]
    pair = Pair(experiment.pair.logits_p[~last], experiment.pair.logits_q[~last])
    kept, pull = np.repeat(~last, v), experiment.pull
    return replace(
        experiment,
        sizes=experiment.sizes | {"T": t - 1},
        pull=lambda gradients, w: pull(gradients, w)[kept],
        pair=pair,
        labels=None if experiment.labels is None else experiment.labels[~last],
        kept=kept,
    )


def _drawn_kind(reading: Reading) -> str:
    kinds = {role.kind for role in reading.values()}
    return "labels" if "labels" in kinds else "tokens" if "tokens" in kinds else ""


def _pair(
    reading: Reading,
    sizes: dict[str, int],
    rows: tuple[int, ...],
    rng: np.random.Generator,
    spread: float,
    *,
    shifted: bool = False,
) -> Experiment:
    v, n = sizes["V"], int(np.prod(rows, dtype=int))
    p, q, third = (spread * rng.standard_normal((n, v)) for _ in range(3))
    drawn = _drawn_kind(reading)
    tokens = (
        np.array(list(itertools.product(range(v), repeat=n)))
        if drawn
        else np.zeros((1, n), dtype=int)
    )
    log_third = log_softmax(third)
    has_p = any(role.side == "p" for role in reading.values())
    policies = {"": None}
    if drawn == "tokens":
        policies = {"q": log_softmax(q), "p": log_softmax(p), "other": log_third}
        if any(role.side == "old" for role in reading.values()):
            policies = {"other": log_third}
    elif drawn:
        policies = {"labels": log_third} if has_p else {"p": log_softmax(p)}
    columns = np.arange(n)
    weights = {
        name: np.ones(1) if logs is None else np.exp(logs[columns, tokens].sum(axis=1))
        for name, logs in policies.items()
    }

    def at(theta: Array) -> list[Arguments]:
        log_q = log_softmax(theta.reshape(n, v))
        of = {
            "q": (theta.reshape(n, v), log_q),
            "p": (p, log_softmax(p)),
            "old": (third, log_third),
        }

        def argument(role: Role, token: Array) -> Any:
            if role.kind == "labels" or role.kind == "tokens":
                shaped = token.reshape(rows)
                return np.roll(shaped, 1, axis=1) if shifted else shaped
            if role.kind == "mask":
                return np.ones(rows)
            if role.kind == "other":
                return np.zeros(rows)
            if role.kind == "constant":
                return constant(role.value, sizes)
            logits, logs = of[role.side]
            if role.kind == "sampled":
                return logs[columns, token].reshape(rows)
            form = {"logits": logits, "log_probs": logs, "probs": np.exp(logs)}[role.kind]
            return form.reshape(*rows, v).copy()

        return [{name: argument(role, token) for name, role in reading.items()} for token in tokens]

    def pull(gradients: dict[str, Array], w: Array) -> Array:
        mass = np.exp(log_softmax(q))
        out = np.zeros((n, v))
        for name, stacked in gradients.items():
            role = reading[name]
            if role.side != "q" or role.kind == "constant":
                continue
            g = np.tensordot(w, stacked.reshape(len(w), -1), axes=1)
            if role.kind == "sampled":
                hot = np.eye(v)[tokens] - mass
                out += np.einsum("m,mn,mnv->nv", w, stacked.reshape(len(w), n), hot)
                continue
            g = g.reshape(n, v)
            if role.kind == "log_probs":
                g = g - mass * g.sum(axis=1, keepdims=True)
            elif role.kind == "probs":
                g = mass * (g - (mass * g).sum(axis=1, keepdims=True))
            out += g
        return out.ravel()

    labels = third if drawn == "labels" and has_p else None
    return Experiment(sizes, rows, at, q.ravel(), weights, pull, Pair(p, q), labels)


def sampled(
    reading: Reading, layout: str, key: int, spreads: Sequence[float] = _SPREADS
) -> list[Experiment]:
    """Returns problems for a loss of log-probabilities of sampled tokens.

    Args:
        reading: what the arguments are.
        layout: "(B,T)" or "(B)".
        key: of the random numbers.
        spreads: sds of the logits.
    """
    rng = np.random.default_rng(key)
    old = any(role.side == "old" for role in reading.values())
    ratios = ("log_ratio", "ratio")
    has_p = any(role.side == "p" or role.kind in ratios for role in reading.values())
    policies = ("q", "other") if old else ("q", "p", "other") if has_p else ("p", "q")
    made = []
    sizes = _DRAWN if layout == "(B,T)" else ((2, 1, 4), (3, 1, 3), (4, 1, 2))
    for b, t, v in sizes:
        for spread in spreads:
            p, q, third = (spread * rng.standard_normal((t, v)) for _ in range(3))
            groups = [(policy,) for policy in policies] if old else [policies]
            made += [_tokens(reading, layout, (b, t, v), (p, q, third), names) for names in groups]
    return made


def _tokens(
    reading: Reading,
    layout: str,
    sizes: tuple[int, int, int],
    logits: tuple[Array, Array, Array],
    policies: Sequence[str],
) -> Experiment:
    b, t, v = sizes
    p, q, third = logits
    rows = (b, t) if layout == "(B,T)" else (b,)
    drawn = np.array(list(itertools.product(range(v), repeat=b * t))).reshape(-1, b, t)
    logs = {"q": log_softmax(q), "p": log_softmax(p), "other": log_softmax(third)}
    columns = np.arange(t)
    weights = {name: np.exp(logs[name][columns, drawn].sum(axis=(1, 2))) for name in policies}
    drawing = logs[policies[0]]
    named = {"B": b, "T": t} if layout == "(B,T)" else {"B": b}

    def at(theta: Array) -> list[Arguments]:
        of = {"q": log_softmax(theta.reshape(t, v)), "p": logs["p"], "old": drawing}

        def argument(role: Role, tokens: Array) -> Any:
            if role.kind == "mask":
                return np.ones(rows)
            if role.kind == "other":
                return np.zeros(rows)
            if role.kind == "tokens":
                return tokens.reshape(rows)
            if role.kind == "constant":
                return constant(role.value, named)
            if role.kind in ("log_ratio", "ratio"):
                sign = 1.0 if role.side == "q" else -1.0
                ratio = sign * (of["q"] - of["p"])[columns, tokens].reshape(rows)
                return np.exp(ratio) if role.kind == "ratio" else ratio
            return of[role.side][columns, tokens].reshape(rows)

        return [{name: argument(role, x) for name, role in reading.items()} for x in drawn]

    hot = np.eye(v)[drawn] - np.exp(logs["q"])

    def pull(gradients: dict[str, Array], w: Array) -> Array:
        out = np.zeros((t, v))
        for name, stacked in gradients.items():
            role = reading[name]
            if role.kind in ("log_ratio", "ratio"):
                g = (1.0 if role.side == "q" else -1.0) * stacked.reshape(-1, b, t)
                if role.kind == "ratio":
                    g = g * np.stack([x[name] for x in at(q.ravel())]).reshape(-1, b, t)
            elif role.side == "q":
                g = stacked.reshape(-1, b, t)
            else:
                continue
            out += np.einsum("m,mbt,mbtv->tv", w, g, hot)
        return out.ravel()

    return Experiment(named, rows, at, q.ravel(), weights, pull, Pair(p, q))


def constant(value: Any, sizes: dict[str, int]) -> Any:
    """A constant; ("size", "V") stands for a size of the problem, "rows" for the number of rows."""
    if isinstance(value, tuple) and len(value) == 2 and value[0] == "size":
        if value[1] == "rows":
            return sizes.get("B", 1) * sizes.get("T", 1)
        return sizes.get(value[1], 1)
    return value


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
