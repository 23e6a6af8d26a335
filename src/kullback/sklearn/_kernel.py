"""Kernel density as an estimator."""

import time
from typing import Any, Literal, final

import numpy as np
from jaxtyping import Float

from kullback import families
from kullback.api._families import fit_family
from kullback.results._fit import Fit
from kullback.sklearn._density import Density, draws, is_determined, log_prob
from kullback.sklearn._keys import key_of
from kullback.targets import Samples


@final
class KernelDensity(Density):
    """A Gaussian around every row, of bandwidth^2 times the covariance of the rows.

    `score` is the mean over the rows, as of every density here, not scikit-learn's sum.

    Args:
        bandwidth: in units of the spread of the rows; "silverman" or "scott"; None for the one that
            predicts each row best from the others.
        spread: "full" for kernels with the correlations of the rows, "diagonal" for the spread of each
            column alone; "auto" is "full" where distinct rows outnumber columns, else "diagonal".
        random_state: an int is a key; where rows are many it picks those that the bandwidth is chosen by.

    Attributes:
        bandwidth_: the bandwidth taken, in units of the spread of the rows.
        covariance_: of a kernel, (d, d).
        fit_: the whole answer, a `kullback.Fit`; `fit_.held_out` is the mean score of each row by the
            others.
        n_features_in_, feature_names_in_: of the rows fitted to.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 1))
        >>> KernelDensity("scott").fit(x).score_samples([[0.0]]).round(1)
        array([-1.])
    """

    def __init__(
        self,
        bandwidth: float | Literal["silverman", "scott"] | None = None,
        *,
        spread: Literal["auto", "full", "diagonal"] = "auto",
        random_state: Any = None,
    ) -> None:
        self.bandwidth = bandwidth
        self.spread = spread
        self.random_state = random_state

    def sample(self, n_samples: int = 1) -> Float[np.ndarray, "n d"]:
        """Returns draws.

        Args:
            n_samples: how many.
        """
        rng = self._generator(n_samples)
        return draws(self.fit_, rng, n_samples)

    def _estimated(self, samples: Samples) -> Fit:
        spread: Any = self.spread
        if spread == "auto":
            spread = "full" if is_determined(samples) else "diagonal"
        bandwidth: Any = self.bandwidth
        return fit_family(
            samples,
            families.KernelDensity(bandwidth, spread),
            key=key_of(self.random_state),
            watch=lambda _: None,
            began=time.perf_counter(),
        )

    def _describe(self, fit: Fit) -> None:
        q: Any = fit.q
        self.bandwidth_ = float(q.bandwidth)
        self.covariance_ = q.covariance

    def _log_density(self, values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        return log_prob(self.fit_, values)

    def _takes_gaps(self) -> bool:
        return False
