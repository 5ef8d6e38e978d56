"""What `abcd up` leaves for other commands: `.abcd/platform.json`, which processes it is and where it answers."""

import json
import time
from pathlib import Path
from typing import Self

import psutil
from pydantic import BaseModel, ValidationError

from infra.processes import runs
from infra.settings import Settings

# A corrected clock moves the start times that Linux reports; a process id is not used again so soon.
_SAME_START_SECONDS = 2.0


class PlatformError(RuntimeError):
    """The platform cannot start or go on; the message says what to do."""


class Known(BaseModel):
    """A process by its id and start: ids are used again, both together are not."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> Self:
        """The process that has this id now."""
        try:
            return cls(pid=pid, started=psutil.Process(pid).create_time())
        except psutil.NoSuchProcess:
            return cls(pid=pid, started=0.0)

    def process(self) -> psutil.Process | None:
        """The process, while it runs; one that has ended does not, even where nobody ever waits for it."""
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.started) < _SAME_START_SECONDS
            return found if same and runs(found) else None
        except psutil.NoSuchProcess:
            return None

    def lives(self) -> bool:
        """Whether it runs."""
        return self.process() is not None

    def tree(self) -> list["Known"]:
        """It and all below it, as far as they run."""
        process = self.process()
        if process is None:
            return []
        try:
            return [self, *(Known.of(child.pid) for child in process.children(recursive=True))]
        except psutil.NoSuchProcess:
            return [self]


class PlatformState(BaseModel):
    """What is in the file."""

    supervisor: Known
    server: Known | None = None
    worker: Known | None = None
    host: str
    port: int
    api_url: str
    ui_url: str
    since: float = 0.0
    is_ready: bool = False

    def parts(self) -> dict[str, Known]:
        """The processes by name."""
        named = {"supervisor": self.supervisor, "server": self.server, "worker": self.worker}
        return {name: known for name, known in named.items() if known is not None}

    def write(self, settings: Settings) -> None:
        """Put it in place of what was there."""
        path = path_of(settings)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        fresh.replace(path)

    @classmethod
    def read(cls, settings: Settings) -> Self | None:
        """What the file says; None without one that can be read."""
        try:
            return cls.model_validate(json.loads(path_of(settings).read_text(encoding="utf-8")))
        except (OSError, ValueError, ValidationError):
            return None


def path_of(settings: Settings) -> Path:
    """Where the file is."""
    return settings.state / "platform.json"


def wait_for_end(processes: list[Known], seconds: float) -> list[Known]:
    """Those that still run when all have ended or so many seconds have passed."""
    deadline = time.monotonic() + seconds
    while (processes := [known for known in processes if known.lives()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return processes
