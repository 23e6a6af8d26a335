"""KL of (4096, 32768) float32 logits, forward and backward: time and peak memory against torch and Optax.

Each contender runs in a process of its own, on one core and one thread. Run: scripts/bench bench_losses
Writes benchmarks/results/losses.md.
"""

import json
import os
import resource
import subprocess
import sys
import time

from benchmarks.table import write

ROWS, VOCABULARY = 4096, 32768
REPEATS = 5
CONTENDERS = {
    "kullback, JAX": "ours_jax",
    "Optax, kl_divergence(log_softmax, softmax)": "optax",
    "kullback, torch": "ours_torch",
    "torch, kl_div(log_softmax, log_softmax, log_target)": "torch",
}


def jax_inputs():
    import jax
    import numpy as np

    rng = np.random.default_rng(0)
    return [
        jax.device_put(rng.standard_normal((ROWS, VOCABULARY), dtype=np.float32)) for _ in range(2)
    ]


def ours_jax():
    import jax

    from kullback.losses.categorical import categorical_kl

    p, q = jax_inputs()
    loss = jax.jit(jax.value_and_grad(lambda q, p: categorical_kl(p=p, q=q, reduction="mean")))
    return lambda: jax.block_until_ready(loss(q, p))


def optax():
    import jax
    import optax

    p, q = jax_inputs()

    def mean(q, p):
        return optax.losses.kl_divergence(jax.nn.log_softmax(q), jax.nn.softmax(p)).mean()

    loss = jax.jit(jax.value_and_grad(mean))
    return lambda: jax.block_until_ready(loss(q, p))


def torch_inputs():
    import numpy as np
    import torch

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    p, q = (
        torch.from_numpy(rng.standard_normal((ROWS, VOCABULARY), dtype=np.float32))
        for _ in range(2)
    )
    return p, q.requires_grad_()


def ours_torch():
    from kullback.losses.categorical import categorical_kl

    p, q = torch_inputs()

    def step():
        q.grad = None
        loss = categorical_kl(p=p, q=q, reduction="mean")
        loss.backward()
        return loss.detach(), q.grad

    return step


def torch():
    from torch.nn import functional

    p, q = torch_inputs()

    def step():
        q.grad = None
        target = functional.log_softmax(p, -1)
        loss = functional.kl_div(
            functional.log_softmax(q, -1), target, log_target=True, reduction="batchmean"
        )
        loss.backward()
        return loss.detach(), q.grad

    return step


def peak() -> float:
    """Peak memory of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def one(name: str) -> None:
    """Runs a contender and prints CPU seconds of the best step, peak memory before and after, the loss."""
    step = globals()[name]()
    before, times, value = peak(), [], 0.0
    for _ in range(REPEATS + 1):
        began = time.process_time()
        value, gradient = step()
        times.append(time.process_time() - began)
        del gradient
    print(json.dumps([min(times[1:]), before, peak(), float(value)]))


def main() -> None:
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    core = str(max(os.sched_getaffinity(0)))
    found = {}
    for label, name in CONTENDERS.items():
        command = ["taskset", "-c", core, sys.executable, "-m", "benchmarks.bench_losses", name]
        output = subprocess.run(
            command, env=os.environ | threads, capture_output=True, text=True, check=True
        )
        found[label] = json.loads(output.stdout.splitlines()[-1])
    rows = []
    for mine, theirs in (
        ("kullback, JAX", list(CONTENDERS)[1]),
        ("kullback, torch", list(CONTENDERS)[3]),
    ):
        for label in (mine, theirs):
            seconds, before, after, value = found[label]
            ratio = f"{seconds / found[mine][0]:.2f}", f"{found[mine][2] / after:.2f}"
            rows.append(
                [
                    label,
                    f"{seconds:.2f}",
                    ratio[0],
                    f"{before:.2f}",
                    f"{after:.2f}",
                    ratio[1],
                    f"{value:.7f}",
                ]
            )
    write(
        "losses",
        f"KL of ({ROWS}, {VOCABULARY}) float32 logits with its gradient: one core, one thread, best of {REPEATS}",
        [
            "",
            "CPU seconds",
            "time / ours",
            "GiB before",
            "GiB at the peak",
            "our peak / theirs",
            "loss",
        ],
        rows,
        "Peak is the largest resident memory of the process, two inputs of 0.5 GiB and the gradient of 0.5 GiB included;",
        "before is the same when the inputs are made and nothing is computed.",
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        one(sys.argv[1])
    else:
        main()
