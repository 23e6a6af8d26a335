"""The experiment of the fourth article: three modes, two components, both directions."""

import math
import time
from collections.abc import Callable

from kullback.api._best import of_fit
from kullback.api._explain import explain
from kullback.api._fit import fit
from kullback.api._verify import judge, read
from kullback.diagnostics._coverage import coverage
from kullback.distributions._compound import Mixture
from kullback.families import Mixture as MixtureOf
from kullback.io import format_distribution, parse
from kullback.results._demo import Coverage, Demo
from kullback.results._estimate import Estimate

TARGET = "0.3*normal(-2, sd=0.3) + 0.4*normal(0, sd=0.4) + 0.3*normal(2, sd=0.3)"


def demo(
    *, starts: int = 60, key: object = 0, watch: Callable[[int | str], None] | None = None
) -> Demo:
    """Returns the experiment: both fits, all optima, what they cover, what the article claimed.

    Args:
        starts: descents in each direction.
        key: randomness of the starts.
        watch: called with the number of descents done in the current direction.
    """
    began = time.process_time()
    target = parse(TARGET)
    assert isinstance(target, Mixture)
    forward = fit(target, MixtureOf(2), direction="forward", starts=starts, key=key, watch=watch)
    # Who has stopped the one does not want to wait for the other.
    left = 3 if forward.interrupted else starts
    reverse = fit(target, MixtureOf(2), direction="reverse", starts=left, key=key, watch=watch)
    claims = read("three-modes")
    named = format_distribution(target)
    bests = {(named, "mixture:2", f.direction, ""): of_fit(f) for f in (forward, reverse)}
    covers = coverage(target, forward.q), coverage(target, reverse.q)
    return Demo(
        target=target,
        forward=forward,
        reverse=reverse,
        forward_cover=covers[0],
        reverse_cover=covers[1],
        forward_parts=explain(target, forward.q),
        reverse_parts=explain(reverse.q, target),
        price=_price(target, covers[1]),
        claims=judge(claims, bests),
        seconds=time.process_time() - began,
    )


def _price(target: Mixture, cover: Coverage) -> Estimate:
    """KL(p_A||p) = -log p(A), where A is all of p but the components whose modes q drops."""
    lost = 0.0
    for weight, component in zip(target.weights, target.components, strict=True):
        where = float(component.landmarks()[len(component.landmarks()) // 2])
        gone = any(m.verdict == "dropped" and m.low < where < m.high for m in cover.modes)
        lost += float(weight) if gone else 0.0
    return Estimate.exact(
        -math.log1p(-lost),
        quantity="kl",
        direction="KL(p without the dropped mode||p)",
        method="-log of the mass that is kept",
    )
