"""What a KL value printed by somebody's autoencoder is: a sum, a mean, or something else."""

import itertools
import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback._core.errors import InputError
from kullback.losses._collapse import as_numbers
from kullback.losses._gaussian import Array, DiagonalGaussian, gaussian_kl_per_dimension


@final
@dataclass(frozen=True)
class RecognizedKl:
    """What a value is in terms of the KL.

    Attributes:
        value: as it was given.
        kl: summed over the latent axis, averaged over examples, in nats.
        beta: value / kl, the weight that the value gives the KL in a loss.
        readings: the formulas with the fewest faults that give the value; empty if none is known.
    """

    value: float
    kl: float
    beta: float
    readings: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Whether it is the KL."""
        return self.readings[:1] == (_RIGHT,)

    def __str__(self) -> str:
        reading = ", or ".join(self.readings) or "no known formula of the KL"
        verdict = "" if self.right else f"; as a loss it has beta = {self.beta:.4g}"
        return f"{self.value:.6g} is {reading}{verdict} (KL = {self.kl:.6g} nats per example)"


_KL = "the KL"
_RIGHT = "the KL: summed over the latent axis, averaged over examples"


def recognize_kl(
    value: float | Float[Array, ""],
    posterior: DiagonalGaussian,
    prior: DiagonalGaussian | None = None,
    *,
    relative_tolerance: float = 1e-3,
) -> RecognizedKl:
    """Returns which formula gives a KL value that a training code printed for this very batch.

    The value is compared with the KL divided by d, summed over the batch, without its factor 1/2,
    with the other sign, in bits, in the other direction, with a log sd taken for log variance, and
    with any two of these faults at once.

    Args:
        value: the KL term of the loss on the batch.
        posterior: the encoder's (mean, log variance) on that batch, each (n, d) or (d,).
        prior: (mean, log variance) of p(z); standard normal where not given.
        relative_tolerance: of the comparison.

    Raises:
        InputError: the value is not finite, or the KL is 0, so that every formula gives 0.

    Example:
        >>> mean, log_variance = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 2.0]]), np.zeros((3, 2))
        >>> print(recognize_kl(5 / 6, (mean, log_variance)))
        0.833333 is the KL divided by d = 2: a mean over the latent axis;
        as a loss it has beta = 0.5 (KL = 1.66667 nats per example)
    """
    value = float(value)
    pair, base = as_numbers(posterior), None if prior is None else as_numbers(prior)
    kl = _batch_mean(gaussian_kl_per_dimension(pair, base))
    if not math.isfinite(value) or not math.isfinite(kl) or kl == 0.0:
        raise InputError(
            f"value {value:g} cannot be compared with a KL of {kl:g}: both must be finite and the KL "
            "above 0; pass a batch on which the posterior differs from the prior"
        )
    return RecognizedKl(value, kl, value / kl, _readings(value, pair, base, relative_tolerance))


def _readings(
    value: float, posterior: DiagonalGaussian, prior: DiagonalGaussian | None, tolerance: float
) -> tuple[str, ...]:
    found: dict[int, list[str]] = {}
    for (base, number), *faults in itertools.product(
        _bases(posterior, prior).items(), *_faults(*_sizes(posterior))
    ):
        present = [text for text, _ in faults if text]
        predicted = number * math.prod(factor for _, factor in faults)
        if math.isclose(value, predicted, rel_tol=tolerance):
            count = len(present) + (base != _KL)
            text = " ".join([base, " and ".join(present)]).rstrip() if count else _RIGHT
            found.setdefault(count, []).append(text)
    fewest = min(found, default=3)
    return tuple(found[fewest]) if fewest <= 2 else ()


def _bases(posterior: DiagonalGaussian, prior: DiagonalGaussian | None) -> dict[str, float]:
    mean, log_variance = posterior
    other = (0.0 * mean, 0.0 * log_variance) if prior is None else prior
    kl = _batch_mean(gaussian_kl_per_dimension(posterior, prior))
    taken = gaussian_kl_per_dimension((mean, 2.0 * log_variance), prior)
    return {
        _KL: kl,
        "the KL in bits": kl / math.log(2.0),
        "KL(p(z)||q(z|x)), the other direction": _batch_mean(
            gaussian_kl_per_dimension(other, posterior)
        ),
        "the KL with exp(log variance) taken for the sd": _batch_mean(taken),
    }


def _faults(n: int, d: int) -> list[list[tuple[str, float]]]:
    """The choices of each step, the right one first, with what they multiply."""
    right = ("", 1.0)
    latent = (f"divided by d = {d}: a mean over the latent axis", 1.0 / d)
    batch = [
        (f"multiplied by n = {n}: a sum over examples", float(n)),
        (f"divided by n = {n}: averaged over examples twice", 1.0 / n),
    ]
    return [
        [right, latent] if d > 1 else [right],
        [right, *batch] if n > 1 else [right],
        [right, ("without its factor 1/2", 2.0)],
        [right, ("with the other sign", -1.0)],
    ]


def _sizes(posterior: DiagonalGaussian) -> tuple[int, int]:
    d = posterior[0].shape[-1]
    return posterior[0].size // d, d


def _batch_mean(kls: np.ndarray) -> float:
    return float(kls.sum(axis=-1).mean())
