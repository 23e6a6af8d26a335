"""What a trust report says of parameters."""

from dataclasses import replace

import numpy as np
import pytest

from kullback.api.fit import fit
from kullback.views.fit import fit_document
from tests.posteriors import gaussian, rotated


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_what_has_one_value_only_has_no_part_in_a_verdict(direction):
    """As the corner 1 and the zeros of a Cholesky factor of correlations, or a sum that is given."""

    def constrain(u):
        shares = np.exp(u) / np.exp(u).sum(axis=1, keepdims=True)
        ones = np.ones(len(u))
        return {
            "x": u,
            "corner": ones,
            "zero": 0.0 * ones,
            "total": shares.sum(axis=1),
            "far": 1e6 + u[:, 0],
        }

    plain = gaussian(np.zeros(2), rotated(2, 4.0))
    p = replace(plain, constrain=constrain, bare=False)
    found = fit(p, "full_rank", direction=direction, progress=False)
    told = {q.name: q for q in found.posterior.parameters}
    assert [name for name, q in told.items() if q.fixed] == ["corner", "zero", "total"]
    assert told["corner"].mean == 1.0
    assert told["far"].shrinkage.value == pytest.approx(1.0, abs=0.05)
    assert found.diagnosis.verdict == "trust"
    document = fit_document(found)
    shown = document.sections[1].blocks[0]
    assert [row[3] for row in shown.rows if row[0] == "corner"] == ["one value"]
    assert document.values()["posterior"]["parameters"][2]["name"] == "corner"
