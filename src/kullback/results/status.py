"""How an answer ended: data that exit codes, files and views read, never words in a note."""

from enum import Enum

from kullback.results.estimate import Estimate


class Status(Enum):
    """How an answer ended.

    Attributes:
        DONE: all that was asked for is there.
        FAILED: it is there, and not what was demanded: above a limit, refuted, another loss.
        UNRESOLVED: there is a number, without an error that would hold.
        UNTRUSTED: it was measured, and should not be used.
        REFUSED: no method answers.
        INTERRUPTED: somebody stopped it: this is what there was.
    """

    DONE = "done"
    FAILED = "failed"
    UNRESOLVED = "unresolved"
    UNTRUSTED = "untrusted"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"


def status_of(*estimates: Estimate | None) -> Status:
    """Returns UNRESOLVED where one of the estimates is, else DONE."""
    doubtful = any(e is not None and e.kind == "unresolved" for e in estimates)
    return Status.UNRESOLVED if doubtful else Status.DONE
