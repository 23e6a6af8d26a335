"""Random pairs of distributions of every library, against references of their own in 30 digits.

python -m benchmarks.pairs --seed 1 --n 500    prints what is wrong: false and missed infinities, broken bounds, tracebacks
python -m benchmarks.pairs --check             checks the families: masses, growths, SciPy's densities

A family is written down anew (continuous.py, discrete.py): its log density in mpmath, its support, how it falls
towards the ends. Whether a KL is infinite follows from the last; its value is an integral by double exponential
rules on pieces, or a sum (reference.py).
"""

import argparse
import json
import math
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.pairs import cases
from benchmarks.pairs.reference import Case, NoReferenceError, infinite, integral, series

REPORT = Path(__file__).parent.parent / "results" / "pairs.md"
PROBLEMS = ("false infinite", "missed infinite", "broken bound", "traceback", "slow", "refused", "unresolved", "no reference")  # fmt: skip


#: CPU seconds that an answer may take; what takes longer is a fault.
PATIENCE = 20.0


class _SlowError(BaseException):
    """An answer takes too long."""


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _SlowError

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)


@dataclass
class Result:
    p: str
    q: str
    problem: str
    got: str
    truth: float
    seconds: float = 0.0


def _truth(p: Case, q: Case) -> tuple[float, float]:
    """The KL and its error; infinite where it diverges."""
    endless = infinite(p, q)
    if endless is None:
        raise NoReferenceError("hangs on a coefficient")
    if endless:
        return math.inf, 0.0
    shared = p.ends == q.ends and (p.low, p.high) == (q.low, q.high) and not p.gaps
    value, slack = series(p, q) if p.discrete else integral(p, q, excess=shared)
    if not math.isfinite(value) or slack > 1e-10 * (abs(value) + 1e-4):
        raise NoReferenceError(f"good to {slack:.1g} of {value:.3g} only")
    return value, slack


def judge(p: Case, q: Case) -> Result:
    """Returns what is wrong with the answer, if anything."""
    import kullback as kb

    try:
        truth, slack = _truth(p, q)
    except NoReferenceError as error:
        return Result(p.text, q.text, "no reference", str(error), math.nan)
    began = time.process_time()
    try:
        with _within(PATIENCE):
            e = kb.kl_divergence(p.thing, q.thing)
    except _SlowError:
        return Result(p.text, q.text, "slow", f"no answer within {PATIENCE:g} s", truth)
    except kb.KullbackError as error:
        return Result(p.text, q.text, "refused", str(error)[:300], truth)
    except Exception:
        return Result(p.text, q.text, "traceback", traceback.format_exc()[-600:], truth)
    spent = time.process_time() - began
    problem = ""
    if e.kind == "unresolved":
        problem = "unresolved"
    elif e.kind == "infinite":
        problem = "" if math.isinf(truth) or truth > 1.7e308 else "false infinite"
    elif math.isinf(truth):
        problem = "missed infinite"
    else:
        errors = 4.0 if e.kind == "estimate" else 1.0
        off = abs(e.value - truth)
        if not off <= errors * e.standard_error + slack + 4e-15 * abs(truth) + 1e-24:
            problem = f"broken bound ({e.kind}, off by {off:.2g}, reference good to {slack:.1g})"
    return Result(p.text, q.text, problem, str(e)[:250], truth, spent)


def run(seed: int, n: int, kind: str) -> tuple[Counter[str], list[float]]:
    """Draws pairs, judges them and prints what is wrong."""
    import kullback as kb

    problems: Counter[str] = Counter()
    times: list[float] = []
    for i in range(n):
        counts = kind == "discrete" or (kind == "both" and i % 4 == 3)
        g = np.random.default_rng([seed, i])
        try:
            found = judge(*cases.pair(g, counts=counts))
        except kb.KullbackError as error:  # a component that cannot be read
            found = Result("", "", "refused", str(error)[:300], math.nan)
        problem = found.problem.partition(" (")[0] or "right"
        problems[problem] += 1
        problems["infinite"] += math.isinf(found.truth)
        if problem == "right" and not counts and "quadrature" in found.got:
            times.append(found.seconds)
        if found.problem:
            print(f"{i} {found.problem}: {found.p} || {found.q}: {found.got}, truth {found.truth!r}", flush=True)  # fmt: skip
    return problems, times


def check(seed: int) -> None:
    """Prints every family whose density is not SciPy's, or has not the mass or the growth that is written down."""
    g = np.random.default_rng(seed)
    for rows, draw in ((cases.CONTINUOUS, cases.on_the_line), (cases.DISCRETE, cases.on_integers)):
        for row in rows.values():
            c = draw(g, row, extreme=False, style="any")
            try:
                series(c, c) if c.discrete else integral(c, c, excess=False)
            except NoReferenceError as error:
                print(c.text, error)
            if hasattr(c.thing, "ppf"):
                x = np.unique(c.thing.ppf([0.1, 0.3, 0.5, 0.8]))
                theirs = (c.thing.logpmf if c.discrete else c.thing.logpdf)(x)
                ours = np.array([float(c.log(cases.mp.mpf(v))) for v in x])
                if not np.allclose(ours, theirs, rtol=1e-6, atol=1e-6):
                    print(c.text, "is not SciPy's:", ours, theirs)
            for end, growth, way in zip((c.low, c.high), c.ends, (-1, 1), strict=True):
                if not c.discrete:
                    _check_growth(c, end, growth, way)


def _check_growth(c: Case, end: float, growth: tuple[float, ...], way: int) -> None:
    mp = cases.mp
    middle = mp.mpf(c.cuts[len(c.cuts) // 2])
    span = abs(mp.mpf(max(c.cuts)) - mp.mpf(min(c.cuts)))
    seen = []
    for k in (10, 11):
        if math.isinf(end):
            t = mp.mpf(10) ** (k if growth[0] != "exp" else k / 8) * span
            x, speed = middle + way * t, t
        else:
            t = mp.mpf(10) ** (k + 10) / min(abs(mp.mpf(v) - end) for v in c.cuts if v != end)
            x, speed = mp.mpf(end) - way / t, 1 / t
        with mp.workdps(80):
            seen.append((mp.log(t), -c.log(x) - mp.log(speed) - mp.log(t) * 0))
    (t1, g1), (t2, g2) = seen
    slope = float((g2 - g1) / (t2 - t1)) if growth[0] == "log" else float((mp.log(g2) - mp.log(g1)) / (t2 - t1))  # fmt: skip
    wanted = growth[1] - 1 if growth[0] == "log" else growth[1] if growth[0] == "pow" else None
    if wanted is not None and abs(slope - wanted) > 0.05 * (1 + wanted):
        print(c.text, "towards", end, "grows like", slope, "not", growth)


def main() -> None:
    ask = argparse.ArgumentParser()
    ask.add_argument("--seed", type=int, nargs="+", default=[0])
    ask.add_argument("--n", type=int, default=200)
    ask.add_argument("--kind", choices=["continuous", "discrete", "both"], default="both")
    ask.add_argument("--check", action="store_true")
    ask.add_argument("--write", action="store_true")
    said = ask.parse_args()
    warnings.simplefilter("ignore")
    if said.check:
        check(said.seed[0])
        return
    rows = []
    for seed in said.seed:
        began = time.process_time()
        problems, times = run(seed, said.n, said.kind)
        row = {"seed": seed, "n": said.n, "CPU s": round(time.process_time() - began), **problems}
        row["quadrature, ms (median)"] = round(1e3 * float(np.median(times)), 1) if times else 0.0
        print(json.dumps(row), file=sys.stderr, flush=True)
        rows.append(row)
    if said.write:
        _write(rows)


def _write(rows: list[dict[str, float]]) -> None:
    from benchmarks.table import write

    names = ["seed", "n", "right", "infinite", *PROBLEMS, "quadrature, ms (median)", "CPU s"]
    write("pairs", "Random pairs of distributions, against references in 30 digits", names,
          [[str(row.get(name, 0)) for name in names] for row in rows])  # fmt: skip


if __name__ == "__main__":
    main()
