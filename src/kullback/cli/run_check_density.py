"""`kullback check-density`."""

from kullback.api.density import check_density
from kullback.cli.answer import answer
from kullback.cli.options import EXIT_CODES, Output
from kullback.cli.run_check_loss import named
from kullback.views.claims import density_document


def run(density: str, draws: int, key: int, output: Output) -> int:
    """Prints the verdict and returns the exit code."""
    with named(density, "torch.distributions:Normal") as thing:
        found = check_density(thing, draws=draws, key=key)
    answer("check-density", density_document(density, found), output)
    return EXIT_CODES[found.status]
