"""Options of the commands, as they are typed."""

import re
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar, final

from cyclopts import Parameter

from kullback.core.errors import InputError
from kullback.results.quantity import Units
from kullback.results.serialise import in_unit
from kullback.results.status import Status

T = TypeVar("T")
#: What was typed after the name of the program.
TYPED: ContextVar[tuple[str, ...]] = ContextVar("TYPED", default=())

Direction = Literal["forward", "reverse"]
Solver = Literal[
    "plug_in",
    "adversarial",
    "natural_gradient",
    "path_gradient",
    "stick_the_landing",
    "reparameterization",
    "score_function",
    "conditional_likelihood",
]
#: What a command returns, by how its answer ended.
EXIT_CODES = {
    Status.DONE: 0,
    Status.FAILED: 1,
    Status.UNRESOLVED: 3,
    Status.UNTRUSTED: 3,
    Status.REFUSED: 3,
    Status.INTERRUPTED: 130,
}
#: An option without a value.
Flag = Annotated[bool, Parameter(show_default=False)]
#: A report that is written unless --no-report is said.
Report = Annotated[Path | None, Parameter(negative_none="no-")]


#: Descents are kept side by side: more than this take hours and find nothing that fewer did not.
_MOST_STARTS = 100_000


def check_starts(starts: int | None) -> None:
    """Raises InputError for more starts than anyone can wait for."""
    if starts is not None and starts > _MOST_STARTS:
        raise InputError(f"--starts {_short(starts)}: at most {_MOST_STARTS:,} restarts are made")


def _short(number: int) -> str:
    return str(number) if number < 10**12 else "of more than 12 digits"


@final
@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Output:
    """How to print.

    Attributes:
        json: print one JSON object instead; what is infinite is null, with its reason.
        quiet: no progress.
    """

    json: Flag = False
    quiet: Annotated[bool, Parameter(alias="-q", show_default=False)] = False


@final
@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Unit:
    """The unit of what is printed.

    Attributes:
        units: nats or bits.
    """

    units: Units = "nats"

    def of(self, result: T) -> T:
        """Returns a result, or a part of one, in the unit asked for."""
        return in_unit(result, self.units)


@final
@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Measuring:
    """What is measured, and how.

    Attributes:
        kind: another divergence than KL, such as jensen_shannon, total_variation or renyi.
        alpha: the order, for alpha and renyi.
        method: closed form, sum, quadrature or monte carlo, instead of the plan's choice.
        n: draws, for Monte Carlo.
        tolerance: the standard error to reach, in nats.
        dx: P and Q are files of densities on a grid with this spacing.
        normalize: divide probabilities by their sum.
        key: randomness.
    """

    kind: str | None = None
    alpha: Annotated[float | None, Parameter(allow_leading_hyphen=True)] = None
    method: str | None = None
    n: int | None = None
    tolerance: float | None = None
    dx: float | None = None
    normalize: Flag = False
    key: int = 0


@final
@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How rows are read.

    Attributes:
        weights: the column with weights of a survey, or importance weights; only their ratios matter.
        frequencies: the column with the number of equal rows that each stands for.
        cluster: the column whose equal values mark rows that belong together.
        order: the column that orders the rows in time.
        missing: keep cells without a value as missing, or drop their rows; refused if not said.
        kind: what a column is where it is not what it seems, NAME=KIND, such as zip=category: continuous,
            integer, count, category, code or identifier; may be said several times.
    """

    weights: str | None = None
    frequencies: str | None = None
    cluster: str | None = None
    order: str | None = None
    kind: tuple[str, ...] = ()
    missing: Literal["keep", "drop"] | None = None

    @property
    def apart(self) -> dict[str, str | None]:
        """The columns that say what rows stand for."""
        return {
            "weights": self.weights, "frequencies": self.frequencies, "cluster": self.cluster, "order": self.order
        }  # fmt: skip

    @property
    def absent(self) -> Literal["drop"] | bool:
        """What becomes of missing cells, as the readers call it."""
        return "drop" if self.missing == "drop" else self.missing == "keep"


@final
@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Keeping:
    """What is kept of a fit.

    Attributes:
        out: write the fit to this file, for score, sample and kullback.load.
        checkpoint: keep results on the way in this file, and go on from it if it exists.
        resume: go on from the checkpoint of a killed run, which lies beside --out.
    """

    out: Path | None = None
    checkpoint: Path | None = None
    resume: Flag = False


@final
@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Working:
    """Where passes over .parquet files are made; the answer has the same bits everywhere.

    Attributes:
        workers: so many processes on this machine.
        scheduler: the workers of a scheduler of Dask, such as tcp://host:8786, which see the same files.
    """

    workers: int | None = None
    scheduler: str | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether anything was asked for."""
        return self.workers is not None or self.scheduler is not None


@final
@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Fitting:
    """What is fitted, and how.

    Attributes:
        family: mixture:2 (or any number), full_rank, mean_field, or a family such as gamma;
            for FILE.py:NAME also mixture:auto, low_rank:5 and auto, the default, which takes
            the simplest that may be trusted.
        direction: forward minimises KL(p||q), reverse KL(q||p). Must be said.
        columns: of the file, separated by commas; all by default.
        counts: columns that hold numbers of events, separated by commas.
        given: columns of the file, separated by commas: fit a density of the others given these.
        starts: restarts from random points; for FILE.py:NAME searches for modes.
        solver: for rows and reverse: plug_in (the default) minimises to a mixture fitted to the rows
            first, adversarial plays against a critic and gives a lower bound; for FILE.py:NAME
            natural_gradient or an estimator of the ELBO's gradient.
        key: randomness.
    """

    family: str | None = None
    direction: Direction | None = None
    columns: str | None = None
    counts: str | None = None
    given: str | None = None
    starts: int | None = None
    solver: Solver | None = None
    key: int = 0


@final
@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Comparing:
    """What is compared, and which rows belong together.

    Attributes:
        columns: separated by commas; all that both tables have by default.
        by: compare the rows of each value of this column by themselves.
        weights: the column with weights of a survey, or importance weights; only their ratios matter.
        frequencies: the column with the number of equal rows that each stands for.
        cluster: the column whose equal values mark rows that belong together.
        order: the column that orders the rows in time.
        ignore_below: what differs by more than chance, but certainly by less than this, in the unit of the answer, is
            negligible.
        joint: also compare all columns together.
        like: print another tool's number beside ours.
        kind: what a column is where it is not what it seems, NAME=KIND, such as zip=category: continuous,
            integer, count, category, code or identifier; may be said several times.
        key: randomness.
    """

    columns: str | None = None
    by: str | None = None
    weights: str | None = None
    frequencies: str | None = None
    cluster: str | None = None
    order: str | None = None
    ignore_below: float = 0.0
    joint: Annotated[bool, Parameter(negative="--no-joint", show_default=False)] = True
    like: Literal["evidently"] | None = None
    kind: tuple[str, ...] = ()
    key: int = 0


@final
@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Watching:
    """What is watched.

    Attributes:
        columns: with --reference: those to watch, separated by commas; all but dates and numbers of rows by
            default.
        kind: with --reference: what a column is where it is not what it seems, NAME=KIND, such as
            zip=category; may be said several times.
        key: with --reference: randomness.
        day: the name of the day; a day counts once.
    """

    columns: str | None = None
    kind: tuple[str, ...] = ()
    key: int | None = None
    day: str | None = None


@final
@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Checking:
    """How a loss is checked.

    Attributes:
        expect: exit 1 if the gradient is not that of this divergence: forward, reverse, jeffreys,
            jensen_shannon, ...
        on: what it is expected on: full (whole distributions), tokens (drawn from the policy, fixed), path
            (reparameterised draws) or off-policy; the arguments say which if you do not.
        scale: exit 1 if the factor in front of the divergence is another, such as 1.
        expect_value: exit 1 if the value is not that of this divergence.
        detached: exit 1 if the loss hides another part from its gradient: none, partly, wholly.
        student: the argument that is trained, where names do not say it.
        role: what an argument is, NAME=ROLE, such as "x=q logits"; may be said several times.
        fixed: the value of an argument, NAME=VALUE; may be said several times.
        signature: a library whose names the arguments have, such as trl.grpo or verl.policy.
        key: of the random problems.
    """

    expect: str | None = None
    on: str | None = None
    scale: float | None = None
    expect_value: str | None = None
    detached: str | None = None
    student: str | None = None
    role: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    signature: str | None = None
    key: int = 0


OUTPUT = Output()
CHECKING = Checking()
FITTING = Fitting()
READING = ReadingOptions()
KEEPING = Keeping()
UNIT = Unit()
HOW = Measuring()
COMPARING = Comparing()
WATCHING = Watching()
WORKING = Working()


# Remedies that are spelled for Python, and what they are here.

_TYPED = (
    (r"say normalize=True", "say --normalize"),
    (r", dx=\.\.\. if", ", --dx ... if"),
    (r"missing=[\"']drop[\"']", "--missing drop"),
    (r"missing=True", "--missing keep"),
    (r"\bexecutor=\w*", "--workers, --scheduler"),
    (r"leave executor out", "leave them out"),
    (r"columns=\(\.\.\.\)", "--columns"),
    (r"name it in columns=", "name it in --columns"),
    (r"say columns=", "say --columns "),
    (r"say given=\[\.\.\.\]", "say --given ..."),
    (r"\bgiven=(?=\w|takes|names| )", "--given "),
    (r"Samples\(\.\.\.\) if these are draws", "and fit first if these are draws (kullback fit)"),
    (r"\bkinds=\{\"?([^\"{}]+?)\"?: \"?([^\"{}]+?)\"?\}", r"--kind \1=\2"),
    (r"family=\"([^\"]+)\"", r"--family \1"),
    (r"direction=\"([^\"]+)\"", r"--direction \1"),
    (r"\buse (fit\.)", r"use, in Python, \1"),
    (r"with example=$", "with example = ... in the file"),
)


def typed(text: str) -> str:
    """Returns a message of `api` with its remedies as they are typed here."""
    for python, option in _TYPED:
        text = re.sub(python, option, text)
    return text
