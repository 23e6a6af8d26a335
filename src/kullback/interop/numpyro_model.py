"""A NumPyro model as a density over the whole space."""

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.distributions import Delta, biject_to
from numpyro.infer import init_to_uniform
from numpyro.infer.util import log_density

from kullback.core.errors import InputError, KullbackError, UnsupportedError
from kullback.core.numerics import float64
from kullback.core.optional import need
from kullback.core.user_code import guarded
from kullback.interop.callables import explained
from kullback.interop.jax_function import compiled, in_chunks
from kullback.interop.parameters import ParameterLayout, from_shapes, in_order, nan_words
from kullback.targets import Unconstrained

Array = np.ndarray
Site = dict[str, Any]


def numpyro_model(model: Callable[..., Any], *args: Any, **kwargs: Any) -> Unconstrained:
    """Returns a NumPyro model, given its data, as a density over the whole space.

    The density is the joint one of the latent sites and the data, so that exp of it integrates to
    the evidence. `constrain` also returns the deterministic sites.

    Args:
        model: a callable with sample sites.
        args, kwargs: what it is called with, the data among them.

    Raises:
        InputError: there are no latent sites, or the data have NaN.
        UnsupportedError: a latent site is discrete and not enumerated, or a plate is subsampled.
        MissingDependencyError: enumeration needs funsor.
        DensityError: the model raises an exception, or cannot be traced.

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> def coin(heads):
        ...     share = numpyro.sample("share", dist.Beta(2.0, 2.0))
        ...     numpyro.sample("heads", dist.Binomial(10, share), obs=heads)
        >>> numpyro_model(coin, 7).coordinates
        ('share',)
    """
    name = getattr(model, "__name__", type(model).__name__)
    model = functools.partial(model, *args, **kwargs)
    with float64():
        sites = _sites(model, name)
        latent = _latent(sites, name)
        _check_data(sites)
        fixed = {k: s["value"] for k, s in sites.items() if s["type"] in ("param", "mutable")}
        ready = handlers.seed(handlers.substitute(model, data=fixed), jax.random.key(0))
        layout = from_shapes(
            {k: np.shape(s["value"]) for k, s in latent.items()},
            {k: s["fn"].support for k, s in latent.items()},
        )
        moving = _moving(model, latent)
    replay = functools.partial(_replay, ready, layout)
    density = _density(_dense(ready, sites), layout, replay if moving else None)
    target = layout.target(
        compiled(density, layout.dimension, name=name), gradient="automatic", origin="NumPyro model"
    )
    names = [k for k, s in sites.items() if k in latent or s["type"] == "deterministic"]
    if moving or len(names) > len(latent):
        several = _batched(lambda u: [*map(replay(u)[0].__getitem__, names)])
        target = replace(target, constrain=lambda u: dict(zip(names, several(u), strict=True)))
    if not moving:
        return target
    jacobian, inverse = _batched(lambda u: replay(u)[1]), _inverse(ready, list(latent))
    return replace(target, log_jacobian=jacobian, unconstrain=inverse, layout=None)


def has_sites(model: Callable[..., Any]) -> bool:
    """Whether a function without arguments is a model: whether it draws by `numpyro.sample`."""
    try:
        with float64():
            return bool(_sites(model, getattr(model, "__name__", "model")))
    except KullbackError:
        return False


def _density(
    dense: Callable[[dict[str, Any]], Any],
    layout: ParameterLayout,
    replay: Callable[..., Any] | None,
) -> Callable[[jax.Array], jax.Array]:
    """Returns the log density of one point u; by a replay of the model if its supports move.

    Otherwise constrained values are put into the model and the Jacobian is added outside it: the layout's
    bijections keep off the ends of an interval, NumPyro's do not.
    """

    def fixed(u: jax.Array) -> jax.Array:
        return dense(layout.constrain_one(u)) + layout.log_jacobian_one(u)

    def replayed(u: jax.Array) -> jax.Array:
        assert replay is not None
        values, jacobian = replay(u)
        return dense({leaf.name: values[leaf.name] for leaf in layout.leaves}) + jacobian

    return fixed if replay is None else replayed


def _sites(model: Callable[[], Any], name: str, *, radius: int = 0) -> dict[str, Site]:
    """Returns the sites of a model at the point u = 0, or at one within a radius of it."""
    started = handlers.substitute(
        handlers.seed(model, jax.random.key(1)), substitute_fn=init_to_uniform(radius=radius)
    )
    try:
        return guarded(handlers.trace(started).get_trace, f"the model of {name}")()
    except KullbackError:
        raise
    except Exception as error:
        raise explained(error, name) from error


def _latent(sites: Mapping[str, Site], name: str) -> dict[str, Site]:
    """Returns the continuous latent sites."""
    out = {}
    for key, site in sites.items():
        if site["type"] == "plate":
            _check_plate(key, site)
        if site["type"] != "sample" or site["is_observed"]:
            continue
        if isinstance(site["fn"], Delta):
            raise UnsupportedError(
                f"site {key} is a Delta, a point mass; use numpyro.deterministic({key!r}, value)"
            )
        if not site["fn"].support.is_discrete:
            out[key] = site
        elif site["infer"].get("enumerate") != "parallel":
            raise UnsupportedError(
                f"site {key} is discrete ({type(site['fn']).__name__}): a density over real "
                "vectors cannot hold it; sum it out with infer={'enumerate': 'parallel'} "
                "(needs funsor), or write the model with the sum in it, such as "
                "MixtureSameFamily"
            )
    if not out:
        raise InputError(f"{name} has no latent sample sites: there is nothing to fit")
    return out


def _check_plate(name: str, site: Site) -> None:
    size, subsample = site["args"][:2]
    if subsample is not None and subsample < size:
        raise UnsupportedError(
            f"plate {name} draws {subsample} of {size} rows anew at each evaluation: the density "
            "must be the same each time; leave out subsample_size"
        )


def _check_data(sites: Mapping[str, Site]) -> None:
    """Raises InputError if observed data have NaN that are not masked."""
    for name, site in sites.items():
        if site["type"] != "sample" or not site["is_observed"]:
            continue
        seen = np.asarray(getattr(site["fn"], "_mask", True))
        seen = np.reshape(seen, (*seen.shape, *(1 for _ in site["fn"].event_shape)))
        bad = nan_words(site["value"], seen)
        if bad:
            raise InputError(
                f"site {name}: the data have {bad}; drop them, fill them, or leave them out with "
                "handlers.mask"
            )


def _moving(model: Callable[[], Any], latent: Mapping[str, Site]) -> bool:
    """Whether a support depends on other latent sites: it differs at another point."""
    arrays = [
        k for k, s in latent.items() if any(not isinstance(b, (int, float)) for b in _bounds(s))
    ]
    if not arrays:
        return False
    other = _sites(model, "model", radius=1)
    return any(
        not np.array_equal(a, b)
        for k in arrays
        for a, b in zip(_bounds(latent[k]), _bounds(other[k]), strict=True)
    )


def _bounds(site: Site) -> list[Any]:
    base = site["fn"].support
    while hasattr(base, "base_constraint"):
        base = base.base_constraint
    ends = (getattr(base, f"{end}_bound", None) for end in ("lower", "upper"))
    return [e for e in ends if e is not None]


def _dense(model: Any, sites: Mapping[str, Site]) -> Callable[[dict[str, Any]], Any]:
    """Returns the log joint density of a model at constrained values, discrete sites summed out."""
    discrete = [
        s
        for s in sites.values()
        if s["type"] == "sample" and not s["is_observed"] and s["fn"].support.is_discrete
    ]
    if not discrete:
        return lambda values: log_density(model, (), {}, values)[0]
    site = f"site {discrete[0]['name']} is enumerated, which"
    need("funsor", site, "kullback[enumerate]")
    funsor = importlib.import_module("numpyro.contrib.funsor")
    nesting = max(
        (-f.dim for s in sites.values() for f in s.get("cond_indep_stack", ()) if f.dim), default=0
    )
    summed = funsor.enum(funsor.config_enumerate(model), -nesting - 1)
    return lambda values: funsor.log_density(summed, (), {}, values)[0]


def _replay(
    model: Any, layout: ParameterLayout, u: jax.Array
) -> tuple[dict[str, jax.Array], jax.Array]:
    """Returns all latent and deterministic values at u, and the log Jacobian; traceable."""
    own = {leaf.name: leaf.take(u) for leaf in layout.leaves}
    jacobians = []

    def place(site: Site) -> Any:
        if site["name"] not in own or site["type"] != "sample":
            return None
        transform = biject_to(site["fn"].support)
        value = transform(own[site["name"]])
        jacobians.append(jnp.sum(transform.log_abs_det_jacobian(own[site["name"]], value)))
        return value

    found = handlers.trace(handlers.substitute(model, substitute_fn=place)).get_trace()
    names = [k for k, s in found.items() if k in own or s["type"] == "deterministic"]
    values = {k: jnp.asarray(found[k]["value"]) for k in names}
    return values, sum(jacobians, start=jnp.zeros((), u.dtype))


def _inverse(model: Any, names: list[str]) -> Callable[[Mapping[str, Array]], Array]:
    """Returns the way back from values by name when supports depend on each other."""

    def one(values: list[jax.Array]) -> jax.Array:
        data = dict(zip(names, values, strict=True))
        found = handlers.trace(handlers.substitute(model, data=data)).get_trace()
        parts = [biject_to(found[k]["fn"].support).inv(data[k]) for k in names]
        return jnp.concatenate([jnp.ravel(p) for p in parts])

    batched = _batched(one)
    return lambda values: batched(in_order(values, names))


def _batched(fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Returns a traceable function of one point as one of n points, by NumPy."""
    return functools.partial(in_chunks, jax.jit(jax.vmap(fn)))
