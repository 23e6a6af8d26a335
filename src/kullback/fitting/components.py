"""A mixture of Gaussians while it is fitted: its components, and coordinates around them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float
from scipy.linalg import lapack

from kullback.distributions.base import Distribution
from kullback.distributions.compound import Mixture
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.distributions.real import Normal
from kullback.distributions.vector import MultivariateNormal

Array = np.ndarray
Vector = Float[np.ndarray, " _"]
_LOG_2PI = math.log(2.0 * math.pi)
#: Factors of so many columns are inverted one by one, as triangles: a call for each then costs less.
_WIDE = 8
#: Points at a time, so that their distances from all components stay small.
_POINTS = 4096
#: Logs of scales beyond this are of no density that float64 holds.
_LARGEST = 300.0


@final
@dataclass(frozen=True, eq=False)
class Components:
    """k weighted Gaussians N(m, L L') in d dimensions, by any square roots L of their covariances.

    Attributes:
        weights: (k,).
        means: (k, d).
        roots: (k, d, d), or (k, d) if the coordinates of a component are independent.
    """

    weights: Float[np.ndarray, " k"]
    means: Float[np.ndarray, "k d"]
    roots: Array

    @property
    def diagonal(self) -> bool:
        """Whether roots are kept as diagonals."""
        return self.roots.ndim == 2

    @cached_property
    def inverses(self) -> Float[np.ndarray, "k d d"]:
        """Of the roots, as matrices."""
        if self.diagonal:
            return (1.0 / self.roots)[:, :, None] * np.eye(self.roots.shape[1])
        if self.roots.shape[1] < _WIDE or np.triu(self.roots, 1).any():
            return np.linalg.inv(self.roots)
        invert = lapack.dtrtri  # pyright: ignore[reportAttributeAccessIssue]
        return np.array([invert(root, lower=1)[0] for root in self.roots])

    @cached_property
    def log_dets(self) -> Float[np.ndarray, " k"]:
        """The logs of |det L|."""
        return np.log(self.roots).sum(axis=1) if self.diagonal else np.linalg.slogdet(self.roots)[1]

    @property
    def matrices(self) -> Float[np.ndarray, "k d d"]:
        """The roots as matrices."""
        return self.roots[:, :, None] * np.eye(self.roots.shape[1]) if self.diagonal else self.roots

    @property
    def covariances(self) -> Float[np.ndarray, "k d d"]:
        return self.matrices @ self.matrices.transpose(0, 2, 1)

    @property
    def sds(self) -> Float[np.ndarray, "k d"]:
        """Of each coordinate of each component."""
        return self.roots if self.diagonal else np.linalg.norm(self.roots, axis=2)

    @property
    def moments(self) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"]]:
        """The mean and the covariance of the mixture."""
        mean = self.weights @ self.means
        moved = self.means - mean
        within = np.einsum("k,kij->ij", self.weights, self.covariances)
        return mean, within + np.einsum("k,ki,kj->ij", self.weights, moved, moved)

    def place(self, z: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "k n d"]:
        """Returns the draws of each component, m + L z."""
        if self.diagonal:
            return self.means[:, None] + z * self.roots[:, None]
        return self.means[:, None] + z @ self.roots.transpose(0, 2, 1)

    def moved(self, center: Vector, root: Float[np.ndarray, "d d"]) -> "Components":
        """Returns the mixture of center + root x."""
        return Components(self.weights, center + self.means @ root.T, root @ self.matrices)

    def within(self, *, diagonal: bool) -> "Components":
        """Returns the mixture or, where only diagonals will do, those of its precisions: the best start."""
        if not diagonal or self.diagonal:
            return self
        return replace(self, roots=1.0 / np.sqrt(np.sum(self.inverses**2, axis=1)))

    def lower(self) -> "Components":
        """Returns the same mixture by lower triangles: by a QR, with no square of the condition."""
        if self.diagonal or not np.triu(self.roots, 1).any():
            return replace(self, roots=self.matrices)
        upper = np.linalg.qr(self.roots.transpose(0, 2, 1))[1]
        signs = np.sign(np.diagonal(upper, axis1=1, axis2=2))
        return replace(self, roots=(upper * signs[:, :, None]).transpose(0, 2, 1))

    def nearest(self, x: Float[np.ndarray, "n d"]) -> np.ndarray:
        """Returns the component to which each of n points most probably belongs."""
        z = (x[None] - self.means[:, None]) @ self.inverses.transpose(0, 2, 1)
        with np.errstate(divide="ignore"):
            logs = np.log(self.weights) - self.log_dets
        return np.argmax(logs[:, None] - 0.5 * np.einsum("knd,knd->kn", z, z), axis=0)

    def heaviest(self, n: int) -> list[int]:
        """Returns the n components of the greatest weight."""
        return [int(i) for i in np.argsort(self.weights)[::-1][:n]]

    def with_another(
        self, weight: float, mean: Vector, root: Float[np.ndarray, "*s"]
    ) -> "Components":
        """Returns one component more, which takes its weight from all others."""
        return Components(
            np.append((1.0 - weight) * self.weights, weight),
            np.concatenate([self.means, mean[None]]),
            np.concatenate([self.roots, root[None]]),
        )

    def order(self) -> np.ndarray:
        """Returns the order of components by their means, of those that share one by their scales."""
        return order_of(self.means, self.matrices)

    def log_prob(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Returns the log density at n points."""
        parts = np.array_split(x, max(len(x) // _POINTS, 1))
        return np.concatenate(
            [np.logaddexp.reduce(self._log_joint(self._whitened(part)), axis=0) for part in parts]
        )

    def log_prob_and_score(
        self, x: Float[np.ndarray, "n d"]
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n d"]]:
        """Returns the log density and its gradient at n points."""
        value, score = np.empty(len(x)), np.empty_like(x)
        for start in range(0, len(x), _POINTS):
            rows = slice(start, start + _POINTS)
            white = self._whitened(x[rows])
            logs = self._log_joint(white)
            value[rows] = np.logaddexp.reduce(logs, axis=0)
            pulls = white / self.roots[:, None] if self.diagonal else white @ self.inverses
            score[rows] = -np.einsum("kn,knd->nd", np.exp(logs - value[rows]), pulls)
        return value, score

    def _whitened(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "k n d"]:
        moved = x - self.means[:, None]
        if self.diagonal:
            return moved / self.roots[:, None]
        return moved @ self.inverses.transpose(0, 2, 1)

    def _log_joint(self, white: Float[np.ndarray, "k n d"]) -> Float[np.ndarray, "k n"]:
        constant = np.log(np.maximum(self.weights, 1e-300)) - self.log_dets
        constant = constant - 0.5 * self.means.shape[1] * _LOG_2PI
        return constant[:, None] - 0.5 * np.einsum("knd,knd->kn", white, white)

    def distribution(self, *, scalar: bool = False) -> Distribution:
        """Returns the mixture as the simplest distribution it is, its components in order."""
        q = self.lower()
        kept = [k for k in q.order() if q.weights[k] > 0.0]
        weights, means, roots = q.weights[kept], q.means[kept], q.roots[kept]
        if scalar:
            parts = tuple(
                Normal(float(m[0]), float(r[0, 0])) for m, r in zip(means, roots, strict=True)
            )
            return parts[0] if len(parts) == 1 else Mixture(weights, parts)
        if len(kept) == 1:
            return MultivariateNormal(means[0], roots[0])
        return GaussianMixture(weights / weights.sum(), means, roots)


def one(mean: Vector, root: Float[np.ndarray, "*s"]) -> Components:
    """Returns a single Gaussian."""
    return Components(np.ones(1), mean[None], root[None])


def joined(mixtures: list[Components]) -> Components:
    """Returns the components of several mixtures, one after another."""
    return Components(
        np.concatenate([q.weights for q in mixtures]),
        np.concatenate([q.means for q in mixtures]),
        np.concatenate([q.roots for q in mixtures]),
    )


def parted(q: Components, n: int) -> Iterator[Components]:
    """Yields the n mixtures of as many components each that were joined, their weights summing to 1."""
    weights, means, roots = (a.reshape(n, -1, *a.shape[1:]) for a in (q.weights, q.means, q.roots))
    for w, m, r in zip(weights, means, roots, strict=True):
        yield Components(w / w.sum(), m, r)


def order_of(means: Float[np.ndarray, "k d"], roots: Float[np.ndarray, "k d d"]) -> np.ndarray:
    """Returns the order of components by their means, of those that share one by their scales."""
    scales = np.diagonal(roots, axis1=1, axis2=2)
    return np.lexsort(np.concatenate([np.round(means, 5) + 0.0, scales], axis=1).T[::-1])


@final
@dataclass(frozen=True, eq=False)
class Chart:
    """Components as a vector: logits, then shifts a and factors C of m + L a and L C around an origin.

    C is lower triangular with the logs of its diagonal, or a diagonal. Gradients are taken in q's own
    coordinates, m + L a and L (I + A), in which every expectation gives them.

    Attributes:
        origin: at the vector 0.
        diagonal: whether factors are diagonals.
        units: lengths of the coordinates; 1 unless given.
    """

    origin: Components
    diagonal: bool
    units: Vector | float = 1.0

    @classmethod
    def standard(cls, k: int, d: int, *, diagonal: bool) -> "Chart":
        """Returns coordinates around k standard normals."""
        roots = np.repeat(np.eye(d)[None], k, axis=0)
        return cls(Components(np.full(k, 1.0 / k), np.zeros((k, d)), roots), diagonal)

    @classmethod
    def scaled(cls, origin: Components, *, diagonal: bool) -> "Chart":
        """Returns coordinates in which EM's own curvature is the identity.

        Logits, means and factors are measured in the errors they would have if it were known which row
        belongs to which component: what is left for a minimiser is what the rows do not tell.
        """
        bare = cls(origin, diagonal)
        each = np.sqrt(np.maximum(origin.weights, 1e-6))
        turns = np.where(bare.entries[0] == bare.entries[1], math.sqrt(2.0), 1.0)
        lengths = [each, np.repeat(each, bare.d), np.outer(each, turns).ravel()]
        return replace(bare, units=np.concatenate(lengths))

    @property
    def k(self) -> int:
        return len(self.origin.weights)

    @property
    def d(self) -> int:
        return self.origin.means.shape[1]

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return self.k * (1 + self.d + len(self.entries[0]))

    @cached_property
    def entries(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of a factor that are free."""
        every = np.arange(self.d)
        return (every, every) if self.diagonal else np.tril_indices(self.d)

    def parts(self, vector: Vector) -> tuple[Vector, Float[np.ndarray, "k d"], Array]:
        """Returns logits, shifts and factors."""
        k, d = self.k, self.d
        logits, shifts, entries = np.split(vector / self.units, [k, k + k * d])
        entries = entries.reshape(k, -1)
        if self.origin.diagonal:
            return logits, shifts.reshape(k, d), np.exp(np.clip(entries, -_LARGEST, _LARGEST))
        factors, every = np.zeros((k, d, d)), np.arange(d)
        factors[:, self.entries[0], self.entries[1]] = entries
        logs = np.clip(factors[:, every, every], -_LARGEST, _LARGEST)
        factors[:, every, every] = np.exp(logs)
        return logits, shifts.reshape(k, d), factors

    def unpack(self, vector: Vector) -> Components:
        """Returns the components at coordinates; the origin at 0."""
        logits, shifts, factors = self.parts(vector)
        logits = logits + np.log(np.maximum(self.origin.weights, 1e-300))
        weights = np.exp(logits - logits.max())
        roots = self.origin.roots
        if self.origin.diagonal:
            means, roots = self.origin.means + roots * shifts, roots * factors
        else:
            means = self.origin.means + (roots @ shifts[:, :, None])[:, :, 0]
            roots = roots @ factors
        return Components(weights / weights.sum(), means, roots)

    def pack(self, q: Components) -> Vector:
        """Returns the coordinates of components whose roots are lower triangles, as the origin's are."""
        logits = np.log(np.maximum(q.weights, 1e-300) / np.maximum(self.origin.weights, 1e-300))
        inverse, every = self.origin.inverses, np.arange(self.d)
        shifts = (inverse @ (q.means - self.origin.means)[:, :, None])[:, :, 0]
        factors = inverse @ q.matrices
        factors[:, every, every] = np.log(factors[:, every, every])
        entries = factors[:, self.entries[0], self.entries[1]]
        return np.concatenate([logits, shifts.ravel(), entries.ravel()]) * self.units

    def gradient(
        self, q: Components, logits: Vector, shifts: Float[np.ndarray, "k d"], turns: Array
    ) -> Vector:
        """Returns the gradient in these coordinates from that in q's own.

        Args:
            q: where it is taken.
            logits: by the logits (k,).
            shifts: by a, of m + L a (k, d).
            turns: by A, of L (I + A): (k, d, d), of which the lower triangle is used, or (k, d).
        """
        if self.origin.diagonal:
            shifts = shifts * self.origin.roots / q.roots
            return np.concatenate([logits, shifts.ravel(), turns.ravel()]) / self.units
        every, inverse = np.arange(self.d), self.origin.inverses
        back = (q.inverses @ self.origin.roots).transpose(0, 2, 1)
        # dC = C A, so that the part of C is the lower triangle of C^-T times that of A.
        turns = back @ turns
        turns[:, every, every] *= np.einsum("kij,kji->ki", inverse, q.roots)
        entries = turns[:, self.entries[0], self.entries[1]]
        shifts = (back @ shifts[:, :, None])[:, :, 0]
        return np.concatenate([logits, shifts.ravel(), entries.ravel()]) / self.units
