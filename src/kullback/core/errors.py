"""The one tree of exceptions.

KullbackError
├── InputError (ValueError)          what was given cannot be used: exit code 2
│   ├── DensityError                 a log density misbehaved: where, value, remedy
│   ├── UserCodeError                code of the user's raised, or called sys.exit: which, and what
│   └── ExpressionError              an expression or claim could not be read
├── UnsupportedError                 what was asked cannot be computed: what to ask instead
│   └── IdentifierError              text that names rows: there is nothing to compare
├── MissingDependencyError           an optional package is needed: the line that installs it
└── WorkerError                      a worker of an executor is gone, and the answer with it

A message says what was asked, what is known, why it cannot be, and the line to type.
"""


class KullbackError(Exception):
    """Anything this package raises on purpose."""


class InputError(KullbackError, ValueError):
    """What was given cannot be used."""


class DensityError(InputError):
    """A log density returned something that is not a log density."""


class UserCodeError(InputError):
    """Code of the user's raised something, or tried to end the process.

    Attributes:
        text: what it said.
        kind: the name of what it raised.
    """

    text: str = ""
    kind: str = ""


class ExpressionError(InputError):
    """An expression or a claims file could not be read."""


class UnsupportedError(KullbackError):
    """What was asked cannot be computed from what is known."""


class IdentifierError(UnsupportedError):
    """A column is text in which nearly every row is different."""


class MissingDependencyError(KullbackError):
    """An optional package is needed."""


class WorkerError(KullbackError):
    """A worker of an executor ended before its work was done."""
