"""Small problems on which a loss is evaluated, with every batch that could be drawn."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from kullback.check_loss.functionals import Array, GaussianPair, LogitPair, log_softmax
from kullback.check_loss.roles import ArgumentRole
from kullback.interop.loss_calls import Seed

Arguments = dict[str, Any]
#: What the arguments of a loss are, by name.
Roles = Mapping[str, ArgumentRole]


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
        pair: p and q, for what is compared.
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
        count = math.prod(shape)
        last = self.sizes.get("V", self.sizes.get("d", 0))
        if len(shape) == len(self.rows) + 1 and shape[-1] == last:
            count //= last
        return 1.0 / count


def posed(
    roles: Roles,
    sizes: dict[str, int],
    rows: tuple[int, ...],
    theta: Array,
    weights: dict[str, Array],
    pair: Any,
    *,
    values: Callable[[Array], Callable[[ArgumentRole, int], Array]],
    slope: Callable[[ArgumentRole, Array, Array], Array],
    drawn: Array | None = None,
    others: Sequence[Array] = (),
    advantages: Array | None = None,
) -> Experiment:
    """Returns a problem, from what an argument of p or q is and how its gradient enters that of theta.

    Args:
        roles: what the arguments are.
        sizes, rows, theta, weights, pair: as of an Experiment.
        values: at parameters of q, the argument of a role in a draw.
        slope: the gradient of a role's argument, (M, size), and the weights of the M draws, as one of theta.
        drawn: what tokens or labels are in each draw, (M, *rows).
        others: what arguments are that say nothing of q, in order; zeros where these are not enough.
        advantages: of what is drawn in each draw; zeros where there are none.
    """

    def inert(role: ArgumentRole, draw: int, rest: Iterator[Array]) -> Any:
        if role.kind == "constant":
            return constant(role.value, sizes)
        if role.kind == "mask":
            return mask_of(role, rows)
        if role.kind == "key":
            return Seed(0)
        if role.kind == "advantage":
            shape = rows[:1] if role.value == "sequence" else rows
            return np.zeros(shape) if advantages is None else advantages[draw].copy()
        if role.kind == "other":
            return next(rest, others[0] if others else np.zeros(rows))
        assert drawn is not None
        return drawn[draw, ...]

    def at(theta: Array) -> list[Arguments]:
        value = values(theta)

        def arguments(draw: int) -> Arguments:
            rest = iter(others)
            return {
                name: inert(role, draw, rest) if role.inert else value(role, draw)
                for name, role in roles.items()
            }

        return [arguments(draw) for draw in range(len(next(iter(weights.values()))))]

    def pull(gradients: dict[str, Array], w: Array) -> Array:
        parts = (slope(roles[n], g.reshape(len(w), -1), w) for n, g in gradients.items())
        return sum(parts, np.zeros_like(theta))

    return Experiment(sizes, rows, at, theta, weights, pull, pair)


def mask_of(role: ArgumentRole, shape: tuple[int, ...]) -> Array:
    """Returns a mask that keeps every token."""
    dtype, keep = role.value or (float, 1)
    return np.full(shape, keep, dtype)


def constant(value: Any, sizes: dict[str, int]) -> Any:
    """A constant; ("size", "V") stands for a size of the problem, "rows" for the number of rows."""
    match value:
        case ("size", "rows"):
            return sizes.get("B", 1) * sizes.get("T", 1)
        case ("size", name):
            return sizes.get(name, 1)
    return value


# Categoricals, by logits.

#: Sizes (B, T, V) without draws, and with all of them enumerated.
_PLAIN = ((3, 2, 5), (2, 3, 24), (4, 4, 130))
_DRAWN = ((2, 2, 3), (3, 1, 3), (2, 3, 2))
_SINGLE = ((2, 1, 4), (3, 1, 3), (4, 1, 2))


def pairs(roles: Roles, layout: str, key: int, spreads: Sequence[float]) -> list[Experiment]:
    """Returns problems for a loss of whole distributions, with labels or tokens or without.

    Args:
        roles: what the arguments are.
        layout: "(B,V)", "(B,T,V)", "(V)", "[(B,V)]" or "(B,T,V) shifted", where labels are one token late.
        key: of the random numbers.
        spreads: sds of the logits.
    """
    rng = np.random.default_rng(key)
    kinds, sides = ({getattr(r, of) for r in roles.values()} for of in ("kind", "side"))
    drawn = "labels" if "labels" in kinds else "tokens" if "tokens" in kinds else ""
    shifted = layout.endswith("shifted")
    if shifted and drawn != "labels":
        return []
    policies = {"": ("",), "labels": ("labels",) if "p" in sides else ("p",)}.get(
        drawn, ("other",) if "old" in sides else ("q", "p", "other")
    )
    experiments = []
    for b, t, v in _DRAWN if drawn else _PLAIN:
        if shifted and t == 1:
            continue
        rows = {"(B,V)": (b,), "(V)": ()}.get(layout, (b, t))
        names = "LB" if layout == "[(B,V)]" else "BT"  # a list of L batches
        sizes = dict(zip(names, rows, strict=False)) | {"V": v}
        n = math.prod(rows)
        for spread in spreads:
            logits = spread * rng.standard_normal((3, n, v))
            one = _categorical(
                roles, sizes, rows, logits, np.arange(n), policies, old=2, late=shifted
            )
            experiments.append(_without_last(one) if shifted else one)
    return experiments


def sampled(
    roles: Roles, layout: str, key: int, spreads: Sequence[float], advantages: str = ""
) -> list[Experiment]:
    """Returns problems for a loss of log-probabilities of sampled tokens, "(B,T)" or "(B)"; see `pairs`.

    Advantages are of a "token" or of a "sequence"; "" makes them 0.
    """
    rng = np.random.default_rng(key)
    old = any(r.side == "old" or r.is_importance for r in roles.values())
    has_p = any(role.side == "p" or role.is_ratio for role in roles.values())
    policies = ("q", "other") if old else ("q", "p", "other") if has_p else ("p", "q")
    experiments = []
    for b, t, v in _DRAWN if layout == "(B,T)" else _SINGLE:
        rows = (b, t) if layout == "(B,T)" else (b,)
        sizes, slots = dict(zip("BT", rows, strict=False)), np.tile(np.arange(t), b)
        for spread in spreads:
            logits = spread * rng.standard_normal((3, t, v))
            # The policy that drew the tokens is the old one, where the loss has one.
            for who in [(policy,) for policy in policies] if old else [policies]:
                drawing = {"p": 0, "q": 1, "other": 2}[who[0]]
                experiments.append(
                    _categorical(
                        roles, sizes, rows, logits, slots, who, old=drawing, advantages=advantages
                    )
                )
    return experiments


def _without_last(experiment: Experiment) -> Experiment:
    """The same, the last token of each sequence left out of what is compared: it predicts nothing."""
    b, t = experiment.rows
    last = np.arange(b * t) % t == t - 1
    kept, pull = np.repeat(~last, experiment.sizes["V"]), experiment.pull
    return replace(
        experiment,
        sizes=experiment.sizes | {"T": t - 1},
        pull=lambda gradients, w: pull(gradients, w)[kept],
        pair=LogitPair(experiment.pair.logits_p[~last], experiment.pair.logits_q[~last]),
        labels=None if experiment.labels is None else experiment.labels[~last],
        kept=kept,
    )


def _categorical(
    roles: Roles,
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
        roles, sizes, rows: as of `posed`.
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
    drawn_ones = None if table is None else table[slots, tokens].reshape(-1, *rows)
    if drawn_ones is not None and advantages == "sequence":
        drawn_ones = drawn_ones.sum(axis=-1)
    experiment = posed(
        roles, sizes, rows, q.ravel(), weights, LogitPair(logits[0], q), values=drawn.values, slope=drawn.slope,
        drawn=np.roll(shaped, 1, axis=2) if late else shaped, advantages=drawn_ones,
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

    def _ratio(self, role: ArgumentRole, log_q: Array, drawn: Array) -> Array:
        over = self.logs[self.old if role.is_importance else 0]
        gap = (log_q - over)[self.slots, drawn] * role.sign
        return gap if role.is_log else np.exp(gap)

    def values(self, theta: Array) -> Callable[[ArgumentRole, int], Array]:
        p, q = self.logits[0], theta.reshape(self.logits[1].shape)
        sides = {"q": q, "p": p, "old": self.logits[self.old]}
        log_of = {side: log_softmax(x) for side, x in sides.items()}

        def value(role: ArgumentRole, draw: int) -> Array:
            drawn = self.tokens[draw]
            if role.is_ratio:
                return self._ratio(role, log_of["q"], drawn).reshape(self.rows)
            log = log_of[role.side]
            if role.kind == "sampled":
                return log[self.slots, drawn].reshape(self.rows)
            form = {"logits": sides[role.side], "log_probs": log, "probs": np.exp(log)}[role.kind]
            return form.reshape(*self.rows, q.shape[1]).copy()

        return value

    def slope(self, role: ArgumentRole, g: Array, w: Array) -> Array:
        log_q = self.logs[1]
        mass = np.exp(log_q)
        if role.kind == "sampled" or role.is_ratio:
            if role.is_ratio:
                g = g * role.sign
                g = g if role.is_log else g * self._ratio(role, log_q, self.tokens)
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


# Gaussians, by means and log variances.

#: Sizes (B, d).
_GAUSSIAN = ((3, 2), (2, 4), (4, 7))


def gaussians(roles: Roles, layout: str, key: int) -> list[Experiment]:
    """Returns problems for a loss of means and (log) variances; p is N(0, I) where it is not an argument."""
    rng = np.random.default_rng(key)
    with_p = any(role.side == "p" for role in roles.values())
    experiments = []
    for (b, d), spread in itertools.product(_GAUSSIAN, (0.4, 0.8, 1.2)):
        rows = (b,) if layout == "(B,d)" else ()
        n = math.prod(rows)
        m, s, mp, sp = (spread * rng.standard_normal((n, d)) for _ in range(4))
        pair = GaussianPair(m, s, mp * with_p, sp * with_p)
        data = 1.0 / (1.0 + np.exp(-rng.standard_normal((2, *rows, 6))))
        sizes = {"B": b, "d": d} if rows else {"d": d}
        experiments.append(_gaussian(roles, sizes, rows, pair, data))
    return experiments


def _gaussian(
    roles: Roles, sizes: dict[str, int], rows: tuple[int, ...], pair: GaussianPair, data: Array
) -> Experiment:
    shape = (*rows, pair.mean.shape[-1])

    def values(theta: Array) -> Callable[[ArgumentRole, int], Array]:
        sides = {"q": np.split(theta, 2), "p": (pair.mean_p.ravel(), pair.log_variance_p.ravel())}

        def value(role: ArgumentRole, _: int) -> Array:
            mean, log_variance = sides["q" if role.side == "q" else "p"]
            form = mean if role.kind == "mean" else _forms(log_variance)[role.kind][0]
            return form.reshape(shape).copy()

        return value

    def slope(role: ArgumentRole, g: Array, w: Array) -> Array:
        g, nothing = w @ g, np.zeros(pair.mean.size)
        if role.kind == "mean":
            return np.concatenate([g, nothing])
        return np.concatenate([nothing, g * _forms(pair.log_variance.ravel())[role.kind][1]])

    theta = np.concatenate([pair.mean.ravel(), pair.log_variance.ravel()])
    return posed(
        roles, sizes, rows, theta, {"": np.ones(1)}, pair, values=values, slope=slope, others=[*data]
    )  # fmt: skip


def _forms(log_variance: Array) -> dict[str, tuple[Array, Array]]:
    """What a spread may be given as, and its derivative with respect to the log variance."""
    variance, sd, one = np.exp(log_variance), np.exp(0.5 * log_variance), np.ones_like(log_variance)
    return {
        "log_variance": (log_variance, one),
        "variance": (variance, variance),
        "sd": (sd, 0.5 * sd),
        "log_sd": (0.5 * log_variance, 0.5 * one),
        "softplus_sd": (np.log(np.expm1(sd)), 0.5 * sd / -np.expm1(-sd)),
    }


_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(14)
#: Draws of a batch of one and of two, (M, B), with their probabilities.
_ONE = (_NODES[:, None], _WEIGHTS / _WEIGHTS.sum())
_TWO = (
    np.stack(np.meshgrid(_NODES, _NODES), axis=-1).reshape(-1, 2),
    np.outer(_ONE[1], _ONE[1]).ravel(),
)


def paths(roles: Roles, key: int) -> list[Experiment]:
    """Returns problems for a loss of log densities at reparameterised draws of q, z = m + s e."""
    rng = np.random.default_rng(key)
    return [
        _path(roles, batch, *rng.normal(size=4) * spread)
        for spread, batch in (
            (0.2, _TWO),
            (0.2, _ONE),
            (0.3, _TWO),
            (0.3, _ONE),
            (0.4, _TWO),
            (0.5, _ONE),
        )
    ]


def _path(
    roles: Roles, batch: tuple[Array, Array], m: float, s: float, m_p: float, s_p: float
) -> Experiment:
    noise, probabilities = batch
    size = noise.shape[1]
    sd = math.exp(0.5 * s)
    slope_p = -(m + sd * noise - m_p) * math.exp(-s_p)

    def densities(theta: Array) -> dict[str, Array]:
        z = theta[0] + np.exp(0.5 * theta[1]) * noise
        log_q = -0.5 * (math.log(2.0 * math.pi) + theta[1] + noise**2)
        log_p = -0.5 * (math.log(2.0 * math.pi) + s_p + (z - m_p) ** 2 * math.exp(-s_p))
        return {"q": log_q, "p": log_p}

    def ratio(of: dict[str, Array], role: ArgumentRole) -> Array:
        gap = role.sign * (of["q"] - of["p"])
        return np.exp(gap) if role.kind == "ratio" else gap

    def values(theta: Array) -> Callable[[ArgumentRole, int], Array]:
        of = densities(theta)
        return lambda role, draw: (ratio(of, role) if role.is_ratio else of[role.side])[draw].copy()

    def slope(role: ArgumentRole, g: Array, w: Array) -> Array:
        g = w[:, None] * g
        if role.kind == "ratio":
            g = g * ratio(densities(np.array([m, s])), role)
        of_q = np.array([0.0, -0.5 * g.sum()])
        of_p = np.array([(g * slope_p).sum(), (g * slope_p * 0.5 * sd * noise).sum()])
        return role.sign * (of_q - of_p) if role.is_ratio else of_q if role.side == "q" else of_p

    pair = GaussianPair(*(np.full((1, 1), x) for x in (m, s, m_p, s_p)))
    return posed(
        roles, {"B": size}, (size,), np.array([m, s]), {"path": probabilities}, pair,
        values=values, slope=slope,
    )  # fmt: skip
