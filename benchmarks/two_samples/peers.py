"""KL from two samples against what other packages say, in one run.

Run: python -m benchmarks.two_samples.peers [runs]. Peers that are not installed are left out: arviz-stats comes with
kullback; infomeasure, universal-divergence. Writes benchmarks/results/two_samples_peers.md.
"""

import importlib
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np

from benchmarks.table import write
from benchmarks.two_samples.problems import Problem, line, plane
from kullback.api.measure import kl_divergence
from kullback.diff.driver import kl
from kullback.tables.kinds import Column
from kullback.targets import Samples

Ask = Callable[[np.ndarray, np.ndarray], float]


def _arviz(x: np.ndarray, y: np.ndarray) -> float:
    from arviz_stats.base import array_stats

    return float(array_stats.kl_divergence(x, y))


def _infomeasure(x: np.ndarray, y: np.ndarray) -> float:
    package = importlib.import_module("infomeasure")
    return float(package.kld(x, y, approach="metric"))


def _universal(x: np.ndarray, y: np.ndarray) -> float:
    package = importlib.import_module("universal_divergence")
    return float(package.estimate(x, y))


def _evidently_like(x: np.ndarray, y: np.ndarray) -> float:
    if x.shape[1] > 1:
        raise NotImplementedError
    return kl(Column("numbers", x[:, 0]), Column("numbers", y[:, 0]))


PEERS: dict[str, Ask] = {
    "arviz-stats": _arviz,
    "infomeasure": _infomeasure,
    "universal-divergence": _universal,
    "Evidently's formula": _evidently_like,
}


def _problems() -> list[Problem]:
    wanted = (
        "shift .4 sd",
        "shift 1 sd",
        "lognormal(0,2), (.5,1)",
        "t(3) shifted",
        "two modes, one",
        "Poisson 3, 4",
    )
    return [
        *(p for p in line() if p.name in wanted),
        *plane(2)[:2],
        *plane(2)[3:6],
        plane(10)[0],
        plane(10)[3],
    ]


def main() -> None:
    """Asks everybody about the same samples."""
    warnings.simplefilter("ignore")
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    n, rows = 2000, []
    for problem in _problems():
        row = [problem.name, str(problem.columns), f"{problem.kl:.3f}"]
        pairs = [
            (problem.p(g, n), problem.q(g, n)) for g in map(np.random.default_rng, range(runs))
        ]
        began = time.process_time()
        found = [kl_divergence(Samples(x), Samples(y), key=i) for i, (x, y) in enumerate(pairs)]
        seconds = (time.process_time() - began) / runs
        inside = np.mean([e.interval[0] <= problem.kl <= e.interval[1] for e in found])
        values = [e.value for e in found if np.isfinite(e.value)]
        said = f"{np.mean(values) - problem.kl:+.3f}" if values else "bounds"
        row.append(f"{said}, {100 * inside:.0f} % inside, {seconds:.2f} s")
        row += [_asked(ask, pairs, problem.kl) for ask in PEERS.values()]
        rows.append(row)
        print(row, flush=True)
    write(
        "two_samples_peers",
        f"KL from two samples of {n:,} rows: mean error of kullback and of others",
        ["problem", "columns", "true", "kullback", *PEERS],
        rows,
        f"Mean of value less truth over {runs} pairs of samples, and CPU seconds. The others give no error, so that there "
        "is nothing to cover; inside: of our intervals and bounds. Evidently's formula is re-implemented.",
    )


def _asked(ask: Ask, pairs: list[tuple[np.ndarray, np.ndarray]], kl: float) -> str:
    began, values = time.process_time(), []
    try:
        values = [ask(x, y) for x, y in pairs]
    except (ImportError, NotImplementedError):
        return ""
    except (ValueError, TypeError, ArithmeticError) as error:
        return type(error).__name__
    seconds = (time.process_time() - began) / len(pairs)
    return f"{np.mean(values) - kl:+.3f}, {seconds:.2f} s"


if __name__ == "__main__":
    main()
