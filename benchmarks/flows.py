"""What a flow adds to the families that "auto" tries: KL(q||p) of each, and CPU seconds.

    python -m benchmarks.flows [NAME ...] > benchmarks/results/flows.md

KL(q||p) is the log evidence on record (benchmarks/posteriors/truth.json) less the ELBO on fresh draws; that of garch is by
a million weighted draws of its own flow, with t tails beside them.
"""

import json
import sys
import time
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import kullback as kb
from benchmarks.posteriors.record import zeros
from benchmarks.posteriors.targets import TARGETS
from kullback.core.numerics import float64

TRUTH = json.loads((Path(__file__).parent / "posteriors" / "truth.json").read_text())
NAMES = ("schools_noncentred", "radon", "garch", "item_response")
_DAYS, _FIRST = 200, 0.5


@cache
def _returns():
    rng = np.random.default_rng(35)
    mean, level, by_shock, by_variance = 5.0, 0.8, 0.5, 0.3
    variance, y = _FIRST**2, np.empty(_DAYS)
    for t in range(_DAYS):
        y[t] = mean + np.sqrt(variance) * rng.standard_normal()
        variance = level + by_shock * (y[t] - mean) ** 2 + by_variance * variance
    return y


def garch(u):
    """GARCH(1, 1) with flat priors: mean, log level, and two shares of the unit interval, unconstrained."""
    y, mean, level = jnp.asarray(_returns()), u[0], jnp.exp(u[1])
    by_shock = jax.nn.sigmoid(u[2])
    by_variance = (1.0 - by_shock) * jax.nn.sigmoid(u[3])
    jacobian = u[1] + jax.nn.log_sigmoid(u[2]) + 2.0 * jax.nn.log_sigmoid(-u[2])
    jacobian += jax.nn.log_sigmoid(u[3]) + jax.nn.log_sigmoid(-u[3])

    def day(variance, today):
        density = -0.5 * (today - mean) ** 2 / variance - 0.5 * jnp.log(2.0 * jnp.pi * variance)
        return level + by_shock * (today - mean) ** 2 + by_variance * variance, density

    return jnp.sum(jax.lax.scan(day, jnp.asarray(_FIRST**2), y)[1]) + jacobian


ALL = {**TARGETS, "garch": zeros("garch", garch, 4, "GARCH(1, 1), 200 days")}


def log_evidence(name, q):
    """The log evidence on record; else by importance sampling from a flow and a t around it."""
    if name in TRUTH:
        return TRUTH[name]["log_evidence"]
    from scipy.stats import multivariate_t

    n, rng = 500_000, np.random.default_rng(0)
    x = q.sample(rng, n)
    wide = multivariate_t(x.mean(axis=0), np.cov(x.T), df=5, seed=rng)
    x = np.concatenate([x, wide.rvs(n)])
    log_r = np.logaddexp(q.log_prob(x), wide.logpdf(x)) - np.log(2.0)
    with float64():
        log_p = np.asarray(jax.jit(jax.vmap(ALL[name].log_density))(x))
    return float(np.logaddexp.reduce(log_p - log_r) - np.log(2 * n))


def fitted(name, family):
    """A fit, the CPU seconds before its flow began, and those of the flow with its report."""
    target, marks = ALL[name], {}

    def watch(words):
        marks.setdefault(str(words).partition(":")[0], time.process_time())

    began = time.process_time()
    p = kb.LogDensity(target.log_density, target.start)
    found = kb.fit(p, family, direction="reverse", progress=watch)
    ended = time.process_time()
    flow = marks.get("flow", ended)
    return found, flow - began, ended - flow


def measured(name):
    """A row of the table: of "auto", and of Flow() where "auto" was content before."""
    found, before, of_flow = fitted(name, "auto")
    rungs = {type(r.family).__name__: r for r in found.posterior.ladder}
    if "Flow" not in rungs:
        found, _, of_flow = fitted(name, kb.Flow())
        rungs["Flow"] = found.posterior.ladder[-1]
    level = log_evidence(name, found.q)
    kls = [level - rungs[k].elbo.value for k in ("FullRank", "Mixture", "Flow")]
    cells = [name, str(ALL[name].dimension), *(f"{kl:.4f}" for kl in kls)]
    claimed = found.reverse_kl, found.forward_kl
    cells += [f"{kl.value:.4f} ± {kl.standard_error:.4f}" for kl in claimed]
    cells += [rungs["Mixture"].verdict, rungs["Flow"].verdict, f"{before:.0f}", f"{of_flow:.0f}"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(
        "# Flows\n\nWritten by `python -m benchmarks.flows`: the rungs of `auto` on four posteriors that a Gaussian leaves at "
        "caution. KL(q||p)\nin nats from the log evidence on record; what the report claims for the flow beside it. CPU seconds of "
        "one run on two shared\ncores: of the families before the flow with their reports, and of the flow with its own. On garch "
        "`auto` trusts the mixture\nand stops there; its flow is that of `Flow()`.\n"
    )
    print(
        "| target | d | full rank | mixture | flow | claimed KL(q\\|\\|p) | claimed KL(p\\|\\|q) | before | after | CPU before | CPU of the flow |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name in sys.argv[1:] or NAMES:
        print(measured(name), flush=True)
