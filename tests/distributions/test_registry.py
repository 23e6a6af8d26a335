"""Every row of the registry: written and read, against other libraries, measured and fitted. A new row needs no line here."""

import math

import numpy as np
import pytest
from scipy import stats

from kullback.api.fit import fit
from kullback.api.measure import kl_divergence
from kullback.core.errors import UnsupportedError
from kullback.core.numerics import float64
from kullback.distributions.base import Foreign
from kullback.distributions.family import spelled
from kullback.distributions.lifetimes import lindley
from kullback.distributions.registry import FAMILIES, TABLE, by_name
from kullback.distributions.scalar import Scalar, roles
from kullback.expressions.format import format_distribution
from kullback.expressions.parse import parse
from kullback.interop import as_distribution
from kullback.interop.families import family_of
from kullback.interop.maps import affine, push
from kullback.measure.support import mass

ROWS = {row.name: row for row in FAMILIES.values()}
SCALARS = {name: row for name, row in ROWS.items() if issubclass(row.cls, Scalar)}
#: What a parameter may be, by its rule; the second of two parameters of a rule is half as large again.
PLAIN = {"finite": 0.4, "probability": 0.3, "count": 5.0, "start": 0.0}


def values_of(row, factor=1.0):
    """Parameters of a member in their first spellings."""
    out = []
    for i, parameter in enumerate(row.parameters):
        rule = parameter.spellings[0].rule
        value = PLAIN.get(rule, 1.3) * (1.0 + 0.5 * i)
        out.append(value if rule in ("count", "start") else value * factor)
    return out


def member(row, factor=1.0):
    values = values_of(row, factor)
    return row.make(
        *(p.spellings[0].convert(v) for p, v in zip(row.parameters, values, strict=True))
    )


def points(d):
    if d.support.discrete:
        return np.arange(max(d.support.low, 0.0), min(d.support.high, 20.0) + 1.0)
    return d.quantile(np.array([0.02, 0.3, 0.5, 0.7, 0.98]))


@pytest.mark.parametrize("name", SCALARS)
def test_what_is_written_is_read(name):
    d = member(SCALARS[name])
    text = format_distribution(d, digits=17)
    x = points(d)
    np.testing.assert_allclose(parse(text).log_prob(x), d.log_prob(x), rtol=1e-12, atol=1e-12)
    if SCALARS[name].values(d) is not None:
        assert text.startswith(f"{name}(")


@pytest.mark.parametrize("name", SCALARS)
def test_the_quantile_inverts_the_mass(name):
    d = member(SCALARS[name])
    for u in (0.1, 0.5, 0.9):
        x = float(d.quantile(np.array([u]))[0])
        if d.support.discrete:
            below = np.exp(d.log_prob(np.arange(d.support.low, x + 1.0)))
            assert below.sum() >= u > below[:-1].sum()
        else:
            assert mass(d, -math.inf, x) == pytest.approx(u, abs=2e-4)
            upper = d.quantile(np.array([1.0 - u]), upper=True)
            assert float(upper[0]) == pytest.approx(x, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("name", SCALARS)
def test_the_closed_form_is_what_is_integrated(name):
    p, q = member(SCALARS[name]), member(SCALARS[name], 1.25)
    if p.support.low < q.support.low:
        p, q = q, p
    closed = kl_divergence(p, q)
    numeric = kl_divergence(p, q, method="sum" if p.support.discrete else "quadrature")
    if p.support.high > q.support.high:
        assert closed.kind == numeric.kind == "infinite"
    else:
        assert numeric.kind in ("numeric", "exact")
        assert closed.value == pytest.approx(numeric.value, rel=1e-7, abs=1e-9)
    assert kl_divergence(p, p).value == 0.0
    near = member(SCALARS[name], 1.0 + 1e-9)
    if near.support == p.support:
        assert 0.0 <= kl_divergence(member(SCALARS[name]), near).value < 1e-14


@pytest.mark.parametrize(
    "name", [n for n, row in SCALARS.items() if any(r.way for r in roles(row.cls).values())]
)
@pytest.mark.parametrize(("loc", "scale"), [(0.0, 3.0), (1.5, -0.25)])
def test_moved_and_stretched(name, loc, scale):
    d = member(SCALARS[name])
    moved = push(d, affine(loc, scale), "x")
    x = points(d)
    expected = d.log_prob(x) - math.log(abs(scale))
    np.testing.assert_allclose(moved.log_prob(loc + scale * x), expected, rtol=1e-9, atol=1e-9)
    if name == "uniform" and scale < 0.0:
        # 1.35 and 1.4 are not .05 apart as floats: the width stays as it was given.
        assert moved.base.high - moved.base.low == pytest.approx(0.05, rel=1e-15)
    elif (loc, scale) == (0.0, 3.0) or "point" in {r.way for r in roles(type(d)).values()}:
        assert type(moved) is type(d)


def _scipy():
    objects = {type(v).__name__: v for v in vars(stats).values() if hasattr(v, "_parse_args")}
    objects["reciprocal_gen"] = stats.reciprocal
    for name, row in SCALARS.items():
        for cls, names in row.scipy.items():
            if cls.endswith("_gen"):
                yield pytest.param(row, objects[cls], names, id=f"{name}-{cls}")


@pytest.mark.filterwarnings("ignore:The shape parameter of the erlang")
@pytest.mark.parametrize(("row", "family", "names"), list(_scipy()))
def test_scipy(row, family, names):
    rules = {s.name: s.rule for p in row.parameters for s in p.spellings}
    shapes = [
        PLAIN.get(rules[ours], 1.3) * (1.0 + 0.5 * i)
        for i, (theirs, ours) in enumerate(spelled(names))
        if not theirs[0].isdigit()
    ]
    assert len(shapes) == family.numargs
    frozen = family(*shapes)
    ours = as_distribution(frozen)
    assert isinstance(ours, row.cls)
    x = points(ours)
    theirs = frozen.logpmf(x) if ours.support.discrete else frozen.logpdf(x)
    np.testing.assert_allclose(ours.log_prob(x), theirs, rtol=1e-9, atol=1e-10)


def _arguments(row, names):
    rules = {s.name: s.rule for p in row.parameters for s in p.spellings}
    out = {}
    for i, (theirs, ours) in enumerate(spelled(names)):
        value = PLAIN.get(rules[ours], 1.3) * (1.0 + 0.5 * i)
        out[theirs.partition("|")[0]] = 0.3 if "|" in theirs else value
    return out


CLASSES = [
    pytest.param(row, cls, names, id=f"{name}-{cls}")
    for name, row in SCALARS.items()
    for cls, names in row.numpyro.items()
]


@pytest.mark.parametrize(("row", "cls", "names"), CLASSES)
def test_numpyro(row, cls, names):
    numpyro = pytest.importorskip("numpyro.distributions")
    if not hasattr(numpyro, cls):
        return  # torch alone has it
    thing = getattr(numpyro, cls)(**_arguments(row, names))
    ours = as_distribution(thing)
    assert isinstance(ours, row.cls)
    x = points(ours)
    with float64():
        theirs = np.asarray(getattr(numpyro, cls)(**_arguments(row, names)).log_prob(x))
    np.testing.assert_allclose(ours.log_prob(x), theirs, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(("row", "cls", "names"), CLASSES)
def test_torch(row, cls, names):
    torch = pytest.importorskip("torch")
    if not hasattr(torch.distributions, cls):
        return  # NumPyro alone has it
    arguments = {k: torch.tensor(v, dtype=torch.float64) for k, v in _arguments(row, names).items()}
    thing = getattr(torch.distributions, cls)(**arguments)
    ours = as_distribution(thing)
    assert isinstance(ours, row.cls)
    x = points(ours)
    theirs = thing.log_prob(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours.log_prob(x), theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", TABLE)
def test_no_member_nearby_is_likelier(name):
    row = SCALARS[name]
    x = member(row).sample(np.random.default_rng(5), 400)
    weights = np.random.default_rng(6).random(400)
    assert not TABLE[name].domain.outside(x).any()
    best = TABLE[name].maximise(x, weights)
    top = float(weights @ best.q.log_prob(x))
    assert top >= float(weights @ member(row).log_prob(x))
    values = row.values(best.q) or ()
    for i in range(len(values)):
        for step in (-1e-3, 1e-3):
            tried = [(s, float(v)) for s, v in values]
            spelling, value = tried[i]
            if spelling.rule == "start":
                continue
            tried[i] = (spelling, value + step * max(abs(value), 0.1))
            other = row.make(*(s.convert(v) for s, v in tried))
            assert float(weights @ other.log_prob(x)) <= top + 1e-9


@pytest.mark.parametrize(
    "name", [n for n in SCALARS if n not in ("uniform", "loguniform", "binomial")]
)
def test_the_whole_line_holds_every_member(name):
    family = family_of(name)
    for vector in family.guesses(1.5, 2.0):
        d = family.build(vector)
        assert type(d) is SCALARS[name].cls
        assert np.isfinite(d.log_prob(points(d))).all()
    for smaller, embed in family.contained:
        inner = next(row for row in ROWS.values() if row.name == smaller.name)
        at = smaller.guesses(1.5, 2.0)[0]
        small, large = smaller.build(at), family.build(embed(at, 1e6))
        x = points(small)
        assert type(small) is inner.cls
        np.testing.assert_allclose(large.log_prob(x), small.log_prob(x), rtol=1e-4, atol=1e-4)
    for vector in family.constants:
        x = np.array([0.1, 0.5, 0.9])
        assert np.ptp(family.build(vector).log_prob(x)) < 1e-6


def test_ends_and_whole_numbers_are_not_searched_for():
    for name, parameter in (("uniform", "low"), ("binomial", "n")):
        with pytest.raises(
            UnsupportedError, match=f"{name}: its parameter {parameter} .*is not one that is fitted"
        ):
            family_of(name)


def test_a_known_density_is_fitted_by_a_family_that_only_we_have():
    best = fit("gamma(3, rate=2)", "lindley", direction="forward", starts=2)
    # Of greatest likelihood, as the mean of p, 3/2, says it.
    assert best.q.rate == pytest.approx(lindley(np.array([1.5]), np.ones(1)).q.rate, rel=1e-6)
    assert best.divergence.value == pytest.approx(kl_divergence("gamma(3, rate=2)", best.q).value)


@pytest.mark.parametrize("name", TABLE)
def test_families_are_found_by_their_names_elsewhere(name):
    for other in (name, *ROWS[name].aliases, *ROWS[name].numpyro):
        assert by_name(other) is TABLE[name]


def test_what_is_no_family_is_shown_by_its_name():
    assert (
        format_distribution(Foreign("somebody's", parse("normal(0, sd=1)").support, len))
        == "somebody's"
    )
