"""A flow: a mixture of Gaussians pushed through affine couplings, by flowjax, which is loaded when it is used."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, final

import numpy as np
import scipy
from jaxtyping import Float, Int

from kullback.core.errors import InputError
from kullback.core.numerics import float64
from kullback.core.optional import need
from kullback.distributions.base import Array, Distribution, Support
from kullback.distributions.gaussian_mixture import GaussianMixture

#: Rows that the compiled couplings take at a time.
_ROWS = 1024
#: Draws for a covariance: the sd of a Gaussian is off by .006 of itself.
_DRAWS = 2**14
#: The log of what a coupling scales by is within this, so that far out, where it learnt nothing, it stays tame: scales
#: without a bound left one row in 20,000 with a log density of -1e6.
_LARGEST = 1.5
#: From orders, parameters and one point to a point and the log determinant there.
Coupled = Callable[[Any, Any, Any], tuple[Any, Any]]


@final
@dataclass(frozen=True, eq=False)
class CouplingFlow(Distribution):
    """loc + scale_tril T(z), z of the base: T is a chain of affine couplings (Dinh, Sohl-Dickstein and Bengio 2017).

    A coupling hands on the first half of the coordinates, and moves and scales the others by functions of that half:
    perceptrons of one hidden layer.

    Attributes:
        loc, scale_tril: from whitened coordinates to those of events, (d,) and (d, d).
        base: over the whitened coordinates.
        orders: the order in which coordinates leave each coupling, (layers, d).
        width: hidden units of each perceptron.
        parameters: of all of them.
    """

    loc: Float[np.ndarray, " d"]
    scale_tril: Float[np.ndarray, "d d"]
    base: GaussianMixture
    orders: Int[np.ndarray, "l d"]
    width: int
    parameters: Float[np.ndarray, " w"]

    def __post_init__(self) -> None:
        layers, d = self.orders.shape
        whole = (np.sort(self.orders, axis=1) == np.arange(d)).all()
        shapes = self.loc.shape == (d,) and self.scale_tril.shape == (d, d)
        if d < 2 or self.width < 1 or not whole or not shapes or self.base.support.dimension != d:
            raise InputError(
                "CouplingFlow: the orders are none of the coordinates, or shapes differ"
            )
        if self.parameters.shape != (size(layers, d, self.width),):
            raise InputError(
                f"CouplingFlow: {len(self.parameters)} parameters, not {size(layers, d, self.width)}"
            )
        held = (self.loc, self.scale_tril, self.parameters)
        if (
            not all(np.isfinite(a).all() for a in held)
            or not (np.diag(self.scale_tril) > 0.0).all()
        ):
            raise InputError("CouplingFlow: parameters must be finite, and scales positive")

    @property
    def support(self) -> Support:
        return Support("real", dimension=len(self.loc))

    def log_prob(self, x: Array) -> Float[np.ndarray, " n"]:
        z, log_det = self.pushed(self.whitened(x), back=True)
        return self.base.log_prob(z) + log_det - float(np.log(np.diag(self.scale_tril)).sum())

    def whitened(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """Returns events in whitened coordinates."""
        moved = np.asarray(x, dtype=np.float64) - self.loc
        return scipy.linalg.solve_triangular(self.scale_tril, moved.T, lower=True).T

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        white, _ = self.pushed(self.base.sample(rng, n))
        return self.loc + white @ self.scale_tril.T

    def pushed(
        self, x: Float[np.ndarray, "n d"], *, back: bool = False
    ) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"]]:
        """Returns T, or its inverse, at n whitened points, and the log determinants there."""
        layers, d = self.orders.shape
        program = _compiled(layers, d, self.width, back)
        out, log_det = np.empty(x.shape), np.empty(len(x))
        with float64():
            for i in range(0, len(x), _ROWS):
                part = x[i : i + _ROWS]
                filled = np.concatenate([part, np.zeros((_ROWS - len(part), d))])
                y, logs = program(self.orders, self.parameters, filled)
                out[i : i + _ROWS] = np.asarray(y)[: len(part)]
                log_det[i : i + _ROWS] = np.asarray(logs)[: len(part)]
        return out, log_det

    @cached_property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """That of draws, the same ones each time: sds are within about a hundredth of the flow's."""
        return np.cov(self.sample(np.random.default_rng(0), _DRAWS), rowvar=False)

    def __str__(self) -> str:
        return f"flow of {len(self.orders)} couplings over {len(self.loc)} coordinates"


def _shapes(layers: int, d: int, width: int) -> tuple[tuple[int, ...], ...]:
    """Of the weights and biases of the hidden layers, and of those that move and scale."""
    kept, scaled = d // 2, 2 * (d - d // 2)
    return (layers, width, kept), (layers, width), (layers, scaled, width), (layers, scaled)


def size(layers: int, d: int, width: int) -> int:
    """Returns how many parameters so many couplings have."""
    return sum(math.prod(shape) for shape in _shapes(layers, d, width))


def unmoved(layers: int, d: int, width: int, rng: np.random.Generator) -> Float[np.ndarray, " w"]:
    """Returns parameters with which T changes nothing: hidden layers at random, and then zeros."""
    hidden, biases, *_ = _shapes(layers, d, width)
    parts = [rng.uniform(-1.0, 1.0, shape) / math.sqrt(d // 2) for shape in (hidden, biases)]
    start = np.zeros(size(layers, d, width))
    flat = np.concatenate([part.ravel() for part in parts])
    start[: len(flat)] = flat
    return start


@cache
def couplings(layers: int, d: int, width: int) -> tuple[Coupled, Coupled]:
    """Returns T and its inverse as functions that JAX can trace.

    Raises:
        MissingDependencyError: flowjax is not installed.
    """
    what, install = "Flow()", "kullback[flow]"
    bijections, paramax = (need(name, what, install) for name in ("flowjax.bijections", "paramax"))
    jax, eqx = need("jax", what, install), need("equinox", what, install)
    arrays, shapes = jax.numpy, _shapes(layers, d, width)
    with float64():
        affine = eqx.tree_at(
            lambda a: a.scale,
            bijections.Affine(),
            paramax.Parameterize(
                lambda x: arrays.exp(_LARGEST * arrays.tanh(x / _LARGEST)), arrays.zeros(())
            ),
        )
        # Its own parameters are not used: of all kinds of keys this is the one whose draws compile fastest.
        coupling = bijections.Coupling(
            jax.random.key(0, impl="unsafe_rbg"), transformer=affine, untransformed_dim=d // 2, dim=d,
            nn_width=width, nn_depth=1, nn_activation=jax.nn.silu,
        )  # fmt: skip
        permute = eqx.filter_eval_shape(bijections.Permute, np.arange(d))

    def held(c: Any) -> tuple[Any, ...]:
        first, last = c.conditioner.layers
        return first.weight, first.bias, last.weight, last.bias

    def permuted(order: Any) -> Any:
        ways = order, arrays.argsort(order, axis=-1)
        return eqx.tree_at(lambda p: (p.permutation[0], p.inverse_permutation[0]), permute, ways)

    def chain(orders: Any, parameters: Any) -> Any:
        ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
        parts = arrays.split(arrays.asarray(parameters), ends)
        stacked = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
        orders = arrays.asarray(orders)
        all_at_once = [eqx.tree_at(held, coupling, tuple(stacked)), permuted(orders)]
        total = arrays.arange(d)
        for i in range(layers):
            total = total[orders[i]]
        home = permuted(arrays.argsort(total))
        return bijections.Chain([bijections.Scan(bijections.Chain(all_at_once)), home])

    return (
        lambda orders, parameters, x: chain(orders, parameters).transform_and_log_det(x),
        lambda orders, parameters, y: chain(orders, parameters).inverse_and_log_det(y),
    )


@cache
def _compiled(layers: int, d: int, width: int, back: bool) -> Any:  # noqa: FBT001 - a key of the cache
    coupled = couplings(layers, d, width)[1 if back else 0]
    jax = need("jax", "Flow()", "kullback[flow]")
    return jax.jit(jax.vmap(coupled, (None, None, 0)))
