"""Runs of a tiny graph under the real DVC and git: recorded, adopted, made again on a machine that has only stores."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from safetensors.torch import save_file
from torch import ones, zeros

from flows.reproduction import describe, make_again
from infra.checkout import make_checkout
from infra.git import git
from infra.outputs import object_name, outputs_of
from infra.settings import Settings
from infra.workspace import prepare
from tasks.distribution.adopt import adopt
from tasks.distribution.begin import begin
from tasks.distribution.dvc_remote import push_data
from tasks.distribution.run_record import RunRecord, find_run, keep_run, list_runs, ref_of
from tasks.distribution.weights_difference import describe_difference
from tasks.report import StepError
from tests.conftest import ROOT

pytestmark = pytest.mark.thread

GRAPH = """\
stages:
  discover:
    cmd: mkdir -p artifacts/discover && echo manifest > artifacts/discover/sources.jsonl
    params: [discover]
    outs: [{artifacts/discover/sources.jsonl: {persist: true}}]
  ingest:
    cmd: mkdir -p artifacts/ingest && cat ../../../world.txt world.txt 2>/dev/null > artifacts/ingest/rows; true
    deps: [artifacts/discover/sources.jsonl]
    outs: [artifacts/ingest]
  train:
    cmd: mkdir -p artifacts/train && cat artifacts/ingest/rows params.yaml code.txt > artifacts/train/weights
    deps: [artifacts/ingest, code.txt]
    params: [train]
    outs: [artifacts/train]
"""


def commit(root: Path) -> None:
    git(root, "add", ".")
    git(root, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "start")


def dvc(settings: Settings, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=settings.workspace, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("ABCD_REMOTE", str(tmp_path / "store"))
    root = tmp_path / "main"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    settings = Settings(workspace=root)
    dvc(settings, "init", "-q")
    (root / ".dvc" / "config").write_text("[core]\n    remote = store\n")
    for name, text in {
        "dvc.yaml": GRAPH,
        "params.yaml": "discover: 1\ntrain: 1\n",
        "code.txt": "code\n",
        "world.txt": "the world\n",
        ".gitignore": "/.abcd/\n/runs/\n/artifacts/\n",
    }.items():
        (root / name).write_text(text)
    commit(root)
    prepare(settings)
    return settings


ALL = ("discover", "ingest", "train")


def make_run(
    main: Settings, run: str, *, train: int, state: str = "ended", patch: str = "", ended: tuple[str, ...] = ALL
) -> RunRecord:
    """A run in its own checkout, as a flow makes it."""
    own = make_checkout(main, run)
    prepare(own)
    (own.workspace / "params.yaml").write_text(f"discover: 1\ntrain: {train}\n")
    if patch:
        (own.workspace / "code.txt").write_text(patch)
    dvc(own, "repro")
    said = {"flow": "pipeline", "said": "because", "release": None, "started": datetime.now(UTC)}
    return keep_run(own, own.records / run, state=state, ended_steps=ended, **said)


def test_a_run_leaves_a_record_and_a_ref_and_nothing_else(main: Settings):
    record = make_run(main, "one", train=2)
    assert find_run(main, "one") == record
    assert record.manifest["sources"] == 1
    assert set(record.outputs) == {"discover", "ingest", "train"}
    assert git(main.workspace, "show", f"{ref_of('one')}:params.yaml") == "discover: 1\ntrain: 2\n"
    assert git(main.workspace, "rev-parse", f"{ref_of('one')}^").strip() == record.code.commit
    assert git(main.workspace, "status", "--porcelain") == ""
    assert git(main.workspace, "branch", "--list").split() == ["*", "main"]
    (main.records / "one" / "record.json").unlink()
    assert find_run(main, "one") == record  # from the ref
    with pytest.raises(StepError, match=r"no run 'two'.*there are: one"):
        find_run(main, "two")


def test_a_run_that_ended_early_is_no_record_of_what_the_workspace_had_of_later_steps(main: Settings):
    record = make_run(main, "one", train=2, state="failed", ended=("discover", "ingest"))
    assert set(record.outputs) == {"discover", "ingest"}
    assert make_run(main, "none", train=2, state="failed", ended=()).dvc_lock == ""


def test_a_checkout_begins_with_the_outputs_of_the_run_of_the_same_params(main: Settings):
    for name, train in (("one", 2), ("two", 3)):
        make_run(main, name, train=train)
    make_run(main, "none", train=2, state="failed", ended=())
    for train, nearest in ((2, "one"), (3, "two")):
        own = make_checkout(main, f"again-{train}")
        prepare(own)
        (own.workspace / "params.yaml").write_text(f"discover: 1\ntrain: {train}\n")
        assert begin(own) == nearest
        assert "up to date" in dvc(own, "status")
        assert begin(own) == ""  # it has a dvc.lock now


def test_what_is_gone_from_the_cache_is_made_again(main: Settings):
    digest = make_run(main, "one", train=2).outputs["ingest"]
    for file in main.dvc_cache.glob("files/md5/*/*"):
        file.unlink()
    own = make_checkout(main, "again")
    prepare(own)
    (own.workspace / "params.yaml").write_text("discover: 1\ntrain: 2\n")
    assert begin(own) == "one"
    dvc(own, "repro")
    assert keep_run(
        own, own.records / "again", flow="pipeline", state="ended", said="", release=None, started=datetime.now(UTC),
        ended_steps=ALL,
    ).outputs["ingest"] == digest  # fmt: skip


def test_the_first_run_begins_with_nothing(main: Settings):
    own = make_checkout(main, "first")
    assert begin(own) == ""
    assert not (own.workspace / "dvc.lock").exists()


def test_runs_side_by_side_do_not_see_each_other_and_either_can_be_adopted(main: Settings):
    runs = {name: make_run(main, name, train=train) for name, train in (("one", 2), ("two", 3))}
    assert runs["one"].outputs["ingest"] == runs["two"].outputs["ingest"]
    assert runs["one"].outputs["train"] != runs["two"].outputs["train"]
    assert {record.run for record in list_runs(main)} == {"one", "two"}
    for name, train in (("one", 2), ("two", 3)):
        adopt(main, name, force=False)
        assert (main.workspace / "params.yaml").read_text() == f"discover: 1\ntrain: {train}\n"
        assert "up to date" in dvc(main, "status")
    (main.workspace / "params.yaml").write_text("discover: 1\ntrain: 9\n")
    with pytest.raises(StepError, match=r"(?s)params.yaml has changes .* lost.*-train: 9\n\+train: 2"):
        adopt(main, "one", force=False)
    adopt(main, "one", force=True)
    assert "up to date" in dvc(main, "status")
    (main.workspace / "code.txt").write_text("other\n")
    with pytest.raises(StepError, match=r"other code: code.txt; `git diff"):
        adopt(main, "one", force=False)


def test_a_published_run_is_made_again_elsewhere_and_damage_is_reported(
    main: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    record = make_run(main, "one", train=2, patch="changed, not committed\n")
    assert record.code.patch
    push_data(Settings(**json.loads((main.checkouts / "one/.abcd/checkout.json").read_text())["settings"]))
    git(tmp_path, "clone", "-q", str(main.workspace), "second")
    (main.workspace / "world.txt").write_text("the world has changed\n")
    second = Settings(workspace=tmp_path / "second")
    git(second.workspace, "fetch", "-q", "origin", "refs/abcd/runs/*:refs/abcd/runs/*")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    said: list[str] = []

    found = make_again(second, "one", say=said.append)
    assert found.is_same
    assert (found.taken, found.executed, found.restored) == (("discover", "ingest"), ("train",), ())
    assert describe(found).endswith("1 steps executed, 0 restored; 1 of 1 outputs have the same bytes")

    rows = outputs_of(record.dvc_lock)["train"]["artifacts/train"]
    listed = Path(main.remote) / object_name(rows)
    [weights] = json.loads(listed.read_text())
    _damage(Path(main.remote) / object_name(weights["md5"]))
    assert make_again(second, "one", say=said.append).is_same  # what it was is not used to make it again

    [ingested] = json.loads((Path(main.remote) / object_name(record.outputs["ingest"]["artifacts/ingest"])).read_text())
    _damage(Path(main.remote) / object_name(ingested["md5"]))
    with pytest.raises(StepError, match=r"artifacts/ingest/rows \(MD5 .*\) was changed in .*nothing was run"):
        make_again(second, "one", say=said.append)


def test_what_comes_out_otherwise_is_said_file_by_file(main: Settings):
    make_run(main, "one", train=2)
    file = main.records / "one" / "record.json"
    file.write_text(file.read_text().replace("train: 2", "train: 22"))
    found = make_again(main, "one", say=str)
    assert not found.is_same
    assert [row.difference for row in found.outputs] == ["artifacts/train/weights: 47 bytes, were 46"]


def test_weights_differ_by_so_much(tmp_path: Path):
    save_file({"a": zeros(3), "b": ones(2)}, tmp_path / "then.safetensors")
    save_file({"a": zeros(3), "b": ones(2) * 1.5}, tmp_path / "now.safetensors")
    said = describe_difference(tmp_path / "then.safetensors", tmp_path / "now.safetensors")
    assert said == "max |difference| 0.5 in 1 of 2 tensors"
    save_file({"a": zeros(4), "b": ones(2)}, tmp_path / "now.safetensors")
    said = describe_difference(tmp_path / "then.safetensors", tmp_path / "now.safetensors")
    assert said == "1 tensors have another shape, as a"


def _damage(file: Path) -> None:
    file.chmod(0o644)
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)
