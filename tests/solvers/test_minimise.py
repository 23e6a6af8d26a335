"""L-BFGS where objectives overflow or raise on the way."""

import numpy as np
import pytest

from kullback.solvers.minimise import descend


class TestTheWay:
    @pytest.mark.parametrize("fault", ["singular", "infinite", "nan"])
    def test_a_trial_step_too_far_is_only_a_bad_one(self, fault):
        beyond = []

        def objective(x):
            if x[0] > 0.5:
                beyond.append(x)
                if fault == "singular":
                    raise np.linalg.LinAlgError("Singular matrix")
                return (np.inf if fault == "infinite" else np.nan), np.zeros(1)
            return x[0] * (x[0] - 1.0 / 16.0) * 8.0, 16.0 * x - 0.5

        end = descend(objective, np.array([-1.0 / 32.0]))
        assert end.at[0] == pytest.approx(1.0 / 32.0, abs=1e-6)
        assert beyond
