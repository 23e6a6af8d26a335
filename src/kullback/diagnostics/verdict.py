"""The rules: from what was measured to findings, each with its verdict and its remedy."""

import math
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from kullback.results.estimate import Estimate, in_decimals
from kullback.results.posterior import Coordinate, Finding, FitError, Posterior, Verdict
from kullback.results.quantity import Sentence

#: KL in nats up to which a fit may be used as it is, and used with care.
_FINE, _FAIR = 0.1, 1.0
#: Mass of p outside q, likewise.
_FINE_MASS, _FAIR_MASS = 0.01, 0.1
#: Draws of p seen outside q that are no chance, however few families they are of.
_SEEN = 0.015
#: Shifts of means in sds of p, and ratios of sds, likewise.
_FINE_SHIFT, _FAIR_SHIFT = 0.3, 1.0
_FINE_RATIO, _FAIR_RATIO = 1.3, 2.5
#: Independent draws from which means and sds are known well enough (Vehtari et al. 2021).
_ENOUGH = 100.0
#: Errors of a finding beyond which it is not chance; many parameters are looked at.
_SIGMAS = 3.0
#: Above this Pareto k importance sampling is not reliable (Vehtari et al. 2024).
RELIABLE = 0.7

ROUTES, ERROR_OF_FIT = "two estimates of the log evidence", "error of the fit"
_UNSEEN_MODES = (
    "a mode that both the restarts and tempered SMC missed cannot be detected: where p is known to have "
    "others, start there with example="
)


def unseen_modes(looks: int, narrowest: float) -> str:
    """Returns what the search for modes would have met, and what it may have missed.

    Args:
        looks: points that it looked at.
        narrowest: sds of the first mode that another has at least, if the looks meet it with 95 %.
    """
    if narrowest >= 1.0:
        return _UNSEEN_MODES
    return (
        f"{looks:,} looks, 1 to 100 sds away from the first mode, meet another that is {narrowest:.2f} times "
        f"as wide, or wider, with a probability of 95 %; {_UNSEEN_MODES.replace('a mode', 'a narrower one', 1)}"
    )


@final
@dataclass(frozen=True)
class Remedies:
    """What to type next, by what is wrong."""

    richer: str
    modes: str


def findings(
    found: Posterior,
    kls: tuple[Estimate, Estimate],
    remedies: Remedies,
    *,
    draws: int,
    constant: bool,
    mode_share: float = 0.0,
    nowhere: bool = False,
    probed: tuple[str, float] = ("Langevin probe", 1.0),
) -> list[Finding]:
    """Returns what is judged of every reverse fit.

    Args:
        found: what was measured; its diagnosis is not looked at.
        kls: KL(q||p) and KL(p||q).
        remedies: what to type next.
        draws: those of the fit.
        constant: whether the importance weights are.
        mode_share: of p's mass, at modes that q does not reach.
        nowhere: whether no draw of p lay outside q.
        probed: the name of the probe, and its acceptance.
    """
    missed = outside(found.outside, mode_share, remedies)
    if missed.verdict == "do not use":
        # Where q misses mass, a better shape of the same q is not the answer.
        remedies = Remedies(remedies.modes, remedies.modes)
    name, acceptance = probed
    backward = divergence(kls[1], remedies)
    if (
        kls[1].kind == "unresolved"
    ):  # a KL(p||q) that no draws tell is no reason against a q whose KL(q||p) is known
        backward = replace(backward, verdict="caution")
    return [
        divergence(kls[0], remedies),
        backward,
        missed,
        routes(found.agreement, nowhere=nowhere),
        sandwich(found.elbo, found.log_evidence, found.eubo),
        replace(probe(found.probe, found.jeffreys, acceptance, remedies), name=name),
        marginals(found.parameters, remedies),
        pareto(found.pareto_k, constant=constant, remedies=remedies),
        error_of_fit(found.fit_error, draws),
    ]


def divergence(kl: Estimate, remedies: Remedies) -> Finding:
    """Judges a KL by the upper end of its error."""
    name = kl.direction
    if kl.kind == "infinite":
        text = Sentence("{} is infinite: {}", name, kl.notes[0])
        return Finding(name, "do not use", text, remedies.richer)
    if kl.kind == "unresolved":
        text = Sentence("{} unresolved: {}", name, kl.notes[0])
        return Finding(name, "do not use", text, remedies.richer)
    upper = max(kl.value, kl.value + 2.0 * kl.standard_error - 0.5 * _FINE)
    verdict = _level(upper, _FINE, _FAIR, sure=kl.value - 2.0 * kl.standard_error)
    return Finding(name, verdict, Sentence("{}", kl), "" if verdict == "trust" else remedies.richer)


def missed_mass(
    lost: Finding, spread: Finding | None, *, separate: float, remedies: Remedies
) -> Finding:
    """Names what mass outside q means: separate modes that it misses, or means and sds that are off.

    Args:
        lost: what is judged of the mass outside q.
        spread: of means and sds, where these are off; else None.
        separate: the share of p's mass at separate modes.
        remedies: what to type next.
    """
    if lost.verdict == "trust":
        return lost
    if spread is None or separate > _FINE_MASS:
        return replace(lost, name="misses mass")
    text = f"{spread.text}, and {lost.text}"
    return Finding("too narrow, or shifted", lost.verdict, text, remedies.richer)


def at_least(bound: Estimate, remedies: Remedies) -> Finding:
    """Judges a KL of which a lower bound is known."""
    name = bound.direction
    if bound.kind in ("infinite", "unresolved"):
        return replace(
            divergence(bound, remedies),
            verdict="do not use" if bound.kind == "infinite" else "caution",
        )
    verdict = _level(bound.value, _FINE, _FAIR, sure=bound.value)
    return Finding(
        name, verdict, Sentence("{}", bound), "" if verdict == "trust" else remedies.richer
    )


def effective_size(worth: float, draws: int) -> Finding:
    """Judges whether draws are worth enough independent ones."""
    text = f"{draws} draws are worth {worth:.0f} independent ones"
    if worth < _ENOUGH:
        remedy = "draw for longer, or reparametrise what moves slowly"
        return Finding("effective size", "caution", text, remedy)
    return Finding("effective size", "trust", text)


def routes(agreement: Estimate, *, nowhere: bool) -> Finding:
    """Judges whether the two routes to the log evidence agree; `nowhere` if no draw of p lay outside q."""
    name = ROUTES
    gap, error = abs(agreement.value), agreement.standard_error
    if not math.isfinite(error) or not math.isfinite(gap):
        return Finding(
            name, "caution", "one of the two has no answer", "look at the other findings"
        )
    text = Sentence("they differ by {:+.3f} ± {:.3f} {unit}", agreement.value, error)
    if gap <= _SIGMAS * error + 0.02:
        verdict: Verdict = "trust" if error < 0.7 else "caution"
        said = "agree" if verdict == "trust" else "are too rough to tell"
        return Finding(name, verdict, Sentence("{}: {}", said, text))
    verdict = "do not use" if gap - _SIGMAS * error > 0.5 and not nowhere else "caution"
    return Finding(
        name, verdict, Sentence("disagree: {}", text), "trust neither; see mass outside q"
    )


def outside(
    share: Estimate, mode_share: float, remedies: Remedies, *, seen: float = _SEEN
) -> Finding:
    """Judges the share of p that q does not reach; from `seen` on it is no chance."""
    name = "mass outside q"
    if share.kind == "unresolved":
        return Finding(name, "caution", "unknown: tempered SMC gave no draws of p", remedies.modes)
    low = max(share.value - _SIGMAS * share.standard_error, 0.0)
    percents = f"{100.0 * share.value:.1f} ± {100.0 * share.standard_error:.1f} %"
    text = f"{percents} of the mass of p is outside q's effective support"
    worst = max(low, mode_share)
    if mode_share > _FINE_MASS:
        text += f"; a separate mode holds about {100.0 * mode_share:.2g} % (Laplace)"
    verdict: Verdict = "trust"
    if worst > _FAIR_MASS:
        verdict = "do not use"
    elif worst > _FINE_MASS or share.value > seen:
        verdict = "caution"
    return Finding(name, verdict, text, "" if verdict == "trust" else remedies.modes)


def probe(risen: Estimate, jeffreys: Estimate, acceptance: float, remedies: Remedies) -> Finding:
    """Judges what a few Langevin steps from q gained, and whether weighting had foreseen it."""
    name = "Langevin probe"
    accepted = f"{100 * acceptance:.0f} % accepted"
    if not math.isfinite(risen.value):
        return Finding(name, "do not use", "draws of q lie where p is 0", remedies.richer)
    low = risen.value - _SIGMAS * risen.standard_error
    verdict = _level(low, 2.0 * _FINE, 2.0 * _FAIR, sure=low)
    known = jeffreys.value + _SIGMAS * jeffreys.standard_error
    if math.isfinite(known) and low > 1.5 * known + 0.1:
        verdict = _worse(verdict, "caution")
        accepted += ", more than importance weighting says"
    said = "{:.3f} ± {:.3f} {unit} gained, {}"
    text = Sentence(said, risen.value, risen.standard_error, accepted)
    return Finding(name, verdict, text, "" if verdict == "trust" else remedies.richer)


def marginals(parameters: tuple[Coordinate, ...], remedies: Remedies) -> Finding:
    """Judges the worst shift of a mean and the worst ratio of sds."""
    name = "means and sds"

    def least_shift(p: Coordinate) -> float:
        return abs(p.mean_shift.value) - _SIGMAS * p.mean_shift.standard_error

    def least_ratio(p: Coordinate) -> float:
        log = abs(math.log(max(p.shrinkage.value, 1e-300)))
        return log - _SIGMAS * p.shrinkage.standard_error / max(p.shrinkage.value, 1e-300)

    if parameters and all(p.fixed for p in parameters):
        return Finding(name, "trust", "every parameter has one value only")
    known = [p for p in parameters if math.isfinite(p.mean_shift.standard_error) and not p.fixed]
    if not known:
        return Finding(name, "caution", "no draws of p to compare with", remedies.richer)
    shifted = max(known, key=least_shift)
    narrow = max(known, key=least_ratio)
    shift, ratio = least_shift(shifted), math.exp(max(least_ratio(narrow), 0.0))
    verdict = _worse(
        _level(shift, _FINE_SHIFT, _FAIR_SHIFT, sure=shift),
        _level(ratio, _FINE_RATIO, _FAIR_RATIO, sure=ratio),
    )
    m, s = shifted.mean_shift, narrow.shrinkage
    text = (
        f"largest shift {in_decimals(m, signed=True)} sds ({shifted.name}); sd of q over p's {in_decimals(s)} "
        f"({narrow.name})"
    )
    return Finding(name, verdict, text, "" if verdict == "trust" else remedies.richer)


def pareto(k: float, *, constant: bool, remedies: Remedies) -> Finding:
    """Judges the importance weights: a gate, never a proof."""
    name = "Pareto k"
    if constant:
        return Finding(name, "trust", "weights are constant: they say nothing about what q misses")
    if k == -math.inf:
        return Finding(name, "trust", "no weight is above five times their mean: there is no tail")
    verdict: Verdict = "trust"
    text = f"k = {k:.2f}"
    if k > RELIABLE:
        verdict = "caution"
        text += f" > {RELIABLE}: importance weights of q are not reliable"
    return Finding(name, verdict, text, "" if verdict == "trust" else remedies.richer)


def sandwich(elbo: Estimate, log_evidence: Estimate, eubo: Estimate) -> Finding:
    """Judges ELBO <= log evidence <= EUBO."""
    name = "ELBO ≤ log evidence ≤ EUBO"
    low, middle = elbo.value, log_evidence.value
    slack = 4.0 * math.hypot(elbo.standard_error, log_evidence.standard_error) + 1e-9
    text = Sentence("{:.3f} ≤ {:.3f}", low, middle)
    broken = low > middle + slack
    if math.isfinite(eubo.value):
        text = Sentence("{} ≤ {:.3f}", text, eubo.value)
        slack = 4.0 * math.hypot(eubo.standard_error, log_evidence.standard_error) + 1e-9
        broken = broken or middle > eubo.value + slack
    if broken:
        return Finding(
            name, "do not use", Sentence("violated: {}", text), "the log evidence is wrong"
        )
    return Finding(name, "trust", text)


def error_of_fit(error: FitError, draws: int) -> Finding:
    """Judges whether the draws of the fit were enough."""
    name = ERROR_OF_FIT
    of_sds = f"{100.0 * error.sds:.1f} % of an sd"
    text = Sentence("{:.1g} {unit}, {}, from {} draws", error.kl, of_sds, draws)
    if error.kl > 0.05 or error.sds > 0.1 or not np.isfinite(error.kl):
        return Finding(
            name, "caution", text, "the family is too large for the draws that were made"
        )
    return Finding(name, "trust", text)


def _level(value: float, fine: float, fair: float, *, sure: float) -> Verdict:
    """The verdict of a number; "do not use" only where its lower end is beyond what is fair."""
    if value <= fine:
        return "trust"
    return "do not use" if sure > fair else "caution"


def _worse(a: Verdict, b: Verdict) -> Verdict:
    order = ("trust", "caution", "do not use")
    return a if order.index(a) >= order.index(b) else b
