"""What the user gave, as a distribution of ours."""

import math
import sys
from collections.abc import Callable
from typing import Any, final

import numpy as np

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.user_code import guarded
from kullback.distributions.base import Distribution, Foreign, Support
from kullback.distributions.vector import Categorical
from kullback.expressions.parse import parse
from kullback.interop import as_distribution
from kullback.interop.bridgestan import is_bridged
from kullback.interop.callables import vectorized
from kullback.targets import (
    Counts,
    Grid,
    Known,
    LogDensity,
    Samples,
    Stream,
    SupportWords,
    Unconstrained,
)

_BARE = (
    "{name} is a function: say what it is, LogDensity(fn, example) if it is a log density, perhaps "
    "unnormalised, Known(log_prob=fn, sample=...) if it is normalised, "
    "kullback.interop.models.numpyro_model(fn, *args) if it is a NumPyro model"
)


@final
class BareFunctionError(InputError):
    """A function was given, and nothing says what it is."""


_WORDS = {"positive": (0.0, math.inf), "unit": (0.0, 1.0), "real": (-math.inf, math.inf)}


def distribution(thing: object, name: str, *, normalize: bool = False) -> Distribution:
    """Returns `thing` as something that can be measured.

    Args:
        thing: one of our nouns, a distribution of NumPyro, SciPy or torch, an expression such as
            "normal(0, sd=2)", or a vector of probabilities.
        name: "p" or "q", for messages.
        normalize: whether probabilities that do not sum to 1 are to be divided by their sum.

    Raises:
        InputError: it is none of these, or not usable.
        UnsupportedError: samples, where a density is needed.
    """
    match thing:
        case Distribution():
            return thing
        case str():
            return parse(thing)
        case LogDensity():
            return _density(
                thing.of_event,
                thing.example,
                thing.support,
                thing.sample,
                name,
                normalized=thing.normalized,
            )
        case Known():
            return _density(
                thing.log_prob, thing.example, thing.support, thing.sample, name, normalized=True
            )
        case Samples() | Stream():
            raise UnsupportedError(
                f"{name} is known by samples only, so its density is not known: fit one first, "
                'fit(samples, FullRank(), direction="forward").q, or ask for cross_entropy(samples, q)'
            )
        case Counts():
            raise UnsupportedError(
                f"{name} is known by counts only, so its probabilities are not known: "
                "kl_divergence(counts, counts) estimates from both, and counts.values with normalize=True "
                "takes the shares for probabilities"
            )
        case Unconstrained():
            raise _unnormalised(name, thing)
        case Grid():
            raise InputError(f"{name} is a Grid: p and q must both be, on the same points")
    found = guarded(as_distribution, f"reading {name}, a {type(thing).__name__},")(thing)
    if found is not None:
        return found
    model = by_its_log_density(thing, name)
    if isinstance(model, LogDensity):
        return distribution(model, name)
    if model is not None:
        raise _unnormalised(name, model)
    return probabilities(thing, name, normalize=normalize)


def _unnormalised(name: str, model: Unconstrained) -> UnsupportedError:
    return UnsupportedError(
        f"{name} is a {model.origin}, whose log density is known by its values and gradients up to a "
        "constant: fit it, fit(model, 'auto', direction='reverse'), which measures both KLs of its q"
    )


def probabilities(thing: object, name: str, *, normalize: bool) -> Categorical:
    """Returns a vector of probabilities as a distribution over 0 .. k-1."""
    try:
        array = np.asarray(thing, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(())
    if array.ndim == 0:
        if hasattr(thing, "score_samples") and hasattr(thing, "sample"):
            kind = type(thing).__name__
            raise InputError(
                f"{name} is a {kind} of scikit-learn: say what its methods are, Known(log_prob={name}.score_samples, "
                f"sample=lambda rng, n: {name}.sample(n)[0], example=zeros(d)), d being its number of columns"
            )
        raise InputError(
            f"{name} is a {type(thing).__name__}, which is not understood: give a NumPyro, SciPy or "
            'torch distribution, LogDensity, Known, an expression such as "normal(0, sd=2)", '
            "Samples or a vector of probabilities"
        )
    if array.ndim != 1:
        raise InputError(
            f"{name} is an array of shape {array.shape}: probabilities are a vector; for draws say "
            "Samples(array), for a density on a grid say dx="
        )
    if array.size == 0:
        raise InputError(f"{name} is empty")
    if not np.isfinite(array).all():
        at = int(np.argmin(np.isfinite(array)))
        raise InputError(f"{name}[{at}] is {array[at]}: probabilities must be finite")
    if (array < 0.0).any():
        at = int(np.argmax(array < 0.0))
        raise InputError(f"{name}[{at}] is {array[at]:g}: probabilities must not be negative")
    total = float(array.sum())
    if normalize and total > 0.0:
        return Categorical.from_probabilities(array / total)
    if abs(total - 1.0) > _allowed(thing, array):
        raise InputError(
            f"{name} sums to {total:.10g}, not 1: say normalize=True if these are weights, "
            "dx=... if this is a density on a grid, Samples(...) if these are draws"
        )
    return Categorical.from_probabilities(array)


def grids(p: object, q: object, dx: float | None) -> tuple[Grid, Grid] | None:
    """Returns p and q as grids if they are, checked; None if they are not."""
    if dx is not None:
        p, q = (
            x if isinstance(x, Grid) else Grid(_density_values(x, n), dx)
            for x, n in ((p, "p"), (q, "q"))
        )
    if not (isinstance(p, Grid) and isinstance(q, Grid)):
        return None
    for grid, name in ((p, "p"), (q, "q")):
        values = _density_values(grid.density, name)
        mass = float(np.trapezoid(values, dx=grid.dx))
        if abs(mass - 1.0) > 1e-3:
            raise InputError(
                f"{name} integrates to {mass:.6g} with dx={grid.dx:g}, not 1: the grid is too coarse "
                "or too short, dx is wrong, or the density is not normalised"
            )
    if p.dx != q.dx or p.density.shape != q.density.shape:
        raise InputError(
            f"p and q must share one grid: {p.density.shape[0]} points at dx={p.dx:g} "
            f"against {q.density.shape[0]} at dx={q.dx:g}"
        )
    return p, q


def _density_values(thing: object, name: str) -> np.ndarray:
    try:
        values = np.asarray(thing, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(
            f"dx was given, so {name} must be the values of a density on a grid"
        ) from None
    if values.ndim != 1 or values.size < 3:
        raise InputError(
            f"{name} has shape {values.shape}: a grid needs one axis and 3 points or more"
        )
    if not np.isfinite(values).all() or (values < 0.0).any():
        raise InputError(f"{name}: densities on a grid must be finite and not negative")
    return values


def _allowed(thing: object, array: np.ndarray) -> float:
    """How far a sum of probabilities may be from 1: rounding in the precision they came in."""
    single = "float32" in str(getattr(thing, "dtype", ""))
    return (1e-6 if single else 1e-9) * max(1.0, math.sqrt(array.size) / 100.0)


def _density(
    fn: Callable[[np.ndarray], object],
    example: object,
    support: SupportWords,
    sample: Callable[[np.random.Generator, int], np.ndarray] | None,
    name: str,
    *,
    normalized: bool,
) -> Foreign:
    event = np.asarray(example, dtype=np.float64)
    if event.ndim > 1 or not np.isfinite(event).all():
        raise InputError(f"{name}: example must be a finite number or vector, got {example!r}")
    return Foreign(
        name=name,
        region=_region(support, event, name),
        density=vectorized(fn, event, name),
        sampler=sample,
        normalized=normalized,
        strict=True,
        hints=(float(event),) if event.ndim == 0 else (),
    )


def _region(support: SupportWords, event: np.ndarray, name: str) -> Support:
    if event.ndim == 1:
        if support not in (None, "real"):
            raise InputError(
                f"{name}: support={support!r} is for scalars; vectors live on all of R^d here"
            )
        return Support("real", dimension=len(event))
    ends = _WORDS.get(support) if isinstance(support, str) else support or _WORDS["real"]
    if not isinstance(ends, tuple) or len(ends) != 2 or not ends[0] < ends[1]:
        raise InputError(
            f'{name}: support={support!r} is not understood; say "positive", "unit" or (low, high)'
        )
    return Support("interval", float(ends[0]), float(ends[1]))


def is_sampled(p: object, q: object) -> bool:
    """Whether one of the two is known by draws only."""
    return isinstance(p, (Samples, Counts)) or isinstance(q, (Samples, Counts))


def by_its_log_density(
    thing: object, name: str = "the target"
) -> LogDensity | Unconstrained | None:
    """Returns a log density, a model of PyMC, Stan or NumPyro; None for what is none.

    Raises:
        BareFunctionError: a function of which nothing says what it is.
    """
    if isinstance(thing, (LogDensity, Unconstrained)):
        return thing
    if isinstance(thing, (str, Grid, Distribution)):
        return None
    if _is_bare(thing):
        return _bare(thing, name)
    if not is_bridged(thing) and not any(m in sys.modules for m in ("pymc", "stan")):
        return None
    from kullback.interop.models import recognise  # noqa: PLC0415 - it loads JAX

    return recognise(thing)


def _is_bare(thing: object) -> bool:
    plain = callable(thing) and not isinstance(thing, type)
    return plain and type(thing).__module__ in ("builtins", "functools")


def _bare(thing: Any, name: str) -> Unconstrained:
    """A function without arguments that samples by NumPyro is a model; of any other, one must say what it is."""
    if "numpyro" in sys.modules and not _needs_arguments(thing):
        from kullback.interop.numpyro_model import has_sites, numpyro_model  # noqa: PLC0415

        if has_sites(thing):
            return numpyro_model(thing)
    raise BareFunctionError(_BARE.format(name=name))


def _needs_arguments(fn: Callable[..., object]) -> bool:
    import inspect  # noqa: PLC0415 - rarely needed

    try:
        inspect.signature(fn).bind()
    except (TypeError, ValueError):
        return True
    return False
