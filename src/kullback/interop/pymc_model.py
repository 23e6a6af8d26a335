"""A PyMC model as a density over the whole space: PyMC's own unconstrained value variables."""

import functools
import importlib
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from kullback.core.errors import DensityError, InputError, UnsupportedError
from kullback.core.numerics import float64
from kullback.core.optional import need
from kullback.core.user_code import guarded, raised
from kullback.interop.jax_function import Evaluate, compiled, in_chunks
from kullback.interop.parameters import ParameterLayout, from_shapes, in_order, nan_words
from kullback.targets import Unconstrained

Array = np.ndarray
Values = dict[str, Array]


def pymc_model(model: Any) -> Unconstrained:
    """Returns a PyMC model (5 or 6) as a density over the whole space.

    The density is that of PyMC's value variables, the Jacobian of its transforms included. It is
    turned into JAX; where PyTensor cannot do that for an operation, PyTensor's own compiled
    function is called row by row. `constrain` returns the model's variables and deterministics.
    The caller's JAX flags stay as they are, though PyTensor changes them.

    Args:
        model: a pymc.Model, its data observed.

    Raises:
        MissingDependencyError: PyMC is not installed.
        InputError: nothing is to be fitted, or observed data have NaN.
        UnsupportedError: a variable that is not observed is discrete.
        DensityError: the model cannot be evaluated.

    Example:
        >>> import pymc
        >>> with pymc.Model() as model:
        ...     mu = pymc.Normal("mu", 0.0, 1.0)
        >>> pymc_model(model).dimension
        1
    """
    pymc = need("pymc", "a PyMC model", "kullback[pymc]")
    _check(model)
    with _jax_flag_kept():
        point = model.initial_point()
        names = {v.name: model.values_to_rvs[v].name for v in model.value_vars}
        layout = from_shapes({names[k]: np.shape(v) for k, v in point.items() if k in names}, {})
        start = np.concatenate([np.ravel(point[v.name]) for v in model.value_vars])
        outputs, free = _outputs(model)
        evaluate, constrain, log_jacobian = _functions(model, layout, outputs)
        _check_sign(pymc, model, point, evaluate(start[None])[0][0])
    return Unconstrained(
        dimension=layout.dimension,
        evaluate=evaluate,
        constrain=lambda u: dict(zip(free, constrain(u), strict=True)),
        log_jacobian=log_jacobian,
        unconstrain=_inverse(model),
        start=start.astype(np.float64),
        coordinates=layout.coordinates,
        origin="PyMC model",
    )


@contextmanager
def _jax_flag_kept() -> Iterator[None]:
    """Puts jax_enable_x64 back: PyTensor sets it for everyone when its JAX part is imported."""
    before = _global_flag()
    try:
        yield
    finally:
        if _global_flag() != before:
            jax.config.update("jax_enable_x64", before)


def _global_flag() -> bool:
    """The flag as a new thread sees it: in this one, a context may hide it."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: bool(jax.config.read("jax_enable_x64"))).result()


def _check(model: Any) -> None:
    discrete = [model.values_to_rvs[v].name for v in model.discrete_value_vars]
    if discrete:
        raise UnsupportedError(
            f"{', '.join(discrete)} is discrete: a density over real vectors cannot hold it; sum it "
            "out, with pymc_extras.marginalize or a Mixture"
        )
    if not model.value_vars:
        raise InputError("the PyMC model has no free variables: there is nothing to fit")
    for rv in model.observed_RVs:
        value = model.rvs_to_values[rv]  # a constant, a container of one, or neither
        data = getattr(value, "data", value.get_value() if hasattr(value, "get_value") else ())
        bad = nan_words(data)
        if bad:
            raise InputError(f"variable {rv.name}: the data have {bad}; drop them, or fill them")


def _outputs(model: Any) -> tuple[list[Any], list[str]]:
    """Returns log p, the log Jacobian and the user's variables as graphs; and the latters' names."""
    jacobians = [
        t.log_jac_det(model.rvs_to_values[rv], *rv.owner.inputs).sum()
        for rv, t in model.rvs_to_transforms.items()
        if t is not None and rv in model.free_RVs
    ]
    variables = list(model.unobserved_RVs)
    graphs = model.replace_rvs_by_values([*jacobians, *variables])
    count = len(jacobians)
    tensor = importlib.import_module("pytensor.tensor")
    total = sum(graphs[:count], start=tensor.zeros(()))
    try:
        log_prob = guarded(model.logp, "PyMC's model.logp()")()
    except Exception as error:
        text, kind = raised(error)
        raise DensityError(f"{text} ({kind} raised by PyMC's model.logp())") from error
    return [log_prob, total, *graphs[count:]], [v.name for v in variables]


def _functions(
    model: Any, layout: ParameterLayout, outputs: list[Any]
) -> tuple[Evaluate, Callable[[Array], list[Array]], Callable[[Array], Array]]:
    """Returns the density, the user's variables and the log Jacobian as functions of n points."""
    try:
        graph = _jaxified(model.value_vars, outputs)

        def at(u: jax.Array) -> Any:
            return graph(*(leaf.take(u) for leaf in layout.leaves))

        evaluate = compiled(lambda u: at(u)[0], layout.dimension, name="the PyMC model")
    except (NotImplementedError, DensityError, TypeError):
        # An operation that PyTensor or JAX does not know there.
        return _by_pytensor(model, layout, outputs)
    values = jax.jit(jax.vmap(lambda u: [jnp.asarray(v) for v in at(u)[2:]]))
    jacobian = jax.jit(jax.vmap(lambda u: at(u)[1]))
    return evaluate, functools.partial(in_chunks, values), functools.partial(in_chunks, jacobian)


def _jaxified(inputs: list[Any], outputs: list[Any]) -> Callable[..., Any]:
    with float64():
        # The constants of the graph become JAX arrays here.
        return importlib.import_module("pymc.sampling.jax").get_jaxified_graph(inputs, outputs)


def _by_pytensor(
    model: Any, layout: ParameterLayout, outputs: list[Any]
) -> tuple[Evaluate, Callable[[Array], list[Array]], Callable[[Array], Array]]:
    """As `_functions`, by PyTensor's own compiled functions, row by row."""
    both = model.logp_dlogp_function(ravel_inputs=True)
    both.set_extra_values({})
    rest = model.compile_fn(
        outputs[1:], inputs=model.value_vars, on_unused_input="ignore", point_fn=False
    )

    def evaluate(u: Array) -> tuple[Array, Array]:
        rows = [both(row) for row in np.asarray(u, dtype=np.float64)]
        values = np.array([float(value) for value, _ in rows])
        return values, np.array([slope for _, slope in rows]).reshape(u.shape)

    def others(u: Array) -> list[Array]:
        rows = [rest(*(leaf.take(row) for leaf in layout.leaves)) for row in u]
        return [np.array(column) for column in zip(*rows, strict=True)]

    return evaluate, lambda u: others(u)[1:], lambda u: others(u)[0]


def _check_sign(pymc: Any, model: Any, point: Values, found: float) -> None:
    """Raises DensityError unless the density is PyMC's own at a point, its sign too.

    What PyMC calls `negative_logp` has meant both.
    """
    mode = importlib.import_module("pytensor.compile.mode").Mode
    plain = mode(linker="py", optimizer="fast_compile")
    truth = float(model.compile_logp(mode=plain)(point))
    if not math.isclose(found, truth, rel_tol=1e-6, abs_tol=1e-6) and math.isfinite(truth):
        raise DensityError(
            f"the density of the PyMC model is {found:.10g} at its initial point, and PyMC "
            f"{pymc.__version__}'s own compile_logp says {truth:.10g}: do not use it"
        )


def _inverse(model: Any) -> Callable[[Mapping[str, Array]], Array]:
    """Returns the map from the user's variables, by name, to the value variables."""
    rvs = [model.values_to_rvs[v] for v in model.value_vars]
    names = [rv.name for rv in rvs]

    @functools.cache
    def program() -> Any:
        given = [rv.type(name=rv.name) for rv in rvs]
        moved = []
        for rv, x in zip(rvs, given, strict=True):
            transform = model.rvs_to_transforms[rv]
            moved.append(x if transform is None else transform.forward(x, *rv.owner.inputs))
        replace = importlib.import_module("pytensor.graph.replace").clone_replace
        graphs = replace(moved, dict(zip(rvs, given, strict=True)))
        with _jax_flag_kept():
            graph = _jaxified(given, graphs)
        return jax.jit(jax.vmap(lambda xs: ravel_pytree(graph(*xs))[0]))

    return lambda values: in_chunks(program(), in_order(values, names))
