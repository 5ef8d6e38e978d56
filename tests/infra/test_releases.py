"""Releases on S3: what `tests/tasks/distribution` shows for a folder holds for a bucket."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.releases import Registry, RegistryError, champion
from infra.settings import Settings
from infra.signed_log import Summary
from infra.storage import content_of
from tasks.distribution import registry as writing
from tasks.distribution.pull import pull
from tasks.distribution.verify import verify

NAME = "novels"


@pytest.fixture
def settings(s3_url, tmp_path):
    return Settings(workspace=tmp_path / "workspace", registry=s3_url)


def release(settings, text):
    registry, key = Registry.of(settings), writing.signing_key(settings.keys)
    digest = content_of(text.encode()).sha256
    source = settings.state / digest
    source.write_text(text)
    published, _ = writing.add_release(
        registry, key, NAME, identity=digest, record=writing.put_bytes(registry, text.encode()),
        files={"model.safetensors": writing.put_file(registry, source), "sub/empty": writing.put_bytes(registry, b"")},
        summary=Summary(weights_sha256=digest, tokenizer_sha256=digest, held_out_sha256=digest, decision="ask"),
    )  # fmt: skip
    writing.advance_alias(registry, key, NAME, "champion", published.version)
    return published


def test_a_release_on_s3_is_found_pulled_and_verified(settings, tmp_path):
    assert champion(settings, NAME) == {}
    release(settings, "one")
    assert release(settings, "two").version == 2
    assert release(settings, "one").version == 1
    assert champion(settings, NAME)["version"] == 2
    pulled = pull(settings, f"{NAME}@champion", tmp_path / "to")
    assert (pulled.version, (tmp_path / "to" / "model.safetensors").read_text()) == (2, "two")
    assert (tmp_path / "to" / "sub" / "empty").read_bytes() == b""
    found = verify(settings)
    assert (found.releases, found.problems) == (2, ())


def test_what_was_changed_on_s3_is_refused_by_name(settings, tmp_path):
    published = release(settings, "one")
    store = Registry.of(settings).store
    (tmp_path / "other").write_text("0ne")
    store.put(published.files["model.safetensors"].blob, tmp_path / "other", sha256=content_of(b"0ne").sha256)
    with pytest.raises(RegistryError, match=r"model\.safetensors: s3://.* was changed"):
        pull(settings, f"{NAME}@v1", tmp_path / "to")
    entry = f"models/{NAME}/log/00000001.json"
    data = store.read(entry).replace(b'"version":1', b'"version":2')
    (tmp_path / "entry").write_bytes(data)
    store.put(entry, tmp_path / "entry", sha256=content_of(data).sha256)
    with pytest.raises(RegistryError, match=r"00000001\.json: its signature"):
        champion(settings, NAME)
    assert len(verify(settings).problems) >= 2


def reads_of(monkeypatch, store):
    """Names of the entries that a store is asked for from now on."""
    real, asked = type(store).read, []

    def read(self, name):
        asked.append(name.rpartition("/")[2])
        return real(self, name)

    monkeypatch.setattr(type(store), "read", read)
    return asked


def test_entries_on_s3_that_were_verified_are_read_again_only_when_they_changed(settings, tmp_path, monkeypatch):
    settings.state.mkdir(parents=True)
    release(settings, "one")
    registry = Registry.of(settings)
    asked = reads_of(monkeypatch, registry.store)
    log = registry.log(NAME)
    assert asked == []
    release(settings, "two")
    registry.log(NAME)
    assert {name for name in asked if name.endswith(".json")} == {"00000003.json", "00000004.json"}
    del asked[:]
    verify(settings)
    assert len(asked) == 5  # every entry, whatever is remembered
    entry = f"models/{NAME}/log/00000001.json"
    data = registry.store.read(entry)
    changed = data.replace(b'"version":1', b'"version":2')
    (tmp_path / "entry").write_bytes(changed)
    registry.store.put(entry, tmp_path / "entry", sha256=content_of(changed).sha256)
    with pytest.raises(RegistryError, match=r"00000001\.json: its signature"):
        registry.log(NAME)
    (tmp_path / "entry").write_bytes(data)
    registry.store.put(entry, tmp_path / "entry", sha256=content_of(data).sha256)
    assert registry.log(NAME).entries[:3] == log.entries


@pytest.mark.parametrize("damage", ["torn", "[]", '{"00000001.json": 5}', "changed"])
def test_a_damaged_memory_changes_nothing(settings, damage):
    settings.state.mkdir(parents=True)
    release(settings, "one")
    registry = Registry.of(settings)
    log = registry.log(NAME)
    memory = registry.memory / f"{NAME}.entries"
    kept = memory.read_text()
    changed = kept.replace('\\"version\\":1', '\\"version\\":2')
    assert changed != kept
    memory.write_text(changed if damage == "changed" else damage)
    assert registry.log(NAME) == log
    assert memory.read_text() == kept


def test_publishers_that_race_on_s3_get_contiguous_versions(settings):
    settings.state.mkdir(parents=True)
    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(lambda n: release(settings, f"text {n}").version, range(4)))
    assert sorted(versions) == [1, 2, 3, 4]
    assert [found.version for found in Registry.of(settings).log(NAME).releases] == [1, 2, 3, 4]
    shutil.rmtree(settings.keys)
    with pytest.raises(RegistryError, match="ABCD_KEYS"):
        release(settings, "another key")
