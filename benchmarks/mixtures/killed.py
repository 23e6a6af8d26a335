"""kill -9 at random moments, then --resume: the same parameters to the last bit, and no file half written.

Run: python -m benchmarks.mixtures.killed [tries]. Writes benchmarks/results/mixture_killed.md.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TRIES = 12


def command(where: Path, *more: str) -> list[str]:
    asked = ["--family", "mixture:4", "--direction", "forward", "--out", "model.kb", "--json"]
    return [sys.executable, "-m", "kullback", "fit", str(where / "rows"), *asked, *more]


def run(where: Path, *more: str, for_seconds: float | None = None) -> int:
    """Runs the command in `where`, and kills it after so many seconds."""
    child = subprocess.Popen(
        command(where, *more), cwd=where, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        child.communicate(timeout=for_seconds)
    except subprocess.TimeoutExpired:
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
    return child.returncode


def parameters(path: Path) -> bytes:
    from kullback.api.store import load

    q = load(path).q
    return b"".join(np.asarray(a).tobytes() for a in (q.weights, q.means, q.covariances))


def make(where: Path) -> None:
    import polars as pl

    rng = np.random.default_rng(0)
    (where / "rows").mkdir()
    for i in range(4):
        which = rng.integers(4, size=150_000)
        x = rng.normal(size=(150_000, 3)) + 0.8 * which[:, None] * [1.0, -1.0, 0.5]
        pl.DataFrame(x, schema=["a", "b", "c"]).write_parquet(where / "rows" / f"{i}.parquet")


def tried(where: Path, whole: float, rng: random.Random) -> tuple[int, bool, list[str]]:
    """Kills until the fit is done: how often, whether a checkpoint was read, and files that were left."""
    from kullback.api.store import load

    for old in where.glob("model.kb*"):
        old.unlink()
    kills, resumed, strange = 0, False, []
    while True:
        there = (where / "model.kb.checkpoint").exists()
        resumed |= there
        more = ["--resume"] if there else []
        if run(where, *more, for_seconds=rng.uniform(2.0, 0.7 * whole)) == 0:
            return kills, resumed, strange
        kills += 1
        for left in where.iterdir():
            if left.name == "model.kb":
                load(left)  # raises if it is half a file
            elif left.suffix == ".html":
                assert left.read_text(encoding="utf-8").rstrip().endswith("</html>"), left
            elif left.name not in ("rows", "model.kb.checkpoint"):
                strange.append(left.name)


def main() -> None:
    from benchmarks.table import write

    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as made:
        where = Path(made)
        make(where)
        began = time.perf_counter()
        assert run(where) == 0
        whole = time.perf_counter() - began
        expected = parameters(where / "model.kb")
        tries, rows = int(sys.argv[1]) if len(sys.argv) > 1 else TRIES, []
        for i in range(tries):
            kills, resumed, strange = tried(where, whole, rng)
            same = parameters(where / "model.kb") == expected
            left = ", ".join(strange) or "none"
            rows.append(
                [str(i + 1), str(kills), "yes" if resumed else "no", "yes" if same else "NO", left]
            )
            print(json.dumps(rows[-1]), flush=True)
    write(
        "mixture_killed",
        f"kill -9 at random moments of a fit of {whole:.0f} s (600,000 rows in 4 Parquet files, mixture:4)",
        [
            "try",
            "kills until it was done",
            "went on from a checkpoint",
            "same bits",
            "files left over",
        ],
        rows,
        "After each kill the model and the report, where they were there, were whole.",
    )


if __name__ == "__main__":
    main()
