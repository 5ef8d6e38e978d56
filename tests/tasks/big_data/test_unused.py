"""What is remembered of shards: entries that no run asked for in a long time go, others stay."""

import os
import time

from infra.settings import Settings
from tasks import params
from tasks.big_data.memory import Memory
from tasks.big_data.unused import unused

PARAMS = params.parse({"blueprint": {"preset": "nano"}, "discover": {"sources": ["notes"]}})
DAY = 86_400.0


def remember(settings, key, *, days_ago):
    memory = Memory(settings.cache / "shards" / "clean")
    memory.keep(key, {"part-a.parquet": key.encode()}, {}, settings.workspace / "out" / key)
    used = time.time() - days_ago * DAY
    os.utime(memory.folder / key, (used, used))


def test_what_no_run_asked_for_is_forgotten(tmp_path):
    settings = Settings(workspace=tmp_path, keep_runs_days=30)
    remember(settings, "a" * 40, days_ago=31)
    remember(settings, "b" * 40, days_ago=29)
    remember(settings, "c" * 40, days_ago=31)
    assert Memory(settings.cache / "shards" / "clean").recall("c" * 40, tmp_path / "again") == {}
    (one,) = unused(PARAMS, settings)
    assert {file.name for file in one.files} == {f"clean/{'a' * 40}/0", f"clean/{'a' * 40}/entry.json"}


def test_a_cache_elsewhere_may_be_of_others(tmp_path):
    settings = Settings(workspace=tmp_path / "workspace", cache=tmp_path / "shared")
    remember(settings, "a" * 40, days_ago=31)
    assert "ABCD_CACHE" in unused(PARAMS, settings)[0].left_alone
