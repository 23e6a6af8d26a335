"""What a trust report hands back."""

import math
from dataclasses import dataclass
from typing import final

from kullback.results._diagnosis import Posterior
from kullback.results._estimate import Estimate


@final
@dataclass(frozen=True, eq=False)
class Report:
    """A posterior with the two KLs that the fit itself carries, and the log q below which q has no draws."""

    posterior: Posterior
    reverse_kl: Estimate
    forward_kl: Estimate
    threshold: float = -math.inf
