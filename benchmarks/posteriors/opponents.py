"""The peers, as their documentation has them used: NumPyro's autoguides, BlackJAX's VI, PyMC's ADVI."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.posteriors import race
from benchmarks.posteriors.race import CHUNK, Judge, Race
from benchmarks.posteriors.record import Posterior

#: (step size, draws per step)
SETTINGS = ((0.1, 10), (0.01, 10), (0.001, 10), (0.01, 1))


def numpyro(posterior: Posterior, family: str, judge: Judge) -> list[Race]:
    """Returns how AutoNormal or AutoMultivariateNormal did, with ClippedAdam at each setting."""
    import numpyro
    from numpyro import distributions as dist
    from numpyro.infer import SVI, Trace_ELBO, autoguide, init_to_value
    from numpyro.optim import ClippedAdam

    d = posterior.dimension

    def model() -> None:
        x = numpyro.sample("x", dist.ImproperUniform(dist.constraints.real_vector, (), (d,)))
        numpyro.factor("log_density", posterior.log_density(x))

    first = init_to_value(values={"x": jnp.asarray(posterior.start)})

    def one(step_size: float, draws: int) -> Race:
        kind = autoguide.AutoMultivariateNormal if family == "full" else autoguide.AutoNormal
        guide = kind(model, init_loc_fn=first)
        svi = SVI(model, guide, ClippedAdam(step_size), Trace_ELBO(num_particles=draws))

        @jax.jit
        def advance(state: Any) -> Any:
            return jax.lax.scan(lambda s, _: (svi.update(s)[0], None), state, None, CHUNK)[0]

        def normal(state: Any) -> tuple[np.ndarray, np.ndarray]:
            found = svi.get_params(state)
            if family == "full":
                return np.asarray(found["auto_loc"]), np.asarray(found["auto_scale_tril"])
            return np.asarray(found["x_auto_loc"]), np.diag(np.asarray(found["x_auto_scale"]))

        return race.run(
            f"ClippedAdam({step_size:g}), {draws} draws",
            judge,
            lambda: svi.init(jax.random.key(0)),
            advance,
            normal,
            per_chunk=CHUNK * draws,
        )

    return [one(*setting) for setting in SETTINGS]


def blackjax(posterior: Posterior, family: str, judge: Judge) -> list[Race]:
    """Returns how meanfield_vi or fullrank_vi did, with Adam at each setting; STL is their default."""
    import optax
    from blackjax.vi import fullrank_vi, meanfield_vi

    made = fullrank_vi if family == "full" else meanfield_vi
    d = posterior.dimension

    def one(step_size: float, draws: int) -> Race:
        algorithm = made.as_top_level_api(
            posterior.log_density, optax.adam(step_size), num_samples=draws
        )

        @jax.jit
        def steps(carry: Any) -> Any:
            key, state = carry
            key, sub = jax.random.split(key)

            def step(s: Any, k: Any) -> Any:
                return algorithm.step(k, s)[0], None

            return key, jax.lax.scan(step, state, jax.random.split(sub, CHUNK))[0]

        def normal(carry: Any) -> tuple[np.ndarray, np.ndarray]:
            state = carry[1]
            if family == "mean":
                return np.asarray(state.mu), np.diag(np.exp(np.asarray(state.rho)))
            packed = np.asarray(state.chol_params)
            root = np.diag(np.exp(packed[:d]))
            root[np.tril_indices(d, -1)] = packed[d:]
            return np.asarray(state.mu), root

        return race.run(
            f"Adam({step_size:g}), {draws} draws",
            judge,
            lambda: (jax.random.key(0), algorithm.init(jnp.asarray(posterior.start))),
            steps,
            normal,
            per_chunk=CHUNK * draws,
        )

    return [one(*setting) for setting in SETTINGS]


class _Near(Exception):  # noqa: N818 - not an error
    """Ends PyMC's loop."""


def pymc(posterior: Posterior, family: str, judge: Judge) -> list[Race]:
    """Returns how pm.fit did, with its default optimiser and with two of Adam; the density is wrapped JAX."""
    import pymc as pm
    import pytensor

    wrapped = pytensor.wrap_jax(posterior.log_density)

    def one(setting: str, optimizer: Callable[[], Any] | None) -> Race:
        spent, began, seen = [0.0], [time.perf_counter()], [0, np.inf]
        ahead = race.looks()
        due = [next(ahead) * CHUNK]

        def look(approximation: Any, _: Any, step: int) -> None:
            if step < due[0]:
                return
            due[0] = next(ahead) * CHUNK
            spent[0] += time.perf_counter() - began[0]
            mean, covariance = approximation.mean.eval(), approximation.cov.eval()
            try:
                seen[:] = [step, judge.gap(mean, np.linalg.cholesky(covariance))]
            except np.linalg.LinAlgError:
                seen[:] = [step, np.inf]
            if not np.isfinite(seen[1]) or seen[1] <= race.NEAR or spent[0] > race.CAP_SECONDS:
                raise _Near
            began[0] = time.perf_counter()

        with pm.Model():
            x = pm.Flat("x", shape=posterior.dimension, initval=posterior.start)
            pm.Potential("log_density", wrapped(x))
            extra = {} if optimizer is None else {"obj_optimizer": optimizer()}
            try:
                pm.fit(
                    race.CAP_GRADIENTS,
                    method="fullrank_advi" if family == "full" else "advi",
                    callbacks=[look],
                    progressbar=False,
                    random_seed=0,
                    **extra,
                )
                end = f"{race.CAP_GRADIENTS} gradients"
            except _Near:
                end = f"{race.CAP_SECONDS:.0f} s" if np.isfinite(seen[1]) else "diverged"
            except FloatingPointError as error:
                return Race(setting, None, None, None, str(error).splitlines()[0])
        if seen[1] <= race.NEAR:
            return Race(setting, spent[0], seen[0], seen[1], "near")
        return Race(setting, None, None, float(seen[1]) if np.isfinite(seen[1]) else None, end)

    return [
        one("pm.fit, defaults", None),
        one("pm.fit, Adam(0.1)", lambda: pm.adam(learning_rate=0.1)),
        one("pm.fit, Adam(0.01)", lambda: pm.adam(learning_rate=0.01)),
    ]


OPPONENTS: dict[str, Callable[[Posterior, str, Judge], list[Race]]] = {
    "numpyro": numpyro,
    "blackjax": blackjax,
    "pymc": pymc,
}
#: PyMC takes 30-60 µs a step and more for a wrapped density: these few tell the story.
PYMC_TARGETS = (
    "normal_mean",
    "linear_5",
    "gaussian_10",
    "german_credit",
    "poisson",
    "schools_noncentred",
    "banana",
    "three_modes_3",
)
