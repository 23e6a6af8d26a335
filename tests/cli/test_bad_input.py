"""Bad input: one line on stderr, nothing on stdout, exit code 2, no file left behind."""

import pytest

SHARP = "normal(0, sd=2)"
FIT = ("--family", "mixture:2", "--direction", "forward")

CASES = [
    (("kl", "normal(0, 2)", SHARP), "standard deviation or a variance"),
    (("kl", SHARP, "normal(0, 2)"), "standard deviation or a variance"),
    (("kl", SHARP), "Q requires an argument"),
    (("kl", SHARP, "missing.csv"), "no such file"),
    (("kl", SHARP, "no/where"), "no such file"),
    (("kl", SHARP, "empty.csv"), "the file is empty"),
    (("kl", SHARP, "nan.csv"), "q = nan.csv has 2 columns (a, b)"),
    (("kl", SHARP, "nan1.csv"), "without a finite number, the first on line 3"),
    (("kl", SHARP, "two.csv"), "has 2 columns (a, b)"),
    (("kl", "faithful.csv", SHARP), "kullback diff"),
    (("kl", "negative.csv", "negative.csv"), "must not be negative"),
    (("kl", "counts.csv", "counts.csv"), "--normalize"),
    (("kl", SHARP, "normall(0, sd=1)"), "did you mean normal"),
    (("kl", SHARP, "__import__('os')"), "there is no '__import__'"),
    (("kl", SHARP, "mvnormal([0, 0], sd=[1, 1])"), "not of one shape"),
    (("kl", SHARP, SHARP, "--n", "3"), "at least 32"),
    (("kl", SHARP, SHARP, "--n", "many"), "--n"),
    (("kl", SHARP, SHARP, "--tolerance", "-1"), "must be positive"),
    (("kl", SHARP, SHARP, "--method", "magic"), "not known"),
    (("kl", SHARP, SHARP, "--kind", "magic"), "not known"),
    (("kl", SHARP, SHARP, "--kind", "renyi"), "needs a finite alpha"),
    (("kl", SHARP, SHARP, "--alpha", "2"), "only --kind alpha"),
    (("kl", SHARP, SHARP, "--max-kl", "nan"), "0 or more"),
    (("kl", SHARP, SHARP, "--max-kl", "1", "--kind", "jeffreys"), "leave out --kind"),
    (("kl", SHARP, SHARP, "--units", "trits"), 'Choose from: "nats", "bits"'),
    (("kl", SHARP, SHARP, "--report", "no/where.html"), "no directory"),
    (("kl", SHARP, SHARP, "--report", "."), "directory"),
    (("kl", SHARP, SHARP, "--bogus"), "Unknown option"),
    (("kl", "counts.csv", "counts.csv", "--dx", "0"), "dx must be positive"),
    (("fit", "faithful.csv", "--family", "mixture:2"), "--direction is missing"),
    (("fit", "faithful.csv", "--direction", "forward"), "--family is missing"),
    (("fit", "faithful.csv", "--family", "mixture:2", "--direction", "up"), '"forward", "reverse"'),
    (("fit", "missing.csv", *FIT), "no such file"),
    (("fit", "empty.csv", *FIT), "the file is empty"),
    (("fit", "nan.csv", *FIT), "line 3"),
    (("fit", "text.csv", "--family", "full_rank", *FIT[2:]), "not numeric"),
    (("fit", "counts.csv", "--family", "mixture:9", "--direction", "forward"), "n=3"),
    (("fit", "counts.csv", "--family", "magic", "--direction", "forward"), "not known"),
    (("fit", "counts.csv", "--family", "mixture", "--direction", "forward"), "how many components"),
    (
        ("fit", "faithful.csv", "--family", "gamma", "--direction", "reverse"),
        "in the reverse direction; those that can: full_rank",
    ),
    (("fit", "faithful.csv", *FIT, "--columns", "nope"), "no column 'nope'"),
    (("fit", "faithful.csv", *FIT, "--columns", "waiting,waiting"), "named twice"),
    (("fit", SHARP, *FIT, "--columns", "x"), "not a file"),
    (("fit", SHARP, *FIT, "--starts", "0"), "at least one start"),
    (("fit", SHARP, *FIT, "--key", "-1"), "non-negative"),
    (("fit", SHARP, *FIT, "--report", "no/where.html"), "no directory"),
    (("verify",), "CLAIMS is missing"),
    (("verify", "missing.toml"), "no such file"),
    (("verify", "text.csv"), "not valid TOML"),
    (("plan", SHARP, "normal(0, 2)"), "standard deviation or a variance"),
    (("explain", "magic"), "direction, negative"),
    (("explain", SHARP, "normal(0, 2)"), "standard deviation or a variance"),
    (("demo", "--starts", "0"), "at least one start"),
    (("bogus",), 'Unknown command "bogus"'),
]


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize(("args", "message"), CASES, ids=[" ".join(args) for args, _ in CASES])
def test_one_clear_message(run, write, tmp_path, args, message, as_json):
    files = {
        "empty.csv": "",
        "nan.csv": "a,b\n1,2\n3,nan\n",
        "nan1.csv": "a\n1\nnan\n",
        "two.csv": "a,b\n0.5,0.5\n0.5,0.5\n",
        "negative.csv": "p\n1.5\n-0.5\n",
        "counts.csv": "n\n1\n2\n4\n",
        "text.csv": "city\nparis\nrome\n",
    }
    for name, text in files.items():
        write(name, text)
    ran = run(*args, *(["--json"] if as_json and args != ("bogus",) else []))
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert message in ran.err
    assert "Traceback" not in ran.err
    assert {p.name for p in tmp_path.iterdir()} == set(files)


def test_a_report_that_exists_is_left_as_it_was(run, write, tmp_path):
    write("old.html", "old")
    assert run("fit", "missing.csv", *FIT, "--report", "old.html").code == 2
    assert (tmp_path / "old.html").read_text() == "old"


def test_escapes_do_not_reach_the_terminal(run, write):
    ran = run("kl", SHARP, "\x1b[2J\x1b]0;title\x07missing.csv")
    assert ran.code == 2
    assert "\x1b" not in ran.err
    assert "\x07" not in ran.err
    name = "\x1b[31mp\x1b[0m"
    half = write("half.csv", f"{name},x\n1,2\n2,1\n3,3.5\n")
    ran = run("fit", half, "--family", "full_rank", "--direction", "forward", "--no-report")
    assert ran.code == 0
    assert "\x1b" not in ran.out


def test_bugs_are_not_hidden_and_are_no_failed_gates(run, monkeypatch):
    from kullback.cli import plans

    def broken(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(plans, "plan_of", broken)
    ran = run("plan", SHARP, SHARP)
    assert (ran.code, ran.out) == (70, "")
    assert "ZeroDivisionError" in ran.err
    assert ran.err.splitlines()[-1].startswith("error: this is a bug of kullback")


def test_ctrl_c(run, monkeypatch):
    from kullback.cli import plans

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(plans, "plan_of", interrupted)
    ran = run("plan", SHARP, SHARP)
    assert (ran.code, ran.out, ran.err) == (130, "", "error: interrupted\n")
