"""NumPyro and torch transforms as monotone maps, or as a matrix when they are linear."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, final

import numpy as np
from jaxtyping import Float
from scipy import linalg

from kullback.core.errors import UnsupportedError
from kullback.distributions.base import Array, Distribution
from kullback.distributions.compound import Bijection, Product
from kullback.distributions.vector import MultivariateNormal
from kullback.interop.library import Library
from kullback.interop.maps import affine, fold, gaussian_vector, inverse_affine, product, push

#: What a coordinate goes through: maps, or None for the absolute value.
Maps = list[Bijection | None]


@final
@dataclass(frozen=True)
class Step:
    """One transform that acts on each coordinate by itself.

    Attributes:
        build: from the values of the parameters at one coordinate to what is done there.
        parameters: arrays that broadcast against batch and event.
    """

    build: Callable[..., Maps]
    parameters: tuple[Array, ...] = ()

    def at(
        self, index: tuple[int, ...], batch: tuple[int, ...], event: tuple[int, ...]
    ) -> list[Maps]:
        """Returns what is done to every coordinate of one distribution of the batch."""
        spread = [np.broadcast_to(p, batch + event)[index].reshape(-1) for p in self.parameters]
        count = int(np.prod(event))
        return [self.build(*(float(s[j]) for s in spread)) for j in range(count)]


#: The transforms by name: their parameters, what they do, and what their inverses do.
_ELEMENTWISE: dict[str, tuple[tuple[str, ...], Callable[..., Maps], Callable[..., Maps] | None]] = {
    "ExpTransform": ((), lambda: [Bijection("exp")], lambda: [Bijection("log")]),
    "SigmoidTransform": ((), lambda: [Bijection("sigmoid")], lambda: [Bijection("logit")]),
    "SoftplusTransform": ((), lambda: [Bijection("softplus")], None),
    "IdentityTransform": ((), list, list),
    "TanhTransform": (
        (),
        lambda: [Bijection("tanh")],
        lambda: [affine(0.5, 0.5), Bijection("logit"), affine(0.0, 0.5)],
    ),
    "AffineTransform": (
        ("loc", "scale"),
        lambda loc, scale: [affine(loc, scale)],
        lambda loc, scale: [inverse_affine(loc, scale)],
    ),
    "PowerTransform": (
        ("exponent",),
        lambda e: [Bijection("power", scale=e)],
        lambda e: [Bijection("power", scale=1 / Fraction(e))],
    ),
    "AbsTransform": ((), lambda: [None], None),
}

_LINEAR = {
    "AffineTransform",
    "IdentityTransform",
    "LowerCholeskyAffine",
    "RecursiveLinearTransform",
    "PermuteTransform",
    "ReshapeTransform",
    "DiscreteCosineTransform",
    "HaarTransform",
}


def transform_steps(transforms: list[Any], library: Library) -> list[Step] | None:
    """Returns the transforms as steps on single coordinates; None if one is not known as such."""
    found = [_step(t, library, inverted=inverted) for t, inverted in flat(transforms, library)]
    known = [s for s in found if s is not None]
    return known if len(known) == len(found) else None


def flat(transforms: list[Any], library: Library) -> list[tuple[Any, bool]]:
    """Transforms in order, taken out of what composes, inverts and reinterprets them."""
    out: list[tuple[Any, bool]] = []
    for t in transforms:
        name = name_of(t, library)
        if name == "ComposeTransform":
            out += flat(t.parts, library)
        elif name == "IndependentTransform":
            out += flat([t.base_transform], library)
        elif name == "_InverseTransform":
            out += [(inner, not inverted) for inner, inverted in reversed(flat([t.inv], library))]
        else:
            out.append((t, False))
    return out


def name_of(transform: Any, library: Library) -> str:
    """The class of a transform if it is the library's own, not a user's variation of it."""
    cls = type(transform)
    return cls.__name__ if library.owns(cls) else ""


def _step(transform: Any, library: Library, *, inverted: bool) -> Step | None:
    row = _ELEMENTWISE.get(name_of(transform, library))
    if row is None:
        return None
    names, forward, backward = row
    build = backward if inverted else forward
    if build is None:
        return None
    return Step(build, tuple(library.array(getattr(transform, n)) for n in names))


def move(
    base: Distribution, done: list[list[Maps]], event: tuple[int, ...], what: str
) -> Distribution | None:
    """Returns a distribution after steps on its coordinates; None if these depend on each other."""
    if event == ():
        return _move_scalar(base, [maps[0] for maps in done], what)
    if not isinstance(base, Product) or any(p.support.dimension for p in base.parts):
        return None
    parts = [_move_scalar(p, [maps[j] for maps in done], what) for j, p in enumerate(base.parts)]
    return product(parts, what)


def _move_scalar(p: Distribution, done: list[Maps], what: str) -> Distribution:
    for f in (f for maps in done for f in maps):
        p = fold(p, what) if f is None else push(p, f, what)
    return p


def check_bijective(transforms: list[Any], library: Library, what: str) -> None:
    """Raises UnsupportedError if a transform sends two points to one: its density then lies."""
    for t, _ in flat(transforms, library):
        if type(t).__name__ == "AbsTransform" or not getattr(t, "bijective", True):
            raise UnsupportedError(
                f"{what}: {type(t).__name__} is not one-to-one, and log_prob counts only one of "
                "the points that it sends to the same place; give the density itself"
            )


def all_linear(transforms: list[Any], library: Library) -> bool:
    """Whether the transforms together are x -> A x + b."""
    return all(name_of(t, library) in _LINEAR for t, _ in flat(transforms, library))


def linear(base: Distribution, apply: Callable[[Array], Array]) -> Distribution | None:
    """Returns the Gaussian that a linear map makes of a Gaussian; None if base is not one.

    `apply` maps n points, as rows, to n events: x -> A x + b, read off at the origin and at the unit vectors.
    """
    found = gaussian_vector(base)
    if found is None:
        return None
    loc, root = found
    images = apply(np.concatenate([np.zeros((1, len(loc))), np.eye(len(loc))]))
    flat = images.reshape(len(images), -1)
    origin, matrix = flat[0], (flat[1:] - flat[0]).T
    if matrix.shape[0] != matrix.shape[1]:
        return None
    return MultivariateNormal(origin + matrix @ loc, _triangular(matrix @ root))


def _triangular(root: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """The lower triangle L with L L' = root root', and a positive diagonal."""
    ready = np.array_equal(root, np.tril(root))
    triangle = root if ready else np.asarray(linalg.qr(root.T, mode="r")[0]).T
    return triangle * np.where(np.diag(triangle) < 0.0, -1.0, 1.0)
