"""What training goes on from is pinned by digest and fetched; the same question about the same text has one answer."""

import json

import pytest

from infra.releases import Registry
from infra.signed_log import Summary
from tasks.distribution import registry as registry_module
from tasks.report import StepError, read_json, sha256_of

NAME = "docs"
DIGEST = "0" * 64


def release(workspace, *, weights: str, record: dict, champion: bool = True) -> int:
    """Version of a new release with these weights and this record."""
    settings = workspace.settings()
    opened, key = Registry.of(settings), registry_module.signing_key(settings.keys)
    contents = {"blueprint.json": "{}", "model.safetensors": weights, "tokenizer.json": f"tokens of {weights}"}
    made, _ = registry_module.add_release(
        opened, key, NAME, identity=weights[0] * 64,
        record=registry_module.put_bytes(opened, json.dumps(record).encode()),
        files={name: registry_module.put_bytes(opened, text.encode()) for name, text in contents.items()},
        summary=Summary(weights_sha256=DIGEST, tokenizer_sha256=DIGEST, held_out_sha256=DIGEST, decision="promote"),
    )  # fmt: skip
    if champion:
        now = opened.log(NAME).aliases.get("champion")
        registry_module.set_alias(opened, key, NAME, "champion", made.version, expected=now)
    return made.version


def base_of(workspace) -> dict:
    workspace.run("discover", discover=True)
    base: dict = read_json(workspace.out("discover") / "base.json")
    return base


def weights_of(workspace) -> str:
    return (workspace.out("discover") / "base" / "model.safetensors").read_text()


@pytest.fixture
def asking(workspace):
    """A workspace that asks for the champion as its base."""
    workspace.file("docs/a.txt", "hello")
    workspace.set(discover={"sources": ["docs"], "base": "champion"})
    return workspace


def test_without_a_champion_training_starts_from_nothing(asking):
    assert base_of(asking) == {}
    assert list((asking.out("discover") / "base").iterdir()) == []


def test_the_champion_is_pinned_by_digest_and_its_files_fetched(asking):
    release(asking, weights="a weights", record={"manifest": {"sha256": "of other text"}})
    base = base_of(asking)
    assert base["ref"] == "docs@v1"
    assert set(base["files"]) == {"blueprint.json", "model.safetensors", "tokenizer.json"}
    for name, file in base["files"].items():
        assert sha256_of(asking.out("discover") / "base" / name) == file["sha256"]


def test_a_champion_of_this_very_text_leaves_the_base_that_it_had(asking):
    base_of(asking)
    manifest = {"sha256": sha256_of(asking.out("discover") / "sources.jsonl")}
    release(asking, weights="a weights", record={"manifest": {"sha256": "of other text"}})
    first = base_of(asking)
    release(asking, weights="b weights", record={"manifest": manifest, "base": first})
    assert base_of(asking) == first
    assert weights_of(asking) == "a weights"
    asking.file("docs/b.txt", "more")
    assert base_of(asking)["ref"] == "docs@v2"
    assert weights_of(asking) == "b weights"


def test_a_named_release_is_the_base_whoever_is_champion(asking):
    release(asking, weights="a weights", record={})
    release(asking, weights="b weights", record={})
    asking.set(discover={"base": "docs@v1"})
    assert base_of(asking)["ref"] == "docs@v1"
    assert weights_of(asking) == "a weights"


def test_a_release_that_is_not_there_is_named_with_those_that_are(asking):
    release(asking, weights="a weights", record={})
    asking.set(discover={"base": "docs@v7"})
    with pytest.raises(StepError, match=r"discover.base: docs@v7.*docs has v1"):
        asking.run("discover")


def test_changed_bytes_of_the_base_are_refused(asking):
    release(asking, weights="a weights", record={})
    base = base_of(asking)
    blob = asking.settings().state / "registry" / "blobs" / "sha256" / base["files"]["model.safetensors"]["sha256"]
    blob.chmod(0o644)
    blob.write_text("x weights")
    with pytest.raises(StepError, match="was changed"):
        asking.run("discover", discover=True)


def test_what_was_found_is_kept_with_its_files(asking):
    release(asking, weights="a weights", record={})
    first = base_of(asking)
    release(asking, weights="b weights", record={})
    asking.run("discover")
    assert read_json(asking.out("discover") / "base.json") == first
    assert weights_of(asking) == "a weights"


def test_the_tokenizer_is_the_bases(workspace):
    workspace.put("validate", {f"u{n}": f"text number {n} of many" for n in range(20)})
    workspace.run("tokenizer")
    theirs = (workspace.out("tokenizer") / "tokenizer.json").read_text().replace('"id":0', '"id": 0')
    workspace.file("artifacts/discover/base/tokenizer.json", theirs)
    workspace.file("artifacts/discover/base.json", json.dumps({"ref": "docs@v1"}))
    report = workspace.run("tokenizer")
    assert (workspace.out("tokenizer") / "tokenizer.json").read_text() == theirs
    assert report.facts["base"] == "docs@v1"
