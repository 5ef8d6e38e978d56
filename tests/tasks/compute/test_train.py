"""The step through Ray: the same bytes for any number of workers, whatever dies on the way, and nothing left behind."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from infra.ray_cluster import LOCAL_FOLDERS
from infra.storage import open_store
from tasks.compute import cluster, train
from tasks.compute.batches import open_stream
from tasks.compute.job import CURVES_FILE, WEIGHTS_FILE, Job
from tasks.compute.loop import Checkpoints, Run
from tasks.compute.loop import train as train_here
from tasks.compute.spread import Place
from tasks.compute.worker import open_run, work_at, write_outputs
from tasks.report import StepError, sha256_of, write_json
from tests.packed import write_stream
from tests.processes import alive_after, command_line

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(240)]


def rays_home() -> list[bool]:
    """Whether Ray has written to the home folder."""
    return [(Path.home() / name).exists() for name in (".ray", "ray_results")]


def ray_folders(process: psutil.Process) -> set[str]:
    """Ray's temporary folder, as its processes are told."""
    return set(re.findall(rf"{LOCAL_FOLDERS}\w+", command_line(process.pid)))


class Watcher(threading.Thread):
    """Looks at this process's descendants now and then, and kills a worker once there is a checkpoint."""

    def __init__(self, *, kill_when: Path, by: signal.Signals = signal.SIGKILL) -> None:
        super().__init__(daemon=True)
        self.kill_when = kill_when
        self.by = by
        self.killed: int | None = None
        self.listeners: set[str] = set()
        self.workers: set[int] = set()
        self.folders: set[str] = set()
        self.over = threading.Event()

    def run(self) -> None:
        looked = 0.0
        while not self.over.wait(0.05):
            kill = not self.killed and bool(list(self.kill_when.glob("*/step-*")))
            if kill or time.monotonic() - looked > 1:  # a look takes a tenth of a second of a core
                self._look(kill=kill)
                looked = time.monotonic()

    def _look(self, *, kill: bool) -> None:
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                self.folders |= ray_folders(process)
                if "RayTrainWorker" in command_line(process.pid):
                    self.workers.add(process.pid)
                    if kill and not self.killed:
                        self.killed = process.pid
                        process.send_signal(self.by)
                connections = process.net_connections(kind="inet")
                self.listeners |= {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}

    def __enter__(self) -> "Watcher":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


def expect(workspace, tmp_path: Path) -> Path:
    """What the step must leave: made in this process, without Ray."""
    out = tmp_path / "expected"
    out.mkdir()
    run = open_run(workspace.artifacts, Place())
    train_here(run, Checkpoints(open_store(str(tmp_path / "none")), "run", 10_000), lambda _run, _meter: None)
    write_outputs(run, out)
    return out


def job_of(workspace, out: Path, checkpoints: Path) -> Job:
    return Job(
        artifacts=str(workspace.artifacts), out=str(out), checkpoints=str(checkpoints), name="run",
        checkpoint_steps=5, stall_seconds=100, progress=str(out / "progress.json"), device="cpu",
    )  # fmt: skip


def below_here() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def same_files(left: Path, right: Path) -> None:
    for name in (WEIGHTS_FILE, CURVES_FILE):
        assert sha256_of(left / name) == sha256_of(right / name), name


@pytest.mark.thread
@pytest.mark.parametrize("end", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.long)])
def test_a_worker_that_dies_or_hangs_changes_nothing(workspace, tmp_path, capfd, end):
    """Two workers, one ended or stopped in the middle; the outputs are those of one process that nobody disturbed."""
    options = {"balance_loss": 0.01, "z_loss": 0.001, "muon_per_head": True, "blueprint": {"n_mtp_layers": 1}}
    workspace = workspace.set_training(tokens=64 * 120, **options)
    expected = expect(workspace, tmp_path)
    home = rays_home()
    out, settings = tmp_path / "out", workspace.settings(workers=2, checkpoint_steps=20, stall_seconds=15)
    out.mkdir()
    environment, others = set(os.environ), below_here()
    with Watcher(kill_when=settings.runs / "checkpoints", by=end) as watcher:
        report = train.run(workspace.params, settings, out)
    assert watcher.killed
    assert len(watcher.workers) >= 4
    same_files(out, expected)
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")

    # Only this machine could talk to it.
    assert watcher.listeners
    assert {ip.removeprefix("::ffff:") for ip in watcher.listeners} <= {"127.0.0.1", "::1"}

    # People saw what happened.
    said = capfd.readouterr().err
    assert re.search(r"continuing after step \d+", said)
    assert report.facts["steps"] == 120
    assert report.facts["tokens"] == 64 * 120
    assert report.pictures == ("curves.png",)
    [measured] = (settings.runs / "measured").glob("*.json")
    record = json.loads(measured.read_text())
    assert measured.stem == record["weights_sha256"] == sha256_of(out / WEIGHTS_FILE)
    assert measured.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert record["speed"][-1][0] == 64 * 120
    assert record["workers"] == 2
    assert record["tokens_per_second"] > 0
    assert 0 < record["share_of_matmul_peak"] < 1
    assert 0 <= record["waiting_share"] < 1
    assert (record["precision"], record["activation_checkpointing"]) == ("fp32", False)

    # Nothing is left.
    assert not list((settings.runs / "checkpoints").rglob("*.safetensors"))
    assert not list((settings.runs / "progress").iterdir())
    assert alive_after(below_here() - others, 5.0) == []
    assert len(watcher.folders) == 1
    assert not any(Path(folder).exists() for folder in watcher.folders)
    assert rays_home() == home
    assert not {"RAY_AUTH_TOKEN", "OMP_NUM_THREADS", "PYTHONPATH"} & (os.environ.keys() - environment)


@pytest.mark.thread
@pytest.mark.long  # that two workers, one of them killed, give the bytes of one process is seen above
@pytest.mark.parametrize("counts", [(1, 2), (4,)])
def test_any_number_of_workers_gives_the_same_bytes(workspace, tmp_path, counts):
    """One Ray for several trainings: by each number of workers, then by the last, of which one dies once too often."""
    settings = workspace.settings(workers=counts[-1], checkpoint_steps=5)
    outs = {}
    with cluster.start(settings, micro_shards=4) as ray:
        # Here, because Ray reads whether it wants a token when it is imported.
        from tasks.compute import supervisor, worker

        assert (ray.workers, ray.device) == (counts[-1], "cpu")
        for workers in counts:
            outs[workers] = tmp_path / f"out{workers}"
            outs[workers].mkdir()
            job = job_of(workspace, outs[workers], tmp_path / f"checkpoints{workers}")
            found = supervisor.run(replace(ray, workers=workers), worker.work, asdict(job))
            assert found["measured"]["workers"] == workers
        expected = expect(workspace, tmp_path)
        for out in outs.values():
            same_files(out, expected)
        doomed = workspace.set_training(tokens=64 * 2000)
        job = job_of(doomed, tmp_path / "none", tmp_path / "doomed")
        gives_up = pytest.raises(StepError, match=r"workers: \d.* failed 1 time.*died.*start the step again")
        with Watcher(kill_when=tmp_path / "doomed") as watcher, gives_up:
            supervisor.run(ray, worker.work, asdict(job), max_failures=0)
        assert watcher.killed


def find(family: list[psutil.Process], program: str) -> psutil.Process:
    """The one process of a family that runs a program."""
    [found] = [process for process in family if program in command_line(process.pid).split(" ")[0]]
    return found


@pytest.mark.thread
@pytest.mark.parametrize(
    "ended",
    [
        "step, by SIGTERM",
        pytest.param("step, by SIGKILL", marks=pytest.mark.long),
        pytest.param("Ray's head, by SIGKILL", marks=pytest.mark.long),
    ],
)
def test_however_it_ends_all_of_it_ends(workspace, ended):
    """`python -m tasks train`, stopped as a scheduler stops it, or killed; or what knows Ray's cluster is killed."""
    root = workspace.set_training(tokens=64 * 100_000).root
    for name in (".git", "dvc.yaml"):
        (root / name).touch()
    write_json(root / "params.yaml", workspace.params.model_dump(mode="json"))
    environment = {**os.environ, "ABCD_WORKSPACE": str(root), "ABCD_CHECKPOINT_STEPS": "10", "ABCD_DEVICE": "cpu"}
    step = subprocess.Popen(
        [sys.executable, "-m", "tasks", "train"], cwd=Path(train.__file__).parents[2], env=environment,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not list(root.glob("runs/checkpoints/*/step-*")):
        assert step.poll() is None, step.communicate()
        time.sleep(0.1)
    family = psutil.Process(step.pid).children(recursive=True)
    folders = set().union(*map(ray_folders, family))
    if "head" in ended:
        find(family, "gcs_server").kill()
    else:
        step.send_signal(signal.SIGTERM if "SIGTERM" in ended else signal.SIGKILL)
    said = step.communicate(timeout=100)[1]
    assert step.returncode != 0, said
    # Ray's agents look at their parent now and then only.
    assert alive_after((process.pid for process in family if "Agent" not in command_line(process.pid)), 10.0) == []
    if "head" in ended:
        assert "GCS may have been killed" in said
    assert folders
    if "SIGTERM" in ended:  # who is killed cannot tidy up; the next run does
        assert not any(Path(folder).exists() for folder in folders)
    assert not (root / "artifacts" / "train").exists()
    assert list(root.glob("runs/checkpoints/*/step-*"))


def test_what_would_only_come_again_is_returned_not_raised(workspace, tmp_path, monkeypatch):
    """Ray starts workers again when they raise; a diverged run would diverge again."""
    monkeypatch.setattr(Run, "advance", diverge)
    assert work_at(Place(), job_of(workspace, tmp_path, tmp_path / "none")) == {"error": "training diverged"}


def diverge(_run: Run) -> None:
    raise StepError("training diverged")


def test_a_worker_without_ray_leaves_weights_and_curve(workspace, tmp_path):
    found = work_at(Place(), job_of(workspace, tmp_path, tmp_path / "none"))
    assert found["measured"]["tokens"] == 64 * 20
    assert [line["step"] for line in train.read_curve(tmp_path)] == list(range(1, 21))
    assert (tmp_path / WEIGHTS_FILE).is_file()
    assert not (tmp_path / "progress.json").exists()


def test_too_little_data_ends_the_step_before_ray(workspace, tmp_path):
    write_stream(workspace.artifacts / "pack", np.zeros(10))
    with pytest.raises(StepError, match=r"add text to discover\.sources"):
        train.run(workspace.params, workspace.settings(), tmp_path)


def test_checkpoints_belong_to_what_decides_the_weights(workspace):
    first = train.inputs_digest(workspace.artifacts, device="cpu")
    assert train.inputs_digest(workspace.artifacts, device="cpu") == first
    assert train.inputs_digest(workspace.artifacts, device="cuda") != first
    assert train.inputs_digest(workspace.set_training(learning_rate=0.5).artifacts, device="cpu") != first
    workspace.set_training()
    assert train.inputs_digest(workspace.artifacts, device="cpu") == first
    write_stream(workspace.artifacts / "pack", open_stream(workspace.artifacts / "pack")[:][::-1])
    assert train.inputs_digest(workspace.artifacts, device="cpu") != first
