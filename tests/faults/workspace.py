"""A prepared workspace, what an undisturbed run leaves in it, and cheap copies of it to disturb."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from infra.outputs import outputs_of
from infra.settings import Settings
from infra.workspace import prepare
from tasks import params
from tasks.__main__ import STEPS
from tests.conftest import make_clone

INJECT = Path(__file__).parent / "inject"
NAME = "notes"
# No command takes nearly so long on a busy machine; what does hangs.
LIMIT_SECONDS = 400
SMALL: dict[str, object] = {
    "discover.sources": ["../notes"],
    "discover.name": NAME,
    "blueprint.sequence_length": 32,
    "blueprint.width": 32,
    "blueprint.n_layers": 2,
    "blueprint.n_heads": 2,
    "blueprint.dense_ffn_width": 64,
    "blueprint.expert_ffn_width": 32,
    "blueprint.n_experts": 4,
    "tokenizer.vocab_size": 384,
    "train.tokens": 32_768,
    "train.batch_tokens": 1024,
    "evaluate.sample_tokens": 8,
    "gate.resamples": 200,
    # The second release must be promoted for the campaign to see a champion change.
    "gate.min_documents": 5,
    "gate.margin_bits_per_byte": 1.0,
}


class Ran(NamedTuple):
    """How a command ended and what it said."""

    code: int
    said: str


@dataclass
class Truth:
    """What an undisturbed run leaves, and how long its steps took and how often they changed a file."""

    outputs: dict[str, str] = field(default_factory=dict)
    lock: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)


class Workspace:
    """A clone beside its sources, and commands run in it as a user would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = Settings(workspace=root)
        foreign = ("ABCD_", "PREFECT_", "DVC_", "COV_", "PYTHONPATH", "FAULT_", "AWS_")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(foreign)} | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "400",
        }
        if url := os.environ.get("FAULTS_PREFECT_URL"):
            self.environment["PREFECT_API_URL"] = url

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start `abcd ...`, `dvc ...`, `step NAME` or a program in a process group of its own."""
        program, *rest = command
        modules = {"abcd": "flows.cli", "dvc": "dvc", "step": "tasks", "release": "tests.faults.small_release"}
        line = [sys.executable, "-m", modules[program], *rest] if program in modules else list(command)
        return subprocess.Popen(
            line, cwd=self.root, env=self.environment | environment, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, *command: str, **environment: str) -> Ran:
        """Run a command to its end."""
        return ended(self.start(*command, **environment))

    def must(self, *command: str, **environment: str) -> str:
        """Run a command that has to end well."""
        ran = self.run(*command, **environment)
        if ran.code:
            raise AssertionError(f"{' '.join(command)} ended with {ran.code}:\n{ran.said}")
        return ran.said

    def forget(self, step: str, *, memory: bool = True) -> None:
        """Remove a step's outputs, their own objects of DVC's cache, and its memory: so that it runs again."""
        self.remove(step)
        if memory:
            shutil.rmtree(self.settings.cache / "shards" / step, ignore_errors=True)
        digests = outputs_of(self.lock())[step].values()
        for digest in digests:  # of a folder the list; its files may be another step's too
            self._cached(digest).unlink(missing_ok=True)

    def remove(self, step: str) -> None:
        """Remove a step's outputs; DVC's cache still has them."""
        shutil.rmtree(self.settings.artifacts / step, ignore_errors=True)

    def cache_objects(self, step: str) -> list[Path]:
        """Files in DVC's cache with a step's outputs, the lists of folders included, sorted."""
        found: set[str] = set()
        for digest in outputs_of(self.lock())[step].values():
            found.add(digest)
            if digest.endswith(".dir"):
                found |= {entry["md5"] for entry in json.loads(self._cached(digest).read_bytes())}
        return sorted(self._cached(digest) for digest in found)

    def _cached(self, digest: str) -> Path:
        return self.settings.dvc_cache / "files" / "md5" / digest[:2] / digest[2:]

    def place(self, url: str) -> None:
        """Have the registry and the DVC remote under a URL."""
        where = {"registry": f"{url}/registry", "remote": f"{url}/remote"}
        self.environment |= {f"ABCD_{name.upper()}": value for name, value in where.items()}
        self.environment |= {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        self.settings = Settings(workspace=self.root, **where)
        prepare(self.settings)

    def outputs(self) -> dict[str, str]:
        """SHA-256 of every file in `artifacts/`, leftovers of killed steps apart: DVC does not see them."""
        artifacts = self.settings.artifacts
        files = (path.relative_to(artifacts) for path in artifacts.rglob("*") if path.is_file())
        kept = sorted(file for file in files if file.parts[0] in STEPS)
        return {file.as_posix(): hashlib.sha256((artifacts / file).read_bytes()).hexdigest() for file in kept}

    def lock(self) -> str:
        """Text of `dvc.lock`."""
        return (self.root / "dvc.lock").read_text()


def ended(process: subprocess.Popen[str]) -> Ran:
    """Wait for a process; one that hangs is ended with its group, and that is a finding."""
    try:
        said, _ = process.communicate(timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        raise AssertionError(f"{process.args} hung for {LIMIT_SECONDS} s:\n{said[-2000:]}") from None
    return Ran(process.returncode, said)


class Reference:
    """The undisturbed workspace, in `base`, made once."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.truth = Truth()
        self.work = Workspace(base / "work")

    def prepare(self, *, through: str = "gate") -> None:
        """Make all outputs up to a step; for `gate`, with a champion published before and the next release ready."""
        write_corpus(self.base / "notes")
        make_clone(self.work.root)
        params.override(self.work.root / params.PARAMS_FILE, list(SMALL.items()))
        prepare(self.work.settings)
        counts = self.base / "counts"
        counts.mkdir()
        steps = list(STEPS)[: list(STEPS).index(through) + 1]
        self._make(steps, counts)
        if through == "gate":
            self._publish_a_champion()
            self._make(steps, counts)
            self._watch_publish(counts)
        self.truth.changes = {path.name: int(path.read_text()) for path in counts.iterdir()}
        self.truth.outputs, self.truth.lock = self.work.outputs(), self.work.lock()
        if through == "gate":
            self._interrupt_training()
        self._file.write_text(json.dumps(asdict(self.truth)))

    def found(self) -> bool:
        """Whether this reference was prepared before; it is used again."""
        if not self._file.is_file():
            return False
        self.truth = Truth(**json.loads(self._file.read_text()))
        return True

    @property
    def champion(self) -> int | None:
        """Version that is the champion before the next release is published; None without releases."""
        return 1 if "publish" in self.truth.seconds else None

    @property
    def _file(self) -> Path:
        return self.base / "truth.json"

    def copy(self, label: str, *, of: str = "work") -> Workspace:
        """A copy to disturb, its sources where the copy expects them."""
        target = Workspace(self.base / label)
        shutil.rmtree(target.root, ignore_errors=True)
        left_out = shutil.ignore_patterns("dvc-site", "__pycache__")
        shutil.copytree(self.base / of, target.root, symlinks=True, ignore=left_out)
        prepare(target.settings)
        return target

    def _interrupt_training(self) -> None:
        """A copy, `interrupted`, whose training was killed after two checkpoints."""
        copy = self.copy("interrupted")
        copy.forget("train")
        process = copy.start("dvc", "repro", "-s", "train", ABCD_CHECKPOINT_STEPS="4")
        checkpoints = copy.settings.runs / "checkpoints"
        deadline = time.monotonic() + LIMIT_SECONDS
        while len({path.name for path in checkpoints.rglob("step-*")}) < 2:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"training wrote no two checkpoints:\n{ended(process).said}")
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        ended(process)

    def _make(self, steps: list[str], counts: Path) -> None:
        for step in steps:
            watched = {"FAULT_PROCESS": f"tasks {step}", "FAULT_COUNTS": str(counts), "PYTHONPATH": str(INJECT)}
            self.work.must("dvc", "repro", "-s", step, **watched)
            measured = json.loads((self.work.settings.runs / "steps" / f"{step}.json").read_text())
            self.truth.seconds[step] = measured["wall_seconds"]

    def _publish_a_champion(self) -> None:
        """Release 1, made champion by a person, with other weights than the release that follows."""
        self.work.must("abcd", "publish")
        self.work.must("abcd", "promote", f"{NAME}@v1")
        params.override(self.work.root / params.PARAMS_FILE, [("train.seed", 2)])
        self.work.must("dvc", "repro", "-f", "-s", "discover", ABCD_DISCOVER="1")

    def _watch_publish(self, counts: Path) -> None:
        copy = self.copy("publish")
        watched = {"FAULT_PROCESS": "publish", "FAULT_COUNTS": str(counts), "PYTHONPATH": str(INJECT)}
        started = time.monotonic()
        copy.must("abcd", "publish", **watched)
        self.truth.seconds["publish"] = time.monotonic() - started
        shutil.rmtree(copy.root)


def write_corpus(folder: Path) -> None:
    """60 real files of this interpreter's standard library, at most 6 kB each."""
    folder.mkdir(parents=True)
    library = Path(os.__file__).parent
    files = [f for f in sorted([*library.glob("*.py"), *library.glob("*/*.py")]) if 300 < f.stat().st_size < 6000]
    for file in [f for f in files if "test" not in str(f.relative_to(library))][:60]:
        shutil.copy(file, folder / "_".join(file.relative_to(library).parts))
