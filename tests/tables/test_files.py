"""Files: what is read, what is refused and how, and that writing is all or nothing."""

import operator
import os
import signal
import stat
import struct
import threading

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kullback.core.errors import InputError
from kullback.files.atomic import write_atomic
from kullback.inputs.samples import dataset, samples_of
from kullback.tables import table as table_module
from kullback.tables.files import open_table
from kullback.tables.frames import by_column, of_object
from kullback.tables.lazy import lazy_rows
from tests.tried import tried


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read_table(path):
    """All columns of a file as numbers."""
    return samples_of(open_table(path)).samples


def _write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path.name


#: The content of a CSV file, the names of its columns and its rows.
GOOD_CSV = {
    "header": ("x,y\n1,2\n3,4\n", ("x", "y"), [[1, 2], [3, 4]]),
    "no header": ("1,2\n3,4\n", ("x0", "x1"), [[1, 2], [3, 4]]),
    "no last newline": ("x,y\n1,2", ("x", "y"), [[1, 2]]),
    "one column": ("x\n1\n2\n", ("x",), [[1], [2]]),
    "one number": ("7", ("x0",), [[7]]),
    "semicolons": ("x;y\n1;2\n", ("x", "y"), [[1, 2]]),
    "tabs": ("x\ty\n1\t2\n", ("x", "y"), [[1, 2]]),
    "decimal commas": ("x;y\n1,5;2\n-3;4,25e1\n", ("x", "y"), [[1.5, 2], [-3, 42.5]]),
    "decimal commas, no header": ("1,5;2,25\n3,0;4,5\n", ("x0", "x1"), [[1.5, 2.25], [3, 4.5]]),
    "Windows": ("x,y\r\n1,2\r\n3,4\r\n", ("x", "y"), [[1, 2], [3, 4]]),
    "old Macintosh": ("x,y\r1,2\r3,4\r", ("x", "y"), [[1, 2], [3, 4]]),
    "byte order mark": (b"\xef\xbb\xbfx,y\n1,2\n", ("x", "y"), [[1, 2]]),
    "blank lines": ("\n\nx,y\n\n1,2\n\n3,4\n\n", ("x", "y"), [[1, 2], [3, 4]]),
    "spaces": ("x, y\n 1, 2\n3 ,4 \n", ("x", "y"), [[1, 2], [3, 4]]),
    "quotes": ('"x, y",z\n"1",2\n', ("x, y", "z"), [[1, 2]]),
    "a name of two lines": ('"x\ny",z\n1,2\n', ("x\ny", "z"), [[1, 2]]),
    "names of several words": ("my x,my y\n1,2\n", ("my x", "my y"), [[1, 2]]),
    "names beyond ASCII": ("größe,π\n1,2\n", ("größe", "π"), [[1, 2]]),
    "partly numeric names": ("name,2019\n1,2\n", ("name", "2019"), [[1, 2]]),
    "all ways of writing": ("+1,.5,2.,1e3,-1E-3\n", tuple("x0 x1 x2 x3 x4".split()),
                            [[1, 0.5, 2, 1000, -0.001]]),
    "extremes": ("1e308,5e-324,-0.0\n", ("x0", "x1", "x2"), [[1e308, 5e-324, 0]]),
}  # fmt: skip


@pytest.mark.parametrize(("content", "columns", "rows"), GOOD_CSV.values(), ids=GOOD_CSV)
def test_csv_is_read(here, content, columns, rows):
    name = _write(here / "a.csv", content)
    found = read_table(name)
    assert found.columns == columns
    assert found.values.dtype == np.float64
    assert found.values.tolist() == np.array(rows, dtype=float).tolist()


def test_a_file_that_needs_care_and_one_that_does_not_give_the_same_numbers(here):
    numbers = np.random.default_rng(0).standard_normal((200, 3)) * 10.0 ** np.arange(-8, 10, 6)
    lines = [",".join(repr(float(v)) for v in row) for row in numbers]
    fast = read_table(_write(here / "a.csv", "x,y,z\n" + "\n".join(lines)))
    slow = read_table(_write(here / "b.csv", "\nx,y,z\n" + "\n".join(lines)))
    np.testing.assert_array_equal(fast.values, numbers)
    np.testing.assert_array_equal(slow.values, numbers)


def test_tsv_is_csv(here):
    assert read_table(_write(here / "a.TSV", "x\ty\n1\t2\n")).columns == ("x", "y")


def test_a_table_cannot_be_changed(here):
    found = read_table(_write(here / "a.csv", "x\n1\n"))
    with pytest.raises(ValueError, match="read-only"):
        found.values[0, 0] = 2.0
    with pytest.raises(AttributeError):
        found.columns = ("y",)


#: The content of a CSV file and what is said of it.
BAD_CSV = {
    "empty": ("", r"^a.csv: the file is empty$"),
    "blank": (" \n\n\t\n", "^a.csv: the file is empty$"),
    "header only": ("x,y\n", "^a.csv: there are no rows in it$"),
    "empty cells only": (",\n,\n", "there are no rows in it"),
    "missing": ("x,age\n1,2\n3,\n5,\n7,8\n",
                r"^a.csv: column 'age' has 2 cells without a value, the first on line 3; say missing=\"drop\" "),
    "NA": ("x,age\n1,NA\n3,4\n",
           r"column 'age' has 1 cell without a value, on line 2; "),
    "nan": ("x,age\n1,2\n3,nan\n", r"column 'age' has 1 cell .* on line 3; "),
    "inf": ("x,age\n1,2\n-inf,3\n", r"column 'x' has 1 cell .* on line 3 \('-inf'\)"),
    "overflow": ("x,age\n1,2\n1e400,3\n", r"column 'x' has 1 cell .* on line 3 \('1e400'\)"),
    "overflow everywhere": ("x\n1e400\n", r"column 'x' has 1 cell .* on line 2 \('1e400'\)"),
    "missing in the first row": ("1,NA\n3,4\n", r"column 'x1' has 1 cell .* on line 1; "),
    "a bad cell": ("x,age\n1,2\n3,4\n5,old\n6,7\n", r"column 'age' .* on line 4 \('old'\)"),
    "after blank lines": ("\nx,age\n\n1,2\n\n3,old\n6,7\n", r"column 'age' .* line 6 \('old'\)"),
    "after a long cell": ('"x\ny",age\n1,2\n3,old\n', r"column 'age' .* on line 4 \('old'\)"),
    "digits with underscores": ("x\n1\n1_000\n", r"column 'x' .* on line 3 \('1_000'\)"),
    "hexadecimal": ("x\n1\n0x10\n", r"column 'x' .* on line 3 \('0x10'\)"),
    "a blank line in one column": ("x\n1\n\n2\n", r"column 'x' has 1 cell .* on line 3; "),
    "missing at the end, tabs": ("x\ty\n1\t2\n3\t\n", r"column 'y' .* on line 3; "),
    "dates": ("x,day\n1,2024-01-02\n", r"column 'day' holds dates; make numbers of them, such as days"),
    "dates of no one order": ("x,day\n1,2024-01-02\n2,1.2.24\n", "column 'day' holds dates, .*; write them as in ISO"),
    "short row": ("x,y\n1,2\n3\n5,6\n", "^a.csv, line 3: 1 cell where the first row has 2; every"),
    "long row": ("x,y\n1,2\n3,4,5\n", "^a.csv, line 3: 3 cells where the first row has 2; every"),
    "row names of R": ("x,y\na,1,2\nb,3,4\n", "^a.csv, line 2: 3 cells where the first row has 2"),
    "no UTF-8": (b"x,y\n1,2\n\xe9,3\n", "^a.csv, line 3: byte 0xe9 is not UTF-8; save the file"),
    "UTF-16": ("x,y\n1,2\n".encode("utf-16"), "^a.csv: this is not UTF-8 text"),
    "binary": (b"PK\x03\x04\x00\x00", "^a.csv: this is not UTF-8 text"),
    "twice a name": ("x,y,x\n1,2,3\n", "^a.csv, line 1: columns 1 and 3 are both named 'x'; ren"),
    "no name": (",x\n0,1\n", r"^a.csv, line 1: column 1 has no name; .*index=False"),
    "open quote": ('x,y\n1,2\n3,"4\n', "^a.csv, line 3: this is not CSV: unexpected end of data"),
    "spaces between": ("x y\n1 2\n", "the columns must be separated by commas, semicolons or tabs"),
    "decimal comma in one column": ("x\n1,5\n2,7\n", "line 2: 2 cells .* a decimal point, not a "),
    "comma of thousands": ("x;y\n1,234;2\n", "^a.csv, line 2: is 1,234 a decimal number or one wi"),
    "comma and point": ("x;y\n1,23;2.5\n", "line 2: is 1,23 a decimal number"),
    "a late point": ("x;y\n" + "1,5;2\n" * 2000 + "3.5;1\n", r"column 'x' .* line 2002 \('3.5'\)"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), BAD_CSV.values(), ids=BAD_CSV)
def test_what_is_wrong_with_csv_is_said(here, content, message):
    name = _write(here / "a.csv", content)
    with pytest.raises(InputError, match=message):
        read_table(name)


@given(st.binary(max_size=200))
@tried(200)
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    directory = tmp_path_factory.getbasetemp()
    for ending in (".csv", ".npy", ".parquet"):
        path = directory / f"any{ending}"
        path.write_bytes(content)
        _read_or_refuse(path)


@given(st.text("0123456789.,;\t\n\r\"'xe-+ NA", max_size=60))
@tried(500)
def test_any_csv_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content.encode())
    _read_or_refuse(path)


def _read_or_refuse(path):
    try:
        found = read_table(path)
    except InputError as error:
        assert str(error).startswith(str(path))
    else:
        assert np.isfinite(found.values).all()
        assert found.values.shape[1] == len(found.columns) == len(set(found.columns))
        assert found.values.size > 0


@given(
    st.lists(
        st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.integers(-9, 9)), min_size=1
    ),
    st.sampled_from(",;\t"),
    st.booleans(),
)
@tried(200)
def test_what_is_written_as_csv_is_read_back(tmp_path_factory, rows, delimiter, header):
    path = tmp_path_factory.getbasetemp() / "written.csv"
    lines = [f"{x!r}{delimiter}{y}" for x, y in rows]
    path.write_text("\n".join([f"x{delimiter}y"] * header + lines))
    assert read_table(path).values.tolist() == [[x, y] for x, y in rows]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.csv", r"^missing.csv: there is no such file in /"),
        ("near.cvs", r"^near.cvs: there is no such file; did you mean near.csv\?$"),
        ("nowhere/a.csv", "^nowhere/a.csv: there is no such file, and no directory nowhere$"),
        (".", "^empty.parquet: the file is empty$"),
        ("folder.csv", "^folder.csv: there are no .parquet files in this directory"),
        ("a.xlsx", r"the ending '.xlsx' does not name a format; .csv, .tsv, .parquet and .npy are"),
        ("plain", "a name without an ending does not name a format"),
        ("x" * 300 + ".csv", "this cannot be read: File name too long"),
        ("empty.npy", "^empty.npy: the file is empty$"),
        ("empty.parquet", "^empty.parquet: the file is empty$"),
    ],
)
def test_paths_that_lead_nowhere(here, name, message):
    (here / "folder.csv").mkdir()
    for file in ("a.xlsx", "plain", "near.csv"):
        _write(here / file, "x\n1\n")
    for file in ("empty.npy", "empty.parquet"):
        _write(here / file, "")
    with pytest.raises(InputError, match=message):
        read_table(name)


def test_files_that_cannot_be_read(here, monkeypatch):
    name = _write(here / "a.csv", "x\n1\n")

    def refuse(_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(InputError, match="^a.csv: this cannot be read: Permission denied$"):
        read_table(name)


#: Arrays that .npy files may hold, and the table they make.
GOOD_NPY = [
    (np.array([[1.0, 2.0], [3.0, 4.0]]), ("x0", "x1"), [[1, 2], [3, 4]]),
    (np.array([1, 2, 3]), ("x0",), [[1], [2], [3]]),
    (np.array([[1, 2]], dtype=np.uint8), ("x0", "x1"), [[1, 2]]),
    (np.array([[1.5]], dtype=">f4"), ("x0",), [[1.5]]),
    (np.array([[0.5]], dtype=np.float16), ("x0",), [[0.5]]),
    (np.asfortranarray([[1.0, 2.0], [3.0, 4.0]]), ("x0", "x1"), [[1, 2], [3, 4]]),
]


@pytest.mark.parametrize(("array", "columns", "rows"), GOOD_NPY)
def test_npy_is_read(array, columns, rows):
    np.save("a.npy", array)
    found = read_table("a.npy")
    assert (found.columns, found.values.tolist()) == (columns, rows)
    assert found.values.flags.c_contiguous


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[1.0, 2.0], [3.0, np.nan]]), r"column 'x1' has 1 cell .* on row 2; "),
        (np.array([1.0, -np.inf, np.inf]), r"has 2 infinite value.s., the first on row 2; "),
        (np.array([1j]), "its numbers are of type complex128; save real ones"),
        (np.array([True]), "of type bool"),
        (np.array(["a"]), "of type <U1"),
        (np.array([np.datetime64("2024-01-01")]), "of type datetime64"),
        (np.zeros(2, dtype=[("x", "f8")]), "of type"),
        (np.zeros((2, 2, 2)), r"its shape is \(2, 2, 2\); save \(rows, columns\)"),
        (np.array(1.0), r"its shape is \(\)"),
        (np.zeros((0, 2)), "there are no rows in it"),
        (np.zeros((2, 0)), "there are no rows in it"),
        (np.array([None, 1]), "it holds Python objects, .* runs code; save an array of floats"),
    ],
)
def test_what_is_wrong_with_npy_is_said(array, message):
    np.save("a.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=message):
        read_table("a.npy")


def _npy(header: str) -> bytes:
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(S'touch here'\ntR.",
        b"PK\x03\x04",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x09\x00" + b"\x00" * 100,
        _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000, 2), }"),
        _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2), }"),
        _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }") + b"\0" * 15,
        _npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }") + b"cos\nsystem\n.",
        _npy("__import__('os').system('touch here')"),
        _npy("{"),
    ],
)
def test_hostile_npy_is_refused(here, content):
    name = _write(here / "a.npy", content)
    with pytest.raises(InputError, match=r"^a.npy: (this|it) "):
        read_table(name)
    assert os.listdir() == ["a.npy"]


def test_parquet_is_read(here):
    frame = pl.DataFrame({"a": [1, 2], "b": [1.5, 2.5], "c": [3, 4]})
    frame.with_columns(pl.col("c").cast(pl.UInt8)).write_parquet(here / "a.parquet")
    found = read_table("a.parquet")
    assert (found.columns, found.kinds) == (("a", "b", "c"), ("integer", "continuous", "integer"))
    assert found.values.tolist() == [[1, 1.5, 3], [2, 2.5, 4]]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1.0, 2.0, None]}, r"column 'a' has 1 cell .* on row 3; "),
        (
            {"a": [1.0, 2.0], "b": [np.inf, np.nan]},
            r"'b' has 1 infinite value.s., the first on row 1; ",
        ),
        ({"a": pl.Series([], dtype=pl.Float64)}, "there are no rows in it"),
        ({"a": [[1.0, 2.0]]}, "column 'a': values of type List.* give each part a column"),
    ],
)
def test_what_is_wrong_with_parquet_is_said(here, columns, message):
    pl.DataFrame(columns).write_parquet(here / "a.parquet")
    with pytest.raises(InputError, match=message):
        read_table("a.parquet")


def test_damaged_parquet_is_refused(here):
    pl.DataFrame({"a": np.arange(1000.0)}).write_parquet(here / "a.parquet")
    whole = (here / "a.parquet").read_bytes()
    for content in (whole[:100], whole[:-20], b"PAR1 PAR1", whole[:8] + bytes(40) + whole[48:]):
        name = _write(here / "b.parquet", content)
        with pytest.raises(InputError, match="^b.parquet: this cannot be read as Parquet: "):
            read_table(name)


def test_too_many_cells_are_refused_before_they_are_read(here, monkeypatch):
    monkeypatch.setattr(table_module, "MAX_CELLS", 10)
    rows = np.ones((6, 2))
    np.save(here / "a.npy", rows)
    pl.DataFrame(rows, schema=["a", "b"]).write_parquet(here / "a.parquet")
    _write(here / "a.csv", "x,y\n" + "1,1\n" * 6)
    for name in ("a.npy", "a.parquet", "a.csv"):
        with pytest.raises(InputError, match="rows of 2 columns are too many; at most 10 cells"):
            read_table(name)


def test_old_faithful():
    faithful = dataset("faithful")
    assert faithful.kinds == ("continuous", "integer")
    assert faithful.columns == ("eruptions", "waiting")
    assert faithful.values.shape == (272, 2)
    np.testing.assert_allclose(faithful.values.mean(axis=0), [3.487783, 70.897059], atol=1e-6)
    np.testing.assert_allclose(
        faithful.values.std(axis=0, ddof=1), [1.141371, 13.594974], atol=1e-6
    )
    np.testing.assert_allclose(np.corrcoef(faithful.values.T)[0, 1], 0.900811, atol=1e-6)
    assert faithful.values[0].tolist() == [3.6, 79.0]
    assert faithful.values[-1].tolist() == [4.467, 74.0]


def test_a_bundled_table_is_found_anywhere_unless_there_is_a_file(here):
    assert open_table("faithful.csv").rows == 272
    assert open_table("faithful").source == "faithful.csv (comes with kullback)"
    _write(here / "faithful.csv", "x\n1\n")
    assert read_table("faithful.csv").values.tolist() == [[1.0]]


@pytest.mark.parametrize("name", ["data/faithful.csv", "faithful.parquet", "missing.csv"])
def test_only_the_name_alone_means_the_bundled_table(name):
    with pytest.raises(InputError, match="there is no such file"):
        open_table(name)


def test_unknown_data_sets():
    with pytest.raises(InputError, match="'iris' is not a bundled data set; there is faithful"):
        dataset("iris")


def test_writing(here):
    write_atomic("a.html", "größe")
    assert (here / "a.html").read_bytes() == "größe".encode()
    write_atomic(here / "a.html", b"\x00\x01")
    assert (here / "a.html").read_bytes() == b"\x00\x01"
    assert os.listdir() == ["a.html"]


def test_the_mode_of_a_file_stays(here):
    _write(here / "a.html", "old")
    (here / "a.html").chmod(0o640)
    write_atomic("a.html", "new")
    assert stat.S_IMODE((here / "a.html").stat().st_mode) == 0o640


def test_a_link_is_replaced_and_its_target_stays(here):
    _write(here / "target", "old")
    (here / "link").symlink_to("target")
    write_atomic("link", "new")
    assert (here / "target").read_text() == "old"
    assert (here / "link").read_text() == "new"
    assert not (here / "link").is_symlink()


@pytest.mark.parametrize("failing", ["os.fsync", "pathlib.Path.replace"])
def test_when_writing_fails_the_old_file_stays_and_nothing_else(here, monkeypatch, failing):
    _write(here / "a.html", "old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(failing, fail)
    with pytest.raises(InputError, match="^a.html: this cannot be written: No space left on dev"):
        write_atomic("a.html", "new")
    monkeypatch.undo()
    assert os.listdir(here) == ["a.html"]
    assert (here / "a.html").read_text() == "old"


def test_an_interrupt_leaves_nothing_behind(here, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic("a.html", "new")
    assert os.listdir(here) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere/a.html", "^nowhere/a.html: there is no directory nowhere; create it, or write"),
        (".", "this is a directory; give the name of a file in it"),
        ("file/a.html", "there is no directory file"),
        ("x" * 300, "this cannot be written: File name too long; write elsewhere"),
    ],
)
def test_where_nothing_can_be_written(here, path, message):
    _write(here / "file", "")
    with pytest.raises(InputError, match=message):
        write_atomic(path, "x")


def test_read_only_places(here, monkeypatch):
    _write(here / "a.html", "old")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(InputError, match="^a.html: this cannot be written: it is read-only"):
        write_atomic("a.html", "new")
    assert (here / "a.html").read_text() == "old"


def test_devices_are_written_straight():
    write_atomic("/dev/null", "x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize(
    "read",
    [
        lambda slow: of_object(slow, "slow"),
        lambda slow: by_column(lazy_rows(slow, "slow")),
        lambda slow: lazy_rows(slow, "slow").summed(["x"], len, operator.add),
    ],
    ids=["all", "by column", "in pieces"],
)
def test_ctrl_c_while_a_database_answers(read):
    duckdb = pytest.importorskip("duckdb")
    slow = duckdb.sql("SELECT sqrt(i) AS x FROM range(40000000) t(i) WHERE hash(i) % 7 = 3")
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        read(slow)
