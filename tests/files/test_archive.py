"""Fits in files: every distribution comes back with the same bits, and nothing else gets in."""

import inspect
import io
import json
import zipfile
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from kullback.api.fit import fit
from kullback.api.store import load, save
from kullback.core.errors import InputError, UnsupportedError
from kullback.distributions.base import Distribution, Foreign, Support
from kullback.distributions.bounded import (
    Beta,
    ContinuousBernoulli,
    Kumaraswamy,
    LogUniform,
    Uniform,
)
from kullback.distributions.compound import Bijection, Mixture, Product, Transformed, Truncated
from kullback.distributions.counting import Binomial, Chance, Geometric, NegativeBinomial, Poisson
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.distributions.lifetimes import InverseGaussian, Lindley
from kullback.distributions.positive import (
    GeneralizedGamma,
    HalfCauchy,
    LogNormal,
    Pareto,
)
from kullback.distributions.real import Laplace, LogGamma, Logistic, Normal, StudentT, VonMises
from kullback.distributions.vector import (
    Categorical,
    Directional,
    Dirichlet,
    Independent,
    Multinomial,
    MultivariateNormal,
    Wishart,
)
from kullback.files.archive import _CLASSES, _STAGES, _of_distributions, reachable
from kullback.results.calibration import Calibration
from kullback.results.estimate import Estimate
from kullback.results.fit import Fit, Optimum
from kullback.results.judgement import Judgement
from kullback.results.quantity import FORWARD_KL
from kullback.results.watch import Watch

ROOT = np.array([[1.0, 0.0], [0.3, 2.0]])
HALF = np.array([0.25, 0.75])
DICE = Categorical.from_probabilities(np.array([0.2, 0.3, 0.5]))
NORMAL = Normal(0.1, Fraction(1, 3))

DISTRIBUTIONS = [
    NORMAL,
    Laplace(0.0, 2.0),
    LogGamma(2.0, 0.0, 1.0),
    StudentT(3.5, 1.0, 2.0),
    Logistic(0.0, 1.0),
    VonMises(0.0, 2.0),
    GeneralizedGamma(Fraction(1, 7), 2.0),
    LogNormal(0.0, 1.0),
    InverseGaussian(1.0, 2.0),
    Pareto(1.0, 3.0),
    HalfCauchy(1.0),
    Lindley(1.5),
    Uniform(0.0, 2.0),
    Beta(2.0, 3.0),
    Kumaraswamy(2.0, 3.0),
    ContinuousBernoulli(0.5),
    LogUniform(1.0, 3.0),
    Poisson(2.5),
    Binomial(5.0, Chance(0.3)),
    Geometric(Chance(logit=-0.4)),
    NegativeBinomial(3.0, Chance(Fraction(1, 3))),
    DICE,
    Categorical.from_logits(np.array([0.1, 2.0]), one_hot=True),
    Dirichlet(np.array([1.0, 2.0, 3.0])),
    Multinomial(4, DICE),
    Wishart(4.0, ROOT),
    Directional(np.array([0.6, 0.8]), 2.0),
    MultivariateNormal(np.zeros(2), ROOT),
    GaussianMixture(HALF, np.zeros((2, 2)), np.stack([ROOT, 2.0 * ROOT])),
    Independent(np.log([[0.5, 0.5], [0.1, 0.9]]), (2,)),
    Mixture(HALF, (NORMAL, StudentT(3.0, 0.0, 1.0))),
    Mixture(HALF, (Poisson(1.0), Poisson(9.0))),
    Product((NORMAL, LogNormal(0.0, 1.0), MultivariateNormal(np.ones(2), ROOT))),
    Truncated(NORMAL, 0.0, 1.0),
    Transformed(NORMAL, (Bijection("exp"), Bijection("affine", 1.0, 2.0))),
]  # fmt: skip


def _fit(q) -> Fit:
    value = Estimate.exact(1.0, FORWARD_KL, method="closed form")
    return Fit(
        q, "forward", "x", value, None, None, None, (Optimum(q, value, 1.0),), (q,), 1, 1, 0.1
    )


@pytest.mark.parametrize("q", DISTRIBUTIONS, ids=lambda q: type(q).__name__)
def test_every_distribution_comes_back_with_the_same_bits(tmp_path, q):
    save(_fit(q), tmp_path / "a.kb")
    again = load(tmp_path / "a.kb").q
    assert type(again) is type(q)
    try:
        x = q.sample(np.random.default_rng(0), 50)
    except UnsupportedError:
        return
    np.testing.assert_array_equal(again.sample(np.random.default_rng(0), 50), x)
    np.testing.assert_array_equal(again.log_prob(x), q.log_prob(x))


def test_a_new_distribution_needs_no_line_here():
    known = set(_CLASSES.values())
    concrete = [c for c in _subclasses(Distribution) if c.__module__.startswith("kullback.dist")]
    for cls in concrete:
        assert (
            cls in known or cls.__name__ in ("Foreign", "Approximation") or inspect.isabstract(cls)
        )
    assert len(concrete) > 25


def _subclasses(cls):
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)


def test_fits_to_samples_come_back(tmp_path):
    r = np.random.default_rng(0)
    data = {
        "gamma": r.gamma(2.0, 3.0, 200),
        "student_t": r.standard_t(4.0, 200),
        "beta": r.beta(2.0, 3.0, 200),
        "lognormal": r.lognormal(size=200),
        "poisson": r.poisson(3.0, 200).astype(float),
        "full_rank": r.standard_normal((200, 2)),
        "mixture:2": r.standard_normal((200, 2)),
    }
    for family, rows in data.items():
        found = replace(fit(rows, family, direction="forward"), columns=("a", "b"))
        save(found, tmp_path / "a.kb")
        again = load(tmp_path / "a.kb")
        np.testing.assert_array_equal(again.log_prob(rows), found.log_prob(rows))
        assert again.held_out == found.held_out
        assert again.columns == ("a", "b")


def test_functions_are_not_saved(tmp_path):
    foreign = Foreign("x", Support("interval"), lambda x: -x * x)
    with pytest.raises(InputError, match="a fit with a Foreign in it cannot be saved"):
        save(_fit(foreign), tmp_path / "a.kb")
    assert not (tmp_path / "a.kb").exists()


@pytest.fixture
def tamper(tmp_path):
    """Writes the file of a fit with its JSON or its first array changed."""

    def tampered(change=lambda tree: tree, array=None, q=GaussianMixture):
        save(_fit(DISTRIBUTIONS[28] if q is GaussianMixture else q), tmp_path / "a.kb")
        with zipfile.ZipFile(tmp_path / "a.kb") as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        tree = json.loads(parts["content.json"])
        parts["content.json"] = json.dumps(change(tree) or tree).encode()
        if array is not None:
            parts["a0.npy"] = array
        with zipfile.ZipFile(tmp_path / "a.kb", "w") as archive:
            for name, data in parts.items():
                archive.writestr(name, data)
        return tmp_path / "a.kb"

    return tampered


def _fields(tree):
    return tree["content"]["dict"]["fit"]["fields"]


def _set(**values):
    def change(tree):
        _fields(tree).update(values)

    return change


def _bomb():
    """A header that promises a million times a million numbers."""
    part = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        part, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)}
    )
    return part.getvalue() + bytes(16)


def _pickled():
    part = io.BytesIO()
    np.lib.format.write_array(part, np.array([None]), allow_pickle=True)
    return part.getvalue()


@pytest.mark.parametrize(
    ("change", "array"),
    [
        (_set(q="text"), None),
        (_set(q=None), None),
        (_set(q={"class": "Estimate", "fields": {}}), None),
        (_set(q={"class": "os.system", "fields": {"command": "true"}}), None),
        (_set(q={"class": "Normal", "fields": {"loc": "0", "scale": 1.0}}), None),
        (_set(q={"class": "Normal", "fields": {"loc": 0.0, "scale": -1.0}}), None),
        (_set(q={"class": "Normal", "fields": {"loc": 0.0, "scale": 1.0, "more": 1}}), None),
        (_set(q={"class": "Normal", "fields": {"loc": {"fraction": [1, 0]}, "scale": 1.0}}), None),
        (_set(q={"class": "Independent", "fields": {"log_probabilities": {"array": "a1"}, "shape": {"tuple": [7]}}}), None),
        (_set(q={"class": "Statistic", "fields": {"name": "one"}}), None),
        (_set(columns="text"), None),
        (_set(notes={"tuple": [{"sentence": "{0.__class__}", "parts": [1.0], "unit": "nats"}]}), None),
        (_set(notes={"tuple": [{"sentence": "{:999999999f}", "parts": [1.0], "unit": "nats"}]}), None),
        (_set(family={"class": "families.Mixture", "fields": {"k": -1, "covariance": "full"}}), None),
        (_set(held_out={"dict": {}}), None),
        (_set(direction="sideways"), None),
        (_set(seconds=None), None),
        (_set(nothing=1), None),
        (lambda tree: ["x"], None),
        (lambda tree: {"format": 99, "content": tree["content"]}, None),
        (lambda tree: {"format": 3, "content": {"array": "a9"}}, None),
        (lambda tree: tree, _bomb()),
        (lambda tree: tree, _pickled()),
        (lambda tree: tree, b"\x93NUMPY\x09\x00junk"),
        (lambda tree: tree, b""),
    ],
)  # fmt: skip
def test_hostile_files_are_refused(tamper, change, array):
    with pytest.raises(InputError, match="a.kb: "):
        load(tamper(change, array))


def test_any_byte_may_be_wrong(tmp_path):
    path = tmp_path / "a.kb"
    save(_fit(DISTRIBUTIONS[28]), path)
    data, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(200):
        flipped = bytearray(data)
        flipped[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(flipped))
        try:
            again = load(path)
        except InputError:
            continue
        np.testing.assert_array_equal(again.q.means, np.zeros((2, 2)))


def test_files_of_another_version_are_refused_by_name(tamper):
    with pytest.raises(InputError, match=r"another version of kullback \(format 1.*fit again"):
        load(tamper(lambda tree: {**tree, "format": 1}, None))


def test_no_two_classes_of_one_name():
    wholes = (Fit, Judgement, Calibration, Watch, *_STAGES)
    every = {*_of_distributions(), *(c for w in wholes for c in reachable(w))}
    assert every - {Support} == set(_CLASSES.values()) - {Support}
