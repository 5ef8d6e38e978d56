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
