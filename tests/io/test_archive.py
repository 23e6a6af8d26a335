"""Fits in files: every distribution comes back with the same bits, and nothing else gets in."""

import inspect
import io
import json
import zipfile
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import kullback as kb
from kullback._core.errors import InputError
from kullback.distributions import _base
from kullback.distributions import _bounded as bounded
from kullback.distributions import _compound as compound
from kullback.distributions import _counting as counting
from kullback.distributions import _positive as positive
from kullback.distributions import _real as real
from kullback.distributions._foreign import Foreign
from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.distributions._independent import Independent
from kullback.distributions._vector import (
    Categorical,
    Directional,
    Dirichlet,
    Multinomial,
    MultivariateNormal,
    Wishart,
)
from kullback.io import _archive
from kullback.results._estimate import Estimate
from kullback.results._fit import Fit, Optimum

ROOT = np.array([[1.0, 0.0], [0.3, 2.0]])
HALF = np.array([0.25, 0.75])
DICE = Categorical.from_probabilities(np.array([0.2, 0.3, 0.5]))
NORMAL = real.Normal(0.1, Fraction(1, 3))

DISTRIBUTIONS = [
    NORMAL,
    real.Laplace(0.0, 2.0),
    real.LogGamma(2.0, 0.0, 1.0),
    real.StudentT(3.5, 1.0, 2.0),
    real.Logistic(0.0, 1.0),
    real.VonMises(0.0, 2.0),
    positive.GeneralizedGamma(Fraction(1, 7), 2.0),
    positive.LogNormal(0.0, 1.0),
    positive.InverseGaussian(1.0, 2.0),
    positive.Pareto(1.0, 3.0),
    positive.HalfCauchy(1.0),
    positive.Lindley(1.5),
    bounded.Uniform(0.0, 2.0),
    bounded.Beta(2.0, 3.0),
    bounded.Kumaraswamy(2.0, 3.0),
    bounded.ContinuousBernoulli(0.5),
    bounded.LogUniform(1.0, 3.0),
    counting.Poisson(2.5),
    counting.Binomial(5.0, counting.Chance(0.3)),
    counting.Geometric(counting.Chance(logit=-0.4)),
    counting.NegativeBinomial(3.0, counting.Chance(Fraction(1, 3))),
    DICE,
    Categorical.from_logits(np.array([0.1, 2.0]), one_hot=True),
    Dirichlet(np.array([1.0, 2.0, 3.0])),
    Multinomial(4, DICE),
    Wishart(4.0, ROOT),
    Directional(np.array([0.6, 0.8]), 2.0),
    MultivariateNormal(np.zeros(2), ROOT),
    GaussianMixture(HALF, np.zeros((2, 2)), np.stack([ROOT, 2.0 * ROOT])),
    Independent(np.log([[0.5, 0.5], [0.1, 0.9]]), (2,)),
    compound.Mixture(HALF, (NORMAL, real.StudentT(3.0, 0.0, 1.0))),
    compound.Mixture(HALF, (counting.Poisson(1.0), counting.Poisson(9.0))),
    compound.Product((NORMAL, positive.LogNormal(0.0, 1.0), MultivariateNormal(np.ones(2), ROOT))),
    compound.Truncated(NORMAL, 0.0, 1.0),
    compound.Transformed(NORMAL, (compound.Bijection("exp"), compound.Bijection("affine", 1.0, 2.0))),
]  # fmt: skip


def _fit(q) -> Fit:
    value = Estimate.exact(1.0, quantity="kl", direction="KL(p||q)", method="closed form")
    return Fit(
        q, "forward", "x", value, None, None, None, (Optimum(q, value, 1.0),), (q,), 1, 1, 0.1
    )


@pytest.mark.parametrize("q", DISTRIBUTIONS, ids=lambda q: type(q).__name__)
def test_every_distribution_comes_back_with_the_same_bits(tmp_path, q):
    kb.save(_fit(q), tmp_path / "a.kb")
    again = kb.load(tmp_path / "a.kb").q
    assert type(again) is type(q)
    try:
        x = q.sample(np.random.default_rng(0), 50)
    except kb.UnsupportedError:
        return
    np.testing.assert_array_equal(again.sample(np.random.default_rng(0), 50), x)
    np.testing.assert_array_equal(again.log_prob(x), q.log_prob(x))


def test_a_new_distribution_needs_no_line_here():
    known = set(_archive._CLASSES.values())
    concrete = [
        c for c in _subclasses(_base.Distribution) if c.__module__.startswith("kullback.dist")
    ]
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
        found = replace(kb.fit(rows, family, direction="forward", starts=2), columns=("a", "b"))
        kb.save(found, tmp_path / "a.kb")
        again = kb.load(tmp_path / "a.kb")
        np.testing.assert_array_equal(again.log_prob(rows), found.log_prob(rows))
        assert again.held_out == found.held_out
        assert again.columns == ("a", "b")


def test_functions_are_not_saved(tmp_path):
    foreign = Foreign("x", _base.Support("interval"), lambda x: -x * x)
    with pytest.raises(InputError, match="a fit with a Foreign in it cannot be saved"):
        kb.save(_fit(foreign), tmp_path / "a.kb")
    assert not (tmp_path / "a.kb").exists()


@pytest.fixture
def tamper(tmp_path):
    """Writes the file of a fit with its JSON or its first array changed."""

    def tampered(change=lambda tree: tree, array=None, q=GaussianMixture):
        kb.save(_fit(DISTRIBUTIONS[28] if q is GaussianMixture else q), tmp_path / "a.kb")
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
        (_set(held_out={"dict": {}}), None),
        (_set(direction="sideways"), None),
        (_set(seconds=None), None),
        (_set(nothing=1), None),
        (lambda tree: ["x"], None),
        (lambda tree: {"format": 99, "content": tree["content"]}, None),
        (lambda tree: {"format": 1, "content": {"array": "a9"}}, None),
        (lambda tree: tree, _bomb()),
        (lambda tree: tree, _pickled()),
        (lambda tree: tree, b"\x93NUMPY\x09\x00junk"),
        (lambda tree: tree, b""),
    ],
)  # fmt: skip
def test_hostile_files_are_refused(tamper, change, array):
    with pytest.raises(InputError, match="a.kb: "):
        kb.load(tamper(change, array))


def test_any_byte_may_be_wrong(tmp_path):
    path = tmp_path / "a.kb"
    kb.save(_fit(DISTRIBUTIONS[28]), path)
    data, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(200):
        flipped = bytearray(data)
        flipped[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(flipped))
        try:
            again = kb.load(path)
        except InputError:
            continue
        np.testing.assert_array_equal(again.q.means, np.zeros((2, 2)))


def test_no_two_classes_of_one_name():
    wholes = (Fit, *_archive._STAGES)
    every = {*_archive._of_distributions(), *(c for w in wholes for c in _archive.reachable(w))}
    assert every - {_base.Support} == set(_archive._CLASSES.values()) - {_base.Support}
