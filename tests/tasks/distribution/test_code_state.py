"""The code of a run comes back from its record: commit, changes and new files."""

import base64
import subprocess

import pytest

from tasks.distribution.code_state import code_state, is_only_here
from tasks.report import StepError


def git(folder, *arguments, text=None):
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, input=text).stdout


@pytest.fixture
def clone(tmp_path):
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.email", "a@example.org")
    git(folder, "config", "user.name", "A")
    (folder / ".gitignore").write_text("ignored/\n")
    (folder / "code.py").write_text("x = 1\n")
    (folder / "params.yaml").write_text("a: 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "start")
    return folder


def test_a_clean_clone_is_its_commit(clone):
    state = code_state(clone)
    assert state.is_committed
    assert state.commit == git(clone, "rev-parse", "HEAD").decode().strip()
    (clone / "params.yaml").write_text("a: 2\n")  # both are in the record in full
    (clone / "dvc.lock").write_text("stages: {}\n")
    assert code_state(clone).is_committed


def test_a_commit_that_no_remote_has_is_known(clone, tmp_path):
    first = git(clone, "rev-parse", "HEAD").decode().strip()
    assert not is_only_here(clone, first)  # there is no remote that could have it
    git(tmp_path, "init", "-q", "--bare", "remote")
    git(clone, "remote", "add", "origin", str(tmp_path / "remote"))
    assert is_only_here(clone, first)
    git(clone, "push", "-q", "origin", "main")
    assert not is_only_here(clone, first)
    git(clone, "commit", "-q", "--allow-empty", "-m", "second")
    assert is_only_here(clone, git(clone, "rev-parse", "HEAD").decode().strip())
    assert not is_only_here(clone, first)


def test_changes_and_new_files_come_back_from_the_patch(clone, tmp_path):
    (clone / "code.py").write_text("x = 2\n")
    (clone / "neu ü.py").write_text("y = 1\n")
    (clone / "staged.py").write_text("z = 1\n")
    git(clone, "add", "staged.py")
    (clone / "ignored").mkdir()
    (clone / "ignored" / "big.bin").write_bytes(b"x" * 10)
    index = (clone / ".git" / "index").read_bytes()
    state = code_state(clone)
    assert (clone / ".git" / "index").read_bytes() == index
    assert not state.is_committed

    again = tmp_path / "again"
    git(tmp_path, "clone", "-q", str(clone), str(again))
    git(again, "checkout", "-q", state.commit)
    git(again, "apply", "-", text=state.patch.encode())
    for name in ("code.py", "neu ü.py", "staged.py"):
        assert (again / name).read_bytes() == (clone / name).read_bytes()
    assert not (again / "ignored").exists()


def test_a_patch_that_is_not_utf8_stays_printable(clone):
    (clone / "latin.txt").write_bytes(b"caf\xe9\n")
    state = code_state(clone)
    assert state.patch_encoding == "base64"
    (clone / "latin.txt").unlink()
    git(clone, "apply", "-", text=base64.b64decode(state.patch))
    assert (clone / "latin.txt").read_bytes() == b"caf\xe9\n"


def test_large_new_files_are_named_not_copied(clone):
    (clone / "corpus.txt").write_bytes(b"x" * (2**20 + 1))
    state = code_state(clone)
    assert state.left_out == {"corpus.txt": 2**20 + 1}
    assert state.patch == ""
    assert not state.is_committed


def test_before_the_first_commit_all_is_patch(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("x = 1\n")
    state = code_state(tmp_path)
    assert state.commit is None
    assert "+x = 1" in state.patch


def test_a_folder_that_is_no_clone_is_refused(tmp_path):
    with pytest.raises(StepError, match="a workspace is a git clone"):
        code_state(tmp_path)
