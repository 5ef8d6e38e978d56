"""`abcd gc` in a clone with a tiny graph and the real DVC: what it removes nobody misses."""

import json
import os
import subprocess
import sys
import time

import pytest
from ruamel.yaml import YAML

from data_contracts.pieces import PIECES, TRAIN, Piece
from infra.lock import workspace_lock
from infra.settings import Settings
from tasks.__main__ import STEPS
from tasks.compute.train import inputs_digest
from tests.conftest import ROOT, Clone

DAYS_AGO = time.time() - 3 * 86_400
COPY = "mkdir -p artifacts/{step} && cp {source} artifacts/{step}/{file}"
# What the parts look for, beside the steps that have only a name.
FILES = {"blueprint": "blueprint.json", "train": "model.safetensors", "discover": "sources.jsonl"}


def graph():
    """Each step copies input.txt, as `dvc.yaml` would have it."""
    stages = {}
    for step in STEPS:
        source = "manifest.jsonl" if step == "discover" else "input.txt"
        command = COPY.format(step=step, source=source, file=FILES.get(step, "output"))
        if step == "discover":
            command += " && echo '{}' > artifacts/discover/base.json"
        if step == "pack":
            piece = Piece(TRAIN, "one", 1, 1, "uint16", 1, 1, 1)
            listed = json.dumps([piece._asdict()])
            command += f" && mkdir artifacts/pack/train && cp {source} artifacts/pack/{piece.tokens_file}"
            command += f" && echo '{listed}' > artifacts/pack/{PIECES}"
        stages[step] = {"cmd": command, "deps": [source], "outs": [f"artifacts/{step}"]}
    return {"stages": stages}


@pytest.fixture
def clone(tmp_path):
    root = tmp_path / "clone"
    root.mkdir()
    made = Clone(root)
    made.environment["PYTHONPATH"] = str(ROOT)
    made.run("git", "init", "-q", "-b", "main")
    made.run("dvc", "init", "-q")
    (root / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (root / "manifest.jsonl").write_text("")
    (root / ".gitignore").write_text("/.abcd/\n/runs/\n/artifacts/\n")
    with (root / "dvc.yaml").open("w") as file:
        YAML().dump(graph(), file)
    from infra.workspace import prepare

    prepare(Settings(workspace=root))
    repro(made, "one")
    return made


def repro(clone, text):
    """Bring the graph up to date for an input; the steps that ran."""
    (clone.root / "input.txt").write_text(text)
    said = clone.run("dvc", "repro")
    return [step for step in STEPS if f"Running stage '{step}'" in said]


def commit(clone, message):
    clone.run("git", "add", ".")
    clone.run("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", message)


def gc(clone, *options):
    return json.loads(clone.run("abcd", "gc", "--json", *options))


def removed(clone, *options):
    found = gc(clone, "--yes", *options)
    return {kind["kind"]: len(kind["files"]) for kind in found["kinds"] if kind["files"]}


def write(path, *, days_old=3.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    os.utime(path, (time.time() - days_old * 86_400,) * 2)


@pytest.mark.thread
@pytest.mark.long
def test_after_gc_repro_does_nothing_and_what_git_names_is_restored(clone):
    commit(clone, "one")
    clone.run("git", "tag", "kept")
    repro(clone, "two")
    repro(clone, "three")
    assert set(removed(clone)) == {"runs that DVC remembers", "objects in the DVC cache"}
    assert removed(clone) == {}
    assert repro(clone, "three") == []
    assert repro(clone, "one") == []  # the tag's, restored from the cache
    assert (clone.root / "artifacts" / "train" / "model.safetensors").read_text() == "one"
    assert repro(clone, "two") == [step for step in STEPS if step != "discover"]  # made anew, and no error


@pytest.mark.thread
@pytest.mark.long
def test_it_shows_first_and_removes_only_when_told(clone):
    digest = inputs_digest(clone.root / "artifacts", device="cpu")
    kept = clone.root / "runs" / "checkpoints" / digest / "step-000000010" / "state.json"
    lost = clone.root / "runs" / "checkpoints" / ("0" * 32) / "step-000000010" / "state.json"
    for path in (kept, lost):
        write(path)
    for options in (["--dry-run"], []):
        said = clone.run("abcd", "gc", *options)
        assert "checkpoints" in said
        assert "1 files" in said
        assert lost.exists()
    assert "abcd gc --yes" in said
    assert gc(clone)["removed"] is False
    assert lost.exists()
    (clone.root / "input.txt").write_text("not yet run")  # which checkpoints the next run wants cannot be told
    assert removed(clone) == {}
    assert "not current" in json.dumps(gc(clone)["kinds"])
    (clone.root / "input.txt").write_text("one")
    assert "removed 1 files" in clone.run("abcd", "gc", "--yes")
    assert (kept.exists(), lost.exists()) == (True, False)
    assert not lost.parent.parent.exists()


@pytest.mark.thread
@pytest.mark.long
def test_a_running_run_or_dvc_command_is_named_and_nothing_is_removed(clone):
    lost = clone.root / "runs" / "checkpoints" / ("0" * 32) / "step-000000010" / "state.json"
    write(lost)
    settings = Settings(workspace=clone.root)
    with workspace_lock(settings.state, what="abcd run"):
        said = clone.run("abcd", "gc", "--yes", code=1)
        assert f"abcd run (process {os.getpid()}" in " ".join(said.split())
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    busy = {"write": {"artifacts/train": {"pid": sleeper.pid, "cmd": "dvc repro"}}, "read": {}}
    (clone.root / ".dvc" / "tmp" / "rwlock").write_text(json.dumps(busy))
    said = clone.run("abcd", "gc", "--yes", code=1)
    assert f"dvc repro (process {sleeper.pid})" in " ".join(said.split())
    sleeper.kill()  # from here on it only has a pid, till it is waited for
    from dvc.repo import Repo

    with Repo(str(clone.root)) as repo, repo.lock:
        assert "a dvc command is at work" in " ".join(clone.run("abcd", "gc", "--yes", code=1).split())
    assert lost.exists()
    assert removed(clone) == {"checkpoints": 1}
    sleeper.wait()
