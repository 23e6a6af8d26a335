"""Commands that read rows or fit, as they are typed, and the list of all; each loads what it needs when called.

These are the imports inside functions that the package allows itself at this edge: with them,
--help and a mistyped option wait for neither NumPy nor polars.
"""

# ruff: noqa: PLC0415

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kullback.cli.options import (
    COMPARING,
    FITTING,
    KEEPING,
    OUTPUT,
    READING,
    UNIT,
    WATCHING,
    WORKING,
    Comparing,
    Direction,
    Fitting,
    Flag,
    Keeping,
    Output,
    ReadingOptions,
    Report,
    Unit,
    Watching,
    Working,
)
from kullback.cli.questions import (
    check_density,
    check_loss,
    demo,
    doctor,
    explain,
    explore,
    kl,
    plan,
    verify,
)

_FIT_REPORT = Path("kullback-fit.html")


def fit(
    data: str,
    /,
    *,
    how: Fitting = FITTING,
    reading: ReadingOptions = READING,
    keeping: Keeping = KEEPING,
    working: Working = WORKING,
    report: Report = _FIT_REPORT,
    unit: Unit = UNIT,
    output: Output = OUTPUT,
) -> int:
    """The member of a family that is closest to data or to a density.

    DATA is a file of rows (.csv, .tsv, .parquet, .npy; faithful.csv comes with
    kullback), a directory of .parquet files or a pattern such as "2024-*.parquet", which
    may be bigger than memory, the expression of a density p, such as
    "0.5*normal(-2, sd=1) + 0.5*normal(2, sd=1)", or a log density in a Python
    file, such as model.py:log_posterior. That file is executed, so give only
    one that you would run. The name in it is a function log_posterior(x), with
    example = ... (a point x) and perhaps support = ... beside it; or a
    kullback.LogDensity; or a PyMC model. Exit code 3 if the fit should not be
    used.

    Args:
        data: file, expression or FILE.py:NAME.
        report: write the HTML report to this file.
    """
    if ".py" in data:
        keep_compilations()
    from kullback.cli import fit as run

    return run.fit(data, how, reading, keeping, working, report, unit=unit, output=output)


def judge(
    p: str,
    q: str,
    /,
    *,
    reading: ReadingOptions = READING,
    key: int = 0,
    report: Path | None = None,
    unit: Unit = UNIT,
    output: Output = OUTPUT,
) -> int:
    """How far draws, or a density, are from a log density.

    P is a log density in a Python file, such as model.py:log_posterior, as in
    kullback fit, or an expression. Q is a file of draws of its parameters (.csv,
    .tsv, .parquet with a column for each; .npy of shape (n, d) or (chains, n, d);
    .nc of ArviZ), a saved fit (.kb), or an expression. Says the log evidence, KL in
    both directions, missed mass, means and sds of all parameters, and a verdict.
    Exit code 3 if Q should not be used for P.

    Args:
        p: FILE.py:NAME or expression.
        q: file of draws, file of a fit, or expression.
        key: randomness.
        report: write an HTML report to this file.
    """
    if ".py" in p:
        keep_compilations()
    from kullback.cli import judge as run

    return run.judge(p, q, reading, report, key=key, unit=unit, output=output)


def calibrate(
    make_target: str,
    /,
    *,
    family: str | None = None,
    sampler: str | None = None,
    prior: str = "prior_draws",
    n: Annotated[int, Parameter(alias="-n")] = 200,
    direction: Direction | None = None,
    key: int = 0,
    working: Working = WORKING,
    checkpoint: Path | None = None,
    report: Path | None = None,
    output: Output = OUTPUT,
) -> int:
    """Whether fits are right over the data that a model makes.

    MAKE_TARGET is a function in a Python file or a module, such as
    model.py:make_target, that maps data to a log density. Beside it is
    prior_draws(rng), which returns parameters, drawn from the prior, and data
    made with these. Each of n data sets is fitted; says of each parameter
    whether the fits are too low or high, too narrow or wide, or fine. Exit code
    3 if they are not.

    Args:
        make_target: FILE.py:NAME or module:NAME.
        family: that is fitted, such as full_rank, mean_field or mixture:2.
        sampler: instead of a family, the name of a function of data and a generator there, which
            returns draws.
        prior: the name of the function that draws parameters and data.
        n: data sets.
        direction: of the fits: reverse, the default, or forward.
        key: randomness.
        checkpoint: keep what was found of each data set in this file, and go on from it if it exists.
        report: write an HTML report to this file.
    """
    if ".py" in make_target:
        keep_compilations()
    from kullback.cli import calibrate as run

    return run.calibrate(
        make_target,
        prior,
        n,
        family,
        direction,
        sampler,
        checkpoint,
        working,
        report,
        key=key,
        output=output,
    )


def score(
    model: Path,
    data: str,
    /,
    *,
    columns: str | None = None,
    reading: ReadingOptions = READING,
    working: Working = WORKING,
    out: Path | None = None,
    unit: Unit = UNIT,
    output: Output = OUTPUT,
) -> int:
    """The log density of rows under a saved fit.

    MODEL is a file that kullback fit --out wrote. DATA is a file of rows, a
    directory of .parquet files or a pattern, as in kullback fit, with the
    columns that were fitted to. Exit code 3 if no row can be scored.

    Args:
        model: file of a fit.
        data: file, directory or pattern.
        columns: of the data, separated by commas; all by default.
        out: write a column log_prob, one cell a row, to this .csv or .parquet file.
    """
    from kullback.cli import tables

    return tables.score(model, data, columns, reading, working, out, unit=unit, output=output)


def sample(
    model: Path,
    /,
    *,
    n: Annotated[int, Parameter(alias="-n")],
    key: int = 0,
    given: tuple[str, ...] = (),
    out: Path | None = None,
    spreadsheet: Flag = False,
    output: Output = OUTPUT,
) -> int:
    """Draws of a saved fit, as CSV or to a file.

    Args:
        model: file of a fit, which kullback fit --out wrote.
        n: how many.
        key: randomness.
        given: draw the other columns given a value of this, NAME=VALUE; may be said several times.
        out: write to this .csv, .parquet or .npy file instead of to stdout.
        spreadsheet: put a quotation mark before text that a spreadsheet would take for a formula.
    """
    from kullback.cli import tables

    return tables.sample(model, n, key, given, out, spreadsheet=spreadsheet, output=output)


def diff(
    reference: str,
    current: str,
    /,
    *,
    how: Comparing = COMPARING,
    max_kl: float | None = None,
    working: Working = WORKING,
    report: Path | None = None,
    unit: Unit = UNIT,
    output: Output = OUTPUT,
) -> int:
    """Whether two tables differ by more than chance, where, and by how much.

    REFERENCE and CURRENT are files of rows (.csv, .tsv, .parquet, .npy),
    directories of .parquet files or patterns of their names; REFERENCE may be
    a profile, which kullback profile wrote. At most 5 % of tables without a
    difference are said to differ. Exit code 1 if a divergence is above
    --max-kl for certain.

    Args:
        reference: file, directory, pattern or profile.
        current: file, directory or pattern.
        max_kl: the largest KL(reference||current) allowed, in the unit of the answer.
        report: write an HTML report to this file.
    """
    from kullback.cli import tables

    return tables.diff(
        reference,
        current,
        how,
        max_kl=max_kl,
        working=working,
        report=report,
        unit=unit,
        output=output,
    )


def watch(
    state: Path,
    current: str | None = None,
    /,
    *,
    reference: str | None = None,
    how: Watching = WATCHING,
    report: Path | None = None,
    unit: Unit = UNIT,
    output: Output = OUTPUT,
) -> int:
    """Whether what comes day after day is still of the law of a reference.

    The first call makes STATE from --reference; each call adds the rows of CURRENT, one day,
    and rewrites STATE, which holds no row. At most 5 % of watches on which nothing changes ever
    alarm, all columns and days together. Without CURRENT: how it stands. Exit code 1 from the
    first alarm on.

    Args:
        state: file that keeps the watch.
        current: file, directory or pattern of the rows of a day, as in kullback diff.
        reference: file, directory or pattern of the rows to compare with; begins the watch.
        report: write an HTML report to this file.
    """
    from kullback.cli import tables

    return tables.watch(
        state, current, reference=reference, how=how, report=report, unit=unit, output=output
    )


def logits(
    base: str,
    other: Annotated[tuple[str, ...], Parameter(allow_leading_hyphen=False)],
    /,
    *,
    max_kl: float | None = None,
    bytes: int | None = None,  # noqa: A002 - what it is
    report: Path | None = None,
    unit: Unit = UNIT,
    output: Output = OUTPUT,
) -> int:
    """How far language models are from a base, token by token.

    BASE and OTHER are what two or more models say of the same text: files of
    llama-perplexity --kl-divergence-base (run it once for each model), .npz
    with logits and tokens, .npy, or top-k lists as .jsonl or .parquet. Exit
    code 1 if a KL(base||other) may be above --max-kl, 3 if lists bound it
    from below only.

    Args:
        base: file of the model that is compared with.
        other: file of each other model.
        max_kl: the largest KL(base||other) allowed, in the unit of the answer.
        bytes: how many the text has at these positions: what is lost is said per byte, too.
        report: write an HTML report to this file.
    """
    from kullback.cli import tables

    return tables.logits(
        base, other, max_kl=max_kl, size=bytes, report=report, unit=unit, output=output
    )


def profile(
    table: str,
    /,
    *,
    out: Annotated[Path, Parameter(alias="-o")],
    like: Path | None = None,
    merge: Path | None = None,
    columns: str | None = None,
    kind: tuple[str, ...] = (),
    working: Working = WORKING,
    output: Output = OUTPUT,
) -> int:
    """Counts of a table, small enough to commit, for kullback diff.

    A profile holds no rows: for each column counts over about a thousand
    cells, and counts of levels. Two profiles with the cells of one add up.

    Args:
        table: file of rows, directory or pattern, as in kullback diff.
        out: write the profile to this file.
        like: count in the cells of this profile.
        merge: add the counts to those of this profile.
        columns: separated by commas; all by default.
        kind: of a column, NAME=KIND, such as zip=category; may be said several times.
    """
    from kullback.cli import tables

    return tables.profile(
        table,
        out,
        like=like,
        merge=merge,
        columns=columns,
        kind=kind,
        working=working,
        output=output,
    )


# What JAX compiled is kept for the next run of the command. The library itself never does this.

_DIRECTORY = "JAX_COMPILATION_CACHE_DIR"
#: Compilations that take less are not kept.
_SECONDS = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


def keep_compilations() -> None:
    """Tells JAX, before it is loaded, to keep what it compiles in the user's cache directory.

    Nothing changes if the environment says already where, if JAX is loaded, or if the directory
    cannot be made. Set JAX_ENABLE_COMPILATION_CACHE=false to keep nothing.
    """
    if _DIRECTORY in os.environ or "jax" in sys.modules:
        return
    with contextlib.suppress(OSError, RuntimeError):  # no home, or one that cannot be written
        place = _caches() / "kullback" / "jax"
        place.mkdir(parents=True, exist_ok=True)
        if os.access(place, os.W_OK):
            os.environ[_DIRECTORY] = str(place)
            os.environ.setdefault(_SECONDS, "0.05")


def _caches() -> Path:
    """Returns the directory in which programs of this user keep what they can make again."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


#: In the order of --help.
COMMANDS = (
    demo, kl, fit, judge, calibrate, diff, watch, logits, profile, score, sample, check_loss, check_density, verify,
    plan, explain, explore, doctor,
)  # fmt: skip
