"""Unused files: only what was shown goes, what is gone is no error, leftovers are told from what is in use."""

import os
import time

import pytest

from infra import unused as unused_module
from infra.settings import Settings
from infra.storage import LocalStore, StorageError, Stored
from infra.unused import Unused, unfinished

DAY = 86_400


@pytest.fixture
def settings(tmp_path):
    return Settings(workspace=tmp_path / "workspace")


def write(path, *, days_old=2.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    os.utime(path, (time.time() - days_old * DAY,) * 2)
    return path


def test_what_is_removed_leaves_no_empty_folders_and_no_neighbour_behind(tmp_path):
    for name in ("files/md5/ab/cd", "files/md5/ab/ef", "files/md5/00/11"):
        write(tmp_path / name)
    store = LocalStore(tmp_path)
    Unused("objects", "", store, tuple(f for f in store.files() if f.name != "files/md5/ab/ef")).remove()
    assert [file.name for file in store.files()] == ["files/md5/ab/ef"]
    assert not (tmp_path / "files/md5/00").exists()


def test_a_folders_list_goes_before_its_files_and_an_error_leaves_the_rest(tmp_path):
    class Failing(LocalStore):
        def remove(self, name):
            if not name.endswith(".dir"):
                raise StorageError("read-only")
            super().remove(name)

    names = ["files/md5/00/11", "files/md5/ab/cd.dir", "files/md5/ff/22"]
    for name in names:
        write(tmp_path / name)
    store = Failing(tmp_path)
    with pytest.raises(StorageError, match="read-only"):
        Unused("objects", "", store, tuple(store.files())).remove()
    assert [file.name for file in store.files()] == [names[0], names[2]]


def test_a_file_that_is_gone_already_is_no_error(tmp_path):
    Unused("objects", "", LocalStore(tmp_path), (Stored("files/md5/ab/cd", 1, 0.0),)).remove()


def test_a_reader_keeps_what_it_has_open(tmp_path):
    path = write(tmp_path / "a" / "b")
    with path.open() as reader:
        Unused("objects", "", LocalStore(tmp_path), tuple(LocalStore(tmp_path).files())).remove()
        assert reader.read() == "x"


def test_only_what_was_shown_is_removed(tmp_path):
    here, there = LocalStore(tmp_path / "here"), LocalStore(tmp_path / "there")
    shown = [Unused("a", "", here, (Stored("1", 1, 0.0),)), Unused("a", "", there, (Stored("2", 1, 0.0),))]
    now = Unused("a", "", here, (Stored("1", 1, 5.0), Stored("2", 1, 5.0)))
    assert [file.name for file in now.only(shown).files] == ["1"]
    assert now.size == 2


LEFT = [
    "artifacts/.train.new/model.safetensors",
    "artifacts/.pack.old/a/b",
    "runs/progress/train.json",
    "runs/measured/.abc.json.123",
    "runs/steps/.train.json.123",
    ".abcd/cache/shards/clean/.0123-4.99/0",
    ".abcd/cache/sources/.digests.json.99",
    f".abcd/cache/gate/.{'0' * 64}.bits.77",
    ".abcd/cache/gate/tmpab12/model.safetensors",
    ".abcd/cache/sample/tmpab12/model.safetensors",
    ".abcd/cache/beside-ab12/0123",
    ".abcd/cache/dedup-ab12/grams",
    ".abcd/dvc-cache/files/md5/ab/cd.aB3_-aB3_-aB3_-aB3_-ab.tmp",
    ".abcd/seen/0123/.novels.json.12",
]
IN_USE = [
    "artifacts/train/model.safetensors",
    "artifacts/.gitignore",
    "runs/steps/train.json",
    "runs/measured/abc.json",
    "runs/checkpoints/0123/step-000000001/state.json",
    "runs/rejected/validate/rejected/part-0.parquet",
    ".abcd/cache/shards/clean/0123-4/0",
    ".abcd/cache/sources/digests.json",
    ".abcd/dvc-cache/files/md5/ab/cd",
    ".abcd/seen/0123/novels.json",
    ".abcd/keys/registry.pem",
    ".abcd/lock",
    ".abcd/prefect/prefect.db",
    "notes.tmp",
]


def left_in(settings):
    found = unfinished(settings, time.time())
    roots = [(unused.store.root, file.name) for unused in found for file in unused.files]
    return {os.path.relpath(f"{root}/{name}", settings.workspace) for root, name in roots}


def test_leftovers_of_killed_writers_are_told_from_what_is_in_use(settings):
    for name in [*LEFT, *IN_USE]:
        write(settings.workspace / name)
    assert left_in(settings) == set(LEFT)
    for unused in unfinished(settings, time.time()):
        unused.remove()
    assert left_in(settings) == set()
    assert all((settings.workspace / name).exists() for name in IN_USE)


def test_what_may_still_be_written_is_left_alone(settings):
    for name in LEFT:
        write(settings.workspace / name, days_old=0.9)
    assert left_in(settings) == set()


def test_a_folder_elsewhere_may_be_of_others(settings, tmp_path):
    shared = Settings(workspace=settings.workspace, dvc_cache=tmp_path / "shared")
    write(tmp_path / "shared" / "files/md5/ab/cd.aB3_-aB3_-aB3_-aB3_-ab.tmp")
    assert left_in(shared) == set()
    others = Unused.of_others(shared, LocalStore(shared.dvc_cache), kind="objects", setting="ABCD_DVC_CACHE")
    assert others.files == ()
    assert "ABCD_DVC_CACHE" in others.left_alone
    assert Unused.of_others(shared, LocalStore(shared.cache), kind="objects", setting="ABCD_CACHE") is None
    moved = Settings(workspace=settings.workspace, state=tmp_path / "state")
    assert Unused.of_others(moved, LocalStore(moved.dvc_cache), kind="objects", setting="ABCD_DVC_CACHE") is None


def test_every_place_of_leftovers_has_an_example():
    assert len(LEFT) >= len(unused_module._UNFINISHED)
