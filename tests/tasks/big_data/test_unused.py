"""The memory of ingest: a file that holds rows of a present source stays, others go."""

from data_contracts.records import SourceFile
from infra.settings import Settings
from tasks import params
from tasks.big_data.ingest import memory_keys
from tasks.big_data.manifest import write_manifest
from tasks.big_data.memory import Memory
from tasks.big_data.readers import Row
from tasks.big_data.unused import unused

PARAMS = params.parse({"blueprint": {"preset": "nano"}, "discover": {"sources": ["notes"]}})


def source(name):
    return SourceFile(uri=f"notes/{name}.txt", source="notes", sha256=f"{ord(name):064x}", size=1)


def remember(settings, names):
    memory = Memory(settings.cache / "ingest", set())
    for key in memory_keys([source(name) for name in names], PARAMS):
        memory.keep(key, [Row(None, "text", "utf-8", None)])
    before = set((settings.cache / "ingest").glob("*.rows"))
    memory.save()
    (made,) = set((settings.cache / "ingest").glob("*.rows")) - before
    return made.name


def found(settings):
    (one,) = unused(PARAMS, settings)
    return [file.name for file in one.files], one.left_alone


def test_what_the_manifest_does_not_name_is_forgotten(tmp_path):
    settings = Settings(workspace=tmp_path)
    remember(settings, "ab")
    gone = remember(settings, "c")
    (settings.cache / "ingest" / "torn.rows").write_text("torn")
    (settings.cache / "ingest" / "notes.txt").write_text("not ours")
    assert found(settings)[0] == []
    assert "manifest" in found(settings)[1]
    manifest = settings.artifacts / "discover"
    manifest.mkdir(parents=True)
    write_manifest(manifest, [source("b"), source("d")])
    assert found(settings) == ([gone], "")


def test_a_cache_elsewhere_may_be_of_others(tmp_path):
    settings = Settings(workspace=tmp_path / "workspace", cache=tmp_path / "shared")
    remember(settings, "c")
    (settings.artifacts / "discover").mkdir(parents=True)
    write_manifest(settings.artifacts / "discover", [])
    assert "ABCD_CACHE" in found(settings)[1]
