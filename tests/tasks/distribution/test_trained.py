"""A release tells whether it was trained on a document, by name and by text."""

import hashlib

import pytest

from infra.releases import Registry, RegistryError
from infra.settings import Settings
from infra.signed_log import Summary
from tasks.distribution import registry as writing
from tasks.distribution.trained import was_trained_on
from tasks.fingerprints import write_fingerprints

ID, TEXT, OTHER = (hashlib.sha256(name).hexdigest() for name in (b"name", b"text", b"other"))


def release(settings: Settings, *, with_fingerprints: bool) -> None:
    opened, key = Registry.of(settings), writing.signing_key(settings.keys)
    path = settings.workspace / "trained.npy"
    write_fingerprints(path, [ID, TEXT])
    files = {"data/trained.npy": writing.put_file(opened, path)} if with_fingerprints else {}
    summary = Summary(weights_sha256=ID, tokenizer_sha256=ID, held_out_sha256=ID, decision="promote")
    record = writing.put_bytes(opened, b"{}")
    writing.add_release(opened, key, "model", identity="0" * 64, files=files, record=record, summary=summary)


def test_by_name_by_text_and_not_at_all(tmp_path):
    settings = Settings(workspace=tmp_path)
    release(settings, with_fingerprints=True)
    for id_, digests, by_name, by_text in (
        (ID[:32], [OTHER], True, False), (OTHER[:32], [OTHER, TEXT], False, True), (OTHER[:32], [OTHER], False, False),
    ):  # fmt: skip
        assert was_trained_on(settings, "model@v1", id_, digests) == {
            "release": "model@v1", "trained_on": by_name or by_text, "by_name": by_name, "by_text": by_text,
        }  # fmt: skip


def test_a_release_without_fingerprints_says_so(tmp_path):
    settings = Settings(workspace=tmp_path)
    release(settings, with_fingerprints=False)
    with pytest.raises(RegistryError, match=r"does not carry data/trained\.npy"):
        was_trained_on(settings, "model@v1", ID, [])
