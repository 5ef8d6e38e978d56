"""Runs faults, each in a copy of its own, and makes a table of how they ended."""

import importlib
import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from tests.faults.catalogue import Fault
from tests.faults.judge import CLEAR, SAME, Result
from tests.faults.workspace import Reference

_INJECTORS = {
    "kill": "killing", "disk": "disk", "s3": "s3", "damage": "damage", "clock": "clocks", "together": "together",
}  # fmt: skip

# Two trainings at a time would take the cores from each other.
_TRAINS = ("train", "checkpoint")
_one_training = threading.Lock()


class Ended(NamedTuple):
    """A fault, how it ended and how long it took."""

    fault: Fault
    result: Result
    seconds: float


def run_one(fault: Fault, reference: Reference) -> Ended:
    """Inject one fault into a fresh copy and judge; the copy of one that failed stays, to be looked at."""
    with _one_training if fault.target.startswith(_TRAINS) else nullcontext():
        return _run(fault, reference)


def _run(fault: Fault, reference: Reference) -> Ended:
    started = time.monotonic()
    injector = importlib.import_module(f"tests.faults.{_INJECTORS[fault.kind]}")
    needs_checkpoints = "checkpoint" in fault.target
    workspace = reference.copy(fault.label, of="interrupted" if needs_checkpoints else "work")
    try:
        result: Result = injector.inject(fault, reference, workspace)
    except Exception as error:
        result = Result("failed", f"{type(error).__name__}: {error}")
    if result.problem:
        result = Result("failed", result.problem)
    else:
        shutil.rmtree(workspace.root)
    return Ended(fault, result, time.monotonic() - started)


def run_all(faults: list[Fault], reference: Reference, *, jobs: int, told: Callable[[int, Ended], None]) -> list[Ended]:
    """Run faults, `jobs` at a time; `told` hears of each as it ends."""
    found: list[Ended] = []
    with ThreadPoolExecutor(jobs) as pool:
        for ended in pool.map(lambda fault: run_one(fault, reference), faults):
            found.append(ended)
            told(len(found), ended)
    return found


def table(results: Iterable[Ended]) -> str:
    """Markdown: a row a kind and target."""
    rows: dict[tuple[str, str], Counter[str]] = {}
    for fault, result, _ in results:
        for key in ((fault.kind, fault.target), ("all", "")):
            rows.setdefault(key, Counter())[result.ending] += 1
    lines = ["| fault | where | faults | same bytes | clear error | failed |", "|---|---|---|---|---|---|"]
    for (kind, target), counts in sorted(rows.items(), key=lambda item: (item[0][0] == "all", item[0])):
        figures = (counts.total(), counts[SAME], counts[CLEAR], counts["failed"])
        lines.append(f"| {kind} | {target} | {' | '.join(str(figure) for figure in figures)} |")
    return "\n".join(lines) + "\n"


def write(results: list[Ended], folder: Path, *, seed: int) -> None:
    """`faults.md` and `faults.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "faults.md").write_text(table(results))
    rows = [
        {"fault": f.label, "kind": f.kind, "target": f.target, "how": f.how, "seed": f.seed, **r._asdict(),
         "seconds": round(seconds, 1)}
        for f, r, seconds in results
    ]  # fmt: skip
    (folder / "faults.json").write_text(json.dumps({"seed": seed, "faults": rows}, indent=1) + "\n")
