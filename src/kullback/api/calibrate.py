"""Calibration: whether fits, or draws of a sampler, are right over the data that a model makes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float

from kullback.api.fit import fit
from kullback.core.errors import DensityError, InputError, KullbackError, UnsupportedError
from kullback.core.executor import Executor, Workers, check_executor
from kullback.core.run import Run
from kullback.core.user_code import guarded
from kullback.diagnostics.calibration import calibrated, detectable, randomised_ranks
from kullback.diagnostics.draws import in_chains
from kullback.families import recipe_of, words
from kullback.files.archive import resumed
from kullback.inputs.draws import Drawn, read_draws, read_parameters
from kullback.inputs.target import Target, read
from kullback.render.progress import told
from kullback.results.calibration import FEWEST, Calibration
from kullback.results.fit import Direction, Fit
from kullback.routes.table import choose
from kullback.tables.kinds import listed
from kullback.targets import Unconstrained

Array = np.ndarray
#: Draws of each fit: true values in the outer 2 of 1,000 are beyond all of them.
_DRAWS = 1000
#: Data sets in a row that cannot be fitted before it is a fault of the set-up.
_HOPELESS = 10
#: Data sets that a worker is sent at a time: some functions are compiled anew where they arrive.
_TOGETHER = 5
#: In a checkpoint.
_DATA_SETS = "data sets"
#: What stands for log p among the quantities.
_LOG_P = "log density of p"
_PRIOR = (
    "limitation: over the data that the prior makes, on average: errors that cancel between data sets, and data of "
    "another kind, are not seen"
)


def calibrate(
    make_target: Callable[[Any], object],
    prior_draws: Callable[[np.random.Generator], tuple[Any, Any]],
    n: int = 200,
    *,
    family: object | None = None,
    direction: Direction | None = None,
    sampler: Callable[[Any, np.random.Generator], object] | None = None,
    quantities: Mapping[str, Callable[[Any, Any], object]] | None = None,
    key: object = 0,
    progress: bool | Callable[[int | str], None] | None = None,
    executor: Executor | None = None,
    checkpoint: str | Path | None = None,
) -> Calibration:
    """Returns whether fits are right over data that a model makes: too low or high, too narrow or wide, or fine.

    Parameters are drawn from the prior, data made with them, and each data set is fitted. If the fits are right, the
    rank of the true value among draws of the fit is uniform, for every parameter: simulation-based calibration. At
    most 5 % of calibrations of exact draws find something, all quantities together.

    Args:
        make_target: maps data to p, the posterior: a `LogDensity`, a model of NumPyro, PyMC or Stan.
            `LogDensity(fn, example, data=data)` compiles once for all data sets.
        prior_draws: maps a NumPy generator to parameters, drawn from the prior, and to data made with these:
            prior_draws(rng) -> (parameters, data). Parameters by name, as the example of p; an array where p is a
            function of one.
        n: how many data sets; at least 20.
        family: what is fitted to each, as of `fit`: "full_rank", "mean_field", "mixture:2", ...
        direction: of the fits: "reverse", which is the default, or "forward".
        sampler: instead of a family: maps data and a NumPy generator to draws of p's parameters, as `judge` takes
            them, with their chains; or to a fit: sampler(data, rng).
        quantities: further functions of parameters and data to rank, by name: f(parameters, data), where parameters
            have an axis of draws before their own, gives a number for each draw.
        key: randomness, an int or a JAX key.
        progress: as of `fit`.
        executor: where data sets are made and fitted, as in `fit`, with the same bits as without. Functions are sent
            there: to a pool of processes those of a module, to Dask any.
        checkpoint: a file in which what was found of each data set is kept. A run that was stopped goes on from it
            with the same bits, one that ended goes on to a larger n.

    Raises:
        InputError: something given cannot be used, or the checkpoint is of another calibration.
        WorkerError: a worker of the executor ended before its work was done.
        UnsupportedError: this family cannot be fitted to p.

    Example:
        >>> import jax.numpy as jnp
        >>> def prior_draws(rng):
        ...     mean = rng.normal(size=2)
        ...     return mean, rng.normal(mean.sum(), 0.5)
        >>> def log_posterior(mean, y):
        ...     return -0.5 * jnp.sum(mean**2) - 0.5 * ((y - jnp.sum(mean)) / 0.5) ** 2
        >>> def make_target(y):
        ...     return kb.LogDensity(log_posterior, np.zeros(2), data=y)
        >>> import kullback as kb
        >>> kb.calibrate(make_target, prior_draws, 60, family="mean_field").quantities[0].finding
        'too narrow'
        >>> kb.calibrate(make_target, prior_draws, 60, family="full_rank").verdict
        'no miscalibration found'

    Source: Talts et al. (2018), Validating Bayesian inference algorithms with simulation-based calibration; Yao et al.
    (2018), Yes, but did it work?; Modrák et al. (2023), Simulation-based calibration checking.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < FEWEST:
        raise InputError(f"n={n!r}: at least {FEWEST} data sets are needed, a whole number")
    if (family is None) == (sampler is None):
        raise InputError(
            'say what is calibrated: family="full_rank", say, or sampler=, a function of data and a generator'
        )
    if sampler is not None and direction is not None:
        raise InputError(f'direction="{direction}": a sampler has none; leave it out')
    check_executor(executor)
    aim = direction or "reverse"
    recipe = None if sampler is not None else recipe_of(family)
    of = (
        "draws of a sampler"
        if recipe is None
        else f"{aim} fits of {family if isinstance(family, str) else words(recipe)}"
    )
    with told("calibrating", progress) as watch:
        loop = _Simulations(
            make_target, prior_draws, sampler, recipe, aim, dict(quantities or {}), Run(key, watch)
        )
        if checkpoint is not None:
            loop.run = replace(loop.run, checkpoint=resumed(checkpoint, loop.mark(of)))
        interrupted = loop.run_through(int(n), executor)
    return loop.result(of, int(n), interrupted=interrupted)


@final
@dataclass(frozen=True, eq=False)
class _Ranked:
    """Ranks of the true values of one data set, by its number."""

    number: int
    names: tuple[str, ...]
    ranks: Float[np.ndarray, " m"]
    draws: int
    varies: Array


@final
@dataclass(eq=False)
class _Simulations:
    """Data sets one by one, with what was found in each."""

    make_target: Callable[[Any], object]
    prior_draws: Callable[[np.random.Generator], tuple[Any, Any]]
    sampler: Callable[[Any, np.random.Generator], object] | None
    recipe: object
    direction: Direction
    quantities: dict[str, Callable[[Any, Any], object]]
    run: Run
    names: tuple[str, ...] = ()
    ranks: list[Float[np.ndarray, " m"]] = field(default_factory=list)
    draws: list[int] = field(default_factory=list)
    varies: list[Array] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def run_through(self, n: int, executor: Executor | None) -> bool:
        """Makes and fits n data sets, here or elsewhere; returns whether somebody stopped it."""
        kept: tuple[Any, ...] = tuple(self.run.checkpoint.get(_DATA_SETS) or ())
        try:
            for told in kept[:n]:
                self._take(_Ranked(*told) if len(told) > 1 else DensityError(*told))
            for outcome in self._outcomes(range(len(kept), n), executor):
                if outcome is None:
                    return True
                self._take(outcome)
                failed = isinstance(outcome, KullbackError)
                kept = (*kept, (str(outcome),) if failed else astuple(outcome))
                self.run.checkpoint.on_the_way(_DATA_SETS, kept)
        except KeyboardInterrupt:
            if len(self.ranks) < 2:
                raise
            return True
        finally:
            self.run.checkpoint.put(_DATA_SETS, kept)
        return False

    def mark(self, of: str) -> dict[str, Any]:
        """Returns what tells this calibration from others: the first parameters that the prior gives, too."""
        pair = self._pair(0)
        truth = tuple(float(x) for leaf in _leaves(pair[0]) for x in np.ravel(leaf))
        return {
            "of": of,
            "key": str(self.run.key),
            "truth": truth,
            "quantities": tuple(self.quantities),
        }

    def _outcomes(
        self, which: range, executor: Executor | None
    ) -> Iterator["_Ranked | KullbackError | None"]:
        if executor is None:
            for i in which:
                self.run.watch(f"data set {i + 1} of {which.stop}")
                yield _attempt(self, i)
            return
        plain = replace(self, run=Run(self.run.key))
        parts = [which[i : i + _TOGETHER] for i in range(0, len(which), _TOGETHER)]
        for part in Workers(executor, self.run.watch).map(partial(_attempts, plain), parts):
            yield from part

    def _take(self, outcome: "_Ranked | KullbackError") -> None:
        """Keeps the ranks of a data set, or why there are none."""
        if isinstance(outcome, KullbackError):
            if not isinstance(outcome, DensityError) and not self.ranks:
                raise outcome  # the first tells what is wrong with the set-up
            self._failed(outcome)
        elif self.names not in ((), outcome.names):
            self._failed(
                InputError(
                    f"data set {outcome.number + 1} has other parameters, {listed(list(outcome.names))}: before it "
                    f"there were {listed(list(self.names))}"
                )
            )
        else:
            self.names = outcome.names
            self.ranks.append(outcome.ranks)
            self.draws.append(outcome.draws)
            self.varies.append(outcome.varies)

    def _failed(self, error: KullbackError) -> None:
        self.failures.append(str(error))
        if not self.ranks and len(self.failures) >= _HOPELESS:
            raise error

    def _pair(self, i: int) -> tuple[Any, Any]:
        """The parameters and the data of a data set."""
        pair = guarded(self.prior_draws, "prior_draws")(self.run.generator("data set", i))
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise InputError(
                f"prior_draws returned a {type(pair).__name__}: it must return (parameters, data)"
            )
        return pair

    def simulate(self, i: int) -> "_Ranked | None":
        """Ranks true values among draws of one fit; None if that was stopped."""
        parameters, data = self._pair(i)
        target = read(guarded(self.make_target, "make_target")(data))
        if target.known not in ("log density", "density"):
            raise UnsupportedError(
                f"make_target returned {target.known}: it must return a log density, LogDensity(fn, example, data=data)"
            )
        p = target.unconstrained
        with np.errstate(all="ignore"):
            truth = read_parameters(parameters, p)
            drawn = self._drawn(i, target, data)
            if drawn is None:
                return None
            at_truth, among = self._values(truth, p, data), self._values(drawn, p, data)
        names = tuple(among)
        series = in_chains(among, drawn.rows, drawn.n)
        kept = _thinned(series.chains or (series.index,), series.length)
        table = np.column_stack([among[name][kept] for name in names])
        true = np.array([at_truth[name][0] for name in names])
        ranks = randomised_ranks(true, table, self.run.generator("ties", i))
        return _Ranked(i, names, ranks, len(kept), (table != true).any(axis=0))

    def _drawn(self, i: int, target: Target, data: Any) -> Drawn | None:
        """Draws of the fit to one data set, or of the sampler; None if the fit was stopped."""
        p, rng = target.unconstrained, self.run.generator("fit", i)
        if self.sampler is not None:
            found = guarded(self.sampler, "the sampler")(data, rng)
        else:
            route = choose(target, self.recipe, self.direction)
            found = fit(
                target, self.recipe, direction=self.direction, key=int(rng.integers(2**62)), progress=False,
                report="report" not in route.options,
            )  # fmt: skip
        if isinstance(found, Fit):
            if found.interrupted:
                return None
            found = found.sample(_DRAWS, key=int(rng.integers(2**62)))
            found = found if isinstance(found, Mapping) else {"x": found}
        return read_draws(found, p)

    def _values(self, drawn: Drawn, p: Unconstrained, data: Any) -> dict[str, Array]:
        """All quantities at draws."""
        log_p = p.evaluate(drawn.u)[0] - p.log_jacobian(drawn.u)
        values = {**drawn.columns, _LOG_P: np.where(np.isnan(log_p), -np.inf, log_p)}
        if not self.quantities:
            return values
        named = p.constrain(drawn.u)
        events = next(iter(named.values())) if p.bare else named
        for name, fn in self.quantities.items():
            value = np.asarray(guarded(fn, f"quantities[{name!r}]")(events, data), dtype=np.float64)
            if value.shape != (drawn.n,):
                raise InputError(
                    f"quantities[{name!r}] returned shape {value.shape} for {drawn.n} draws: it must return a "
                    f"number for each, ({drawn.n},)"
                )
            if np.isnan(value).any() or name in values:
                what = "is NaN" if np.isnan(value).any() else "has the name of a parameter"
                raise InputError(f"quantities[{name!r}] {what}")
            values[name] = value
        return values

    def result(self, of: str, asked: int, *, interrupted: bool) -> Calibration:
        """Returns what the ranks show."""
        if not self.ranks:
            raise DensityError(self.failures[0])
        kept = np.flatnonzero(np.any(self.varies, axis=0))
        names = [self.names[j] for j in kept]
        ranks, draws = np.stack(self.ranks)[:, kept], np.array(self.draws, dtype=np.float64)
        found, band = calibrated(names, ranks, draws)
        n = len(ranks)
        shift, ratio = detectable(n, len(kept))
        notes = []
        if interrupted:
            notes.append(f"interrupted: {n:,} of {asked:,} data sets")
        if self.failures:
            notes.append(f"{len(self.failures)} data sets could not be fitted: {self.failures[0]}")
        fixed = [name for j, name in enumerate(self.names) if j not in kept]
        if fixed:
            notes.append(f"{listed(fixed)}: one value, which tells nothing")
        return Calibration(
            of=of, quantities=found, simulations=n, asked=asked, draws=float(np.median(draws)),
            failed=len(self.failures), failure=self.failures[0] if self.failures else "",
            detectable_shift=shift, detectable_ratio=ratio, ranks=ranks, band=band,
            seconds=self.run.seconds, notes=(*notes, _PRIOR), interrupted=interrupted,
        )  # fmt: skip


def _leaves(parameters: Any) -> list[Any]:
    """The parameters, one after another."""
    return list(parameters.values()) if isinstance(parameters, Mapping) else [parameters]


def _thinned(chains: tuple[Array, ...], length: float) -> Array:
    """Draws of chains that are far enough apart to count as independent."""
    step = int(np.ceil(length - 1e-9))
    return np.concatenate([chain[::step] for chain in chains])


def _attempt(simulations: _Simulations, i: int) -> _Ranked | KullbackError | None:
    """What came of a data set."""
    try:
        return simulations.simulate(i)
    except KullbackError as error:
        return error


def _attempts(simulations: _Simulations, which: range) -> list[_Ranked | KullbackError | None]:
    return [_attempt(simulations, i) for i in which]
