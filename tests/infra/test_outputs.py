"""Damaged outputs are found, removed and named, in the workspace and in DVC's cache; sound ones stay."""

import hashlib
import json

import pytest
from ruamel.yaml import YAML

from infra.outputs import DamagedError, require_sound_inputs, require_sound_outputs
from infra.settings import Settings


class Workspace:
    """One folder output and one file output, both in DVC's cache; `read` reads the folder."""

    def __init__(self, root):
        self.settings = Settings(workspace=root)
        self.one = root / "artifacts/make/part.txt"
        self.two = root / "artifacts/look/sources.jsonl"
        for path, text in ((self.one, "one"), (self.two, "two")):
            path.parent.mkdir(parents=True)
            path.write_text(text)
        listed = json.dumps([{"md5": self.cached(b"one").name_, "relpath": "part.txt"}]).encode()
        self.list = self.cached(listed, ".dir")
        stages = {
            "make": {"outs": [{"path": "artifacts/make", "hash": "md5", "md5": self.list.name_}]},
            "look": {"outs": [{"path": "artifacts/look/sources.jsonl", "md5": self.cached(b"two").name_}]},
        }
        YAML().dump({"stages": stages}, root / "dvc.lock")
        YAML().dump({"stages": {"read": {"deps": ["artifacts/make", "tasks/x.py"]}, "none": {}}}, root / "dvc.yaml")

    def cached(self, data, suffix=""):
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest() + suffix
        return Cached(self.settings.dvc_cache / "files/md5" / digest[:2] / digest[2:], digest, data)


class Cached:
    """An object of DVC's cache."""

    def __init__(self, path, digest, data):
        self.path, self.name_ = path, digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


def test_sound_outputs_pass(workspace):
    require_sound_inputs(workspace.settings, "read")
    require_sound_outputs(workspace.settings)
    assert workspace.one.read_text() == "one"


def test_a_damaged_input_is_removed_and_named(workspace):
    workspace.one.write_text("onf")
    with pytest.raises(DamagedError, match=r"artifacts/make/part\.txt .*dvc repro"):
        require_sound_inputs(workspace.settings, "read")
    assert not workspace.one.exists()
    assert workspace.cached(b"one").path.exists()


def test_what_a_step_does_not_read_is_not_looked_at(workspace):
    workspace.two.write_text("twp")
    require_sound_inputs(workspace.settings, "read")
    require_sound_inputs(workspace.settings, "none")
    with pytest.raises(DamagedError, match=r"sources\.jsonl"):
        require_sound_outputs(workspace.settings)


def test_a_damaged_copy_goes_with_what_was_restored_from_it(workspace):
    copy = workspace.cached(b"one").path
    copy.write_text("onf")
    workspace.one.write_text("onf")
    with pytest.raises(DamagedError):
        require_sound_inputs(workspace.settings, "read")
    assert not copy.exists()


def test_publish_looks_at_the_cache_too(workspace):
    copy = workspace.cached(b"two").path
    copy.write_text("twp")
    with pytest.raises(DamagedError, match="dvc-cache"):
        require_sound_outputs(workspace.settings)
    assert workspace.two.exists()
    assert not copy.exists()


def test_a_damaged_list_of_a_folder_is_removed(workspace):
    workspace.list.path.write_bytes(workspace.list.path.read_bytes().replace(b"part", b"part2"))
    with pytest.raises(DamagedError, match=r"\.dir"):
        require_sound_inputs(workspace.settings, "read")
    assert not workspace.list.path.exists()


def test_without_a_lock_or_a_list_there_is_nothing_to_compare_with(workspace):
    workspace.list.path.unlink()
    workspace.one.write_text("made by hand")
    require_sound_inputs(workspace.settings, "read")
    (workspace.settings.workspace / "dvc.lock").unlink()
    require_sound_outputs(workspace.settings)
