"""Files and data frames to samples: kinds, labels, counts, weights and missing cells."""

import numpy as np
import polars as pl
import pytest

from kullback.core.errors import InputError
from kullback.inputs.samples import read_samples
from kullback.inputs.stream import read_rows
from kullback.tables.rows import RowColumns
from kullback.targets import Samples

NAN = np.nan


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _csv(content, name="a.csv"):
    with open(name, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return name


#: CSV, options, and the columns, rows, kinds and labels they make.
GOOD = {
    "numbers": ("x,y\n1,2\n3,4\n", {}, "xy", [[1, 2], [3, 4]], "ii", ((), ())),
    "text": ("x,c\n1,b\n2,a\n3,b\n", {}, "xc", [[1, 1], [2, 0], [3, 1]], "ic", ((), ("a", "b"))),
    "booleans": ("x,c\n1,true\n2,false\n", {}, "xc", [[1, 1], [2, 0]], "ic", ((), ("false", "true"))),
    "decimal commas": ("x;c\n1,5;b\n2,25;a\n", {}, "xc", [[1.5, 1], [2.25, 0]], ".c", ((), ("a", "b"))),
    "counts": ("x,n\n1.5,0\n2,7\n", {"counts": ["n"]}, "xn", [[1.5, 0], [2, 7]], ".n", ((), ())),
    "columns": ("x,y,z\n1,2,?\n3,4,5z\n", {"columns": ["y", "x"]}, "yx", [[2, 1], [4, 3]], "ii", ((), ())),
    "kept": ("x,y\n1,\nNA,4\n", {"missing": True}, "xy", [[1, NAN], [NAN, 4]], "kk", ((), ())),
    "kept text": ("x,c\n1,\n2,b\n", {"missing": True}, "xc", [[1, NAN], [2, 0]], "ic", ((), ("b",))),
    "dropped": ("x,y\n1,\n3,4\n", {"missing": "drop"}, "xy", [[3, 4]], "ik", ((), ())),
    "dropped labels": ("x,c\n,a\n3,b\n", {"missing": "drop"}, "xc", [[3, 0]], "kc", ((), ("b",))),
    "none is a label": ("c\nmild\nnone\nnone\n", {}, "c", [[0], [1], [1]], "c", (("mild", "none"),)),
    "quoted": ('x,c\n1,"a,b"\n2,\n', {"missing": True}, "xc", [[1, 0], [2, NAN]], "ic", ((), ("a,b",))),
    "blank lines": ("x,c\n\n1,a\n\n2,a\n", {}, "xc", [[1, 0], [2, 0]], "ic", ((), ("a",))),
    "all ways of writing": ("x,c\n+1,a\n.5,a\n2.,a\n1E3,a\n", {"columns": ["x"]}, "x",
                            [[1], [0.5], [2], [1000]], ".", ((),)),
}  # fmt: skip
KINDS = {".": "continuous", "i": "integer", "k": "constant", "n": "count", "c": "category"}


@pytest.mark.parametrize(
    ("content", "options", "names", "rows", "kinds", "labels"), GOOD.values(), ids=GOOD
)
def test_csv_is_read(content, options, names, rows, kinds, labels):
    found = read_samples(_csv(content), **options)
    np.testing.assert_array_equal(found.values, np.array(rows, dtype=float))
    assert found.columns == tuple(names)
    assert found.kinds == tuple(KINDS[k] for k in kinds)
    assert found.labels == labels
    assert found.missing is (options.get("missing") is True)


def test_weights_are_no_column():
    found = read_samples(_csv("x,w\n1,2\n3,0\n"), weights="w")
    assert (found.columns, found.weights.tolist()) == (("x",), [2, 0])


def test_dropped_rows_are_counted():
    assert read_rows(_csv("x,w\n1,2\n,1\n3,\n"), apart=RowColumns("w"), missing="drop").dropped == 2


TEXT = "x,c\n" + "".join(f"{i},name {i}\n" for i in range(50))
BAD = {
    "missing": ("x,y\n1,2\n3,\n", {}, r"^a.csv: column 'y' has 1 cell without a value, on line 3; say missing=\"drop\""),
    "two missing": ("x\n1\n\n2\nNA\n", {}, "'x' has 2 cells without a value, the first on line 3"),
    "bad cell": ("x,c\n1,a\n12x,b\n3,c\n", {}, r"column 'x' has 1 cell .* on line 3 \('12x'\)"),
    "bad cell, all numbers else": ("x\n1\n2\n12x\n", {"missing": "drop"}, r"on line 4 \('12x'\)"),
    "infinite": ("x\n1\ninf\n", {"missing": "drop"}, r"on line 3 \('inf'\)"),
    "overflow": ("x\n1\n1e400\n", {"missing": "drop"}, r"on line 3 \('1e400'\)"),
    "short row": ("x,c\n1,a\n2\n", {"missing": "drop"}, "^a.csv, line 3: 1 cell where the first row has 2"),
    "long row": ("x,c\n1,a\n2,b,3\n", {}, "^a.csv, line 3: 3 cells where the first row has 2"),
    "encoding": (b"x,c\n1,a\n2,\xe9\n", {}, "^a.csv, line 3: byte 0xe9 is not UTF-8"),
    "duplicate names": ("x,x\n1,2\n", {}, "^a.csv, line 1: columns 1 and 2 are both named 'x'"),
    "comma and point": ("x;c\n1,5;a\n2.5;b\n", {}, "line 2: is 1,5 a decimal number"),
    "names of people": (TEXT, {}, "'c' is not numeric, and its 50 cells have 50 different values"),
    "dates": ("x,t\n1,2024-01-02\n2,2024-01-03\n", {}, "column 't' holds dates; make numbers of them, such as days since the first, or leave 't' out"),
    "no header": ("1,paris\n2,rome\n", {}, r"line 1: are these the names of the columns \(1, paris\)"),
    "no values": ("x,y\n1,\n2,\n", {"missing": True}, "'y' has no values"),
    "no whole row": ("x,y\n1,\n,2\n", {"missing": "drop"}, "not a row without missing cells"),
    "negative weight": ("x,w\n1,1\n2,-1\n", {"weights": "w"}, "'w' has the weight -1 on line 3"),
    "missing weight": ("x,w\n1,1\n2,\n", {"weights": "w", "missing": True}, "'w' has 1 cell without"),
    "no weight": ("x,w\n1,0\n2,0\n", {"weights": "w"}, "not all zero"),
    "weights in words": ("x,w\n1,a\n2,b\n", {"weights": "w"}, "'w' is String, not numbers"),
    "weights that are not": ("x\n1\n", {"weights": "w"}, "no column 'w' for weights; it has x"),
    "weights as data": ("x,w\n1,1\n", {"weights": "w", "columns": ["w"]}, "so it is no column of data"),
    "only weights": ("w\n1\n", {"weights": "w"}, "no columns of data"),
    "half a count": ("x,n\n1,1\n2,1.5\n", {"counts": ["n"]}, "1.5 on line 3 is not a count"),
    "negative count": ("x,n\n1,1\n,2\n2,-1\n", {"counts": ["n"], "missing": "drop"}, "-1 on line 4"),
    "count of words": ("n\na\nb\n", {"counts": ["n"]}, "cannot be 'count'"),
    "no such count": ("x\n1\n", {"counts": ["n"]}, "there is no column 'n'"),
    "no such column": ("x,y\n1,2\n", {"columns": ["z"]}, "no column 'z'; it has x, y"),
    "twice a column": ("x,y\n1,2\n", {"columns": ["x", "x"]}, "'x' is named twice"),
    "no such choice": ("x\n1\n", {"missing": "fill"}, "choose False, True"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "options", "message"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_said(content, options, message):
    with pytest.raises(InputError, match=message):
        read_samples(_csv(content), **options)


def test_quick_and_careful_reading_agree(here):
    r = np.random.default_rng(0)
    rows = [
        f"{v!r},{c}"
        for v, c in zip(r.standard_normal(300).tolist(), r.choice(list("abc"), 300), strict=True)
    ]
    rows[7] = ",a"
    quick = read_samples(_csv("x,c\n" + "\n".join(rows) + "\n"), missing=True)
    slow = read_samples(_csv("\nx,c\n" + "\n".join(rows) + "\n", "b.csv"), missing=True)
    np.testing.assert_array_equal(quick.values, slow.values)
    assert quick.labels == slow.labels


TYPES = pl.DataFrame(
    {
        "i": [1, 2, None],
        "f": [0.5, NAN, 2.0],
        "s": ["b", None, "a"],
        "e": pl.Series(["u", "v", "u"], dtype=pl.Enum(["v", "u", "w"])),
        "c": pl.Series(["u", "v", "u"], dtype=pl.Categorical),
        "b": [True, False, None],
        "d": pl.Series(["1.5", "2", "3"]).cast(pl.Decimal(10, 2)),
    }
)
TYPED = [
    [1, 0.5, 1, 0, 0, 1, 1.5],
    [2, NAN, NAN, 1, 1, 0, 2],
    [NAN, 2, 0, 0, 0, NAN, 3],
]


def test_types_of_parquet():
    TYPES.write_parquet("a.parquet")
    found = read_samples("a.parquet", missing=True)
    np.testing.assert_array_equal(found.values, TYPED)
    assert found.labels == ((), (), ("a", "b"), ("u", "v"), ("u", "v"), ("false", "true"), ())
    with pytest.raises(InputError, match="'i' has 1 cell without a value, on row 3"):
        read_samples("a.parquet")
    assert len(read_samples("a.parquet", missing="drop").values) == 1


@pytest.mark.parametrize(
    "series",
    [
        pl.Series("z", [0]).cast(pl.Date),
        pl.Series("z", [0]).cast(pl.Datetime),
        pl.Series("z", [[1, 2]]),
        pl.Series("z", [{"a": 1}]),
        pl.Series("z", [b"a"]),
        pl.Series("z", [None]),
    ],
    ids=lambda s: str(s.dtype),
)
def test_what_is_neither_numbers_nor_categories(series):
    frame = pl.DataFrame([pl.Series("x", [1.0]), series])
    frame.write_parquet("a.parquet")
    with pytest.raises(InputError, match="(?s)column 'z'.*leave 'z' out"):
        read_samples("a.parquet", missing=True)
    with pytest.raises(InputError, match="(?s)samples: column 'z'.*leave 'z' out"):
        Samples(frame, missing=True)
    assert read_samples("a.parquet", columns=["x"]).columns == ("x",)


def test_npy():
    np.save("a.npy", [[1.0, NAN], [2.0, 3.0]])
    assert read_samples("a.npy", missing="drop").values.tolist() == [[2, 3]]
    with pytest.raises(InputError, match="'x1' has 1 cell without a value, on row 1"):
        read_samples("a.npy")


def test_polars_frames():
    found = Samples(TYPES, missing=True, kinds={"i": "count"})
    np.testing.assert_array_equal(Samples(TYPES.lazy(), missing=True).values, found.values)
    np.testing.assert_array_equal(found.values, TYPED)
    assert found.kinds == ("count", "continuous", *["category"] * 4, "continuous")
    assert Samples(TYPES["i"].drop_nulls()).columns == ("i",)


def test_pandas_frames():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "a": pd.array([1, None, 3], dtype="Int64"),
            "s": ["b", "a", None],
            "c": pd.Categorical(["u", "v", "u"]),
            "b": pd.array([True, None, False], dtype="boolean"),
            "w": [1.0, 0.0, 2.0],
            7: [3, 1, 2],
        },
        index=[4, 4, 9],
    )
    found = Samples(frame, weights="w", missing=True, kinds={"7": "category"})
    np.testing.assert_array_equal(
        found.values, [[1, 1, 0, 1, 2], [NAN, 0, 1, NAN, 0], [3, NAN, 0, 0, 1]]
    )
    assert found.columns == ("a", "s", "c", "b", "7")
    assert found.weights.tolist() == [1, 0, 2]
    assert found.labels == ((), ("a", "b"), ("u", "v"), ("false", "true"), ("1", "2", "3"))
    assert Samples(pd.Series([1.0, 2.0])).columns == ("x0",)
    with pytest.raises(InputError, match="same name"):
        Samples(pd.DataFrame(np.ones((2, 2)), columns=["a", "a"]))
    with pytest.raises(
        InputError, match="'z': values of type complex128 cannot be compared or fitted"
    ):
        Samples(pd.DataFrame({"z": [1j]}))
    with pytest.raises(InputError, match="'o': values of no one type"):
        Samples(pd.DataFrame({"o": [1, "a"]}))


def test_pyarrow_tables():
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"x": [1, 2, None], "c": pa.array(["b", "a", "b"]).dictionary_encode()})
    found = Samples(table, missing=True)
    np.testing.assert_array_equal(found.values, [[1, 1], [2, 0], [NAN, 1]])
    assert found.labels == ((), ("a", "b"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Samples(TYPES, columns=("nope",)), "no column 'nope'; it has i, f"),
        (lambda: Samples(TYPES, weights="nope"), "no column 'nope' for weights"),
        (lambda: Samples(TYPES), "column f has 1 NaN"),
        (lambda: Samples(TYPES, kinds={"s": "continuous"}, missing=True), "cannot be 'continuous'"),
        (lambda: Samples(TYPES, kinds={"q": "count"}, missing=True), "no column 'q'"),
        (lambda: Samples(TYPES, kinds={"i": "words"}, missing=True), "choose from continuous"),
        (lambda: Samples(pl.DataFrame()), "no columns of data"),
        (lambda: Samples([[1.0]], weights="w"), "only a data frame"),
        (lambda: Samples([[1.0, 2.0]], columns=("a",)), "2 columns, but there are 1 names"),
        (lambda: Samples([[1.0, 2.0]], columns=("a", "a")), "two columns have the name 'a'"),
        (lambda: Samples([[1.5]], kinds=("count",)), "1.5 on row 0 is not a count"),
        (lambda: Samples([[2.0]], kinds=("category",), labels=(("a", "b"),)), "not the code of a label"),
        (lambda: Samples(np.array([1j])), "real numbers, not complex128"),
        (lambda: Samples(np.array(["2024-01-01"], dtype="M8[D]")), "not datetime64"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_samples(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_numbers_may_name_categories():
    found = Samples([[1.0, 7.0], [2.0, 3.0], [0.5, 7.0]], kinds={"x1": "category"})
    assert found.values[:, 1].tolist() == [1, 0, 1]
    assert found.labels == ((), ("3", "7"))
