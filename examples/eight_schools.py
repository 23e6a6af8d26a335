"""Eight schools: how much coaching raised test scores, with an effect of each school's own.

The command line reads this file as it is:

    kullback fit examples/eight_schools.py:log_posterior --direction reverse

and so does Python:

    python examples/eight_schools.py

The effect of school i is mu + tau * eta[i]: in these coordinates the posterior has no funnel.
Source: Rubin (1981), Estimation in parallel randomized experiments; Gelman et al., Bayesian Data
Analysis, section 5.5.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import cauchy, norm

from kullback.api.fit import fit
from kullback.targets import LogDensity

#: Points gained, and their standard errors.
GAINS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])

#: A point of the posterior: the names and shapes of the parameters.
example = {"mu": 0.0, "tau": 1.0, "eta": np.zeros(8)}
#: Where a parameter lives, if not on the whole line.
support = {"tau": "positive"}


def log_posterior(x: Mapping[str, jax.Array]) -> jax.Array:
    """Returns log p(x, gains): the priors of mu, tau and eta, and the likelihood."""
    prior = (
        norm.logpdf(x["mu"], 0.0, 5.0)
        + jnp.log(2.0) + cauchy.logpdf(x["tau"], 0.0, 5.0)
        + jnp.sum(norm.logpdf(x["eta"]))
    )  # fmt: skip
    effects = x["mu"] + x["tau"] * x["eta"]
    return prior + jnp.sum(norm.logpdf(GAINS, effects, ERRORS))


def main() -> None:
    """Fits a Gaussian and says whether it may be used."""
    target = LogDensity(log_posterior, example, support=support)
    found = fit(target, "full_rank", direction="reverse")
    print(found.diagnosis)
    print(found.elbo)
    print(found.log_evidence)
    print(found.reverse_kl)
    print(found.forward_kl)
    for parameter in found.posterior.parameters if found.posterior else ():
        print(f"{parameter.name:8} {parameter.mean:8.3f} {parameter.sd:8.3f}")


if __name__ == "__main__":
    main()
