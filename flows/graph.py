"""How flows and commands talk to the graph: one step through DVC in a guarded child process, and what is current."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Self

from infra.settings import Settings

Outcome = Literal["ran", "restored", "current"]

PULSE_SECONDS = 1.0
# What DVC says when its cache is full; it ends with 0 all the same (measured with 3.67.1).
_NOT_KEPT = "ERROR: failed to transfer"
# What DVC says of a step, and what that means (dvc/stage/run.py, dvc/stage/cache.py).
_SAID: dict[str, Outcome] = {"Running stage": "ran", "is cached - skipping run": "restored"}


class StepFailedError(RuntimeError):
    """A step ended badly; the message is the step's own: what was expected, what was found, what to do next."""


class StaleUpstreamError(RuntimeError):
    """A stage was asked to run on outputs that are not those of `params.yaml`, the code and the sources."""


class StepProcess:
    """`dvc repro --single-item STEP` under the guard: it dies with this process."""

    def __init__(
        self, step: str, settings: Settings, *, look_again: bool, environment: Mapping[str, str] | None = None
    ) -> None:
        command = [sys.executable, "-m", "dvc", "repro", "--single-item", step]
        environment = {**os.environ, **(environment or {})}
        if look_again:
            command.append("--force")
            environment["ABCD_DISCOVER"] = "1"
        # `python` in dvc.yaml is this interpreter, also when the environment is not activated.
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
        environment["PYTHONUNBUFFERED"] = "1"
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "flows.guard", *command], cwd=settings.workspace, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, encoding="utf-8", errors="replace", bufsize=1, start_new_session=True,
        )  # fmt: skip
        self._step, self._said, self._code = step, list[str](), 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the child if it still runs: its guard ends the tree when its standard input closes."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._popen.stdin.close()
        self._code = self._popen.wait()
        self._popen.stdout.close()

    def lines(self) -> Iterator[str | None]:
        """Lines as they are written, and None now and then while there are none."""
        found: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, args=(found,), daemon=True).start()
        last_pause = time.monotonic()
        while True:
            try:
                line = found.get(timeout=PULSE_SECONDS)
            except queue.Empty:
                line = ""
            if line is None:
                return
            if line.strip():
                self._said.append(line.rstrip())
                yield line.rstrip()
            if time.monotonic() - last_pause >= PULSE_SECONDS:
                last_pause = time.monotonic()
                yield None

    def _read(self, found: "queue.Queue[str | None]") -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            found.put(line)
        found.put(None)

    def outcome(self) -> Outcome:
        """How the step ended, after the block.

        Raises:
            StepFailedError: badly.
        """
        if self._code:
            raise StepFailedError(_cause(self._step, self._said, self._code))
        lost = next((line for line in self._said if line.startswith(_NOT_KEPT)), "")
        if lost:
            raise StepFailedError(
                f"{self._step} was made, but DVC could not keep it in its cache: {lost}; "
                "free some space (`df -h` shows where), then type the same command again"
            )
        return next(
            (meaning for words, meaning in _SAID.items() if any(words in line for line in self._said)),
            "current",
        )


def require_current(steps: list[str], settings: Settings) -> None:
    """Check that the outputs of `steps` are what a run would make now.

    Raises:
        StaleUpstreamError: they are not; the message says which and why.
    """
    stale = stale_steps(steps, settings) if steps else {}
    if stale:
        reasons = "; ".join(f"{step}: {_why(why)}" for step, why in stale.items())
        raise StaleUpstreamError(f"not current: {reasons}; run `abcd run` or `dvc repro` first")


def stale_steps(steps: list[str], settings: Settings) -> dict[str, list[object]]:
    """Those whose outputs are not what a run would make now, with DVC's reasons.

    Raises:
        StaleUpstreamError: DVC cannot tell.
    """
    command = [sys.executable, "-m", "dvc", "status", "--json", *steps]
    found = subprocess.run(command, cwd=settings.workspace, capture_output=True, text=True, check=False)
    if found.returncode:
        raise StaleUpstreamError(f"`dvc status` failed: {found.stderr.strip()}")
    stale: dict[str, list[object]] = json.loads(found.stdout)
    return stale


def _why(changes: list[object]) -> str:
    """DVC's account of a stale step, in words."""
    words = []
    for change in changes:
        if isinstance(change, dict):
            for kind, items in change.items():
                words += [f"{kind}: {item} ({how})" for item, how in items.items()]
        else:
            words.append(str(change))
    return ", ".join(words)


def _cause(step: str, lines: list[str], code: int) -> str:
    """The step's own error message, else the end of what it said."""
    said = [number for number, line in enumerate(lines) if line.startswith(f"{step}: ")]
    end = next((n for n, line in enumerate(lines) if line.startswith("ERROR: failed to reproduce")), len(lines))
    if said and said[-1] < end:
        return "\n".join(lines[said[-1] : end]).removeprefix(f"{step}: ")
    tail = "\n".join(lines[-15:])
    last = next((line.strip() for line in reversed(lines[:end]) if line.strip()), "it said nothing")
    advice = f"`python -m tasks {step}` runs this step alone"
    return f"{step} ended with code {code}: {last}; {advice}\n{tail}".rstrip()
