"""What all density estimators share: rows in, a fit kept, scores and draws out."""

import abc
from numbers import Integral
from typing import Any, Self

import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from kullback.core.errors import InputError
from kullback.core.run import generator
from kullback.results.fit import Fit
from kullback.targets import Samples

#: With more rows than this, columns are taken to be fewer.
_COUNTED = 20_000


def said(weight: Float[np.ndarray, " n"] | None) -> dict[str, Any]:
    """Returns what scikit-learn means by weights: by whole ones, rows that are written so many times."""
    whole = weight is not None and weight.any() and np.array_equal(weight, np.floor(weight))
    return {"frequencies" if whole else "weights": weight}


class Density(DensityMixin, BaseEstimator, abc.ABC):
    """A density fitted to rows by maximum likelihood: the direction KL(p||q), up to the entropy of p."""

    random_state: Any
    fit_: Fit
    n_features_in_: int

    @abc.abstractmethod
    def _estimated(self, samples: Samples) -> Fit:
        """Returns the fit to samples, by the parameters as they are now."""

    @abc.abstractmethod
    def _describe(self, fit: Fit) -> None:
        """Sets the attributes that say what was found."""

    @abc.abstractmethod
    def _log_density(self, values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Returns the log density of rows."""

    @abc.abstractmethod
    def _takes_gaps(self) -> bool:
        """Whether NaN means that a value is missing."""

    def fit(self, X: Any, y: object = None, sample_weight: Any = None) -> Self:
        """Fits the density to rows.

        Args:
            X: (n, d), an array or a data frame of pandas, polars or pyarrow.
            y: not looked at.
            sample_weight: (n,), how many rows each row stands for; a weight of 2 is the row twice.

        Returns:
            This estimator.

        Raises:
            ValueError: the rows do not admit such a density: too few, a constant column, columns that
                determine each other, NaN or infinite values. The message says which and what to do.
        """
        values = validate_data(self, X, ensure_min_samples=2, **self._checks())
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        samples = Samples(
            values,
            **said(weight),
            columns=tuple(getattr(self, "feature_names_in_", ())),
            missing=self._takes_gaps(),
        )
        found = self._estimated(samples)
        if found.interrupted:
            # An unfinished fit would pass for a finished one in a search.
            raise KeyboardInterrupt
        self.fit_ = found
        self._describe(found)
        return self

    def score_samples(self, X: Any) -> Float[np.ndarray, " n"]:
        """Returns log q of each row, in nats."""
        return self._log_density(self._rows(X))

    def score(self, X: Any, y: object = None) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Returns the mean of log q over the rows, in nats: the larger, the better."""
        return float(np.mean(self.score_samples(X)))

    def _rows(self, X: Any) -> Float[np.ndarray, "n d"]:
        check_is_fitted(self, "fit_")
        return np.asarray(validate_data(self, X, reset=False, **self._checks()))

    def _checks(self) -> dict[str, Any]:
        return {
            "dtype": np.float64,
            "ensure_all_finite": "allow-nan" if self._takes_gaps() else True,
        }

    def _generator(self, n_samples: int) -> np.random.Generator:
        """Returns the randomness of draws. Raises unless the estimator is fitted and n is a number of draws."""
        check_is_fitted(self, "fit_")
        if isinstance(n_samples, bool) or n_samples != int(n_samples) or n_samples < 1:
            raise InputError(f"n_samples={n_samples!r}: ask for one draw at least")
        return generator(key_of(self.random_state))

    def __sklearn_tags__(self) -> Tags:
        # Not super(), which this code base does not use; the mixin goes on to BaseEstimator.
        tags = DensityMixin.__sklearn_tags__(self)
        tags.input_tags.allow_nan = self._takes_gaps()
        return tags


def draws(fit: Fit, rng: np.random.Generator, n: int) -> Float[np.ndarray, "n d"]:
    """Returns n draws of a fit as rows."""
    found = np.asarray(fit.q.sample(rng, int(n)), dtype=np.float64)
    return found[:, None] if found.ndim == 1 else found


def log_prob(fit: Fit, values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Returns log q at rows, which are numbers to densities of numbers."""
    events = values[:, 0] if fit.q.support.dimension == 0 else values
    return fit.q.log_prob(events)


def is_determined(samples: Samples) -> bool:
    """Returns whether there are more distinct rows than columns, as a full covariance needs.

    Copies of a row say no more about a covariance than the row does.
    """
    counts = samples.rows.counts
    held = samples.values if counts is None else samples.values[counts > 0.0]
    count = len(held) if len(held) > _COUNTED else len(np.unique(held, axis=0))
    return count > held.shape[1]


# What scikit-learn calls random_state, as a key.

_MOST = 2**31 - 1


def key_of(random_state: Any) -> int:
    """Returns the key that a random_state means: an int is the key itself.

    None draws from NumPy's global state, and a RandomState is drawn from, as scikit-learn's own
    estimators do: each call gives another key.

    Raises:
        ValueError: it is none of these.

    Example:
        >>> key_of(3)
        3
    """
    if isinstance(random_state, Integral) and not isinstance(random_state, bool):
        return int(random_state)
    return int(check_random_state(random_state).randint(_MOST))
