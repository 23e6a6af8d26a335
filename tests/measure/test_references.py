"""Every row of tests/data/references.json: exact means exact, and a stated bound holds.

The rows as a table: benchmarks/results/audit.md; none is marked
"""

import math

import pytest

from benchmarks import audit
from kullback.core.errors import UnsupportedError
from tests.tried import some_of

ROWS = audit.read_table()


def _name(row):
    return f"{row['quantity']}: {row['p']} | {row['q']}"


@pytest.mark.parametrize("row", ROWS, ids=_name)
def test_plan_answers_within_what_it_states(row):
    estimate = audit.ask(row)
    problem, *_ = audit.verdict(row, estimate)
    assert problem is None
    assert math.isinf(estimate.value) == (estimate.kind == "infinite")


@pytest.mark.parametrize(
    "row", some_of([r for r in ROWS if r["group"] != "near"], lambda _, row: _name(row))
)
@pytest.mark.parametrize("method", ["quadrature", "sum"])
def test_forced_method_answers_within_what_it_states(row, method):
    try:
        estimate = audit.ask(row, method=method)
    except UnsupportedError:
        return
    problem, *_ = audit.verdict(row, estimate)
    assert problem is None


@pytest.mark.slow
def test_plan_resolves_nearly_every_row():
    unresolved = [_name(row) for row in ROWS if audit.ask(row).kind == "unresolved"]
    assert len(unresolved) <= 0.01 * len(ROWS), unresolved


def test_same_family_pairs_are_exact_unless_no_closed_form_exists():
    without = ("student_t", "kumaraswamy", "logistic", "lindley")
    rows = [r for r in ROWS if r["group"] == "family" and not r["p"].startswith(without)]
    assert {audit.ask(r).kind for r in rows} == {"exact"}


@pytest.mark.slow
def test_table_was_made_by_the_reference():
    """A few rows are recomputed here, so that the table cannot drift from its source."""
    from tests import reference

    for row in [r for r in ROWS if r["group"] == "family"][::9]:
        value = reference.kl(reference.read(row["p"]), reference.read(row["q"]))
        assert abs(value / reference.mp.mpf(row["value"]) - 1) < 1e-22
