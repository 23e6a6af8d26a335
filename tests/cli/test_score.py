"""fit --out, score and sample: a model goes into a file, and comes back to be asked."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kullback.api.store import load, save
from kullback.distributions.compound import Product
from kullback.distributions.positive import LogNormal
from kullback.distributions.vector import Categorical
from kullback.inputs import dataset
from kullback.inputs.samples import read_samples
from kullback.results.estimate import Estimate
from kullback.results.fit import Fit, Optimum
from kullback.results.quantity import CROSS_ENTROPY

FIT = ("fit", "faithful.csv", "--family", "mixture:2", "--direction", "forward", "--no-report")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """The file of a fit to Old Faithful."""
    from kullback.cli.app import main

    path = tmp_path_factory.mktemp("model") / "model.kb"
    assert main([*FIT, "--starts", "3", "--out", str(path), "--quiet", "--json"]) == 0
    return path


@pytest.fixture
def model(fitted, tmp_path):
    shutil.copy(fitted, tmp_path / "model.kb")
    return "model.kb"


@pytest.fixture
def table(tmp_path):
    """A model of a size and a colour, in a file."""
    q = Product((LogNormal(0.0, 1.0), Categorical.from_probabilities(np.array([0.2, 0.3, 0.5]))))
    value = Estimate.exact(1.0, CROSS_ENTROPY, method="by hand")
    optima = (Optimum(q, value, 1.0),)
    names, labels = ("size", "colour"), ((), ("=red", "blue", "green"))
    found = Fit(
        q, "forward", "by hand", value, None, None, None, optima, (), 1, 1, 0.0,
        columns=names, labels=labels,
    )  # fmt: skip
    save(found, tmp_path / "table.kb")
    return "table.kb"


def test_a_fit_is_kept(run, model):
    found = load(model)
    assert found.columns == ("eruptions", "waiting")
    assert len(found.q.weights) == 2
    assert not os.path.exists("model.kb.checkpoint")


@pytest.mark.parametrize("out", ["scores.parquet", "scores.csv"])
def test_scores(run, model, out):
    ran = run("score", model, "faithful.csv", "--out", out)
    assert ran.code == 0
    scores = load(model).log_prob(dataset("faithful").values)
    frame = (pl.read_csv if out.endswith("csv") else pl.read_parquet)(out)
    assert frame.columns == ["log_prob"]
    np.testing.assert_allclose(frame["log_prob"].to_numpy(), scores, rtol=1e-15)
    assert "p: 272 rows of eruptions, waiting (faithful.csv)" in ran.out
    assert "mean log density a row          E_p[log q] = -4.155 ± 0.061 nats" in ran.out
    assert "the model's own, held out       E_p[log q] = -4.2" in ran.out
    assert "rows outside the support of q   0" in ran.out
    assert ran.out.endswith(f"scores: ./{out}\n")


def test_json(run, model):
    body = run("score", model, "faithful.csv", "--json", "--units", "bits").json
    scores = load(model).log_prob(dataset("faithful").values)
    assert body["mean"]["value"] == pytest.approx(scores.mean() / np.log(2.0))
    error = scores.std(ddof=1) / np.sqrt(272) / np.log(2.0)
    assert body["mean"]["standard_error"] == pytest.approx(error)
    assert (body["rows"], body["outside"], body["left_out"], body["out"]) == (272, 0, 0, None)
    assert body["held_out"]["unit"] == "bits"


def test_columns_are_matched_by_name(run, model, write):
    write("new.csv", "waiting,eruptions,id\n54,1.8,7\n80,4.2,8\n")
    ran = run("score", model, "new.csv")
    assert ran.code == 2
    assert (
        "the model knows no column 'id'; to leave out others, say --columns eruptions,waiting"
        in ran.err
    )
    ran = run("score", model, "new.csv", "--columns", "waiting,eruptions", "--out", "s.csv")
    assert ran.code == 0
    expected = load(model).log_prob(np.array([[1.8, 54.0], [4.2, 80.0]]))
    np.testing.assert_allclose(pl.read_csv("s.csv")["log_prob"].to_numpy(), expected)


def test_weights(run, model, write):
    write("new.csv", "waiting,eruptions,w\n54,1.8,3\n80,4.2,1\n70,3,0\n")
    body = run("score", model, "new.csv", "--weights", "w", "--json").json
    a, b = load(model).log_prob(np.array([[1.8, 54.0], [4.2, 80.0]]))
    assert body["mean"]["value"] == pytest.approx((3 * a + b) / 4)


def test_missing_cells(run, model, write):
    write("new.csv", "waiting,eruptions\n54,1.8\n,4.2\n80,4.2\n")
    ran = run("score", model, "new.csv")
    assert ran.code == 2
    assert "column 'waiting' has 1 cell without a value, on line 3" in ran.err
    assert "say --missing drop to leave out such rows, or --missing keep" in ran.err
    ran = run("score", model, "new.csv", "--missing", "drop", "--out", "s.csv")
    assert "rows with missing cells, not scored   1" in ran.out
    found = pl.read_csv("s.csv")["log_prob"]
    assert found.is_null().to_list() == [False, True, False]


def test_a_directory_is_scored_in_pieces(run, model, tmp_path):
    values = dataset("faithful").values
    (tmp_path / "parts").mkdir()
    for i, part in enumerate(np.array_split(values, 5)):
        pl.DataFrame(part, schema=["eruptions", "waiting"]).write_parquet(
            tmp_path / f"parts/{i}.parquet"
        )
    whole = run("score", model, "faithful.csv", "--json", "--out", "a.csv").json
    for path in ("parts", "parts/*.parquet"):
        body = run("score", model, path, "--json", "--out", "b.csv").json
        assert body["mean"]["value"] == pytest.approx(whole["mean"]["value"], rel=1e-13)
        assert body["mean"]["standard_error"] == pytest.approx(whole["mean"]["standard_error"])
        assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


def test_labels_are_those_of_the_model(run, table, write):
    write("new.csv", "colour,size\ngreen,1\nblue,1\nviolet,1\ngreen,-1\n")
    ran = run("score", table, "new.csv", "--out", "s.csv", "--json")
    assert ran.code == 0
    assert (ran.json["rows"], ran.json["outside"]) == (4, 2)
    density = -0.5 * np.log(2 * np.pi)
    found = pl.read_csv("s.csv")["log_prob"].to_list()
    assert found == pytest.approx([density + np.log(0.5), density + np.log(0.3), -np.inf, -np.inf])
    assert "over the rows within the support; 2 others" in ran.json["mean"]["notes"][0]


def test_nothing_within_the_support(run, table, write):
    write("new.csv", "colour,size\ngreen,-1\nblue,-1\n")
    ran = run("score", table, "new.csv", "--json")
    assert ran.code == 3
    assert ran.json["mean"]["value"] is None
    assert "every row is outside" in ran.json["mean"]["reason"]


def test_labels_and_numbers_are_not_mixed_up(run, table, model, write):
    write("new.csv", "colour,size\n1,1\n2,1\n")
    ran = run("score", table, "new.csv")
    assert (ran.code, ran.out) == (2, "")
    assert "column 'colour' holds numbers, but the model was fitted to labels" in ran.err
    write("new.csv", "eruptions,waiting\na,1\nb,1\n")
    ran = run("score", model, "new.csv")
    assert (ran.code, ran.out) == (2, "")
    assert "column 'eruptions' holds labels (a, b), but the model was fitted to numbers" in ran.err


def test_draws(run, model, table, tmp_path):
    text = run("sample", model, "-n", "5", "--key", "3").out
    expected = load(model).sample(5, key=3)
    (tmp_path / "a.csv").write_text(text)
    frame = pl.read_csv("a.csv")
    assert frame.columns == ["eruptions", "waiting"]
    np.testing.assert_array_equal(frame.to_numpy(), expected)
    for out in ("a.parquet", "a.npy", "b.csv"):
        ran = run("sample", model, "-n", "5", "--key", "3", "--out", out)
        assert ran.out == f"5 draws of eruptions, waiting: ./{out}\n"
        np.testing.assert_array_equal(read_samples(out).values, expected)
    body = run("sample", model, "-n", "5", "--key", "3", "--json").json
    np.testing.assert_array_equal(body["draws"], expected)
    labels = pl.read_csv(run("sample", table, "-n", "200").out.encode())["colour"]
    assert set(labels) == {"=red", "blue", "green"}
    guarded = run("sample", table, "-n", "200", "--spreadsheet").out
    assert "'=red" in guarded


def test_draws_given_columns(run, model, write):
    """Of a joint density, and of one that is given columns, which says what it needs."""
    drawn = pl.read_csv(run("sample", model, "-n", "400", "--given", "eruptions=2.0").out.encode())
    wanted = load(model).condition(eruptions=2.0)
    assert drawn.columns == ["waiting"]
    mean, error = drawn["waiting"].mean(), drawn["waiting"].std() / 20.0
    assert abs(mean - wanted.sample(np.random.default_rng(1), 100_000).mean()) < 4.0 * error
    rng = np.random.default_rng(2)
    lines = [
        f"{x:.3f},{'warm' if x + rng.logistic() > 0 else 'cold'}"
        for x in 2.0 * rng.normal(size=300)
    ]
    write("days.csv", "sun, in h,sky\n".replace("sun, in h", '"sun, in h"') + "\n".join(lines))
    names = (
        "--given",
        '"sun, in h"',
        "--family",
        "categorical",
        "--direction",
        "forward",
        "--no-report",
    )
    assert run("fit", "days.csv", *names, "--out", "sky.kb").code == 0
    sky = pl.read_csv(run("sample", "sky.kb", "-n", "500", "--given", "sun, in h=1").out.encode())[
        "sky"
    ]
    share, p = (sky == "warm").mean(), float(1.0 / (1.0 + np.exp(-1.0)))
    assert abs(share - p) < 0.12
    assert "say their values: --given sun, in h=VALUE" in run("sample", "sky.kb", "-n", "5").err
    assert "no such column" in run("sample", "sky.kb", "-n", "5", "--given", "rain=1").err
    assert "holds numbers" in run("sample", "sky.kb", "-n", "5", "--given", "sun, in h=much").err


def test_draws_are_scored(run, model):
    run("sample", model, "-n", "500", "--out", "draws.npy")
    assert run("score", model, "draws.npy", "--json").json["rows"] == 500


BAD = [
    (("score", "none.kb", "faithful.csv"), "none.kb: there is no such file"),
    (("score", "text.csv", "faithful.csv"), "not a file of kullback's, or it is damaged"),
    (("score", "half.kb", "faithful.csv"), "half.kb: this is not a file of kullback's, or it is dam"),
    (("score", "model.kb", "none.csv"), "none.csv: there is no such file"),
    (("score", "model.kb", "text.csv"), "there is no column 'eruptions', which the model needs"),
    (("score", "model.kb", "bare.csv"), "the model has 2 column(s), but there are 1"),
    (("score", "model.kb", "faithful.csv", "--columns", "waiting"), "no column 'eruptions', which"),
    (("score", "model.kb", "faithful.csv", "--columns", "waiting,x"), "no column 'x'"),
    (("score", "model.kb", "faithful.csv", "--weights", "w"), "no column 'w' for weights"),
    (("score", "model.kb", "faithful.csv", "--missing", "fill"), '"keep", "drop"'),
    (("score", "model.kb", "faithful.csv", "--out", "s.npy"), "'.npy' names no format"),
    (("score", "model.kb", "faithful.csv", "--out", "no/s.csv"), "no directory no"),
    (("score", "model.kb"), "DATA requires an argument"),
    (("sample", "half.kb", "-n", "3"), "half.kb: this is not a file of kullback's, or it is damaged"),
    (("sample", "model.kb"), "--n requires an argument"),
    (("sample", "model.kb", "-n", "0"), "give a number from 1 to 100,000,000"),
    (("sample", "model.kb", "-n", "999999999999"), "give a number from 1 to 100,000,000"),
    (("sample", "model.kb", "-n", "3", "--key", "-1"), "non-negative"),
    (("sample", "model.kb", "-n", "3", "--out", "s.xls"), "'.xls' names no format"),
    ((*FIT, "--resume"), "--resume: say --out FILE"),
    ((*FIT, "--out", "no/model.kb"), "--out no/model.kb: there is no directory"),
    ((*FIT, "--out", "."), "--out .: this is a directory"),
    ((*FIT, "--checkpoint", "no/c"), "--checkpoint no/c: there is no directory"),
    ((*FIT, "--weights", "w"), "no column 'w' for weights; it has eruptions, waiting"),
    ((*FIT, "--counts", "eruptions"), "3.6 on line 2 is not a count"),
    (("fit", "short.csv", *FIT[2:]), "short.csv, line 3: 1 cell where the first row has 2"),
    (("fit", "long.csv", *FIT[2:]), "long.csv, line 3: 3 cells where the first row has 2"),
    (("fit", "cell.csv", *FIT[2:]), "cell.csv: column 'x' has 1 cell that is not a finite number, on line 3"),
    (("fit", "latin.csv", *FIT[2:]), "latin.csv, line 2: byte 0xe9 is not UTF-8"),
    (("fit", "twice.csv", *FIT[2:]), "twice.csv, line 1: columns 1 and 2 are both named 'x'"),
    (("fit", "missing.csv", *FIT[2:]), "on line 3; say --missing drop to leave out such rows, or --missing keep"),
    (("fit", "text.csv", "--family", "full_rank", *FIT[4:]), "'city' is not numeric (paris, rome ...), and full_ran"),
    (("fit", "empty", *FIT[2:]), "there are no .parquet files in this directory"),
    (("fit", "none*.parquet", *FIT[2:]), "no file has a name like this"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "message"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_one_clear_message(run, model, write, tmp_path, args, message):
    (tmp_path / "half.kb").write_bytes((tmp_path / model).read_bytes()[:3000])
    (tmp_path / "latin.csv").write_bytes(b"x,y\n\xe9,2\n")
    (tmp_path / "empty").mkdir()
    write("text.csv", "city\nparis\nrome\n")
    write("bare.csv", "1\n2\n")
    write("short.csv", "x,y\n1,2\n3\n")
    write("long.csv", "x,y\n1,2\n3,4,5\n")
    write("cell.csv", "x,y\n1,2\n12x,3\n4,5\n")
    write("twice.csv", "x,x\n1,2\n")
    write("missing.csv", "x,y\n1,2\n,3\n4,5\n")
    before = sorted(os.listdir())
    ran = run(*args)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert message in ran.err
    assert sorted(os.listdir()) == before


def test_european_decimals_are_read_right(run, write):
    rows = np.random.default_rng(0).normal([1.5, -2.25], size=(50, 2))
    lines = [";".join(str(v).replace(".", ",") for v in row) for row in rows]
    write("a.csv", "x;y\n" + "\n".join(lines) + "\n")
    args = ("fit", "a.csv", "--family", "full_rank", "--direction", "forward", "--no-report")
    assert run(*args, "--out", "a.kb").code == 0
    np.testing.assert_allclose(load("a.kb").q.loc, rows.mean(axis=0), atol=1e-6)


def test_rows_with_missing_cells_are_left_out_and_counted(run, write):
    write("a.csv", "x,y\n" + "".join(f"{i},{i * i}\n" for i in range(30)) + ",3\n")
    args = ("fit", "a.csv", "--family", "full_rank", "--direction", "forward", "--no-report")
    ran = run(*args, "--missing", "drop")
    assert ran.code == 0
    assert "30 rows of x, y (a.csv; 1 with missing cells left out)" in ran.out
    assert run(*args, "--missing", "drop", "--json").json["dropped"] == 1


def test_weights_of_a_fit(run, write):
    write("a.csv", "x,w\n" + "".join(f"{v},{1 + v % 2}\n" for v in range(40)))
    args = ("fit", "a.csv", "--family", "full_rank", "--direction", "forward", "--no-report")
    assert run(*args, "--weights", "w", "--out", "a.kb").code == 0
    values = np.arange(40.0)
    mean = np.average(values, weights=1 + values % 2)
    assert load("a.kb").q.loc == pytest.approx(mean, abs=1e-6)
    assert load("a.kb").columns == ("x",)


MODEL = "import numpy as np\nexample = np.zeros(2)\ndef f(x):\n    return -0.5 * (x**2).sum()\n"


def test_a_checkpoint_lies_beside_the_fit_and_goes_with_it(run, write, tmp_path, monkeypatch):
    write("model.py", MODEL)
    args = ("fit", "model.py:f", "--family", "full_rank", "--direction", "reverse", "--no-report")
    write("a.kb.checkpoint", "of another run")
    assert run(*args, "--out", "a.kb").code == 0
    assert not (tmp_path / "a.kb.checkpoint").exists()
    assert run(*args, "--checkpoint", "c").code == 0
    assert (tmp_path / "c").exists()
    shutil.copy("c", "a.kb.checkpoint")
    again = run(*args, "--out", "b.kb", "--checkpoint", "c", "--resume")
    assert again.code == 0
    assert run(*args, "--out", "a.kb", "--resume").code == 0
    np.testing.assert_array_equal(load("a.kb").q.loc, load("b.kb").q.loc)
    assert not (tmp_path / "a.kb.checkpoint").exists()
    write("a.kb.checkpoint", "damaged")
    ran = run(*args, "--out", "a.kb", "--resume")
    assert ran.code == 2
    assert "a.kb.checkpoint: this is not a file of kullback's" in ran.err


@pytest.mark.slow
def test_a_closed_pipe(model, tmp_path):
    command = f"{sys.executable} -m kullback sample {model} -n 100000 | head -n 2"
    ran = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("eruptions,waiting\n")


def waits_in_a_nameless_file(process):
    """Whether scores are on their way: their file has no name until they are all there."""

    def to(fd):
        try:
            return os.readlink(fd)
        except OSError:  # closed since it was listed
            return ""

    return any("(deleted)" in to(fd) for fd in Path(f"/proc/{process}/fd").iterdir())


def test_ctrl_c_while_scoring_leaves_nothing(model, tmp_path):
    (tmp_path / "many").mkdir()
    rows = np.random.default_rng(0).standard_normal((500_000, 2))
    pl.DataFrame(rows, schema=["eruptions", "waiting"]).write_parquet(tmp_path / "many/0.parquet")
    for i in range(1, 40):
        os.link(tmp_path / "many/0.parquet", tmp_path / f"many/{i}.parquet")
    args = [sys.executable, "-m", "kullback", "score", model, "many", "--out", "s.parquet"]
    child = subprocess.Popen(
        args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    while child.poll() is None and not waits_in_a_nameless_file(child.pid):
        time.sleep(0.05)  # before that, it is Python's start that would be interrupted
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out, err) == (130, "", "error: interrupted\n")
    assert sorted(os.listdir(tmp_path)) == ["many", "model.kb"]


def test_the_kinds_of_columns_are_those_of_the_fit(run, model):
    ran = run("score", "model.kb", "faithful.csv", "--kind", "eruptions=count")
    assert (ran.code, ran.out) == (2, "")
    assert "model.kb holds the kinds of its columns" in ran.err
