"""Mixtures of Gaussians and of Student's t as an estimator."""

import warnings
from collections.abc import Sequence
from numbers import Integral
from typing import Any, Literal, final

import numpy as np
from jaxtyping import Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from kullback.api.fit import fit
from kullback.core.errors import InputError
from kullback.core.run import Run
from kullback.distributions.gaussian_mixture import (
    GaussianMixture,
    TableMixture,
    components_of,
    log_joint,
)
from kullback.families import KernelDensity as families_KernelDensity
from kullback.families import LowRank, Mixture, parse_family
from kullback.results.fit import Fit
from kullback.results.likelihood import Likelihood
from kullback.routes.families import fit_family
from kullback.routes.samples_forward import fit_samples
from kullback.sklearn.density import Density, draws, is_determined, key_of, log_prob
from kullback.targets import Samples

#: Nats over all rows that may be left to gain in a fit that has converged.
_LEFT = 0.01
Covariance = Literal["auto", "full", "diagonal", "tied", "spherical"]


@final
class MixtureDensity(Density):
    """A mixture of Gaussians, or of Student-t distributions, fitted by maximum likelihood.

    q(x) = sum_k weights_k N(x; means_k, covariances_k)

    Many starts on up to 20,000 rows, with components split and merged; the best is carried on over all
    rows until what is left to gain is known to be little. There is no term added to the covariances: a
    density that would be infinite is refused, with the column to drop.

    Args:
        n_components: how many; "auto" for the number with the lowest BIC.
        covariance: "full", "diagonal", "tied" (one for all components), "spherical", LowRank(r) or
            "low_rank:r" (diagonal plus r outer products); "auto" is "full" where distinct rows outnumber
            columns, and "diagonal" where they do not, because they determine no full covariance.
        tails: "gaussian"; "student_t" for tails of each component's own.
        starts: from how many starts the likelihood is climbed; as many as `fit` takes, unless given.
        missing: whether NaN means that a value is missing: then the likelihood is that of the others.
        held_out: whether `fit_` says how good the fit is: the score of rows left out, by ten refits, tests of
            the columns, and standard errors of more than 100 parameters.
        random_state: an int is a key: the same key, the same fit. Else as scikit-learn has it.

    Attributes:
        weights_: (k,).
        means_: (k, d).
        covariances_: (k, d, d); (d, d) if tied, (k, d) if diagonal, (k,) if spherical. Infinite for
            Student-t components of two degrees of freedom or fewer.
        df_: degrees of freedom (k,), infinite for Gaussians.
        covariance_: the structure of the covariances.
        lower_bound_: the mean log-likelihood of the rows fitted to, by scikit-learn's name.
        converged_: whether less than 0.01 nats over all rows are left to gain.
        n_iter_: passes over all rows.
        fit_: the whole answer, a `kullback.Fit`: `likelihood` with standard errors, `notes`, `optima`,
            `held_out`, and for "auto" the table `selection`.
        n_features_in_, feature_names_in_: of the rows fitted to.

    Example:
        >>> x = np.random.default_rng(0).normal([[0.0, 9.0]], 1.0, (200, 2)).reshape(-1, 1)
        >>> found = MixtureDensity(2, random_state=0).fit(x)
        >>> found.means_.round().astype(int).ravel().tolist()
        [0, 9]
        >>> found.predict([[0.5], [8.0]])
        array([0, 1])
    """

    def __init__(
        self,
        n_components: int | Literal["auto"] = 1,
        *,
        covariance: Covariance | str | LowRank = "auto",
        tails: Literal["gaussian", "student_t"] = "gaussian",
        starts: int | None = None,
        missing: bool = False,
        held_out: bool = False,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.covariance = covariance
        self.tails = tails
        self.starts = starts
        self.missing = missing
        self.held_out = held_out
        self.random_state = random_state

    def predict(self, X: Any) -> Int[np.ndarray, " n"]:
        """Returns the likeliest component of each row, from 0, in the order of `means_`."""
        return np.argmax(self._joint(self._rows(X)), axis=1)

    def predict_proba(self, X: Any) -> Float[np.ndarray, "n k"]:
        """Returns the probability of each component given the row."""
        return _shares(self._joint(self._rows(X)))

    def fit_predict(
        self, X: Any, y: object = None, sample_weight: Any = None
    ) -> Int[np.ndarray, " n"]:
        """Fits the density, and returns the likeliest component of each row."""
        return self.fit(X, y, sample_weight).predict(X)

    def sample(self, n_samples: int = 1) -> tuple[Float[np.ndarray, "n d"], Int[np.ndarray, " n"]]:
        """Returns draws and the component of each, in a random order.

        Args:
            n_samples: how many.
        """
        rng = self._generator(n_samples)
        rows = draws(self.fit_, rng, n_samples)
        return rows, _draw_labels(rng, _shares(self._joint(rows)))

    def bic(self, X: Any) -> float:
        """Returns m log n - 2 log-likelihood of n rows, with m free parameters: to be small."""
        scores = self.score_samples(X)
        return float(self._likelihood.parameters * np.log(len(scores)) - 2.0 * scores.sum())

    def aic(self, X: Any) -> float:
        """Returns 2 m - 2 log-likelihood of the rows, with m free parameters: to be small."""
        return float(2.0 * self._likelihood.parameters - 2.0 * self.score_samples(X).sum())

    @property
    def _likelihood(self) -> Likelihood:
        check_is_fitted(self, "fit_")
        assert self.fit_.likelihood is not None
        return self.fit_.likelihood

    def _estimated(self, samples: Samples) -> Fit:
        self.covariance_ = structure(self.covariance, samples)
        k = self.n_components
        count = int(k) if isinstance(k, Integral) and not isinstance(k, bool) else k
        recipe = Mixture(count, self.covariance_, self.tails)  # pyright: ignore[reportArgumentType]
        return fit_samples(
            samples,
            recipe,
            starts=_positive(self.starts),
            run=Run(key_of(self.random_state)),
            hold_out=bool(self.held_out),
        )

    def _describe(self, fit: Fit) -> None:
        q, known = components_of(fit.q), self._likelihood
        self._q = q
        self.weights_, self.means_ = q.weights, q.means
        self.df_ = q.df if isinstance(q, TableMixture) else np.full(len(q.weights), np.inf)
        self.covariances_ = _as_scikit_learn_has_them(_covariances(q), self.covariance_)
        self.lower_bound_ = known.log_likelihood / known.weight
        self.converged_ = bool(known.remaining <= _LEFT)
        self.n_iter_ = known.passes
        if not self.converged_:
            warnings.warn(
                f"MixtureDensity: about {known.remaining:.2g} nats over all rows are left to gain after "
                f"{known.passes} passes; ask for fewer components, or more rows",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _log_density(self, values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        return np.logaddexp.reduce(self._joint(values), axis=1)

    def _joint(self, values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        return log_joint(self._q, values)

    def _takes_gaps(self) -> bool:
        return bool(self.missing)


def _shares(log_joint: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """The probability of each component given the row.

    Raises:
        InputError: a row is so far from all components that its density is 0 in double precision.
    """
    peak = log_joint.max(axis=1, keepdims=True)
    lost = ~np.isfinite(peak[:, 0])
    if lost.any():
        raise InputError(
            f"row {int(np.argmax(lost))} is so far from every component that its densities cannot be compared"
        )
    found = np.exp(log_joint - peak)
    return found / found.sum(axis=1, keepdims=True)


def _draw_labels(rng: np.random.Generator, shares: Float[np.ndarray, "n k"]) -> np.ndarray:
    """A component for each row, drawn from its shares.

    Rows drawn of q with these labels are distributed as labels drawn by weight, then rows.
    """
    below = np.cumsum(shares, axis=1)
    return (rng.random(len(shares))[:, None] * below[:, -1:] >= below[:, :-1]).sum(axis=1)


def structure(covariance: object, samples: Samples) -> object:
    """Returns the structure that is meant: for "auto" full where the rows can determine it."""
    if covariance == "auto":
        return "full" if is_determined(samples) else "diagonal"
    if isinstance(covariance, str) and covariance.startswith("low_rank"):
        named = parse_family(covariance)
        assert isinstance(named, LowRank)
        return named
    return covariance


def _covariances(q: GaussianMixture | TableMixture) -> Float[np.ndarray, "k d d"]:
    if isinstance(q, GaussianMixture):
        return q.covariances
    with np.errstate(divide="ignore", invalid="ignore"):
        wider = np.where(np.isinf(q.df), 1.0, np.where(q.df > 2.0, q.df / (q.df - 2.0), np.inf))
        # inf times 0: where there is no variance there is no covariance either.
        return np.nan_to_num(
            wider[:, None, None] * (q.roots @ q.roots.transpose(0, 2, 1)), nan=np.inf, posinf=np.inf
        )


def _as_scikit_learn_has_them(covariances: Float[np.ndarray, "k d d"], name: object) -> np.ndarray:
    diagonals = np.diagonal(covariances, axis1=1, axis2=2)
    match name:
        case "tied":
            return covariances[0]
        case "diagonal":
            return diagonals.copy()
        case "spherical":
            return diagonals[:, 0].copy()
    return covariances


def _positive(starts: Any) -> int | None:
    if starts is None:
        return None
    if not isinstance(starts, Integral) or isinstance(starts, bool) or starts < 1:
        raise InputError(f"starts={starts!r}: at least one start is needed")
    return int(starts)


# Kernel density as an estimator.


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
            families_KernelDensity(bandwidth, spread),
            Run(key_of(self.random_state)),
        )

    def _describe(self, fit: Fit) -> None:
        q: Any = fit.q
        self.bandwidth_ = float(q.bandwidth)
        self.covariance_ = q.covariance

    def _log_density(self, values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        return log_prob(self.fit_, values)

    def _takes_gaps(self) -> bool:
        return False


# The best of several families as an estimator.

#: Compared where nothing is said and there are several columns.
VECTORS = ("mean_field", "full_rank", "mixture:2", "mixture:3", "kde")


@final
class BestDensity(Density):
    """Of several families the one that predicts rows left out best, fitted to all rows.

    Of those within one standard error of the best, the one with the fewest parameters is taken.

    Args:
        families: names or recipes, such as ("gamma", "lognormal", Mixture(2)). None means all families
            that live where the rows do, for one column; for several, `VECTORS`.
        random_state: an int is a key: the same key, the same folds and starts.

    Attributes:
        family_: the family taken, in words.
        fit_: the whole answer, a `kullback.Fit`, with the table of all families in `fit_.selection`.
        n_features_in_, feature_names_in_: of the rows fitted to.

    Example:
        >>> x = np.random.default_rng(0).gamma(3.0, size=(500, 1))
        >>> BestDensity(("gamma", "normal"), random_state=0).fit(x).family_
        'gamma'
    """

    def __init__(
        self, families: Sequence[object] | None = None, *, random_state: Any = None
    ) -> None:
        self.families = families
        self.random_state = random_state

    def sample(self, n_samples: int = 1) -> Float[np.ndarray, "n d"]:
        """Returns draws.

        Args:
            n_samples: how many.
        """
        rng = self._generator(n_samples)
        return draws(self.fit_, rng, n_samples)

    def _estimated(self, samples: Samples) -> Fit:
        named: object = self.families
        if named is None:
            named = "best" if samples.values.shape[1] == 1 else VECTORS
        listed = [named] if isinstance(named, str) and named != "best" else named
        return fit(
            samples, listed, direction="forward", key=key_of(self.random_state), progress=False
        )

    def _describe(self, fit: Fit) -> None:
        self.family_ = str(fit.family)

    def _log_density(self, values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        return log_prob(self.fit_, values)

    def _takes_gaps(self) -> bool:
        return False
