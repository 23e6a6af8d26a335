"""Passes over files on other processes: the same bits as here, and what becomes of workers that die."""

import itertools
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl
import pytest

from kullback.api.fit import fit
from kullback.api.score import score
from kullback.core.errors import InputError, WorkerError
from kullback.core.executor import Pairwise, Workers
from kullback.core.numerics import one_thread
from kullback.core.run import Run
from kullback.families import FullRank, Mixture
from kullback.fitting.covariances import Structure
from kullback.fitting.em_sums import block_size
from kullback.fitting.mixture_family import family_of
from kullback.fitting.rows import distinct, rows_of
from kullback.inputs import passes
from kullback.inputs.passes import UNIT, tasks
from kullback.inputs.samples import read_samples
from kullback.inputs.stream import scan
from kullback.routes.samples_forward import fit_samples
from kullback.targets import Samples, Stream

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """300,000 rows in four files of unequal length, whose groups of rows end nowhere near a unit: five units."""
    place, rng = tmp_path_factory.mktemp("rows"), RNG(0)
    which = rng.integers(3, size=300_000)
    x = rng.normal(size=(300_000, 2)) + 3.0 * which[:, None]
    gaps = np.where(rng.random(300_000) < 0.1, np.nan, rng.poisson(1.0 + which))
    labels = np.array(["a", "b", "c"])[np.where(rng.random(300_000) < 0.2, 0, which)]
    whole = pl.DataFrame(
        {"x": x[:, 0], "y": x[:, 1], "n": gaps, "c": labels, "w": rng.random(300_000)}
    )
    for i, (first, last) in enumerate(itertools.pairwise((0, 90_000, 90_001, 250_000, 300_000))):
        whole[first:last].write_parquet(place / f"{i}.parquet", row_group_size=40_000)
    return place


def numbers(fitted):
    """Everything that a fit of plain rows says in numbers."""
    q = fitted.q
    found = [q.loc, q.covariance.ravel(), [fitted.divergence.value, fitted.held_out.value]]
    found += [[fitted.held_out.standard_error, fitted.forward_kl.value]]
    found += [[error.standard_error for error in fitted.likelihood.errors]]
    return np.concatenate(found)


@pytest.mark.slow
def test_a_fit_has_the_same_bits_on_other_processes(pool, files):
    stream = scan(files, columns=["x", "y"])
    here, there = (
        fit(stream, FullRank(), direction="forward", executor=executor) for executor in (None, pool)
    )
    np.testing.assert_array_equal(numbers(there), numbers(here))


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["w", None])
def test_a_mixture_has_the_same_bits_on_other_processes(pool, files, weights):
    stream = scan(files, columns=["x", "y"], weights=weights)
    # and those of the array that the files hold
    array = read_samples(files, columns=["x", "y"], weights=weights)
    found = []
    for rows, executor in ((stream, None), (stream, pool), (array, None)):
        run = Run(executor=executor)
        q = fit_samples(rows, Mixture(2), starts=1, run=run, hold_out=False).q
        found.append(np.concatenate([q.weights, q.means.ravel(), q.covariances.ravel()]))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_gaps_counts_and_labels_have_the_same_bits_on_other_processes(pool, files):
    stream = scan(files, columns=["x", "n", "c"], counts=["n"], missing=True)
    found = []
    with one_thread():
        for workers in (None, Workers(pool, print)):
            rows = rows_of(stream, workers=workers)
            sample = distinct(rows.sample(2000, RNG(1)))
            family = family_of(Structure("full", 1), sample, 2, heavy=True)
            q = family.from_shares(sample, RNG(2).dirichlet(np.ones(2), len(sample.whole()[1])).T)
            sums = family.model.expect(rows, q)
            found.append(np.concatenate([[sums.log_likelihood], *map(np.ravel, sums.arrays)]))
    assert len(found[0]) > 20
    np.testing.assert_array_equal(*found)


def test_sums_do_not_depend_on_how_units_are_dealt_out(files, monkeypatch):
    stream = scan(files, columns=["x", "y"])
    found = []
    with ThreadPoolExecutor(1) as executor, one_thread():
        for units in (None, 1, 2, 4, 8):
            monkeypatch.setattr(passes, "_LEAST", units)
            workers = None if units is None else Workers(executor, print)
            rows = rows_of(stream, workers=workers)
            run = partial(_first_and_second, block_size(3, 6))
            found.append(
                (rows.center, rows.scale, rows.without(2, 10).total, *rows.summed(run),
                 rows.sample(50, RNG(0)).source.values)
            )  # fmt: skip
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def _first_and_second(size, rows):
    for blocks in rows.units(size):
        yield [
            sum(np.sum(x**power @ w) for x, _, w in found)
            for power, found in zip((1, 2), itertools.tee(blocks), strict=True)
        ]


def test_a_tree_of_parts_is_the_tree():
    """Parts of 2^j units, the last one short, give the bits of the units one by one."""
    values = RNG(1).normal(size=1001) * 10.0 ** RNG(2).integers(-8, 8, size=1001)
    add = lambda a, b: a + b
    whole = Pairwise(add)
    for value in values:
        whole.add(value)
    for size in (1, 4, 64, 1024):
        tree = Pairwise(add)
        for first in range(0, len(values), size):
            part = Pairwise(add)
            for value in values[first : first + size]:
                part.add(value)
            for level, value in part.held:
                tree.add(value, level)
        assert tree.total() == whole.total()
    assert Pairwise(add).total() is None


@pytest.mark.parametrize("rows", [1, UNIT, 4 * UNIT, 4 * UNIT + 1, 10**7, 10**10])
def test_tasks_are_all_rows_in_aligned_parts(rows):
    found = tasks(rows)
    assert [first for first, _ in found[1:]] == [last for _, last in found[:-1]]
    assert (found[0][0], found[-1][1]) == (0, rows)
    length = found[0][1] - found[0][0]
    assert all(last - first == length for first, last in found[:-1])
    assert len(found) == 1 or length in {UNIT << j for j in range(2, 20)}
    assert len(found) <= 2048


def _dies(_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_is_an_error_and_never_a_number(files):
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as executor:
        with pytest.raises(WorkerError, match="a worker ended before its work was done"):
            list(Workers(executor, print).map(_dies, [1]))
        with pytest.raises(WorkerError, match="begin anew"):
            fit(files / "0.parquet", Mixture(2), direction="forward", executor=executor)


def test_what_a_file_has_wrong_is_said_by_the_worker_that_reads_it(pool, tmp_path):
    pl.DataFrame({"x": [0.0, 1.0, 2.0]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"x": [0.0, None]}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(
        InputError, match="b.parquet: column 'x' has 1 cell without a value, on row 2"
    ):
        fit(tmp_path, FullRank(), direction="forward", executor=pool)


def test_no_rows_are_said_with_workers_and_without(pool, tmp_path):
    pl.DataFrame(
        {"x": [None, None], "w": [0.0, 0.0]}, schema={"x": pl.Float64, "w": pl.Float64}
    ).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"x": [1.0, 2.0], "w": [0.0, 0.0]}).write_parquet(tmp_path / "b.parquet")
    for executor in (None, pool):
        for stream, message in (
            (
                scan(tmp_path / "a.parquet", columns=["x"], missing="drop"),
                "there are no rows in it",
            ),
            (scan(tmp_path / "b.parquet", weights="w"), "all weights are 0|no rows with a weight"),
        ):
            with pytest.raises(InputError, match=message):
                fit(stream, FullRank(), direction="forward", executor=executor)
    nothing = Stream(lambda: iter(()), ("x",), ("continuous",), ((),))
    with pytest.raises(InputError, match="no rows with a weight"):
        rows_of(nothing)


def test_one_small_file_is_read_by_workers_too(pool, files):
    frame = pl.read_parquet(files / "0.parquet").select("x", "y")
    frame.write_parquet(files.parent / "one.parquet")
    there = fit(files.parent / "one.parquet", FullRank(), direction="forward", executor=pool)
    here = fit(Samples(frame.to_numpy()), FullRank(), direction="forward")
    np.testing.assert_array_equal(there.q.loc, here.q.loc)


@pytest.mark.parametrize(
    ("target", "family", "message"),
    [
        (np.arange(50.0), FullRank(), "these rows are in memory"),
        ("faithful.csv", FullRank(), "these rows are in memory"),
        (np.arange(50.0), "gamma", "executor=ThreadPoolExecutor: .* leave executor out"),
        ("normal(0, sd=1)", FullRank(), "executor=ThreadPoolExecutor: .* leave executor out"),
    ],
)
def test_an_executor_that_is_not_used_is_refused(target, family, message):
    with ThreadPoolExecutor(1) as executor, pytest.raises(InputError, match=message):
        fit(target, family, direction="forward", executor=executor)


def test_what_an_executor_is_not(files):
    with pytest.raises(InputError, match=r"executor=2: give what has map"):
        fit(files, FullRank(), direction="forward", executor=2)
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(InputError, match="was shut down"):
        fit(files, Mixture(1), direction="forward", executor=executor)
    loose = replace(scan(files), parts=None)
    with ThreadPoolExecutor(1) as executor, pytest.raises(InputError, match="from the first on"):
        fit(loose, Mixture(2), direction="forward", executor=executor)


def test_dropped_rows_are_left_out_on_workers_too(pool, files):
    """Parts of what is kept, wherever gaps are; and with weights."""
    for weights in (None, "w"):
        stream = scan(files, columns=["x", "n"], weights=weights, missing="drop")
        whole = np.concatenate([values for values, _ in stream.read()])
        assert stream.parts.count() == len(whole) < 280_000
        for first, last in (
            (0, len(whole)),
            (0, 1),
            (70_000, 200_001),
            (len(whole) - 1, len(whole)),
        ):
            part = np.concatenate([values for values, _ in stream.parts.part(first, last)()])
            np.testing.assert_array_equal(part, whole[first:last])
        with one_thread():
            here, there = (rows_of(stream, workers=w) for w in (None, Workers(pool, print)))
            np.testing.assert_array_equal(here.center, there.center)
            np.testing.assert_array_equal(here.scale, there.scale)
            run = partial(_first_and_second, 1000)
            assert here.summed(run) == there.summed(run)


def test_what_cannot_be_sent_is_said(pool):
    with pytest.raises(InputError, match="cannot be sent to another process"):
        list(Workers(pool, print).map(lambda x: x, [1]))


def test_scores_are_those_of_one_process(pool, files):
    """Of the same rows: what is written, in order, and the mean with its error."""
    fitted = fit(
        Samples(RNG(3).normal(size=(500, 2)), columns=("x", "y")), FullRank(), direction="forward"
    )
    found = []
    for executor in (None, pool):
        written = []
        scored = score(
            fitted, files, columns=["x", "y"], weights="w", write=written.append, executor=executor
        )
        found.append(
            (np.concatenate(written), [scored.mean.value, scored.mean.standard_error, scored.rows])
        )
    np.testing.assert_array_equal(found[1][0], found[0][0])
    assert found[1][1] == found[0][1]
    assert len(found[0][0]) == 300_000
    with pytest.raises(InputError, match="these rows are in memory"):
        score(fitted, Samples(np.zeros((5, 2)), columns=("x", "y")), executor=pool)


@pytest.mark.slow
def test_a_list_of_fits_is_a_map(pool):
    """A fit, its data and its result go to other processes and come back."""
    data = [RNG(i).normal(size=(60, 2)) for i in range(3)]
    there = list(pool.map(partial(fit, family="mixture:2", direction="forward", starts=2), data))
    for x, found in zip(data, there, strict=True):
        here = fit(x, "mixture:2", direction="forward", starts=2)
        np.testing.assert_array_equal(found.q.means, here.q.means)
        assert found.divergence == here.divergence
