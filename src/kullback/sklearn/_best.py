"""The best of several families as an estimator."""

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from jaxtyping import Float

from kullback.api._fit import fit
from kullback.results._fit import Fit
from kullback.sklearn._density import Density, draws, log_prob
from kullback.sklearn._keys import key_of
from kullback.targets import Samples

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
        return fit(samples, listed, direction="forward", key=key_of(self.random_state))

    def _describe(self, fit: Fit) -> None:
        self.family_ = fit.family

    def _log_density(self, values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        return log_prob(self.fit_, values)

    def _takes_gaps(self) -> bool:
        return False
