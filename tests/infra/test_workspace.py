"""The workspace is made ready for DVC, whatever a killed DVC left."""

import json

import pytest
from dvc.config import Config

from infra.settings import Settings
from infra.workspace import prepare


@pytest.fixture
def settings(tmp_path):
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    (tmp_path / ".dvc" / "config").touch()
    return Settings(workspace=tmp_path)


def test_dvc_is_told_the_whereabouts_once(settings):
    prepare(settings)
    local = settings.workspace / ".dvc" / "config.local"
    written = local.stat().st_mtime_ns
    assert Config(str(settings.workspace / ".dvc")).load_one("local")["cache"]["dir"] == str(settings.dvc_cache)
    prepare(settings)
    assert local.stat().st_mtime_ns == written


LOCK = "schema: '2.0'\nstages:\n  discover:\n    cmd: python -m tasks discover\n    outs:\n    - path: a\n"


@pytest.mark.parametrize("size", range(0, len(LOCK), 7))
def test_a_torn_dvc_lock_is_set_aside(settings, size, caplog):
    prepare(settings)
    path = settings.workspace / "dvc.lock"
    path.write_text(LOCK[:size])
    prepare(settings)
    if path.exists():  # cut where nothing is missing
        assert "outs" in path.read_text()
    else:
        assert (settings.state / "dvc.lock.torn").read_text() == LOCK[:size]
        assert "half written" in caplog.text


def test_a_whole_dvc_lock_stays(settings):
    (settings.workspace / "dvc.lock").write_text(LOCK)
    prepare(settings)
    assert (settings.workspace / "dvc.lock").read_text() == LOCK


@pytest.mark.parametrize("torn", ["", '{"read": {"artifacts/clean": [{"pid": 1'])
def test_a_torn_list_of_dvcs_locks_is_removed(settings, torn):
    path = settings.workspace / ".dvc" / "tmp" / "rwlock"
    path.write_text(torn)
    prepare(settings)
    assert not path.exists()


def test_a_whole_one_stays(settings):
    path = settings.workspace / ".dvc" / "tmp" / "rwlock"
    path.write_text(json.dumps({"read": {}, "write": {}}))
    prepare(settings)
    assert path.exists()
