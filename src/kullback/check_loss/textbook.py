"""The formulas of textbooks: preferences, regression, contrast, mutual information.

Written with NumPy functions that take complex numbers, for slopes by complex steps.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from kullback.check_loss.functionals import Array

#: The arguments by what they are, such as "chosen q"; a value, the mean over rows.
Values = Mapping[str, Array]
Value = Callable[[Values], Any]
#: Name, label, free parameters with their starts, value.
FormulaRow = tuple[str, str, dict[str, tuple[float, ...]], Any]
_BETAS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_SHARES = (0.01, 0.1, 0.3)


def _log_sum_exp(x: Array, axis: int) -> Array:
    top = np.real(x).max(axis=axis, keepdims=True)
    return np.log(np.exp(x - top).sum(axis=axis)) + top.squeeze(axis)


def _log_sigmoid(x: Any) -> Any:
    return np.where(np.real(x) > 0.0, -np.log1p(np.exp(-x)), x - np.log1p(np.exp(x)))


def _sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def _positive(x: Any) -> Any:
    """max(0, x), by its real part."""
    return np.where(np.real(x) > 0.0, x, 0.0)


def _absolute(x: Any) -> Any:
    return np.sign(np.real(x)) * x


def _preferences(x: Values) -> Iterator[FormulaRow]:
    with_p = any(of.endswith(" p") for of in x)

    def own(x: Values) -> Array:
        return x["chosen q"] - x["rejected q"]

    def given(x: Values) -> Array:
        return x.get("chosen p", np.zeros(1)) - x.get("rejected p", np.zeros(1))

    def margin(x: Values) -> Array:
        return own(x) - given(x)

    gap = "log-ratio of preferred less rejected" if with_p else "preferred less rejected"
    name = "dpo" if with_p else "bradley_terry"
    words = "the DPO loss" if with_p else "the Bradley-Terry loss"
    formula = f"-log σ(β h), h the {gap}: the forward KL from the preferences"
    yield (
        name,
        f"{words} {formula}",
        {"beta": _BETAS},
        lambda x, b: -_log_sigmoid(b * margin(x)).mean(),
    )
    yield (
        "ipo",
        "the IPO loss (h - 1/(2β))²",
        {"beta": _BETAS},
        lambda x, b: ((margin(x) - 0.5 / b) ** 2).mean(),
    )
    yield (
        "hinge",
        "the hinge (SLiC) loss max(0, 1 - β h)",
        {"beta": _BETAS},
        lambda x, b: _positive(1.0 - b * margin(x)).mean(),
    )
    yield (
        name,
        f"{words} with label smoothing",
        {"beta": _BETAS, "smoothing": _SHARES},
        lambda x, b, e: (
            -(1.0 - e) * _log_sigmoid(b * margin(x)) - e * _log_sigmoid(-b * margin(x))
        ).mean(),
    )
    yield (
        "preference_turned",
        f"{words} with the preferences turned: it raises what was rejected",
        {"beta": _BETAS},
        lambda x, b: -_log_sigmoid(-b * margin(x)).mean(),
    )
    if with_p:
        yield (
            "reference_unused",
            "the Bradley-Terry loss -log σ(β h) of q alone: the reference is not used",
            {"beta": _BETAS},
            lambda x, b: -_log_sigmoid(b * own(x)).mean(),
        )
        yield (
            "reference_turned",
            "-log σ(β h) with the reference's log-probabilities added, not subtracted",
            {"beta": _BETAS},
            lambda x, b: -_log_sigmoid(b * (own(x) + given(x))).mean(),
        )
        yield from _kto()
        return
    yield (
        "simpo",
        "the SimPO loss -log σ(β h - γ)",
        {"beta": _BETAS, "gamma": (0.3, 1.0, 3.0)},
        lambda x, b, g: -(_log_sigmoid(b * own(x) - g)).mean(),
    )
    yield (
        "orpo",
        "the odds-ratio (ORPO) loss -log σ(log-odds of preferred less rejected)",
        {},
        lambda x: (
            -_log_sigmoid(
                own(x) - np.log1p(-np.exp(x["chosen q"])) + np.log1p(-np.exp(x["rejected q"]))
            ).mean()
        ),
    )


def _kto() -> Iterator[FormulaRow]:
    def ratios(x: Values) -> tuple[Array, Array]:
        return x["chosen q"] - x["chosen p"], x["rejected q"] - x["rejected p"]

    def against(x: Values, b: float, of_chosen: Any, of_rejected: Any) -> Array:
        good, bad = ratios(x)
        lost = (1.0 - _sigmoid(b * (good - of_chosen))) + (1.0 - _sigmoid(b * (of_rejected - bad)))
        return 0.5 * lost.mean()

    def paired(x: Values, b: float) -> Array:
        good, bad = (_positive(r.mean()) for r in ratios(x))
        return against(x, b, bad, good)

    def of_batch(x: Values, b: float) -> Array:
        zero = np.zeros(1)
        kl = _positive((x.get("sampled q", zero) - x.get("sampled p", zero)).mean())
        return against(x, b, kl, kl)

    words = "the KTO loss 1 - σ(β (r - KL)) for preferred, 1 - σ(β (KL - r)) for rejected answers, r their log-ratio"
    yield "kto", words, {"beta": _BETAS}, of_batch
    yield "kto", f"{words}, KL of the other answers", {"beta": _BETAS}, paired


_SPREADS: dict[str, Callable[[Array], Array]] = {
    "log_variance": lambda s: s,
    "variance": np.log,
    "sd": lambda s: 2.0 * np.log(s),
    "log_sd": lambda s: 2.0 * s,
    "softplus_sd": lambda s: 2.0 * np.log(np.log1p(np.exp(s))),
}


def _regressions(x: Values) -> Iterator[FormulaRow]:
    spread = next((of for of in _SPREADS if of in x), "")

    def summed(each: Callable[..., Array]) -> Value:
        def value(x: Values, *parameters: float) -> Any:
            of = _SPREADS[spread](x[spread]) if spread else np.zeros_like(x["location"])
            return each(x["location"], x["data"], of, *parameters).sum(axis=-1).mean()

        return value

    likelihood = "the likelihood of the data, forward KL up to their entropy"
    rows: tuple[FormulaRow, ...] = (
        ("forward", f"-log N(data; prediction, variance), {likelihood}" if spread else
         f"half the squared error: -log N(data; prediction, 1), {likelihood}", {},
         lambda m, y, s: 0.5 * (s + (y - m) ** 2 * np.exp(-s))),
        ("forward", f"-log Laplace(data; prediction, scale), {likelihood}" if spread else
         f"the absolute error: -log Laplace(data; prediction, 1), {likelihood}", {},
         lambda m, y, s: 0.5 * s + _absolute(y - m) * np.exp(-0.5 * s)),
    )  # fmt: skip
    if spread:
        rows += (
            ("variance_for_sd", "-log N(data; prediction, variance) of its square: sd and variance mixed up", {},
             lambda m, y, s: 0.5 * (2.0 * s + (y - m) ** 2 * np.exp(-2.0 * s))),
            ("variance_for_sd", "-log N(data; prediction, variance) of its root: sd and variance mixed up", {},
             lambda m, y, s: 0.5 * (0.5 * s + (y - m) ** 2 * np.exp(-0.5 * s))),
            ("without_half", "log variance + squared error / variance, the first without its 1/2", {},
             lambda m, y, s: s + 0.5 * (y - m) ** 2 * np.exp(-s)),
        )  # fmt: skip
    else:
        rows += (
            ("forward", f"-log Bernoulli(data; prediction as logits), {likelihood}", {},
             lambda m, y, s: -_log_sigmoid(-m) - y * m),
            ("forward", f"-log Bernoulli(data; prediction), {likelihood}", {},
             lambda m, y, s: -y * np.log(m) - (1.0 - y) * np.log1p(-m)),
            ("forward", f"-log Poisson(data; exp(prediction)), {likelihood}", {}, lambda m, y, s: np.exp(m) - y * m),
            ("forward", f"-log Poisson(data; prediction), {likelihood}", {}, lambda m, y, s: m - y * np.log(m)),
            ("log_cosh", "log cosh of the error", {}, lambda m, y, s: np.log(np.cosh(m - y))),
            ("huber", "the Huber loss", {"delta": (0.1, 0.3, 1.0, 3.0)}, _huber),
            ("quantile", "the quantile (pinball) loss", {"tau": (0.05, 0.25, 0.6, 0.75, 0.95)},
             lambda m, y, s, t: t * (y - m) + _positive(m - y)),
            ("expectile", "the expectile loss", {"tau": (0.05, 0.25, 0.6, 0.75, 0.95)},
             lambda m, y, s, t: np.where(np.real(y - m) > 0.0, t, 1.0 - t) * (y - m) ** 2),
        )  # fmt: skip
    for name, label, parameters, each in rows:
        yield name, label, parameters, summed(each)


def _huber(m: Array, y: Array, _: Array, delta: float) -> Array:
    gap = _absolute(y - m)
    return np.where(np.real(gap) < delta, 0.5 * gap**2, delta * (gap - 0.5 * delta))


def _contrasts(_: Values) -> Iterator[FormulaRow]:
    words = "InfoNCE, log B less a lower bound of the mutual information KL(p(x,y)||p(x)p(y))"

    def value(x: Values, temperature: float, *, cosine: bool, both: bool, across: bool) -> Any:
        one, other = x["embedding q"], x["embedding p"]
        if cosine:
            one, other = (z / np.sqrt((z * z).sum(axis=-1, keepdims=True)) for z in (one, other))
        scores = one @ other.T / temperature
        if across:
            return _simclr(one, other, temperature)
        rows = _log_sum_exp(scores, axis=1) - np.diag(scores)
        columns = _log_sum_exp(scores, axis=0) - np.diag(scores)
        return 0.5 * (rows + columns).mean() if both else rows.mean()

    for cosine in (True, False):
        for both, across in ((False, False), (True, False), (False, True)):
            of = "cosines" if cosine else "scalar products"
            kind = ", of all other views (SimCLR)" if across else ", of both sides" if both else ""
            make = partial(value, cosine=cosine, both=both, across=across)
            yield (
                "infonce",
                f"{words}; of {of}{kind}",
                {"temperature": (0.05, 0.1, 0.3, 0.7, 1.0, 3.0, 10.0)},
                make,
            )


def _simclr(one: Array, other: Array, temperature: float) -> Any:
    both = np.concatenate([one, other])
    scores = both @ both.T / temperature
    np.fill_diagonal(scores, -np.inf)
    n = len(one)
    partners = np.concatenate([np.arange(n, 2 * n), np.arange(n)])
    return (_log_sum_exp(scores, axis=1) - scores[np.arange(2 * n), partners]).mean()


def _information(_: Values) -> Iterator[FormulaRow]:
    joint, marginal = "joint", "marginal"
    yield (
        "donsker_varadhan",
        "minus the Donsker-Varadhan (MINE) lower bound of KL(joint||marginals)",
        {},
        lambda x: np.log(np.exp(x[marginal]).mean()) - x[joint].mean(),
    )
    yield (
        "nwj",
        "minus the NWJ (f-GAN) lower bound of KL(joint||marginals)",
        {},
        lambda x: np.exp(x[marginal] - 1.0).mean() - x[joint].mean(),
    )
    yield (
        "jensen_shannon",
        "minus the lower bound of 2 JS(joint, marginals), less log 4",
        {},
        lambda x: -_log_sigmoid(x[joint]).mean() - _log_sigmoid(-x[marginal]).mean(),
    )


TEXTBOOK: dict[str, Callable[[Values], Iterator[FormulaRow]]] = {
    "preference": _preferences,
    "regression": _regressions,
    "contrastive": _contrasts,
    "information": _information,
}
