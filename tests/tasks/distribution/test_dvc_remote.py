"""The DVC remote has all that `dvc.lock` names, or publishing stops and says what is missing."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.outputs import outputs_of
from infra.settings import Settings
from infra.storage import LocalStore, StorageError
from infra.workspace import prepare
from tasks.distribution.dvc_remote import missing_in, push_data
from tasks.report import StepError

ROOT = Path(__file__).parents[3]


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def put(remote, data, suffix=""):
    digest = md5(data) + suffix
    remote.put_if_absent(f"files/md5/{digest[:2]}/{digest[2:]}", data)
    return digest


def test_every_file_of_every_output_is_looked_for(tmp_path):
    remote = LocalStore(tmp_path)
    there, absent = put(remote, b"a"), md5(b"b")
    listed = json.dumps([{"md5": there, "relpath": "a.txt"}, {"md5": absent, "relpath": "sub/b.txt"}]).encode()
    outputs = {
        "artifacts/one": put(remote, listed, ".dir"),
        "artifacts/two": md5(b"[]") + ".dir",
        "artifacts/file": there,
        "artifacts/lost": absent,
    }
    assert missing_in(remote, outputs) == ["artifacts/lost", "artifacts/one/sub/b.txt", "artifacts/two"]


def test_a_list_of_files_that_was_changed_counts_for_nothing(tmp_path):
    digest = md5(b"[]") + ".dir"
    LocalStore(tmp_path).put_if_absent(f"files/md5/{digest[:2]}/{digest[2:]}", b"[ ]")
    assert missing_in(LocalStore(tmp_path), {"artifacts/one": digest}) == ["artifacts/one"]


def test_outputs_are_read_from_the_lock():
    lock = "stages:\n  a:\n    cmd: x\n    outs:\n    - path: p\n      hash: md5\n      md5: d.dir\n  b:\n    cmd: y\n"
    assert outputs_of(lock) == {"a": {"p": "d.dir"}, "b": {}}


@pytest.fixture
def clone(tmp_path):
    """A git clone with one output, in the cache and the lock of the real DVC."""
    root = tmp_path / "clone"
    shutil.copytree(ROOT / ".dvc", root / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache", "config.local"))
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / "dvc.yaml").write_text("stages:\n  one:\n    cmd: 'true'\n    outs: [artifacts/one]\n")
    settings = Settings(workspace=root)
    (settings.artifacts / "one").mkdir(parents=True)
    (settings.artifacts / "one" / "weights").write_text("weights")
    prepare(settings)
    subprocess.run([sys.executable, "-m", "dvc", "commit", "-f", "-q"], cwd=root, check=True)
    return settings


def test_with_the_real_dvc_what_neither_cache_nor_remote_has_is_missed(clone):
    push_data(clone)
    stored = Path(clone.remote) / "files" / "md5" / md5(b"weights")[:2] / md5(b"weights")[2:]
    assert stored.read_text() == "weights"
    shutil.rmtree(clone.remote)
    shutil.rmtree(clone.dvc_cache)
    with pytest.raises(StepError, match=r"artifacts/one; type `dvc repro`"):
        push_data(clone)


def test_a_push_that_fails_says_what_dvc_said(clone):
    shutil.rmtree(clone.workspace / ".git")
    with pytest.raises(StorageError, match=r"(?s)nothing was published.*git"):
        push_data(clone)
