"""Parameters as a vector: bijections against NumPyro's and numerical Jacobians, names, files."""

import pytest

pytest.importorskip("jax")

import json
from collections import namedtuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import biject_to, constraints

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.numerics import float64
from kullback.interop.parameters import from_spec, layout

CHOLESKY = np.linalg.cholesky(np.array([[1.0, 0.4, 0.1], [0.4, 1.0, -0.3], [0.1, -0.3, 1.0]]))
EXAMPLE = {
    "mu": 0.3,
    "beta": np.array([[1.0, -2.0], [0.5, 4.0]]),
    "sd": [0.2, 3.0],
    "share": 0.9,
    "angle": -1.0,
    "below": 1.0,
    "p": [0.5, 0.2, 0.3],
    "cuts": [-1.0, 0.5, 2.0],
    "corr": CHOLESKY,
    "cov": CHOLESKY @ CHOLESKY.T,
}
SUPPORT = {
    "sd": "positive",
    "share": "unit",
    "angle": (-2.0, 5.0),
    "below": (None, 3.0),
    "p": "simplex",
    "cuts": "ordered",
    "corr": "correlation_cholesky",
    "cov": constraints.positive_definite,
}
REFERENCE = {
    "mu": constraints.real,
    "beta": constraints.real,
    "sd": constraints.positive,
    "share": constraints.unit_interval,
    "angle": constraints.interval(-2.0, 5.0),
    "below": constraints.less_than(3.0),
    "p": constraints.simplex,
    "cuts": constraints.ordered_vector,
    "corr": constraints.corr_cholesky,
    "cov": constraints.positive_definite,
}


@pytest.fixture(scope="module")
def parts():
    return layout(EXAMPLE, SUPPORT)


@pytest.fixture(scope="module")
def points(parts):
    return 0.7 * np.random.default_rng(3).normal(size=(5, parts.dimension)) + 0.2


def test_names_are_in_the_users_order(parts):
    assert parts.coordinates[:8] == (
        "mu",
        "beta[0,0]",
        "beta[0,1]",
        "beta[1,0]",
        "beta[1,1]",
        "sd[0]",
        "sd[1]",
        "share",
    )
    assert len(parts.coordinates) == parts.dimension == 1 + 4 + 2 + 3 + 2 + 3 + 3 + 6
    assert not parts.bare


def test_the_way_there_and_back(parts, points):
    values = parts.constrain(points)
    assert list(values) == list(EXAMPLE)
    assert values["cov"].shape == (5, 3, 3)
    np.testing.assert_allclose(parts.unconstrain(values), points, rtol=1e-9, atol=1e-12)
    back = parts.constrain(parts.start[None])
    for name, value in EXAMPLE.items():
        np.testing.assert_allclose(back[name][0], value, rtol=1e-12)


@pytest.mark.slow
def test_values_and_jacobians_are_numpyros(parts, points):
    values, total = parts.constrain(points), np.zeros(5)
    with float64():
        for leaf in parts.leaves:
            transform, own = biject_to(REFERENCE[leaf.name]), jnp.asarray(leaf.take(points))
            np.testing.assert_allclose(values[leaf.name], transform(own), rtol=1e-12)
            jacobian = transform.log_abs_det_jacobian(own, transform(own))
            total += np.asarray(jacobian).reshape(5, -1).sum(axis=1)
    np.testing.assert_allclose(parts.log_jacobian(points), total, rtol=1e-12)


def test_one_point_traced_is_the_same(parts, points):
    with float64():
        one = jnp.asarray(points[2])
        event, jacobian = jax.jit(lambda u: (parts.constrain_one(u), parts.log_jacobian_one(u)))(
            one
        )
    for name, value in parts.constrain(points).items():
        np.testing.assert_allclose(event[name], value[2], rtol=1e-12)
    np.testing.assert_allclose(jacobian, parts.log_jacobian(points)[2], rtol=1e-12)


def test_log_jacobian_is_the_numerical_one():
    names = ["sd", "share", "angle", "below", "cuts"]
    small = layout({n: EXAMPLE[n] for n in names}, {n: SUPPORT[n] for n in names})
    u, d = small.start + 0.1, small.dimension
    steps = np.concatenate([u + 1e-6 * np.eye(d), u - 1e-6 * np.eye(d)])
    values = small.constrain(steps)
    flat = np.concatenate([v.reshape(2 * d, -1) for v in values.values()], axis=1)
    jacobian = (flat[:d] - flat[d:]) / 2e-6
    assert small.log_jacobian(u[None])[0] == pytest.approx(np.linalg.slogdet(jacobian)[1], abs=1e-7)


def test_saved_as_plain_json(parts, points):
    again = from_spec(json.loads(json.dumps(parts.saved)))
    assert again.coordinates == parts.coordinates
    np.testing.assert_array_equal(again.start, parts.start)
    np.testing.assert_array_equal(again.log_jacobian(points), parts.log_jacobian(points))
    values = parts.constrain(points)
    for name, value in again.constrain(points).items():
        np.testing.assert_array_equal(value, values[name])
    assert layout(1.0, constraints.softplus_positive).saved is None
    with pytest.raises(InputError, match="not a description of parameters.*KeyError"):
        from_spec({"bare": True})


@pytest.mark.parametrize("end", ["unit", "positive", (1.0, 3.0), (-4.0, None), (None, -4.0)])
def test_the_ends_are_never_reached(end):
    parts = layout(
        2.0
        if end in ("positive", (1.0, 3.0))
        else 0.5
        if end == "unit"
        else -5.0
        if end[0] is None
        else 0.0,
        end,
    )
    far = np.array([[-1e4], [-800.0], [-40.0], [40.0], [800.0], [1e4]])
    x = parts.constrain(far)["x"]
    assert np.isfinite(x).all()
    assert parts.leaves[0].support.contains(x).all()
    with float64():
        event = jax.vmap(parts.constrain_one)(jnp.asarray(far))
        slope = jax.vmap(jax.grad(lambda u: parts.constrain_one(u)))(jnp.asarray(far))
    np.testing.assert_allclose(event, x)
    assert np.isfinite(slope).all()
    assert np.isfinite(parts.unconstrain({"x": x})).all()


def test_draws_on_an_end_are_moved_off_it_and_those_beyond_refused():
    parts = layout({"share": 0.5}, "unit")
    u = parts.unconstrain({"share": np.array([0.0, 1.0])})
    assert np.isfinite(u).all()
    with pytest.raises(InputError, match=r"share = 1.5 is not in \(0, 1\) \(1 of 2 are not\)"):
        parts.unconstrain({"share": np.array([0.2, 1.5])})
    with pytest.raises(InputError, match="no values of share; there are other"):
        parts.unconstrain({"other": np.zeros(2)})


@pytest.mark.parametrize(
    "example", [[1.0, 2.0], (1.0, 2.0), np.array([1, 2]), jnp.array([1.0, 2.0])]
)
def test_one_parameter_without_a_name(example):
    parts = layout(example)
    assert parts.bare
    assert parts.is_real
    assert parts.coordinates == ("x[0]", "x[1]")
    np.testing.assert_array_equal(parts.constrain_one(jnp.array([3.0, 4.0])), [3.0, 4.0])
    np.testing.assert_array_equal(parts.constrain(np.ones((3, 2)))["x"], np.ones((3, 2)))


def test_any_pytree():
    pair = namedtuple("pair", "first second")
    tree = {"z": pair(np.zeros(2), 1.0), "a": (np.ones(1), {"b": 2.0})}
    parts = layout(tree, {"a": "positive", "a.1.b": (0.0, 4.0)})
    assert parts.coordinates == ("z.first[0]", "z.first[1]", "z.second", "a.0[0]", "a.1.b")
    with float64():
        event = parts.constrain_one(jnp.asarray(parts.start))
    assert isinstance(event["z"], pair)
    np.testing.assert_allclose(event["a"][1]["b"], 2.0, rtol=1e-6)
    assert float(parts.log_jacobian(parts.start[None])[0]) == pytest.approx(np.log(1.0) + 0.0)


@pytest.mark.parametrize(
    ("example", "support", "message"),
    [
        (0.0, "positive", r"example has x = 0.0, which is not inside \(0, inf\): give an example"),
        ({"a": -1.0}, {"b": "unit"}, "there is a support for 'b', but the example has only a"),
        ({"a": 0.5}, {"a": "units"}, "a: the support 'units' is not known; give one of real, pos"),
        ({"a": 0.5}, {"a": (1.0, 0.0)}, r"a: the interval \(1, 0\) is empty"),
        ({"a": 0.5}, {"a": ("x", 0.0)}, "ends 'x' and 0.0 are not two numbers"),
        ({"a": 0.5}, {"a": "simplex"}, r"a has shape \(\), but the support simplex is one of vec"),
        (np.ones((2, 3)), "positive_definite", "square matrices"),
        ([0.5, 0.6], "simplex", "not inside the support simplex"),
        (np.nan, None, "example has x = nan: it must be finite"),
        ({"a": "word"}, None, "a of type <U4: parameters are real numbers"),
        (True, None, "type bool"),
        ({}, None, "no numbers in it"),
        ({"a.b": 1.0, "a": {"b": 2.0}}, None, "two parameters of the example are called 'a.b'"),
    ],
)
def test_what_cannot_be_used(example, support, message):
    with pytest.raises(InputError, match=message):
        layout(example, support)


def test_a_discrete_support_is_refused():
    with pytest.raises(UnsupportedError, match="no smooth one-to-one map"):
        layout(1.0, constraints.positive_integer)


def test_bounds_that_differ_by_coordinate():
    bounds = constraints.interval(np.zeros(2), np.array([1.0, 3.0]))
    parts = layout(np.array([0.5, 2.9]), bounds)
    np.testing.assert_allclose(parts.constrain(np.zeros((2, 2)))["x"][0], [0.5, 1.5])
    assert parts.log_jacobian(np.zeros((2, 2))) == pytest.approx(np.log(3.0 / 16.0))
