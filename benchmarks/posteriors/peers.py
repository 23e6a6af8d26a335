"""kullback against its peers on every target: each (who, target, family) in a fresh process, so that compiling counts.

Run: python -m benchmarks.posteriors.peers [--ours | --peers | --tables] [target ...]. Runs land in runs.json as they end;
what is there is kept, unless it failed or the target is named: delete the file for a table of one commit and one machine.
Writes benchmarks/results/posteriors.md and posterior_speed.md.
BlackJAX and PyMC run by the interpreter named in $KULLBACK_PEERS, where they are installed beside jax and numpyro.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.posteriors import race, truth
from benchmarks.posteriors.targets import TARGETS

RUNS = Path(__file__).parent / "runs.json"
ROOT = Path(__file__).parents[2]
LIMIT = 400.0
MARK = "RESULT "


def load() -> dict[str, Any]:
    return json.loads(RUNS.read_text()) if RUNS.exists() else {}


def one(who: str, name: str, family: str) -> None:
    """Runs one racer in this process and prints its record."""
    import jax

    posterior, known = TARGETS[name], truth.load()[name]
    if who == "ours":
        from benchmarks.posteriors.ours import report

        record: Any = report(posterior, family, known["log_evidence"], truth.reference_draws(name))
    else:
        from benchmarks.posteriors.opponents import OPPONENTS

        jax.config.update("jax_enable_x64", True)  # noqa: FBT003
        judge = race.Judge(posterior, known["log_evidence"] - known[family]["kl"])
        record = [r.record() for r in OPPONENTS[who](posterior, family, judge)]
    print(MARK + json.dumps(record))


def spawn(who: str, name: str, family: str) -> Any:
    """Returns the record of a fresh process, or what went wrong in a line."""
    python = os.environ.get("KULLBACK_PEERS", sys.executable) if who != "ours" else sys.executable
    command = [python, "-m", "benchmarks.posteriors.peers", "--one", who, name, family]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"no answer in {LIMIT:.0f} s"}
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            return json.loads(line[len(MARK) :])
    last = [line for line in done.stderr.splitlines() if line.strip()]
    return {"failed": last[-1] if last else f"exit code {done.returncode}"}


def racers(name: str, *, ours: bool, peers: bool) -> list[str]:
    from benchmarks.posteriors.opponents import PYMC_TARGETS

    found = ["ours"] if ours else []
    if peers:
        found += ["numpyro"]
        if "KULLBACK_PEERS" in os.environ:
            found += ["blackjax", *(["pymc"] if name in PYMC_TARGETS else [])]
    return found


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--one"]:
        one(*arguments[1:])
        return
    from benchmarks.posteriors.tables import write_tables

    names = [a for a in arguments if not a.startswith("--")]
    chosen = {a for a in arguments if a.startswith("--")}
    if "--tables" not in chosen:
        known = truth.load()
        for name in names or list(TARGETS):
            if name not in known:
                print(f"{name}: no truth yet", file=sys.stderr)
                continue
            for who in racers(name, ours="--peers" not in chosen, peers="--ours" not in chosen):
                for family in truth.FAMILIES:
                    key = f"{who}/{name}/{family}"
                    if not names and "failed" not in load().get(key, {"failed": ""}):
                        continue
                    record = spawn(who, name, family)
                    print(f"{key}: {json.dumps(record)[:300]}", file=sys.stderr, flush=True)
                    RUNS.write_text(json.dumps(load() | {key: record}, indent=1) + "\n")
    write_tables(truth.load(), load())


if __name__ == "__main__":
    main(sys.argv[1:])
