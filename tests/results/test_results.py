"""Results are written and change their unit by one walk; status, quantity and family are data, not words."""

import dataclasses
import json
import math
import pickle
from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest

from kullback.api.check_loss import check_loss
from kullback.api.demo import doctor
from kullback.api.explain import explain
from kullback.api.fit import fit
from kullback.api.gradients import explain_gradients
from kullback.api.measure import divergence, kl_divergence
from kullback.api.plan import plan
from kullback.api.score import score
from kullback.api.store import load, save
from kullback.api.verify import verify
from kullback.cli.options import EXIT_CODES
from kullback.diff.driver import diff
from kullback.families import FullRank, Mixture
from kullback.measure.question import KL
from kullback.results.directions import Side, Sides
from kullback.results.estimate import Estimate
from kullback.results.quantity import ELBO, FORWARD_KL, Sentence, factor
from kullback.results.serialise import in_unit, to_json
from kullback.results.status import Status
from kullback.results.verification import Verification
from kullback.targets import LogDensity, Samples

P, Q = "normal(0, sd=2)", "normal(0, sd=3)"


def _rows(n, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(shift, 1.0, (n, 2)), rng.normal(4.0, 0.5, (n, 2))])


def _log_density():
    return LogDensity(lambda x: -0.5 * (x**2).sum() - 0.1 * x[0] ** 4, np.zeros(2))


def _loss(student_logits, teacher_logits):
    q, p = (
        x - np.log(np.exp(x).sum(axis=-1, keepdims=True)) for x in (student_logits, teacher_logits)
    )
    return (np.exp(p) * (p - q)).sum(axis=-1).mean()


def _groups():
    two = [np.column_stack([_rows(150, i, 0.5 * i), np.repeat([0.0, 1.0], 150)]) for i in (0, 1)]
    tables = [pl.DataFrame(dict(zip("xyg", t.T, strict=True))) for t in two]
    return diff(*tables, by="g", max_kl=0.05, like="evidently")


CLAIMS = {
    "title": "a",
    "claim": [
        {"what": "a", "quantity": "kl", "p": P, "q": Q, "value": "0.2"},
        {"what": "b", "quantity": "kl", "p": P, "q": "cauchy(0, scale=1)"},
    ],
}
RESULTS = {
    "kl": lambda: kl_divergence(P, Q),
    "total variation": lambda: divergence(P, Q, kind="total_variation"),
    "infinite": lambda: kl_divergence("cauchy(0, scale=1)", Q),
    "two samples": lambda: kl_divergence(Samples(_rows(200)), Samples(_rows(200, 1, 1.0))),
    "both": lambda: Sides(Side("forward", kl_divergence(P, Q)), None, "no reason"),
    "contributions": lambda: explain(P, Q),
    "plan": lambda: plan(P, Q),
    "gradients": lambda: explain_gradients(P),
    "diff": lambda: diff(_rows(200), _rows(200, 1, 1.0), max_kl=0.1),
    "groups": _groups,
    "mixture": lambda: fit(Samples(_rows(150)), "mixture:auto", direction="forward", starts=2),
    "families": lambda: fit(Samples(_rows(50)[:, 0]), "normal,laplace,gamma", direction="forward"),
    "plug-in": lambda: fit(Samples(_rows(60)), "full_rank", direction="reverse"),
    "known": lambda: fit(P, "full_rank", direction="reverse", starts=2),
    "posterior": lambda: fit(_log_density(), "auto", direction="reverse"),
    "verification": lambda: verify(CLAIMS),
    "loss": lambda: check_loss(_loss),
    "checks": doctor,
    "score": lambda: score(fit(Samples(_rows(50)), "full_rank", direction="forward"), Samples(_rows(20))),
}  # fmt: skip


@cache
def made(name):
    return RESULTS[name]()


@pytest.fixture(params=RESULTS)
def result(request):
    return made(request.param)


def _estimates(value):
    if isinstance(value, Estimate):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _estimates(part)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _estimates(getattr(value, field.name))


def _texts(value):
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _texts(part) if not name.endswith("_unit") else ()
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, str):
        yield value


def _same(one, two):
    if isinstance(one, float) and isinstance(two, float):
        return one == pytest.approx(two, rel=1e-12, abs=1e-300)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(_same(one[k], two[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(_same, one, two))
    return one == two


def test_json_goes_there_and_back(result):
    body = to_json(result)
    assert json.loads(json.dumps(body, allow_nan=False)) == body


def test_in_bits_nothing_is_in_nats(result):
    bits = in_unit(result, "bits")
    assert {e.unit for e in _estimates(bits)} <= {"bits", ""}
    assert not [text for text in _texts(to_json(bits)) if "nats" in text.split() or text == "nats"]
    assert "nats" not in str(bits).split()


def test_units_go_there_and_back_and_once_is_enough(result):
    bits = in_unit(result, "bits")
    assert to_json(in_unit(bits, "bits")) == to_json(bits)
    assert _same(to_json(in_unit(bits, "nats")), to_json(in_unit(result, "nats")))


def test_a_share_of_nats_is_a_share_of_bits():
    found = made("diff")
    one, two = found.columns[0], in_unit(found, "bits").columns[0]
    size = factor("nats", "bits")
    assert size == 1.0 / math.log(2.0)
    assert two.floor == one.floor * size
    assert two.regions[0].contribution == one.regions[0].contribution * size
    assert two.p_value == one.p_value
    np.testing.assert_array_equal(two.picture.integrand, one.picture.integrand * size)


def test_what_is_in_nats_by_definition_says_so():
    found = made("mixture")
    body = to_json(in_unit(found, "bits"))["likelihood"]
    assert body["log_likelihood"] == found.likelihood.log_likelihood
    assert (body["log_likelihood_unit"], body["unit"]) == ("nats", "bits")
    assert body["bic"] == found.likelihood.bic


@pytest.mark.parametrize("bound", ["lower", "upper"])
def test_a_bound_never_prints_as_a_divergence(bound):
    quantity, said = replace(FORWARD_KL, bound=bound), {"method": "m"}
    shown = [
        Estimate.exact(0.5, quantity, **said),
        Estimate.numeric(0.5, 1e-9, quantity, **said),
        Estimate.sampled(0.5, 0.1, quantity, **said),
        Estimate.bounded(0.5, 0.1, FORWARD_KL, **said),
    ]
    assert not any(
        "KL(p||q) = " in str(e.in_unit(unit)) for e in shown for unit in ("nats", "bits")
    )
    assert [e.kind for e in shown[2:]] == [f"{bound}_bound", "lower_bound"]


def test_a_question_is_its_quantity():
    assert KL.quantity is FORWARD_KL
    assert (KL.name, KL.label) == ("kl", "KL(p||q)")
    assert Estimate.sampled(-3.0, 0.1, ELBO, method="m").kind == "lower_bound"
    assert Estimate.exact(1.0, FORWARD_KL, method="m").called("KL(a||b)").direction == "KL(a||b)"


def test_a_sentence_is_text_and_keeps_its_numbers():
    inner = Sentence("{:.2f} {unit}", 1.0)
    said = Sentence("{} {{p}}: {}, {:.1f}", "a {name}", inner, 2.0)
    assert said == "a {name} {p}: 1.00 nats, 2.0"
    assert said.in_unit("bits") == "a {name} {p}: 1.44 bits, 2.9"
    assert pickle.loads(pickle.dumps(said)).in_unit("bits").in_unit("nats") == said
    assert Sentence("{:.1f}", 1.0, unit="").in_unit("bits") == "1.0"


def test_status_is_data(tmp_path):
    found = made("known")
    assert found.status is Status.DONE
    words = replace(found, notes=("interrupted after 3 of 8 starts",))
    assert (words.status, words.interrupted) == (Status.DONE, False)
    stopped = replace(found, interrupted=True)
    assert (stopped.status, to_json(stopped)["status"]) == (Status.INTERRUPTED, "interrupted")
    doubtful = Estimate.unresolved(1.0, "no reason", FORWARD_KL, method="m")
    assert replace(found, divergence=doubtful).status is Status.UNRESOLVED
    save(stopped, tmp_path / "a.kb")
    assert load(tmp_path / "a.kb").interrupted
    assert EXIT_CODES[Status.INTERRUPTED] == 130
    assert set(EXIT_CODES) == set(Status)


def test_status_of_the_others():
    compared = made("diff")
    assert compared.gate == "failed"
    assert compared.status is Status.FAILED
    assert replace(compared, interrupted=True).status is Status.INTERRUPTED
    assert Verification("a", "b", ()).status is Status.DONE
    assert verify(CLAIMS).status is Status.FAILED
    assert check_loss(_loss, expect="reverse").status is Status.FAILED
    refused = plan(P, "categorical([0.5, 0.5])")
    assert refused.forward.status in (Status.DONE, Status.REFUSED)


def test_families_are_recipes():
    found = made("mixture")
    assert found.family == Mixture(2)
    assert [type(c.family) for c in found.selection.candidates] == [Mixture] * len(
        found.selection.candidates
    )
    assert to_json(found)["family"] == "Mixture(k=2, covariance='full')"
    scalars = made("families")
    assert {c.family for c in scalars.selection.candidates} <= {"normal", "laplace", "gamma"}
    assert made("known").family == FullRank()


@pytest.mark.slow
def test_a_saved_fit_still_changes_its_unit(tmp_path):
    found = made("posterior")
    save(found, tmp_path / "a.kb")
    again = load(tmp_path / "a.kb")
    assert (again.family, again.status) == (found.family, found.status)
    assert (
        to_json(in_unit(again, "bits"))["posterior"] == to_json(in_unit(found, "bits"))["posterior"]
    )
