"""Mixtures by maximum likelihood: against closed forms, scikit-learn, SciPy and plain optimisation."""

import numpy as np
import pytest
from scipy import optimize, stats

from kullback.api.fit import fit
from kullback.core.errors import InputError
from kullback.distributions.gaussian_mixture import TableMixture
from kullback.families import FullRank, LowRank, MeanField, Mixture
from kullback.fitting.components import Chart, Components
from kullback.fitting.covariances import Prior, Structure
from kullback.fitting.em import MixtureModel
from kullback.fitting.em_climb import climb
from kullback.fitting.em_together import climb_together
from kullback.fitting.mixture_family import family_of
from kullback.fitting.rows import rows_of
from kullback.targets import Samples, Stream

RNG = np.random.default_rng
STRUCTURES = [
    Structure("full", 3),
    Structure("diagonal", 3),
    Structure("tied", 3),
    Structure("spherical", 3),
    Structure("low_rank", 3, 1),
]


def three_groups(n, d, seed=0, apart=4.0):
    rng = RNG(seed)
    means = apart * rng.normal(size=(3, d))
    mixing = rng.normal(size=(3, d, d)) / np.sqrt(d)
    which = rng.integers(3, size=n)
    return means[which] + np.einsum("nij,nj->ni", mixing[which], rng.normal(size=(n, d)))


def log_likelihood(fit):
    return fit.likelihood.log_likelihood


def parameters(fit):
    q = fit.q
    return np.concatenate([q.weights, q.means.ravel(), q.covariances.ravel()])


def forward(x, family, **how):
    return fit(x, family, direction="forward", **how)


# ---- one pass, one step -----------------------------------------------------------------------------


def start(structure, k, rng):
    d = structure.d
    roots = np.tril(rng.normal(size=(k, d, d))) * 0.1 + np.eye(d)
    if structure.by_square:
        roots = np.abs(np.diagonal(roots, axis1=1, axis2=2))[:, :, None] * np.eye(d)
    if structure.name == "spherical":
        roots = np.array([np.eye(d) * (1.0 + 0.1 * i) for i in range(k)])
    if structure.name == "tied":
        roots = np.broadcast_to(roots[0], roots.shape)
    return Components(rng.dirichlet(np.ones(k)), rng.normal(size=(k, d)), np.array(roots))


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda s: s.name)
def test_a_pass_agrees_with_densities_written_out(structure):
    rng = RNG(1)
    rows = rows_of(Samples(rng.normal(size=(57, 3)) * [1.0, 2.0, 3.0], rng.uniform(size=57)))
    q = start(structure, 2, rng)
    x, weights = rows.whole()
    joint = np.array(
        [
            np.log(w) + stats.multivariate_normal(m, r @ r.T).logpdf(x.T)
            for w, m, r in zip(q.weights, q.means, q.roots, strict=True)
        ]
    )
    found = MixtureModel(structure, Prior(0.0, np.zeros((3, 3)))).expect(rows, q)
    log_q = np.logaddexp.reduce(joint, axis=0)
    shares = np.exp(joint - log_q) * weights
    assert found.log_likelihood == pytest.approx(weights @ log_q, rel=1e-12)
    totals, means, scatter = structure.moments(found.values)
    np.testing.assert_allclose(totals, shares.sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(means, (shares @ x.T) / totals[:, None], rtol=1e-10, atol=1e-13)
    moved = x[None] - means[:, :, None]
    expected = np.einsum("kn,kin,kjn->kij", shares, moved, moved)
    if structure.by_square:
        expected = np.diagonal(expected, axis1=1, axis2=2)
    np.testing.assert_allclose(scatter, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "structure",
    [pytest.param(s, marks=[pytest.mark.slow] if s.rank else []) for s in STRUCTURES],
    ids=lambda s: s.name,
)
def test_no_step_lowers_the_likelihood(structure):
    rows = rows_of(Samples(three_groups(400, 3)))
    model = MixtureModel(structure, Prior(0.0, 1e-8 * np.eye(3)))
    end = climb(model, rows, start(structure, 3, RNG(2)), passes=60)
    assert np.diff(end.trace).min() > -1e-9 * abs(end.value)


@pytest.mark.parametrize("name", ["full", "diagonal"])
def test_the_gradient_is_that_of_differences(name):
    structure, rng = Structure(name, 3), RNG(3)
    rows = rows_of(Samples(three_groups(80, 3)))
    model = MixtureModel(structure, Prior(1.0, 0.1 * np.eye(3)))
    origin = start(structure, 2, rng)
    chart = Chart.scaled(origin, diagonal=structure.by_square)

    def value(v):
        q = chart.unpack(v)
        return model.expect(rows, q).log_likelihood + model.log_prior(q)

    at = 0.1 * rng.normal(size=chart.size)
    q = chart.unpack(at)
    found = chart.gradient(q, *model.slope(q, model.expect(rows, q)))
    step = 1e-5 * np.eye(len(at))
    expected = [(value(at + e) - value(at - e)) / 2e-5 for e in step]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)


def test_a_climb_knows_what_is_left_to_gain():
    """Two normals 1.5 sds apart: plain EM stops hundreds of passes too early, or never."""
    rng = RNG(0)
    x = np.where(rng.random(10_000) < 0.5, 0.0, 1.5) + rng.normal(size=10_000)
    rows = rows_of(Samples(x))
    model = MixtureModel(Structure("full", 1), Prior(0.0, 1e-8 * np.eye(1)))
    begin = Components(np.full(2, 0.5), np.array([[-1.0], [0.4]]), np.full((2, 1, 1), 0.7))
    end = climb(model, rows, begin, tolerance=1e-3)
    further = climb(model, rows, end.at, tolerance=1e-9)
    assert further.value - end.value < 1e-2
    assert end.passes < 150


# ---- whole fits against others ----------------------------------------------------------------------


def test_one_gaussian_is_the_closed_form():
    x = RNG(0).normal(size=(200, 3)) @ RNG(1).normal(size=(3, 3)) + [1e3, 0.0, -1.0]
    q = forward(x, FullRank()).q
    np.testing.assert_allclose(q.loc, x.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(q.covariance, np.cov(x.T, bias=True), rtol=1e-8)


def test_low_rank_is_factor_analysis():
    sklearn = pytest.importorskip("sklearn.decomposition")
    rng = RNG(0)
    x = rng.normal(size=(800, 2)) @ rng.normal(size=(2, 6)) + rng.normal(size=(800, 6)) * 0.5
    found = forward(x, LowRank(2))
    other = sklearn.FactorAnalysis(2, tol=1e-12, max_iter=20_000, svd_method="lapack").fit(x)
    assert -found.divergence.value == pytest.approx(other.score(x), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("covariance", ["full", "tied", "diagonal", "spherical"])
@pytest.mark.parametrize("k", [2, 3])
def test_at_least_as_good_as_scikit_learn(covariance, k):
    mixture = pytest.importorskip("sklearn.mixture")
    datasets = pytest.importorskip("sklearn.datasets")
    name = {"diagonal": "diag"}.get(covariance, covariance)
    for x in (datasets.load_iris().data, datasets.load_wine().data):
        theirs = mixture.GaussianMixture(k, covariance_type=name, n_init=5, random_state=0).fit(x)
        ours = forward(x, Mixture(k, covariance))
        assert -ours.divergence.value >= theirs.score(x) - 1e-9


def test_student_t_is_that_of_scipy():
    x = 1.0 + 2.0 * RNG(0).standard_t(4, size=1000)
    q = forward(x, Mixture(1, tails="student_t")).q
    df, loc, scale = stats.t.fit(x)
    best = optimize.minimize(
        lambda v: -stats.t.logpdf(x, *v).sum(), [df, loc, scale], method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-10, "maxiter": 4000},
    )  # fmt: skip
    assert -stats.t.logpdf(x, q.df, q.loc, q.scale).sum() == pytest.approx(best.fun, abs=1e-6)


@pytest.mark.slow
def test_components_with_tails_of_their_own():
    rng = RNG(0)
    x = rng.standard_t(3, size=(3000, 2))
    x[:1500] += [8.0, 0.0]
    heavy = forward(x, Mixture(2, tails="student_t"))
    light = forward(x, Mixture(2))
    assert heavy.held_out.value > light.held_out.value + 0.05
    assert (np.abs(heavy.q.df - 3.0) < 0.7).all()


# ---- what is not there ------------------------------------------------------------------------------


def observed_log_likelihood(x, mean, covariance):
    total = 0.0
    there = ~np.isnan(x)
    for pattern in np.unique(there, axis=0):
        rows = (there == pattern).all(axis=1)
        if pattern.any():
            normal = stats.multivariate_normal(mean[pattern], covariance[np.ix_(pattern, pattern)])
            total += normal.logpdf(x[rows][:, pattern]).sum()
    return total


def test_missing_values_have_the_likelihood_of_what_is_there():
    rng = RNG(0)
    root = np.linalg.cholesky([[2.0, 1.2, 0.3], [1.2, 1.0, 0.2], [0.3, 0.2, 0.5]])
    x = rng.normal(size=(300, 3)) @ root.T + [1.0, 2.0, 3.0]
    x[rng.random(x.shape) < 0.3] = np.nan
    found = forward(Samples(x, missing=True), FullRank())
    q = found.q

    def minus(v):
        r = np.zeros((3, 3))
        r[np.tril_indices(3)] = v[3:]
        return -observed_log_likelihood(x, v[:3], r @ r.T)

    best = optimize.minimize(minus, np.r_[1.0, 2.0, 3.0, root[np.tril_indices(3)]])
    assert -log_likelihood(found) == pytest.approx(best.fun, abs=1e-4)
    assert observed_log_likelihood(x, q.means[0], q.covariances[0]) == pytest.approx(
        log_likelihood(found), rel=1e-12
    )
    np.testing.assert_allclose(q.log_prob(x).sum(), log_likelihood(found), rtol=1e-12)


@pytest.mark.parametrize(
    "seed", [23, *(pytest.param(s, marks=pytest.mark.slow) for s in (4, 14, 27, 28, 42))]
)
def test_a_component_that_shrinks_to_a_plane_ends_its_climb(seed):
    # Sums over rows with gaps leave it no covariance, but for rounding: it then keeps the prior.
    rng = RNG(seed)
    n, d, k = (int(rng.integers(*ends)) for ends in ((40, 400), (2, 5), (3, 7)))
    x = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 3 * rng.integers(0, 2, (n, 1))
    x[rng.random(x.shape) < 0.2] = np.nan
    x = x[~np.isnan(x).all(axis=1)]
    many = fit(Samples(x, missing=True), Mixture(k), direction="forward", starts=5)
    one = fit(Samples(x, missing=True), FullRank(), direction="forward")
    assert log_likelihood(many) > log_likelihood(one)
    assert np.isfinite(many.held_out.value)


@pytest.mark.parametrize("df", [np.inf, 4.0])
@pytest.mark.parametrize("away", [0.0, 1e6])
def test_a_pass_over_gaps_sums_what_is_expected_row_by_row(df, away):
    # By the textbook's E-step: each row conditioned by itself (Little and Rubin 1987; Liu and Rubin 1995).
    rng = RNG(3)
    x = rng.normal(size=(60, 3))
    x[rng.random(x.shape) < 0.3] = np.nan
    x[:2] = [[np.nan] * 3, [0.1, 0.2, 0.3]]
    rows = rows_of(Samples(x, missing=True))
    family = family_of(Structure("full", 3), rows, 2, heavy=np.isfinite(df))
    roots = np.linalg.cholesky([[[1.0, 0.4, 0.1], [0.4, 0.8, 0.2], [0.1, 0.2, 0.5]], np.eye(3)])
    means = np.array([[0.3, -0.2, 0.1], [away, 0.5, 0.0]])
    kinds = ("continuous",) * 3
    q = TableMixture(
        kinds, np.array([0.3, 0.7]), means, roots, np.full(2, df), np.zeros((2, 0)), ()
    )
    total, held = 0.0, np.zeros((2, 10))
    for row in (x - rows.center) / rows.scale:
        there = ~np.isnan(row)
        logs, given = [], []
        for m, root, weight in zip(means, roots, q.weights, strict=True):
            c = root @ root.T
            part, says = (
                c[np.ix_(there, there)],
                c[:, there] @ np.linalg.inv(c[np.ix_(there, there)]),
            )
            moved = row[there] - m[there]
            law = stats.multivariate_t(m[there], part, df=df) if there.any() else None
            logs.append(np.log(weight) + (law.logpdf(row[there]) if law else 0.0))
            filled, left = m + says @ moved, c - says @ c[there]
            by = (
                (df + there.sum()) / (df + moved @ np.linalg.solve(part, moved))
                if df < np.inf
                else 1.0
            )
            outer = by * np.outer(filled, filled) + left
            given.append(
                np.r_[by, by * filled, np.diag(outer), outer[0, 1], outer[1, 2], outer[0, 2]]
            )
        total += np.logaddexp(*logs)
        held += np.exp(logs - np.logaddexp(*logs))[:, None] * given
    found = family.model.expect(rows, q)
    assert found.log_likelihood == pytest.approx(total, rel=1e-11)
    np.testing.assert_allclose(found.values[0], held[0], rtol=1e-9)
    np.testing.assert_allclose(found.values[1], held[1], rtol=1e-9, atol=1e-9)
    other = rows_of(Samples(x[::-1], missing=True))
    np.testing.assert_allclose(family.model.expect(other, q).values, found.values, rtol=1e-9)


def test_a_table_of_reals_counts_and_categories():
    rng = RNG(0)
    which = rng.integers(2, size=1500)
    reals = 3.0 * which + rng.normal(size=1500)
    counts = rng.poisson(np.array([2.0, 9.0])[which])
    codes = (rng.random(1500) < np.array([0.2, 0.9])[which]).astype(float)
    x = np.c_[reals, counts, codes]
    x[rng.random(x.shape) < 0.05] = np.nan
    table = Samples(
        x,
        kinds=("continuous", "count", "category"),
        labels=((), (), ("no", "yes")),
        missing=True,
    )
    q = forward(table, Mixture(2)).q
    np.testing.assert_allclose(q.means.ravel(), [0.0, 3.0], atol=0.2)
    np.testing.assert_allclose(q.rates.ravel(), [2.0, 9.0], rtol=0.06)
    np.testing.assert_allclose(q.tables[0][:, 1], [0.2, 0.9], atol=0.05)
    row = x[~np.isnan(x).any(axis=1)][:5]
    by_hand = [
        w * stats.norm.pdf(row[:, 0], m[0], r[0, 0]) * stats.poisson.pmf(row[:, 1], rate[0])
        * table[row[:, 2].astype(int)]
        for w, m, r, rate, table in zip(q.weights, q.means, q.roots, q.rates, q.tables[0], strict=True)
    ]  # fmt: skip
    np.testing.assert_allclose(q.log_prob(row), np.log(np.sum(by_hand, axis=0)), rtol=1e-10)
    drawn = q.sample(RNG(1), 20_000)
    np.testing.assert_allclose(drawn.mean(axis=0), np.nanmean(x, axis=0), atol=0.15)


# ---- weights, order, files, a kill ------------------------------------------------------------------


def test_a_frequency_of_two_is_two_rows():
    x, weights = three_groups(150, 2), RNG(5).integers(0, 4, size=150)
    once = forward(Samples(x, frequencies=weights), Mixture(3))
    often = forward(np.repeat(x, weights, axis=0), Mixture(3))
    shuffled = forward(RNG(1).permutation(np.repeat(x, weights, axis=0)), Mixture(3))
    for other in (often, shuffled):
        np.testing.assert_allclose(parameters(other), parameters(once), rtol=1e-10, atol=1e-10)
        assert other.divergence.standard_error == pytest.approx(once.divergence.standard_error)


def in_pieces(x, sizes):
    def read():
        first = 0
        for size in sizes:
            yield x[first : first + size], None
            first += size

    d = x.shape[1]
    return Stream(read, tuple(f"x{i}" for i in range(d)), ("continuous",) * d, ((),) * d)


def test_files_give_the_fit_of_the_array():
    x = three_groups(30_000, 2)
    whole = forward(x, Mixture(3), starts=3)
    pieces = forward(in_pieces(x, [7, 9_993, 0, 12_345, 7_655]), Mixture(3), starts=3)
    np.testing.assert_array_equal(parameters(pieces), parameters(whole))
    assert pieces.held_out.value == pytest.approx(whole.held_out.value, rel=1e-12)


def test_a_fit_that_was_killed_ends_with_the_same_bits(tmp_path, monkeypatch):
    from kullback.fitting.em import MixtureModel as Model

    monkeypatch.setattr("kullback.core.run._EVERY", 0.0)
    monkeypatch.setattr("kullback.core.run._SHARE", 1e9)
    x = three_groups(25_000, 2, apart=1.5)
    path = tmp_path / "fit.checkpoint"
    whole = forward(x, Mixture(3), starts=2)
    expect, passes = Model.expect, []

    class KilledError(BaseException):
        pass

    def dies(self, rows, q):
        passes.append(rows.n)
        if passes.count(25_000) > 2:
            raise KilledError
        return expect(self, rows, q)

    monkeypatch.setattr(Model, "expect", dies)
    with pytest.raises(KilledError):
        forward(x, Mixture(3), starts=2, checkpoint=path)
    passes.clear()

    def counted(self, rows, q):
        passes.append(rows.n)
        return expect(self, rows, q)

    monkeypatch.setattr(Model, "expect", counted)
    again = forward(x, Mixture(3), starts=2, checkpoint=path)
    np.testing.assert_array_equal(parameters(again), parameters(whole))
    assert passes.count(25_000) == whole.likelihood.passes - 2
    with pytest.raises(InputError, match="other data"):
        forward(x, Mixture(2), checkpoint=path)


def test_ctrl_c_keeps_the_best_so_far():
    def stop(words):
        if "start 3" in str(words):
            raise KeyboardInterrupt

    found = forward(three_groups(300, 2), Mixture(3), progress=stop)
    assert found.interrupted
    assert np.isfinite(found.q.log_prob(three_groups(5, 2))).all()


# ---- what others get wrong in silence ---------------------------------------------------------------


@pytest.mark.parametrize("covariance", ["full", "diagonal", "tied", "spherical"])
@pytest.mark.parametrize(
    ("loc", "scale"),
    [(1e8, 1.0), (1.7e9, 60.0), (0.0, 1e-4), (0.0, 1e-12), (1e6, 1e-2), (0.0, 1e150)],
)
def test_location_and_scale_do_not_matter(covariance, loc, scale):
    z = RNG(0).normal(size=(400, 2))
    x = loc + scale * z
    found = forward(x, Mixture(1, covariance))
    moved = (x - x.mean(axis=0)) / scale
    variances = np.mean(moved**2, axis=0)
    if covariance == "spherical":
        variances[:] = variances.mean()
    determinant = np.linalg.det(np.cov(moved.T, bias=True))
    log_det = np.log(determinant) if covariance in ("full", "tied") else np.log(variances).sum()
    expected = -0.5 * log_det - 2.0 * np.log(scale) - np.log(2.0 * np.pi) - 1.0
    assert -found.divergence.value == pytest.approx(expected, abs=1e-6)


def test_a_constant_column_is_refused_by_name():
    x = np.c_[RNG(0).normal(size=50), np.full(50, 3.0)]
    with pytest.raises(InputError, match=r"column height is constant \(3 in every row\)"):
        forward(Samples(x, columns=("width", "height")), Mixture(2))


def test_columns_that_determine_each_other_are_refused_by_name():
    a = RNG(0).normal(size=(60, 2))
    x = np.c_[a, 2.0 * a[:, 0] - a[:, 1]]
    with pytest.raises(InputError, match="determine each other"):
        forward(x, Mixture(2))
    assert np.isfinite(forward(x, Mixture(2, "diagonal")).divergence.value)


def test_fewer_rows_than_columns():
    x = RNG(0).normal(size=(5, 8))
    with pytest.raises(InputError, match="needs more rows than columns"):
        forward(x, FullRank())
    assert np.isfinite(forward(x, MeanField()).q.log_prob(x)).all()


def test_more_components_than_rows():
    with pytest.raises(InputError, match="more components than there are samples"):
        forward(RNG(0).normal(size=(5, 1)), Mixture(6))
    with pytest.raises(InputError, match=r"distinct row\(s\)"):
        forward(np.repeat([[0.5], [1.0]], 10, axis=0), Mixture(4))
    with pytest.raises(InputError, match="a few whole numbers"):
        forward(np.repeat([[0.0], [1.0]], 10, axis=0), Mixture(4))


@pytest.mark.slow
def test_repeated_rows_make_no_spike():
    """40 rows in one point: a component on it would have any density one likes, and wins no search."""
    x = np.concatenate([RNG(0).normal(size=(60, 2)), np.full((40, 2), 0.3)])
    for key in range(3):
        found = forward(x, Mixture(3), key=key)
        assert np.sqrt(np.linalg.eigvalsh(found.q.covariances).min()) > 1e-3
    # Two values, each of half of the rows: not even there.
    found = forward(np.repeat([0.25, 1.25], 50), Mixture(2))
    assert min(c.scale for c in found.q.components) > 0.1


def test_no_number_of_components_is_chosen_for_ties():
    x = np.round(RNG(1).normal(size=(300, 2)), 1)
    x[:150, 0] = 0.0
    found = forward(x, Mixture("auto"))
    covariances = getattr(found.q, "covariances", None)
    least = np.linalg.eigvalsh(found.q.covariance[None] if covariances is None else covariances)
    assert np.sqrt(least.min()) > 1e-3


@pytest.mark.parametrize(
    "covariance",
    [
        "spherical",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("full", "tied", "diagonal", "low_rank")
        ),
    ],
)
def test_no_component_is_narrower_than_rounding(covariance):
    """Steps of .1 and .5: whatever is asked for, covariances are at least the rounding's, in every direction."""
    x = np.round(RNG(3).normal(size=(200, 3)) * [1.0, 0.3, 4.0] * [10.0, 10.0, 2.0]) / [10, 10, 2]
    recipe = Mixture(9, covariance=LowRank(1) if covariance == "low_rank" else covariance)
    found = forward(x, recipe)
    noise = np.array([0.1, 0.1, 0.5])
    least = np.linalg.eigvalsh(found.q.covariances / np.outer(noise, noise)).min()
    assert least > (1.0 - 1e-6) / 12.0


def test_the_bound_of_rounding_is_the_most_likely_one():
    """No covariance above the bound has a greater expected log likelihood."""
    rng = RNG(0)
    scatter = np.cov(rng.normal(size=(3, 20)) * [[1.0], [0.01], [0.3]])
    least = np.array([0.1, 0.1, 0.0])
    prior = Prior(0.0, np.zeros((3, 3)), least)
    free = Components(np.ones(1), np.zeros((1, 3)), np.linalg.cholesky(scatter)[None])
    bound = prior.widened(free).covariances[0]
    assert np.linalg.eigvalsh(bound - np.diag(least**2)).min() > -1e-12

    def expected(covariance):
        return -np.linalg.slogdet(covariance)[1] - np.trace(np.linalg.solve(covariance, scatter))

    for _ in range(200):
        root = rng.normal(size=(3, 3))
        other = np.diag(least**2) + 1e-9 * np.eye(3) + root @ root.T * rng.random() ** 3
        mixed = 0.99 * bound + 0.01 * other
        assert expected(mixed) <= expected(bound) + 1e-12
        assert expected(other) <= expected(bound)


@pytest.mark.slow
def test_keys_agree_on_rounded_rows():
    """Iris: what ended in components of sd .008, where values are rounded to .1, ends within a few nats."""
    x = pytest.importorskip("sklearn.datasets").load_iris().data
    fits = [forward(x, Mixture(6), key=key) for key in range(3)]
    values = [log_likelihood(found) for found in fits]
    assert max(values) - min(values) < 5.0
    for found in fits:
        least = np.sqrt(np.linalg.eigvalsh(found.q.covariances).min())
        assert least > (1.0 - 1e-6) * 0.1 / np.sqrt(12.0)
        # What is held at the rounding is said.
        held = any("rounding of the values" in str(note) for note in found.notes)
        assert held == (least < (1.0 + 1e-6) * 0.1 / np.sqrt(12.0))


@pytest.mark.slow
def test_columns_in_two_units_are_no_spike():
    """Inches and centimetres of one length differ by their roundings alone: their covariance is that of the data."""
    cm = RNG(5).normal(size=600) * 20.0 + np.repeat([150.0, 250.0], 300)
    x = np.column_stack([np.round(cm), np.round(cm / 2.54, 1)])
    found = forward(x, Mixture(2))
    for one, part in zip(found.q.covariances, (x[:300], x[300:]), strict=True):
        assert np.linalg.det(one) == pytest.approx(np.linalg.det(np.cov(part.T)), rel=0.2)


def test_one_far_value_does_not_flatten_the_rest():
    x = np.append(RNG(0).normal(size=999), 1e9)
    found = forward(x, Mixture(2))
    bulk = min(found.q.components, key=lambda c: abs(c.loc))
    # The far value alone keeps the prior, which counts for one row in a thousand.
    assert bulk.scale == pytest.approx(x[:-1].std(), rel=1e-3)


def test_heavy_tails_have_a_finite_score():
    found = forward(RNG(0).standard_cauchy(size=2000), Mixture(5))
    assert np.isfinite(found.held_out.value)
    assert np.isfinite(found.held_out.standard_error)


# ---- how many components, errors --------------------------------------------------------------------


def test_the_number_of_components_is_found():
    found = forward(three_groups(600, 2), Mixture("auto"))
    assert len(found.q.weights) == 3
    chosen = found.selection.best
    assert chosen.bic == min(c.bic for c in found.selection.candidates)
    assert chosen.icl >= chosen.bic
    assert chosen.bic == pytest.approx(found.likelihood.bic, rel=1e-6)
    behind = [c.behind for c in found.selection.candidates if c.behind is not None]
    assert behind
    assert all(
        b.standard_error < c.held_out.standard_error
        for b, c in zip(behind, found.selection.candidates, strict=False)
        if b.value < 0.1
    )


def test_parameter_errors_are_those_of_theory():
    """One Gaussian: sd / sqrt(n) and sd / sqrt(2n); a weight of separate groups: sqrt(w (1 - w) / n)."""
    rng = RNG(0)
    n = 20_000
    x = np.where(rng.random(n) < 0.3, 0.0, 50.0) + 2.0 * rng.normal(size=n)
    errors = {(e.component, e.name): e for e in forward(x, Mixture(2)).likelihood.errors}
    assert errors[1, "weight"].standard_error == pytest.approx(np.sqrt(0.3 * 0.7 / n), rel=0.02)
    assert errors[2, "mean"].standard_error == pytest.approx(2.0 / np.sqrt(0.7 * n), rel=0.03)
    assert errors[2, "sd"].standard_error == pytest.approx(2.0 / np.sqrt(1.4 * n), rel=0.05)


# ---- searches ---------------------------------------------------------------------------------------


def test_climbs_together_are_climbs_one_by_one():
    structure = Structure("full", 2)
    rows = rows_of(Samples(three_groups(200, 2), RNG(1).uniform(size=200)))
    model = MixtureModel(structure, Prior(1.0, 0.1 * np.eye(2)))
    starts = [start(structure, 3, RNG(i)) for i in range(4)]
    for begun, end in zip(starts, climb_together(model, rows, starts, 3), strict=True):
        q = begun
        for _ in range(2):
            q = model.maximize(model.expect(rows, q))
        value = model.expect(rows, q).log_likelihood + model.log_prior(q)
        assert end.value == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(end.at.means, q.means, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(end.at.weights, q.weights, rtol=1e-10)


def test_only_components_that_are_too_few_rows_keep_the_prior():
    """Two far rows: a Gaussian on them has any density one likes. The others are those of the rest alone."""
    x = np.concatenate([three_groups(300, 2, apart=8.0), [[200.0, 200.0], [201.0, 202.0]]])
    found = forward(x, Mixture(4))
    assert any("too few rows" in note for note in found.notes)
    rest = forward(x[:-2], Mixture(3))
    near = found.q.means[:, 0] < 150.0
    np.testing.assert_allclose(found.q.means[near], rest.q.means, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.q.covariances[near], rest.q.covariances, rtol=1e-3, atol=1e-4)


def unequal_scales(seed):
    """Ten groups in five columns of unequal scales and weights, as they are drawn and where they came from."""
    rng = RNG(seed)
    means, scales = 2.0 * rng.normal(size=(10, 5)), np.exp(0.8 * rng.normal(size=(10, 5)) - 0.5)
    which = rng.choice(10, p=rng.dirichlet(np.ones(10)), size=4000)
    return means[which] + scales[which] * rng.normal(size=(4000, 5)), means, scales, which


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 5])
def test_unequal_scales_reach_the_optimum_of_the_truth(seed):
    """Starts by k-means end .03 to .09 nats a row below."""
    x, means, scales, which = unequal_scales(seed)
    rows = rows_of(Samples(x))
    roots = (scales / rows.scale)[:, :, None] * np.eye(5)
    truth = Components(np.bincount(which) / len(x), (means - rows.center) / rows.scale, roots)
    model = MixtureModel(Structure("full", 5), Prior(0.0, 1e-8 * np.eye(5)))
    best = climb(model, rows, truth, tolerance=0.1).sums.log_likelihood
    best -= len(x) * np.log(rows.scale).sum()
    assert log_likelihood(forward(x, Mixture(10))) > best - 0.5


@pytest.mark.slow
def test_errors_of_as_many_parameters_as_rows_are_not_given():
    x = RNG(0).normal(size=(60, 8))
    assert forward(x, Mixture(2)).likelihood.errors == ()
    assert forward(x, FullRank()).likelihood.errors


@pytest.mark.slow
@pytest.mark.parametrize(("name", "k"), [("wine", 2), ("wine", 3), ("iris", 3), ("iris", 5)])
def test_at_least_as_good_as_scikit_learn_at_as_many_starts(name, k):
    mixture = pytest.importorskip("sklearn.mixture")
    datasets = pytest.importorskip("sklearn.datasets")
    x = getattr(datasets, f"load_{name}")().data
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    theirs = mixture.GaussianMixture(k, n_init=10, random_state=0).fit(x)
    assert -forward(x, Mixture(k)).divergence.value >= theirs.score(x)


@pytest.mark.slow
def test_a_point_that_p_has_is_found_and_said():
    """Zeros among measured values: a component on them is p's, and takes no other component with it."""
    rng = RNG(8)
    x = np.where(rng.random(600) < 0.3, 0.0, rng.normal(30.0, 2.0, 600))
    found = forward(x, Mixture(2))
    order = np.argsort([c.loc for c in found.q.components])
    wide = found.q.components[order[1]]
    assert found.q.weights[order[0]] == pytest.approx((x == 0.0).mean(), abs=1e-6)
    assert wide.loc == pytest.approx(x[x > 0.0].mean(), abs=1e-6)
    assert wide.scale == pytest.approx(x[x > 0.0].std(), rel=1e-3)
    assert any("a point, a row that repeats exactly" in str(note) for note in found.notes)
    chosen = forward(np.append(np.zeros(300), rng.normal(3.0, 1.0, 300)), Mixture("auto"))
    assert len(chosen.q.components) == 2
    # In the plane, and rounding is no atom.
    plane = np.concatenate([np.zeros((200, 2)), rng.normal(5.0, 1.0, (400, 2))])
    assert any("a point, a row" in str(note) for note in forward(plane, Mixture(2)).notes)
    rounded = forward(np.round(rng.normal(size=600), 1), Mixture(2))
    assert not any("a point" in str(note) for note in rounded.notes)


def test_points_alone_are_refused_with_what_to_say():
    with pytest.raises(InputError, match='kinds={"x0": "category", "x1": "category"}'):
        forward(np.repeat([[0.0, 0.0], [1.0, 1.0]], 500, axis=0), Mixture(2))
    indicators = np.eye(6)[RNG(0).integers(0, 6, 400)]
    with pytest.raises(InputError, match="x0, x1, .* determine each other exactly and hold"):
        forward(indicators, Mixture(5))
    classes = Samples(indicators, kinds=("category",) * 6)
    assert np.isfinite(forward(classes, Mixture(2)).divergence.value)


@pytest.mark.slow
def test_optima_of_the_rows_searched_are_measured_against_all_rows():
    # 20,000 of the rows are searched: their mean differs from that of all by more than optima do.
    rng = RNG(2)
    x = rng.normal(size=(60_000, 1)) * np.where(rng.random((60_000, 1)) < 0.3, 3.0, 1.0)
    best, *others = fit(Samples(x), Mixture(5), direction="forward").optima
    assert others
    for one in others:
        worse = best.q.log_prob(x[:, 0]).mean() - one.q.log_prob(x[:, 0]).mean()
        told = one.divergence.value - best.divergence.value
        error = np.sqrt(one.divergence.standard_error**2 - best.divergence.standard_error**2)
        assert abs(told - worse) < 3.0 * error
        assert error < 0.001


@pytest.mark.parametrize("unit", [1e200, 1e-200])
@pytest.mark.parametrize("family", [FullRank(), MeanField(), LowRank(1), Mixture(2)])
def test_units_whose_squares_are_no_floats_are_refused_by_the_column(unit, family):
    x = RNG(0).normal(size=(100, 2)) * [unit, 1.0]
    with pytest.raises(InputError, match="column x0 spreads over .* give it in other units"):
        fit(Samples(x), family, direction="forward")


def test_a_category_of_one_value_has_a_page():
    # No parameter, so there is no curve of what it costs on an axis of powers of ten.
    found = fit(
        Samples(np.zeros((60, 1)), kinds=("category",), labels=(("a",),)),
        "mixture:auto",
        direction="forward",
    )
    assert found.divergence.value == 0.0
    assert "-0" not in str(found.divergence)
    assert "<svg" in found._repr_html_()


@pytest.mark.parametrize("tails", ["gaussian", "student_t"])
def test_one_scale_for_all_numbers_where_there_are_none(tails):
    x = np.random.default_rng(0).poisson(3.0, (80, 2))
    p = Samples(x, kinds=["count", "count"])
    found = fit(p, Mixture(1, "spherical", tails), direction="forward")
    expected = stats.poisson.logpmf(x, x.mean(axis=0)).sum()
    assert log_likelihood(found) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("more", [(), pytest.param((Mixture(2),), marks=pytest.mark.slow)])
def test_families_of_one_column_with_gaps_are_compared_by_what_is_there(more):
    x = np.random.default_rng(1).normal(2.0, 3.0, 60)
    p = Samples(np.where(np.arange(60) % 7, x, np.nan), missing=True)
    found = fit(p, ["full_rank", "mean_field", *more, "laplace"], direction="forward")
    there = x[np.arange(60) % 7 > 0]
    expected = stats.norm.logpdf(there, there.mean(), there.std()).sum()
    for row in found.selection.candidates[:2]:
        assert row.log_likelihood == pytest.approx(expected, rel=1e-4)
    assert found.family == FullRank()
    assert len(found.selection.skipped) == 1
    assert "laplace: column x0 has 9 missing value(s)" in found.selection.skipped[0]
