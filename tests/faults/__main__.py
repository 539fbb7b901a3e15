"""``scripts/faults``: tries everything, prints a table, and fails when anything did not survive."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from smcatalog.database.cluster import Cluster
from tests.faults.trials import Ground, Trial, run
from tests.faults.world import make_world
from tests.fixtures.databases import Server

DAYS, SHORT_DAYS = 45, 8


def main() -> int:
    """Run the suite; return the exit code."""
    options = _options()
    parent = Path(tempfile.mkdtemp(prefix="smcatalog-faults-"))
    parent.chmod(0o755)  # the database's user passes through
    cluster = Cluster(parent / "cluster")
    tell = Console(stderr=True, width=200)
    try:
        days, waves = (SHORT_DAYS, 2) if options.short else (DAYS, 4)
        world = make_world(parent / "world", days, options.seed, waves)
        server = Server.get(parent / "cluster", durable=True)
        dice = random.Random(options.seed)
        ground = Ground(server, parent / "homes", world, options.workers, dice, options.short)

        def say(trial: Trial) -> None:
            how = "survived" if trial.survived else "FAILED: " + "; ".join(trial.wrong)
            tell.print(f"{trial.fault}: {trial.times} times, {trial.seconds:.0f} s: {how}")

        trials = run(ground, options.kills, say)
    finally:
        cluster.destroy()
        shutil.rmtree(parent, ignore_errors=True)
    if options.json:
        sys.stdout.write(json.dumps([asdict(t) | {"survived": t.survived} for t in trials]) + "\n")
    else:
        _print(trials)
    return 0 if all(trial.survived for trial in trials) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/faults",
        description="Disturb nights in every way and compare what is left with an undisturbed run.",
    )
    parser.add_argument("--kills", type=int, default=200, help="random SIGKILLs (default 200)")
    parser.add_argument("--workers", type=int, default=4, help="workers at once (default 4)")
    parser.add_argument("--seed", type=int, default=1, help="of the world and of the moments")
    parser.add_argument("--short", action="store_true", help="a small world, every fault few times")
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    return parser.parse_args()


def _print(trials: list[Trial]) -> None:
    table = Table("fault", "times", "seconds", "survived", "what was done")
    together: dict[str, list[Trial]] = {}
    for trial in trials:
        together.setdefault(trial.fault, []).append(trial)
    for fault, some in together.items():
        details: Counter[str] = Counter()
        for trial in some:
            details.update(trial.details)
        table.add_row(
            fault,
            str(sum(trial.times for trial in some)),
            f"{sum(trial.seconds for trial in some):.0f}",
            f"{sum(trial.survived for trial in some)} of {len(some)} runs",
            ", ".join(f"{name} {number}" for name, number in sorted(details.items())),
        )
    console = Console(width=160)
    console.print(table)
    for trial in trials:
        for wrong in trial.wrong:
            console.print(f"{trial.fault}: {wrong}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
