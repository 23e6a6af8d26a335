"""Every verb and every kind of thing that is given: it is taken, or one line says what it is and what to type."""

import types

import numpy as np
import polars as pl
import pytest

import kullback as kb
from kullback.inputs import scan
from tests.engines import lazily, quiet

pytestmark = quiet

ROWS = np.random.default_rng(0).normal(size=(240, 2))
FRAME = pl.DataFrame(ROWS, schema=["a", "b"])
WHERE = types.SimpleNamespace(here=None)


def _path(name):
    place = WHERE.here / name
    if not place.exists():
        {"csv": FRAME.write_csv, "parquet": FRAME.write_parquet, "npy": lambda p: np.save(p, ROWS)}[
            name.rpartition(".")[2]
        ](place)
    return place


def _directory():
    place = WHERE.here / "parts"
    place.mkdir(exist_ok=True)
    FRAME.write_parquet(place / "0.parquet")
    return str(place)


def _pandas():
    return pytest.importorskip("pandas").DataFrame(ROWS, columns=["a", "b"])


def _arrow():
    return pytest.importorskip("pyarrow").table({"a": ROWS[:, 0], "b": ROWS[:, 1]})


def _relation():
    duckdb = pytest.importorskip("duckdb")
    rows = ", ".join(f"({a!r}, {b!r})" for a, b in ROWS.tolist())
    return duckdb.sql(f"SELECT * FROM (VALUES {rows}) AS t(a, b)")


def _lazily(engine):
    return lambda: lazily(FRAME, engine, WHERE.here / engine)


def _tree():
    return pytest.importorskip("arviz_base").from_dict(
        {"posterior": {"a": ROWS[None, :, 0], "b": ROWS[None, :, 1]}}
    )


def _jax():
    return pytest.importorskip("jax.numpy").asarray(ROWS)


def _torch():
    return pytest.importorskip("torch").asarray(ROWS)


def _numpyro():
    numpyro = pytest.importorskip("numpyro")
    normal = numpyro.distributions.Normal(0.0, 1.0)

    def model():
        numpyro.sample("mu", normal.expand([2]).to_event(1))

    return model


def _pymc():
    pymc = pytest.importorskip("pymc")
    with pymc.Model() as model:
        pymc.Normal("mu", 0.0, 1.0, shape=2)
    return model


#: What holds rows, how it is made, and what a refusal calls it.
TABLES = {
    "polars": (lambda: FRAME, "samples"),
    "lazy polars": (FRAME.lazy, "samples"),
    "pandas": (_pandas, "samples"),
    "pyarrow": (_arrow, "samples"),
    "duckdb": (_relation, "samples"),
    **{f"lazy {engine}": (_lazily(engine), "samples") for engine in ("ibis", "dask", "spark")},
    "tree": (_tree, "samples"),
    "Samples": (lambda: kb.Samples(ROWS, columns=("a", "b")), "samples"),
    "csv": (lambda: str(_path("rows.csv")), "samples"),
    "Path": (lambda: _path("rows.csv"), "samples"),
    "parquet": (lambda: str(_path("rows.parquet")), "samples"),
    "npy": (lambda: str(_path("rows.npy")), "samples"),
}
#: Rows to verbs of tables, a vector or a matrix of probabilities to the measures.
ARRAYS = {
    "array": (lambda: ROWS, "an array of shape"),
    "jax": (_jax, "an array of shape"),
    "torch": (_torch, "an array of shape"),
}
PIECES = {
    "directory": (_directory, "a stream"),
    "Stream": (lambda: scan(_path("rows.parquet")), "a stream"),
}
COUNTS = {"Counts": (lambda: kb.Counts([30, 70]), "counts")}
DENSITIES = {
    "expression": (lambda: "mvnormal([0, 0], cov=[[1, 0], [0, 1]])", "density"),
    "Known": (
        lambda: kb.Known(lambda x: -0.5 * np.sum(x**2, axis=-1) - np.log(2 * np.pi),
                         lambda rng, n: rng.normal(size=(n, 2)), np.zeros(2)),
        "density",
    ),
    "fitted": (lambda: kb.fit(ROWS, "full_rank", direction="forward").q, "density"),
}  # fmt: skip
MODELS = {"numpyro": (_numpyro, "NumPyro model|function"), "pymc": (_pymc, "PyMC model|Model")}
OTHERS = {
    "function": (lambda: lambda x: -x @ x, "a function"),
    "dict": (lambda: {"a": 1}, "a dict"),
    "None": (lambda: None, "a NoneType"),
    "number": (lambda: 3.5, "float|shape"),
}
EVERYTHING = {**TABLES, **ARRAYS, **PIECES, **COUNTS, **DENSITIES, **MODELS, **OTHERS}
Q = "mvnormal([0, 0], cov=[[1, 0], [0, 1]])"

VERBS = {
    "fit": lambda x: kb.fit(x, "full_rank", direction="forward"),
    "diff": lambda x: kb.diff(x, x, joint=False),
    "profile": kb.profile,
    "score": lambda x: kb.score(kb.fit(ROWS, "full_rank", direction="forward"), x),
    "kl": lambda x: kb.kl_divergence(x, x),
    "kl to a density": lambda x: kb.kl_divergence(x, Q),
    "cross_entropy": lambda x: kb.cross_entropy(x, Q),
    "entropy": kb.entropy,
}
_ROWS_VERBS = {"fit", "diff", "profile", "score"}
#: What each verb answers.
TAKES = {
    "fit": {*TABLES, *ARRAYS, *PIECES, *DENSITIES, *MODELS},
    "diff": {*TABLES, *ARRAYS, "directory"},
    "profile": {*TABLES, *ARRAYS, "directory"},
    "score": {*TABLES, *ARRAYS, *PIECES},
    "kl": {*TABLES, *COUNTS, *DENSITIES},
    "kl to a density": {*TABLES, *DENSITIES},
    "cross_entropy": {*TABLES, *DENSITIES},
    "entropy": {*DENSITIES},
}


@pytest.fixture(scope="module", autouse=True)
def here(tmp_path_factory):
    WHERE.here = tmp_path_factory.mktemp("contract")


@pytest.mark.parametrize("kind", EVERYTHING)
@pytest.mark.parametrize("verb", VERBS)
def test_it_is_taken_or_refused_by_its_name(verb, kind):
    make, word = EVERYTHING[kind]
    thing = make()
    if kind in TAKES[verb]:
        assert VERBS[verb](thing) is not None
        return
    words = "an expression|density" if kind == "expression" else word
    if verb not in _ROWS_VERBS and kind in ("Counts", *TABLES):
        words = f"{word}|counts"
    with pytest.raises(kb.KullbackError, match=rf"(?i){words}") as error:
        VERBS[verb](thing)
    said = str(error.value)
    assert len(said.splitlines()) == 1
    assert any(remedy in said for remedy in (":", "give ", "say ", ";", ","))
    if kind in ("polars", "pandas", "pyarrow", "duckdb", "tree"):
        assert "array of" not in said


def test_all_of_them_read_the_same_numbers():
    known = kb.cross_entropy(kb.Samples(ROWS), Q).value
    for kind, (make, _) in TABLES.items():
        try:
            thing = make()
        except pytest.skip.Exception:
            continue  # its library is not installed
        assert kb.cross_entropy(thing, Q).value == pytest.approx(known, rel=1e-12), kind


def test_counts_are_as_many_rows():
    p = kb.Counts([30, 70])
    written_out = kb.Samples(np.repeat([0.0, 1.0], [30, 70]))
    both = kb.cross_entropy(p, [0.5, 0.5]), kb.cross_entropy(written_out, [0.5, 0.5])
    assert [e.value for e in both] == pytest.approx([np.log(2.0)] * 2)
    other = [kb.cross_entropy(x, [0.25, 0.75]) for x in (p, written_out)]
    assert other[0].value == pytest.approx(other[1].value)
    assert other[0].standard_error == pytest.approx(other[1].standard_error)
    assert kb.cross_entropy(p, [1.0, 0.0]).kind == "infinite"


def test_copies_and_frequencies_are_the_same_rows():
    x = np.random.default_rng(1).normal(size=50)
    copies, written = kb.Samples(np.repeat(x, 3)), kb.Samples(x, frequencies=np.full(50, 3))
    one, other = (kb.cross_entropy(s, "normal(0, sd=1)") for s in (copies, written))
    assert other.value == pytest.approx(one.value)
    assert other.standard_error == pytest.approx(one.standard_error)


def test_a_score_finds_its_columns_by_name():
    model = kb.fit(FRAME, "full_rank", direction="forward")
    known = kb.score(model, FRAME).mean.value
    assert kb.score(model, FRAME.select("b", "a")).mean.value == known
    assert kb.score(model, kb.Samples(ROWS[:, ::-1], columns=("b", "a"))).mean.value == known
    assert kb.score(model, ROWS).mean.value == known
    with pytest.raises(kb.InputError, match="no column 'b', which the model needs"):
        kb.score(model, FRAME.select("a"))
    doubled = FRAME.with_columns(w=pl.lit(2.0))
    assert kb.score(model, doubled, weights="w").mean.value == pytest.approx(known)


def test_a_score_takes_labels_that_are_few_rows_apart():
    rng = np.random.default_rng(0)
    names = [f"n{i:02}" for i in range(30)]
    frame = pl.DataFrame({"x": rng.normal(size=3000), "c": rng.choice(names, 3000)})
    model = kb.fit(frame, "mixture:1", direction="forward")
    few = pl.DataFrame({"x": rng.normal(size=25), "c": [*names[:24], "new"]})
    scored = kb.score(model, few)
    assert (scored.rows, scored.outside) == (25, 1)
