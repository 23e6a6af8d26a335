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
from kullback.interop.constraints import in_chunks
from kullback.interop.jax_function import compiled
from kullback.interop.parameters import Layout, from_shapes
from kullback.interop.tracing import explained
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
    with float64():
        sites = _sites(model, args, kwargs, name)
        latent = _latent(sites, name)
        _check_data(sites)
        fixed = {k: s["value"] for k, s in sites.items() if s["type"] in ("param", "mutable")}
        ready = handlers.seed(handlers.substitute(model, data=fixed), jax.random.key(0))
        layout = from_shapes(
            {k: np.shape(s["value"]) for k, s in latent.items()},
            {k: s["fn"].support for k, s in latent.items()},
        )
        moving = _moving(model, args, kwargs, latent)
    density = _density(ready, args, kwargs, layout, _dense(ready, sites), moving=moving)
    names = [k for k, s in sites.items() if k in latent or s["type"] == "deterministic"]
    replay = functools.partial(_replay, ready, args, kwargs, layout)
    several = _batched(lambda u: replay(u)[0])
    plain = not moving and len(names) == len(latent)
    target = layout.target(
        compiled(density, layout.dimension, name=name), gradient="automatic", origin="NumPyro model"
    )
    if not plain:
        target = replace(target, constrain=lambda u: _in_order(several(u), names))
    if not moving:
        return target
    jacobian, inverse = _batched(lambda u: replay(u)[1]), _inverse(ready, args, kwargs, layout)
    return replace(target, log_jacobian=jacobian, unconstrain=inverse, layout=None)


def has_sites(model: Callable[..., Any]) -> bool:
    """Whether a function without arguments is a model: whether it draws by `numpyro.sample`."""
    try:
        with float64():
            return bool(_trace(model, (), {}, getattr(model, "__name__", "model"), radius=0))
    except KullbackError:
        return False


def _density(
    model: Any, args: Any, kwargs: Any, layout: Layout, dense: Callable[..., Any], *, moving: bool
) -> Callable[[jax.Array], jax.Array]:
    """Returns the log density of one point u.

    Constrained values are put into the model and the Jacobian is added outside it: the layout's
    bijections keep off the ends of an interval, NumPyro's do not.
    """

    def fixed(u: jax.Array) -> jax.Array:
        return dense(args, kwargs, layout.constrain_one(u)) + layout.log_jacobian_one(u)

    def replayed(u: jax.Array) -> jax.Array:
        values, jacobian = _replay(model, args, kwargs, layout, u)
        return (
            dense(args, kwargs, {leaf.name: values[leaf.name] for leaf in layout.leaves}) + jacobian
        )

    return replayed if moving else fixed


def _sites(model: Any, args: Any, kwargs: Any, name: str) -> dict[str, Site]:
    """Returns the sites of a model at the point u = 0."""
    return _trace(model, args, kwargs, name, radius=0)


def _trace(model: Any, args: Any, kwargs: Any, name: str, *, radius: int) -> dict[str, Site]:
    started = handlers.substitute(
        handlers.seed(model, jax.random.key(1)), substitute_fn=init_to_uniform(radius=radius)
    )
    try:
        return guarded(handlers.trace(started).get_trace, f"the model of {name}")(*args, **kwargs)
    except KullbackError:
        raise
    except Exception as error:
        raise explained(error, name) from error


def _latent(sites: Mapping[str, Site], name: str) -> dict[str, Site]:
    """Returns the continuous latent sites.

    Raises:
        InputError: there are none.
        UnsupportedError: a site cannot be fitted.
    """
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
        data = np.asarray(site["value"])
        if data.dtype.kind != "f" or not np.isnan(data).any():
            continue
        fn = site["fn"]
        seen = np.asarray(getattr(fn, "_mask", True))
        seen = np.reshape(seen, (*seen.shape, *(1 for _ in fn.event_shape)))
        bad = np.argwhere(np.isnan(data) & np.broadcast_to(seen, data.shape))
        if len(bad):
            first = ", ".join(map(str, bad[0])) or "()"
            raise InputError(
                f"site {name}: the data have {len(bad)} NaN, first at index {first}; drop them, "
                "fill them, or leave them out with handlers.mask"
            )


def _moving(model: Any, args: Any, kwargs: Any, latent: Mapping[str, Site]) -> bool:
    """Whether a support depends on other latent sites: it differs at another point."""
    arrays = [k for k, s in latent.items() if any(np.ndim(b) or not _plain(b) for b in _bounds(s))]
    if not arrays:
        return False
    other = _trace(model, args, kwargs, "model", radius=1)
    return any(
        not np.array_equal(a, b)
        for k in arrays
        for a, b in zip(_bounds(latent[k]), _bounds(other[k]), strict=True)
    )


def _plain(bound: object) -> bool:
    return isinstance(bound, (int, float))


def _bounds(site: Site) -> list[Any]:
    base = site["fn"].support
    while hasattr(base, "base_constraint"):
        base = base.base_constraint
    ends = (getattr(base, f"{end}_bound", None) for end in ("lower", "upper"))
    return [e for e in ends if e is not None]


def _dense(model: Any, sites: Mapping[str, Site]) -> Callable[[Any, Any, Any], Any]:
    """Returns the log joint density of a model at constrained values, discrete sites summed out."""
    discrete = [
        s
        for s in sites.values()
        if s["type"] == "sample" and not s["is_observed"] and s["fn"].support.is_discrete
    ]
    if not discrete:
        return lambda args, kwargs, values: log_density(model, args, kwargs, values)[0]
    site = f"site {discrete[0]['name']} is enumerated, which"
    need("funsor", site, "kullback[enumerate]")
    funsor = importlib.import_module("numpyro.contrib.funsor")
    nesting = max(
        (-f.dim for s in sites.values() for f in s.get("cond_indep_stack", ()) if f.dim), default=0
    )
    summed = funsor.enum(funsor.config_enumerate(model), -nesting - 1)
    return lambda args, kwargs, values: funsor.log_density(summed, args, kwargs, values)[0]


def _replay(
    model: Any, args: Any, kwargs: Any, layout: Layout, u: jax.Array
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

    found = handlers.trace(handlers.substitute(model, substitute_fn=place)).get_trace(
        *args, **kwargs
    )
    names = [k for k, s in found.items() if k in own or s["type"] == "deterministic"]
    values = {k: jnp.asarray(found[k]["value"]) for k in names}
    return values, sum(jacobians, start=jnp.zeros((), u.dtype))


def _inverse(
    model: Any, args: Any, kwargs: Any, layout: Layout
) -> Callable[[Mapping[str, Array]], Array]:
    """Returns the way back from values by name when supports depend on each other."""
    names = [leaf.name for leaf in layout.leaves]

    def one(values: dict[str, jax.Array]) -> jax.Array:
        found = handlers.trace(handlers.substitute(model, data=values)).get_trace(*args, **kwargs)
        parts = [biject_to(found[k]["fn"].support).inv(values[k]) for k in names]
        return jnp.concatenate([jnp.ravel(p) for p in parts])

    batched = _batched(one)

    def call(values: Mapping[str, Array]) -> Array:
        missing = [k for k in names if k not in values]
        if missing:
            raise InputError(f"no values of {', '.join(missing)}; there are {', '.join(values)}")
        return batched({k: np.asarray(values[k], dtype=np.float64) for k in names})

    return call


def _in_order(values: dict[str, Array], names: list[str]) -> dict[str, Array]:
    """Returns values in the order of the model; JAX sorts them by name."""
    return {name: values[name] for name in names}


def _batched(fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Returns a traceable function of one point as one of n points, by NumPy."""
    program = jax.jit(jax.vmap(fn))
    return lambda rows: in_chunks(program, rows)
