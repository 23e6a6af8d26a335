"""KL of (2048, 32768) float32 logits, value and gradient: time and memory beside the one-liner of torch, and of Optax.

Both of a pair run in turn in one process, on one core and one thread, so that what else the machine does slows both:
the ratio is the median over turns. Memory is that of each in a process of its own, beyond the inputs.
Run: scripts/bench bench_losses. Writes benchmarks/results/losses.md.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from importlib.metadata import version

from benchmarks.table import write

ROWS, VOCABULARY = 2048, 32768
TURNS = 9
#: Pairs: ours, theirs, and up to which ratios of time and of memory it is held; None where it is not.
PAIRS = {
    "torch, compiled": ("ours_torch_compiled", "torch_compiled", 1.3, 1.3),
    "torch, eager": ("ours_torch", "torch", 1.0, 0.5),
    "JAX, compiled; Optax": ("ours_jax", "optax", None, None),
}


def logits(rows):
    import numpy as np

    rng = np.random.default_rng(0)
    return [rng.standard_normal((rows, VOCABULARY), dtype=np.float32) for _ in range(2)]


def jax_step(loss, rows):
    import jax

    q, p = (jax.device_put(x) for x in logits(rows))
    step = jax.jit(jax.value_and_grad(loss))
    return lambda: float(jax.block_until_ready(step(q, p))[0])


def ours_jax(rows):
    from kullback.losses.categorical import categorical_kl

    return jax_step(lambda q, p: categorical_kl(p=p, q=q, reduction="mean"), rows)


def optax(rows):
    import jax
    import optax

    def mean(q, p):
        return optax.losses.kl_divergence(jax.nn.log_softmax(q), jax.nn.softmax(p)).mean()

    return jax_step(mean, rows)


def torch_step(loss, rows):
    import torch

    torch.set_num_threads(1)
    q, p = (torch.from_numpy(x) for x in logits(rows))
    q.requires_grad_()

    def step():
        q.grad = None
        value = loss(q, p)
        value.backward()
        return float(value.detach())

    return step


def ours(q, p):
    from kullback.losses.categorical import categorical_kl

    return categorical_kl(p=p, q=q, reduction="mean")


def one_liner(q, p):
    from torch.nn.functional import kl_div, log_softmax

    return kl_div(log_softmax(q, -1), log_softmax(p, -1), reduction="batchmean", log_target=True)


def ours_torch(rows):
    return torch_step(ours, rows)


def torch(rows):
    return torch_step(one_liner, rows)


def compiled(loss, rows):
    import torch

    return torch_step(torch.compile(loss, fullgraph=True), rows)


def ours_torch_compiled(rows):
    return compiled(ours, rows)


def torch_compiled(rows):
    return compiled(one_liner, rows)


def peak() -> float:
    """Peak memory of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def memory(name: str) -> None:
    """Runs one and prints its loss and its peak in GiB beyond the inputs, and the compiler: a small step comes first."""
    globals()[name](8)()
    step = globals()[name](ROWS)
    before = peak()
    value = step()
    print(json.dumps([value, peak() - before]))


def turns(mine: str, theirs: str) -> None:
    """Runs both in turn and prints the CPU seconds of every turn."""
    steps = [globals()[name](ROWS) for name in (mine, theirs)]
    seconds = []
    for _ in range(TURNS + 1):
        each = []
        for step in steps:
            began = time.process_time()
            step()
            each.append(time.process_time() - began)
        seconds.append(each)
    print(json.dumps(seconds[1:]))


def alone(*arguments: str):
    """What this module prints in a process of its own, on one core."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    core = str(max(os.sched_getaffinity(0)))
    command = ["taskset", "-c", core, sys.executable, "-m", "benchmarks.bench_losses", *arguments]
    output = subprocess.run(
        command, env=os.environ | threads, capture_output=True, text=True, check=True
    )
    return json.loads(output.stdout.splitlines()[-1])


def verdict(ratio: float, least: float | None) -> str:
    """A ratio, and whether it is as it is held to be."""
    if least is None:
        return f"{ratio:.2f}"
    return f"{ratio:.2f} ({'at most' if ratio <= least else 'ABOVE'} {least:g})"


def main() -> None:
    rows = []
    for label, (mine, theirs, slower, larger) in PAIRS.items():
        seconds = alone("turns", mine, theirs)
        ratio = statistics.median(a / b for a, b in seconds)
        (value, ours_more), (other, more) = (alone("memory", name) for name in (mine, theirs))
        assert abs(value / other - 1.0) < 1e-5
        best = [min(column) for column in zip(*seconds, strict=True)]
        rows.append(
            [
                label,
                *(f"{x:.2f}" for x in best),
                verdict(ratio, slower),
                *(f"{x:.2f}" for x in (ours_more, more)),
                verdict(ours_more / more, larger),
            ]
        )
    write(
        "losses",
        f"KL of ({ROWS}, {VOCABULARY}) float32 logits with its gradient: one core, one thread, {TURNS} turns",
        ["", "ours, s", "theirs, s", "time ratio", "ours, GiB", "theirs, GiB", "memory ratio"],
        rows,
        "Seconds are CPU seconds, the best turn; the ratio is the median over turns of one process, ours over theirs.",
        f"torch {version('torch')}. GiB are the peak beyond the two inputs of 0.25 GiB each; the gradient, 0.25 GiB, is in it.",
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["turns", mine, theirs]:
            turns(mine, theirs)
        case ["memory", name]:
            memory(name)
        case _:
            main()
