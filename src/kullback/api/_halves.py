"""How much a number rests on the rows that p-hat was fitted to: by p-hats of halves of them."""

import math
from collections.abc import Callable

import numpy as np

from kullback._core import randomness
from kullback.api import _p_hat
from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.fitting import _plug_in
from kullback.targets import Samples

#: Times the rows are halved.
_HALVINGS = 8
#: Rows a coordinate at least, of the whole and of each half.
FEWEST = 10
Watch = Callable[[int | str], None]


def doubt(
    p: Samples,
    p_hat: GaussianMixture,
    q: GaussianMixture,
    own: float,
    key: object,
    watch: Watch,
    *,
    diagonal: bool,
) -> tuple[float, str]:
    """Returns the error that p-hat leaves in KL(q||p-hat), and how it was found, in words.

    The noise is half the difference of E_q[log p-hat] between the halves, as a root mean square; the
    bias shows in what KL gains where q is fitted to one half's p-hat and measured against the other's.

    Args:
        p: the rows.
        p_hat: fitted to all of them.
        q: fitted to p-hat.
        own: KL(q||p-hat).
        key: randomness.
        watch: told what is being done.
        diagonal: whether q's coordinates are independent within a component.
    """
    if len(p.values) < 2 * FEWEST * p.values.shape[1]:
        return math.inf, f"{len(p.values)} rows are too few to be halved: the error is not known"
    halved, crossed = [], []
    for i in range(_HALVINGS):
        watch(f"fitting p-hat to halves of the rows, {i + 1} of {_HALVINGS}")
        rng = randomness.named(key, "halves", i)
        halves = _split(p, rng)
        near = [_p_hat.refit(half, p_hat) for half in halves]
        halved.append(0.5 * _plug_in.mean_log_ratio(q, near[0], near[1], rng))
        if i == 0:
            anew = [_p_hat.fit_p_hat(half, key) for half in halves]
            for one, other in (anew, anew[::-1]):
                closest = _plug_in.closest_from(one, q, diagonal=diagonal, rng=rng)
                crossed.append(-_plug_in.mean_log_ratio(closest, other, closest, rng))
    noise = math.sqrt(float(np.mean(np.square(halved))))
    cross = float(np.mean(crossed))
    note = (
        f"q fitted to p-hat of one half of the rows, measured against p-hat of the other: {cross:.4g} "
        f"nats; the error is the root of the squares of half its distance from {own:.4g} and of "
        f"the noise between halves, {noise:.2g}"
    )
    return math.hypot(noise, 0.5 * (cross - own)), note


def _split(p: Samples, rng: np.random.Generator) -> tuple[Samples, Samples]:
    order = rng.permutation(len(p.values))
    parts = np.array_split(order, 2)
    kept = [None if p.weights is None else p.weights[part] for part in parts]
    first, second = (
        Samples(p.values[part], w, columns=p.columns) for part, w in zip(parts, kept, strict=True)
    )
    return first, second
