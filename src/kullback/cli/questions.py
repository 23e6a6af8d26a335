"""Commands that ask about densities, losses and claims, as they are typed; each loads what it needs when called.

These are the imports inside functions that the package allows itself at this edge: with them,
--help and a mistyped option wait for neither NumPy nor polars.
"""

# ruff: noqa: PLC0415

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kullback.cli.options import (
    CHECKING,
    HOW,
    OUTPUT,
    READING,
    UNIT,
    Checking,
    Fitting,
    Flag,
    Measuring,
    Output,
    ReadingOptions,
    Report,
    Unit,
)

_DEMO_REPORT = Path("kullback-demo.html")
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
    reading: ReadingOptions = READING,
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
