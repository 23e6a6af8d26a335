"""What every stage of a fit is given: randomness by name, someone to tell, somewhere to keep results."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, final

import numpy as np

from kullback._core import randomness
from kullback._core.checkpoint import Checkpoint
from kullback.solvers._density import Density

Result = TypeVar("Result")


@final
@dataclass(frozen=True, eq=False)
class Run:
    """A run of a fit.

    Attributes:
        key: of all randomness.
        watch: told what is being done.
        checkpoint: where results of stages are kept.
    """

    key: object
    watch: Callable[[str], None]
    checkpoint: Checkpoint = field(default_factory=Checkpoint)

    def generator(self, name: str, index: int = 0) -> np.random.Generator:
        """Returns the randomness of a stage, whatever other stages drew."""
        return randomness.named(self.key, name, index)

    def told(self, gradients: int, elbo: float) -> None:
        """Says how far an ascent is."""
        self.watch(f"ELBO {elbo:.3f} on the draws of the fit, {gradients} gradients")

    def once(self, name: str, density: Density, compute: Callable[[], Result]) -> Result:
        """Returns the result of a stage: the one kept from an earlier run, or a new one."""
        kept = self.checkpoint.get(name)
        if kept is not None:
            density.count = max(density.count, kept["gradients"])
            return kept["result"]
        result = compute()
        if getattr(result, "interrupted", False):
            return result
        self.checkpoint.put(name, {"result": result, "gradients": density.count})
        return result
