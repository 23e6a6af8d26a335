"""The trust report of a reverse fit: everything that can be measured, then the verdict."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from kullback.core.run import Run
from kullback.diagnostics.covering import Covering
from kullback.diagnostics.evidence import Evidence, weigh_up
from kullback.diagnostics.importance import Sampler, Weighed, weigh
from kullback.diagnostics.integrability import Rays, check_faults, check_proper
from kullback.diagnostics.tempered import Afar, Probe, from_afar, mode_share, probe
from kullback.diagnostics.verdict import RELIABLE, Remedies, unseen_modes
from kullback.diagnostics.verdict import findings as verdict_findings
from kullback.fitting.climbs import Climbs
from kullback.fitting.components import Components
from kullback.fitting.reverse import ReverseFit
from kullback.results.estimate import Estimate
from kullback.results.posterior import (
    Coordinate,
    Diagnosis,
    Draws,
    Finding,
    FitError,
    Posterior,
    Report,
    columns,
)
from kullback.results.quantity import (
    ELBO,
    ELBO_TO_EUBO,
    ENERGY,
    ENTROPY_OF_Q,
    MASS_OUTSIDE,
    MEAN_SHIFT,
    SD_RATIO,
)
from kullback.solvers.modes import CountedDensity, whitened
from kullback.solvers.tempering import Tempered
from kullback.targets import Unconstrained

Array = np.ndarray
#: A column per coordinate, and its mean and sd, by name.
Columns = dict[str, Float[np.ndarray, " n"]]
Moments = dict[str, tuple[float, float]]


def diagnose(
    target: Unconstrained,
    density: CountedDensity,
    found: Climbs,
    tempered: Callable[[], Tempered],
    made: ReverseFit,
    log_q: Callable[[Array], Array],
    run: Run,
    remedies: Remedies,
    covering: Callable[[], Covering | None],
    sample: Sampler | None = None,
) -> Report:
    """Returns the trust report.

    Args:
        target: p, for names.
        density: p.
        found: what climbing found.
        tempered: gives draws of p from afar, which owe nothing to q.
        made: the fit.
        log_q: its log density at n points.
        run: randomness and progress.
        remedies: what to type next.
        covering: gives draws that cover p, where there is time for them.
        sample: gives draws of q, where that is no mixture and `made` holds one that is close to it.

    Raises:
        DensityError: the log density is no log density where q is: NaN, improper, -inf on a part.
    """
    q = made.q
    density.forget()
    run.watch("measuring the ELBO on fresh draws")
    weighed = weigh(density, q, log_q, run.generator("weights"), None, sample)
    check_faults(density, target, weighed)
    rays = check_proper(target, density, q, run.generator("rays", 1))
    afar = from_afar(tempered(), found, log_q, weighed)
    covered = None if sample is None and _near(q, weighed, afar) else covering()
    if covered is not None:
        kin = covered.kin(log_q)
        there = weigh(density, q, log_q, run.generator("weights"), kin, sample)
        # Where no mixture covers p, in many coordinates, q's own draws tell more, if their weights do.
        if there.pareto_k < max(RELIABLE, weighed.pareto_k) or _finds_more(there, weighed):
            weighed = there
        afar = from_afar(tempered(), found, log_q, weighed)
    run.watch("probing with Langevin steps")
    probed = probe(density, q, log_q, weighed, run.generator("probe"))
    evidence = weigh_up(weighed, afar, rays)
    moments = of_q(target, q, run.generator("moments"), sample)
    expected = expected_shrinkage(target, made.curvature, q)
    parameters = named_parameters(
        target, weighed, afar, moments, expected, by_weights=evidence.by_weights
    )
    draws = _draws_of_fit(target, weighed, probed, afar)
    entropy = _entropy(q if sample is None else None, weighed)
    posterior = _posterior_of_draws(
        made, weighed, probed, afar, evidence, parameters, draws, entropy
    )
    findings = verdict_findings(
        posterior,
        (evidence.reverse_kl, evidence.forward_kl),
        remedies,
        draws=made.trace[-1][2] if made.trace else 0,
        constant=weighed.own_weights[2],
        mode_share=mode_share(afar.modes, evidence.log_evidence.value),
        nowhere=afar.outside[0] <= 0.0,
        probed=("Langevin probe", probed.acceptance),
    )
    necks = () if covered is None else covered.findings(target.coordinates)
    diagnosis = Diagnosis(
        (*findings, *_tails(rays), *necks), unseen_modes(found.looks, found.narrowest)
    )
    posterior = replace(posterior, diagnosis=diagnosis)
    return Report(posterior, evidence.reverse_kl, evidence.forward_kl, afar.threshold)


#: Nats of either KL, and Pareto k, up to which draws of q know p.
_NEAR, _NO_TAIL = 0.005, 0.3
#: Errors by which one evidence is above another beyond chance.
_BEYOND = 4.0


def _finds_more(there: Weighed, own: Weighed) -> bool:
    """Whether draws that cover p find mass that q's own do not know of, beyond chance."""
    gap = there.log_evidence[0] - own.log_evidence[0]
    return gap > _BEYOND * math.hypot(there.log_evidence[1], own.log_evidence[1])


def _near(q: Components, weighed: Weighed, afar: Afar) -> bool:
    """Whether a Gaussian is so near p that its own draws tell all about both.

    Mixtures and flows come as near to a p that has arms which they do not enter; and to a Gaussian's own draws a p with
    a light mode far away is the Gaussian itself.
    """
    if len(q.weights) > 1 or afar.modes or afar.outside[0] > 0.0:
        return False
    kls = weighed.reverse_kl, weighed.forward_kl
    return weighed.pareto_k < _NO_TAIL and all(kl + 2.0 * error < _NEAR for kl, error in kls)


ON_FRESH_DRAWS = "mean over fresh draws of q"


def elbo_estimate(weighed: Weighed) -> Estimate:
    """Returns the ELBO of draws of q."""
    return Estimate.sampled(*weighed.elbo, ELBO, method=ON_FRESH_DRAWS, n=weighed.own)


def _posterior_of_draws(
    made: ReverseFit,
    weighed: Weighed,
    probed: Probe,
    afar: Afar,
    evidence: Evidence,
    parameters: list[Coordinate],
    draws: Draws,
    entropy: Estimate,
) -> Posterior:
    """All that was measured, not yet judged."""
    return Posterior(
        elbo=elbo_estimate(weighed),
        entropy=entropy,
        energy=Estimate.sampled(
            *weighed.energy,
            ENERGY,
            method="mean over draws of q",
            n=weighed.own,
        ),
        log_evidence=evidence.log_evidence,
        routes=evidence.routes,
        agreement=evidence.agreement,
        jeffreys=evidence.jeffreys,
        eubo=evidence.eubo,
        probe=Estimate.sampled(
            *probed.jeffreys,
            ELBO_TO_EUBO,
            method="10 MALA steps from q",
            n=len(probed.points.x),
        ),
        outside=Estimate.sampled(
            *afar.outside,
            MASS_OUTSIDE,
            method="tempered SMC",
            n=len(afar.x),
        ),
        pareto_k=weighed.own_weights[1],
        parameters=tuple(parameters),
        draws=draws,
        trace=made.trace,
        fit_error=FitError(*made.noise),
        diagnosis=Diagnosis((), ""),
    )


def named_parameters(
    target: Unconstrained,
    weighed: Weighed,
    afar: Afar,
    moments: Moments,
    expected: Mapping[str, float],
    *,
    by_weights: bool,
) -> list[Coordinate]:
    """Returns each parameter under q, whose moments are known, and under p, by weights or tempered draws."""
    here = columns(target.constrain(weighed.x), bare=target.bare)
    if by_weights or not afar.tempered.complete:
        return marginals_by_weights(weighed, here, moments, expected)
    there = columns(target.constrain(afar.x), bare=target.bare)
    return by_tempering(here, afar, there, moments, expected)


def _tails(rays: Rays) -> list[Finding]:
    if not math.isfinite(rays.heavy):
        return []
    text = f"p falls only as distance^-{rays.heavy:.1f}: its tails are heavier than q's"
    remedy = "use the tempered draws for tail probabilities, or a family with heavy tails"
    return [Finding("tails", "caution", text, remedy)]


def _draws_of_fit(target: Unconstrained, weighed: Weighed, probed: Probe, afar: Afar) -> Draws:
    own = weighed.own
    return Draws(
        plain=target.constrain(weighed.x[:own]),
        log_p=weighed.log_p[:own],
        log_q=weighed.log_q[:own],
        weights=weighed.own_weights[0],
        refreshed=target.constrain(probed.points.x),
        tempered=target.constrain(afar.x),
    )


def _entropy(q: Components | None, weighed: Weighed) -> Estimate:
    """The entropy of a Gaussian or mixture; of anything else, by its draws."""
    if q is not None and len(q.weights) == 1:
        d = q.means.shape[1]
        value = 0.5 * d * math.log(2.0 * math.pi * math.e) + float(q.log_dets[0])
        return Estimate.exact(value, ENTROPY_OF_Q, method="closed form")
    own = -weighed.log_q[: weighed.own]
    return Estimate.sampled(
        float(own.mean()),
        float(own.std(ddof=1)) / math.sqrt(len(own)),
        ENTROPY_OF_Q,
        method="mean over draws of q",
        n=len(own),
    )


# Each parameter under q and under p.

#: A parameter that varies by no more than this share of its size has one value, up to the rounding of a sum.
_ONE_VALUE = 1e-13
#: Draws from which the means and sds of q itself are taken: of a mixture, and of what is none.
_EXACT, _MANY = 4096, 2**15


def of_q(
    target: Unconstrained, q: Components, rng: np.random.Generator, sample: Sampler | None = None
) -> Moments:
    """Returns the mean and sd of each parameter under q: exact where it is a coordinate of q itself.

    The draws have q's mean and covariance exactly, component by component; those of a sampler have not.
    """
    if sample is not None:
        drawn = columns(target.constrain(sample(rng, _MANY)), bare=target.bare)
        return {name: (float(x.mean()), float(x.std())) for name, x in drawn.items()}
    z = whitened(target.dimension, max(_EXACT, 2 * target.dimension), rng)
    places = q.place(z)
    k, n, d = places.shape
    weights = np.repeat(q.weights / n, n)
    out: Moments = {}
    for name, x in columns(target.constrain(places.reshape(k * n, d)), bare=target.bare).items():
        mean = float(weights @ x)
        out[name] = mean, math.sqrt(max(float(weights @ (x - mean) ** 2), 0.0))
    return out


def expected_shrinkage(
    target: Unconstrained, curvature: Float[np.ndarray, "d d"] | None, q: Components
) -> dict[str, float]:
    """Returns the sd of a mean-field q over that of p by linear response of the means, by coordinate."""
    if curvature is None or not q.diagonal or np.linalg.eigvalsh(curvature)[0] <= 0.0:
        return {}
    spread = np.sqrt(np.diag(np.linalg.inv(curvature)))
    return dict(zip(target.coordinates, (1.0 / spread).tolist(), strict=True))


def marginals_by_weights(
    weighed: Weighed, everywhere: Columns, moments: Moments, expected: Mapping[str, float]
) -> list[Coordinate]:
    """Returns the parameters, p's moments being those of the weighed draws."""
    n, m = len(weighed.x), weighed.own
    weights = weighed.weights
    out = []
    for name, x in everywhere.items():
        mean_q, sd_q = moments[name]
        if _one_value(x):
            out.append(_fixed(name, mean_q, "weights"))
            continue
        mean = float(np.mean(weights * x))
        moved = weights * (x - mean)
        variance = float(np.mean(weights * (x - mean) ** 2))
        error = math.sqrt(m * np.var(moved[:m]) + (n - m) * np.var(moved[m:])) / n
        by_draw = weights * ((x - mean) ** 2 - variance)
        doubt = 0.5 * float(by_draw.std()) / math.sqrt(n) / max(variance, 1e-300)
        out.append(
            _parameter(name, mean_q, sd_q, (mean, error), variance, doubt, expected, "weights")
        )
    return out


def by_tempering(
    everywhere: Columns,
    afar: Afar,
    there: Columns,
    moments: Moments,
    expected: Mapping[str, float],
) -> list[Coordinate]:
    """Returns the parameters, p's moments being those of the tempered draws."""
    out = []
    for name in everywhere:
        far = there[name]
        mean_q, sd_q = moments[name]
        if _one_value(np.concatenate([everywhere[name], far])):
            out.append(_fixed(name, mean_q, "tempered SMC"))
            continue
        mean, error = float(far.mean()), afar.error(far)
        squares = (far - mean) ** 2
        variance = float(squares.mean())
        doubt = 0.5 * afar.error(squares) / max(variance, 1e-300)
        out.append(
            _parameter(name, mean_q, sd_q, (mean, error), variance, doubt, expected, "tempered SMC")
        )
    return out


def _one_value(x: Float[np.ndarray, " n"]) -> bool:
    """Whether a parameter is the same at all draws, up to rounding."""
    return bool(np.ptp(x) <= _ONE_VALUE * np.abs(x).max())


def _fixed(name: str, value: float, method: str) -> Coordinate:
    """A parameter that is the same everywhere: there is nothing to compare."""
    shift, ratio = (
        Estimate.unresolved(
            math.nan, "it has one value", q.called(f"{q.name}({name})"), method=method
        )
        for q in (MEAN_SHIFT, SD_RATIO)
    )
    return Coordinate(name, value, 0.0, shift, ratio)


def _parameter(
    name: str,
    mean_q: float,
    sd_q: float,
    mean_p: tuple[float, float],
    variance_p: float,
    doubt: float,
    expected: Mapping[str, float],
    method: str,
) -> Coordinate:
    sd_p = math.sqrt(max(variance_p, 1e-300))
    ratio = sd_q / sd_p
    shift = Estimate.sampled(
        (mean_p[0] - mean_q) / sd_p,
        mean_p[1] / sd_p,
        MEAN_SHIFT.called(f"mean_shift({name})"),
        method=method,
    )
    return Coordinate(
        name,
        mean_q,
        sd_q,
        shift,
        Estimate.sampled(
            ratio,
            ratio * doubt,
            SD_RATIO.called(f"sd_ratio({name})"),
            method=method,
        ),
        expected.get(name),
    )
