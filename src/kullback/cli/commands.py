"""The commands as they are typed. Each loads the module that does it only when it is called.

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
    CHECKING,
    COMPARING,
    FITTING,
    HOW,
    KEEPING,
    OUTPUT,
    READING,
    UNIT,
    Checking,
    Comparing,
    Fitting,
    Flag,
    Keeping,
    Measuring,
    Output,
    Reading,
    Unit,
)

#: A report that is written unless --no-report is said.
Report = Annotated[Path | None, Parameter(negative_none="no-")]

_DEMO_REPORT = Path("kullback-demo.html")
_FIT_REPORT = Path("kullback-fit.html")
_PAGE = Path("kullback-explore.html")


def demo(
    *,
    report: Report = _DEMO_REPORT,
    starts: int = 60,
    key: int = 0,
    unit: Unit = UNIT,
    output: Output = OUTPUT,
) -> int:
    """Three modes, two components: both directions, within seconds.

    Args:
        report: write the HTML report to this file.
        starts: restarts in each direction.
        key: randomness of the starts.
    """
    from kullback.cli import claims

    return claims.demo(report, starts=starts, key=key, unit=unit, output=output)


def kl(
    p: str,
    q: str,
    /,
    *,
    how: Measuring = HOW,
    max_kl: float | None = None,
    report: Path | None = None,
    unit: Unit = UNIT,
    output: Output = OUTPUT,
) -> int:
    """KL(p||q) and KL(q||p), each with its error.

    P and Q are expressions, such as "normal(0, sd=2)" or
    "0.3*normal(-2, sd=1) + 0.7*laplace(1, scale=2)", or files (.csv, .tsv,
    .parquet, .npy) with one column: probabilities or, with --dx, a density
    on a grid.

    Args:
        p: file or expression.
        q: file or expression.
        max_kl: exit 1 if the upper end of the interval of KL(p||q) is more than this.
        report: write an HTML report to this file.
    """
    from kullback.cli import densities

    return densities.kl(p, q, how, max_kl=max_kl, report=report, unit=unit, output=output)


def fit(
    data: str,
    /,
    *,
    how: Fitting = FITTING,
    reading: Reading = READING,
    keeping: Keeping = KEEPING,
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

    return run.fit(data, how, reading, keeping, report, unit=unit, output=output)


def judge(
    p: str,
    q: str,
    /,
    *,
    reading: Reading = READING,
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


def score(
    model: Path,
    data: str,
    /,
    *,
    columns: str | None = None,
    reading: Reading = READING,
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

    return tables.score(model, data, columns, reading, out, unit=unit, output=output)


def sample(
    model: Path,
    /,
    *,
    n: Annotated[int, Parameter(alias="-n")],
    key: int = 0,
    out: Path | None = None,
    spreadsheet: Flag = False,
    output: Output = OUTPUT,
) -> int:
    """Draws of a saved fit, as CSV or to a file.

    Args:
        model: file of a fit, which kullback fit --out wrote.
        n: how many.
        key: randomness.
        out: write to this .csv, .parquet or .npy file instead of to stdout.
        spreadsheet: put a quotation mark before text that a spreadsheet would take for a formula.
    """
    from kullback.cli import tables

    return tables.sample(model, n, key, out, spreadsheet=spreadsheet, output=output)


def diff(
    reference: str,
    current: str,
    /,
    *,
    how: Comparing = COMPARING,
    max_kl: float | None = None,
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
        reference, current, how, max_kl=max_kl, report=report, unit=unit, output=output
    )


def logits(
    base: str,
    other: Annotated[tuple[str, ...], Parameter(allow_leading_hyphen=False)],
    /,
    *,
    max_kl: float | None = None,
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
        report: write an HTML report to this file.
    """
    from kullback.cli import tables

    return tables.logits(base, other, max_kl=max_kl, report=report, unit=unit, output=output)


def profile(
    table: str,
    /,
    *,
    out: Annotated[Path, Parameter(alias="-o")],
    like: Path | None = None,
    merge: Path | None = None,
    columns: str | None = None,
    kind: tuple[str, ...] = (),
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
        table, out, like=like, merge=merge, columns=columns, kind=kind, output=output
    )


def verify(
    claims: str | None = None,
    /,
    *,
    list_examples: Annotated[bool, Parameter(name="--list", show_default=False)] = False,
    report: Path | None = None,
    output: Output = OUTPUT,
) -> int:
    """Recompute published numbers: confirmed, refuted or cannot tell.

    Exit code 1 if anything is refuted, 3 if a recomputed number cannot be
    trusted.

    Args:
        claims: a TOML file of claims, or the name of a bundled example.
        list_examples: list the bundled examples.
        report: write an HTML report to this file.
    """
    from kullback.cli import claims as run

    if list_examples:
        return run.list_examples(output)
    return run.verify(claims, report, output)


def check_loss(loss: str, /, *, how: Checking = CHECKING, output: Output = OUTPUT) -> int:
    """Which divergence a loss estimates, and which it descends.

    LOSS is module:function, such as torch.nn.functional:kl_div, or FILE.py:function. The module is
    imported and the function called on small problems, so give only one that you would run.
    Forward is KL(p||q), q what is trained; reverse is KL(q||p). Exit code 1 if it is not what
    --expect says.

    Args:
        loss: module:function or FILE.py:function.
    """
    from kullback.cli import losses

    return losses.check(loss, how, output)


def plan(
    p: str,
    q: str | None = None,
    /,
    *,
    family: str | None = None,
    columns: str | None = None,
    reading: Reading = READING,
    normalize: Flag = False,
    output: Output = OUTPUT,
) -> int:
    """Which method would answer, and what each direction needs.

    With P and Q: how KL would be measured. With P and --family: which route would fit the
    family in each direction; P is then data, a density or FILE.py:NAME, as in kullback fit.
    Exit code 3 if neither direction can be fitted.

    Args:
        p: file or expression, as in kullback kl; with --family as in kullback fit.
        q: file or expression.
        family: as in kullback fit, instead of Q.
        columns: of the data, separated by commas; all by default.
        normalize: divide probabilities by their sum.
    """
    from kullback.cli import plans

    how = Fitting(family=family, columns=columns)
    return plans.plan(p, q, how, reading, normalize=normalize, output=output)


def explain(
    p: str,
    q: str | None = None,
    /,
    *,
    normalize: Flag = False,
    unit: Unit = UNIT,
    output: Output = OUTPUT,
) -> int:
    """Which regions contribute to a divergence; or a topic.

    With P and Q: KL(p||q) cut into regions of x, which add up. With one topic
    (direction, "negative KL", k1, k2, k3, beta, top-k, "sum or mean", gradients): a
    short text.

    Args:
        p: file or expression, as in kullback kl; or a topic.
        q: file or expression.
        normalize: divide probabilities by their sum.
    """
    if q is None:
        from kullback.cli.topics import run

        return run(p, output)
    from kullback.cli import plans

    return plans.explain_pair(p, q, normalize=normalize, unit=unit, output=output)


def explore(
    p: str | None = None,
    q: str | None = None,
    /,
    *,
    out: Path = _PAGE,
    show: Flag = False,
    unit: Unit = UNIT,
    output: Output = OUTPUT,
) -> int:
    """A live page of P and Q: move them, and see both divergences.

    P and Q are expressions as in kullback kl, or files of fits to one column, which kullback fit
    --out wrote. Without Q, it begins as a normal with the median and the spread of P; without both,
    the page shows three modes and two components. The page is one file that needs nothing else.

    Args:
        p: expression or file of a fit.
        q: expression or file of a fit.
        out: write the page to this file.
        show: open it in the browser.
    """
    from kullback.cli.explore import explore_pair

    return explore_pair(p, q, out, show=show, unit=unit, output=output)


def check_density(
    density: str, /, *, draws: int = 8192, key: int = 0, output: Output = OUTPUT
) -> int:
    """Does a density integrate to 1, and does its sampler draw from it?

    DENSITY is module:name or FILE.py:name of a distribution: of NumPyro, SciPy or torch, kullback.Known or
    kullback.LogDensity. Exit code 1 if it is no density, 3 if nothing could be compared.

    Args:
        density: module:name or FILE.py:name.
        draws: taken of its sampler.
        key: randomness.
    """
    from kullback.cli.losses import density as cli_losses_density

    return cli_losses_density(density, draws, key, output)


def doctor(*, output: Output = OUTPUT) -> int:
    """Versions, and a dozen exact values recomputed.

    Exit code 1 if a value is not what it must be.
    """
    from kullback.cli import claims

    return claims.doctor(output)


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
    demo, kl, fit, judge, diff, logits, profile, score, sample, check_loss, check_density, verify, plan, explain,
    explore, doctor,
)  # fmt: skip
