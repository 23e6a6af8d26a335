"""Mixtures around draws that floats hardly hold."""

import numpy as np

from kullback.diagnostics.adaptive import mixture_of


def test_draws_over_many_powers_of_ten_have_a_mixture_or_none():
    """A coordinate from 1e-14 to 1e14, as draws along an exponential have: covariances are no longer definite."""
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=3000), np.exp(9.0 * rng.normal(size=3000)), rng.normal(size=3000)])  # fmt: skip
    found = mixture_of(x, np.ones(3000), 3000.0, np.random.default_rng(1))
    assert found is None or np.isfinite(found.log_prob(x)).all()
