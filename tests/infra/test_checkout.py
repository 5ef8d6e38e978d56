"""A checkout of a commit: what it shares, what it leaves out, when it goes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra import checkout, finished_checkouts
from infra.git import GitError, git
from infra.lock import workspace_lock
from infra.settings import Settings
from tests.conftest import ROOT

HOUR = 3600.0
WEEKS = time.time() + 1000 * HOUR


def commit(root: Path, message: str) -> str:
    git(root, "add", ".")
    git(root, "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", message)
    return git(root, "rev-parse", "HEAD").strip()


@pytest.fixture
def main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [name for name in os.environ if name.startswith("ABCD_")]:
        monkeypatch.delenv(name)
    root = tmp_path / "main"
    (root / ".dvc").mkdir(parents=True)
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / ".dvc" / "config").write_text("")
    (root / ".gitignore").write_text("/.abcd/\n/runs/\n")
    (root / "code.py").write_text("old\n")
    git(root, "init", "-q", "-b", "main")
    commit(root, "start")
    monkeypatch.chdir(root)
    return Settings.load()


def test_a_checkout_shares_what_is_shared_and_has_its_own_state(main: Settings):
    made = checkout.make_checkout(main, "quick-fox")
    assert made.workspace == main.checkouts / "quick-fox"
    for name in ("registry", "keys", "dvc_cache", "remote", "cache", "records", "source_root", "prefect_home", "seen"):
        assert getattr(made, name) == getattr(main, name), name
    assert made.main == main.workspace
    assert made.state == made.workspace / ".abcd"
    assert made.runs == made.workspace / "runs"


def test_in_a_checkout_its_file_counts_whatever_the_environment_says(main: Settings, monkeypatch: pytest.MonkeyPatch):
    made = checkout.make_checkout(main, "a")
    monkeypatch.chdir(made.workspace)
    monkeypatch.setenv("ABCD_WORKSPACE", str(main.workspace))
    monkeypatch.setenv("ABCD_STATE", str(main.state))
    assert Settings.load() == made


def test_a_checkout_is_of_the_commit_and_names_what_it_leaves_out(main: Settings):
    (main.workspace / "code.py").write_text("new\n")
    (main.workspace / "dvc.lock").write_text("made anew by the run\n")
    made = checkout.make_checkout(main, "a")
    assert (made.workspace / "code.py").read_text() == "old\n"
    about = checkout.about_checkout(made)
    assert about["left_out"] == ["code.py"]
    assert "left out: code.py; commit them" in checkout.describe(about)
    assert (main.workspace / "code.py").read_text() == "new\n"


def test_a_named_commit_is_checked_out(main: Settings, monkeypatch: pytest.MonkeyPatch):
    first = git(main.workspace, "rev-parse", "HEAD").strip()
    (main.workspace / "code.py").write_text("new\n")
    commit(main.workspace, "second")
    monkeypatch.setenv("ABCD_COMMIT", first[:10])
    made = checkout.make_checkout(Settings.load(), "a")
    assert (made.workspace / "code.py").read_text() == "old\n"
    assert checkout.about_checkout(made)["commit"] == first


def test_an_unknown_commit_is_refused(main: Settings):
    with pytest.raises(GitError, match=r"no commit nowhere in .* it has no remote to ask; name another"):
        checkout.make_checkout(main, "a", commit="nowhere")
    with pytest.raises(GitError, match="no commit --all"):
        checkout.make_checkout(main, "a", commit="--all")


def test_a_commit_that_only_a_remote_has_is_fetched(main: Settings, tmp_path: Path):
    git(tmp_path, "clone", "-q", str(main.workspace), "second")
    (main.workspace / "code.py").write_text("new\n")
    later = commit(main.workspace, "second")
    made = checkout.make_checkout(Settings(workspace=tmp_path / "second"), "a", commit=later)
    assert (made.workspace / "code.py").read_text() == "new\n"


def test_the_name_of_a_run_is_no_path_and_is_not_used_twice(main: Settings):
    first, second = checkout.make_checkout(main, "../evil"), checkout.make_checkout(main, "../evil")
    assert first.workspace.parent == second.workspace.parent == main.checkouts
    assert first.workspace != second.workspace


def test_a_checkout_in_a_checkout_is_one_of_the_main_workspace(main: Settings):
    inner = checkout.make_checkout(checkout.make_checkout(main, "outer"), "inner")
    assert inner.main == main.workspace
    assert inner.workspace.parent == main.checkouts


@pytest.mark.parametrize(
    ("ended_well", "hours", "stays"), [(True, 23, 1), (True, 25, 0), (False, 167, 1), (False, 169, 0)]
)
def test_a_finished_checkout_goes_after_its_time(main: Settings, ended_well: bool, hours: float, stays: int):
    checkout.note_end(checkout.make_checkout(main, "a"), ended_well=ended_well)
    checkout.remove_finished(main, time.time() + hours * HOUR)
    assert len(checkout.checkouts(main)) == stays
    assert len(git(main.workspace, "worktree", "list").splitlines()) == 1 + stays


def test_a_running_checkout_never_goes(main: Settings):
    made = checkout.make_checkout(main, "a")
    program = (
        "import sys, pathlib, infra.lock as l\n"
        "with l.workspace_lock(pathlib.Path(sys.argv[1]), what='run'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(made.state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
    ) as holder:  # fmt: skip
        assert holder.stdout.readline() == "held\n"
        assert checkout.running(main, WEEKS) == [made.workspace]
        assert checkout.finished(main, WEEKS) == []
        holder.stdin.close()
    assert checkout.finished(main, WEEKS) == [made.workspace]


def test_a_checkout_that_has_just_been_made_counts_as_running(main: Settings):
    made = checkout.make_checkout(main, "a")
    assert checkout.running(main, time.time()) == [made.workspace]
    checkout.note_end(made, ended_well=True)
    assert checkout.running(main, time.time()) == []


def test_gc_removes_finished_checkouts_and_tells_git(main: Settings):
    made = checkout.make_checkout(main, "a")
    assert finished_checkouts.unused(main, time.time())[0].files == ()
    [found] = finished_checkouts.unused(main, WEEKS)
    assert found.size > 0
    found.only([found]).remove()
    assert not made.workspace.exists()
    assert len(git(main.workspace, "worktree", "list").splitlines()) == 1


def test_a_workspace_that_is_no_checkout_notes_no_end(main: Settings):
    checkout.note_end(main, ended_well=True)
    assert not (main.state / "ended.json").exists()


def test_the_command_prints_nothing_but_the_path(main: Settings):
    (main.workspace / "code.py").write_text("new\n")
    done = subprocess.run(
        [sys.executable, "-m", "infra.checkout"], cwd=main.workspace, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PREFECT__FLOW_RUN_ID": "0a1b"},
    )  # fmt: skip
    assert done.stdout == f"{main.checkouts / '0a1b'}\n"
    assert "left out: code.py" in done.stderr
    assert json.loads((main.checkouts / "0a1b" / ".abcd" / "checkout.json").read_text())["left_out"] == ["code.py"]
    assert not (main.workspace / "0a1b").exists()
    with workspace_lock(main.state, what="test"):
        pass
