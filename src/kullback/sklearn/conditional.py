"""Densities of y given x as a scikit-learn estimator."""

from typing import Any, Literal, Self, final

import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from kullback.api.fit import fit
from kullback.core.errors import InputError
from kullback.core.run import generator
from kullback.distributions.base import Distribution
from kullback.distributions.conditional import Conditional, Softmax
from kullback.families import Categorical, FullRank, Mixture
from kullback.results.fit import Fit
from kullback.sklearn.density import key_of, said
from kullback.targets import Samples


@final
class ConditionalDensity(BaseEstimator):
    """q(y | x) of greatest likelihood: the direction KL(p||q), which is the log loss of supervised learning.

    A category is predicted by logistic regression, numbers by linear regression with its normal density; with
    several components both by a mixture of regressions whose weights depend on x.

    Parameters:
        n_components: of the mixture; 1 for linear or logistic regression, "auto" for as many as predict rows left
            out best.
        target: what y is: "category", "continuous", or "auto", which takes labels and whole numbers of few values
            as scikit-learn's classifiers do.
        random_state: an int, a RandomState or None.

    Attributes:
        classes_: the labels of a category, in the order of `predict_log_proba`.
        fit_: the whole answer, a `kullback.Fit`: `held_out`, `conditional.information` (mutual information),
            `conditional.goodness`.
        n_features_in_, feature_names_in_: of the rows fitted to.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(300, 1))
        >>> y = 2.0 * x[:, 0] + 0.5 * rng.normal(size=300)
        >>> found = ConditionalDensity(random_state=0).fit(x, y)
        >>> found.condition([1.0])
        Normal(loc=2.016..., scale=0.487...)
    """

    def __init__(
        self,
        n_components: int | Literal["auto"] = 1,
        *,
        target: Literal["auto", "category", "continuous"] = "auto",
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.target = target
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fits the density to rows.

        Args:
            X: (n, d) numbers.
            y: (n,) labels or numbers, or (n, m) numbers.
            sample_weight: (n,), how many rows each row stands for.

        Raises:
            ValueError: the rows do not admit such a density: too few, a constant column, NaN; the message says
                which and what to do.
        """
        x, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, ensure_min_samples=2)
        if self.target not in ("auto", "category", "continuous"):
            raise InputError(f'target={self.target!r}: say "auto", "category" or "continuous"')
        discrete = type_of_target(y) in ("binary", "multiclass")
        is_category = self.target == "category" or (self.target == "auto" and discrete)
        self.classes_ = np.unique(y) if is_category else None
        coded = self._coded(np.asarray(y))
        rows = np.column_stack([x, coded])
        names = tuple(f"x{j}" for j in range(rows.shape[1]))
        weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        kinds = ["continuous"] * len(names)
        if is_category:
            kinds[-1] = "category"
        samples = Samples(rows, **said(weights), columns=names, kinds=kinds)  # pyright: ignore[reportArgumentType]
        one = Categorical() if is_category else FullRank()
        recipe = one if self.n_components == 1 else Mixture(self.n_components)  # pyright: ignore[reportArgumentType]
        self.fit_: Fit = fit(
            samples, recipe, direction="forward", given=names[: rows.shape[1] - coded.shape[1]],
            key=key_of(self.random_state), progress=False,
        )  # fmt: skip
        return self

    def log_density(self, X: Any, y: Any) -> Float[np.ndarray, " n"]:
        """Returns log q(y | x) of each row, in nats; -inf for a label that was never seen."""
        x = self._rows(X)
        return self.fit_.q.log_prob(np.column_stack([x, self._coded(np.asarray(y))]))

    def score(self, X: Any, y: Any) -> float:
        """Returns the mean of log q(y | x) over the rows, in nats: the larger, the better."""
        return float(np.mean(self.log_density(X, y)))

    def predict_log_proba(self, X: Any) -> Float[np.ndarray, "n l"]:
        """Returns the log probability of each of `classes_`, where y is a category."""
        x = self._rows(X)
        if self.classes_ is None:
            raise AttributeError("y is no category: it has a density, log_density(X, y)")
        codes = range(len(self.classes_))
        return np.column_stack(
            [
                self.fit_.q.log_prob(np.column_stack([x, np.full(len(x), float(code))]))
                for code in codes
            ]
        )

    def predict_proba(self, X: Any) -> Float[np.ndarray, "n l"]:
        """Returns the probability of each of `classes_`, where y is a category."""
        return np.exp(self.predict_log_proba(X))

    def condition(self, x: Any) -> Distribution:
        """Returns the distribution of y at one x."""
        check_is_fitted(self, "fit_")
        q = self.fit_.q
        assert isinstance(q, (Conditional, Softmax))
        row = np.append(np.asarray(x, dtype=np.float64), np.full(len(q.asked), np.nan))
        return q.condition(row)

    def sample(self, X: Any) -> np.ndarray:
        """Returns a draw of y for each row."""
        x, q = self._rows(X), self.fit_.q
        assert isinstance(q, (Conditional, Softmax))
        gaps = np.full((len(x), len(q.asked)), np.nan)
        rows = q.sample_given(generator(key_of(self.random_state)), np.column_stack([x, gaps]))
        drawn = rows[:, x.shape[1] :]
        if self.classes_ is not None:
            return self.classes_[drawn[:, 0].astype(np.int64)]
        return drawn[:, 0] if drawn.shape[1] == 1 else drawn

    def _coded(self, y: np.ndarray) -> Float[np.ndarray, "n m"]:
        """Returns y as columns of numbers; labels as their codes, -1 for one that was never seen."""
        if self.classes_ is None:
            numbers = np.asarray(y, dtype=np.float64)
            return numbers[:, None] if numbers.ndim == 1 else numbers
        place = np.searchsorted(self.classes_, y).clip(0, len(self.classes_) - 1)
        return np.where(self.classes_[place] == y, place, -1).astype(np.float64)[:, None]

    def _rows(self, X: Any) -> Float[np.ndarray, "n d"]:
        check_is_fitted(self, "fit_")
        return np.asarray(validate_data(self, X, reset=False, dtype=np.float64))

    def __sklearn_tags__(self) -> Tags:
        tags = BaseEstimator.__sklearn_tags__(self)
        tags.target_tags.required = True
        return tags
