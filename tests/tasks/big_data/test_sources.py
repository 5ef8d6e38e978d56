"""Where sources are, what they are called, and digests that depend on bytes alone."""

import os
from pathlib import Path

import pytest

from tasks.big_data import places, sources
from tasks.big_data.places import DiskPlace
from tasks.big_data.sources import Digests, group_of, kind_of
from tasks.sealed import read_sealed

LONG_AGO = 1_000_000_000_000_000_000  # nanoseconds since 1970


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", (".txt", "")),
        ("a.TXT", (".txt", "")),
        ("a.jsonl.gz", (".jsonl", ".gz")),
        ("a.b.md.zst", (".md", ".zst")),
        ("a.gz", None),
        ("a.png", None),
        ("README", None),
        (".txt", None),
    ],
)
def test_kind_is_read_from_the_suffixes(name, kind):
    assert kind_of(name) == kind


@pytest.mark.parametrize(
    ("uri", "source", "group"),
    [
        ("docs/a.txt", "docs", "docs/a.txt"),
        ("docs/sub/a.txt", "docs", "docs/sub"),
        ("docs/sub/deep/a.txt", "docs/", "docs/sub"),
        ("docs/sub/a.txt", "./docs", "docs/sub"),
        ("../shared/x.jsonl", "../shared/x.jsonl", "../shared/x.jsonl"),
        ("python:stdlib/asyncio/a.py", "python:stdlib", "python:stdlib/asyncio"),
        ("/data/sub/a.txt", "/data", "/data/sub"),
    ],
)
def test_group_is_the_folder_right_below_the_source(uri, source, group):
    assert group_of(uri, source) == group


def aged(path: Path) -> Path:
    """A file that was last changed long ago, as far as its modification time says."""
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return path


def test_an_unchanged_file_is_read_once(workspace, monkeypatch):
    # Its change time is now; let the clock go on instead of waiting.
    monkeypatch.setattr(sources, "_RACY_NANOSECONDS", -1)
    path = workspace.file("docs/a.txt", "one")
    digests = Digests(workspace.settings())
    first = digests.of(DiskPlace(path))
    digests.save()

    monkeypatch.setattr(places, "sha256_of", lambda _: pytest.fail("read again"))
    assert Digests(workspace.settings()).of(DiskPlace(path)) == first


def test_a_touched_file_has_the_same_digest(workspace):
    path = workspace.file("docs/a.txt", "one")
    digests = Digests(workspace.settings())
    first = digests.of(DiskPlace(path))
    assert digests.of(DiskPlace(aged(path))) == first


def test_a_changed_file_with_its_old_size_and_time_has_another_digest(workspace, monkeypatch):
    monkeypatch.setattr(sources, "_RACY_NANOSECONDS", -1)
    path = aged(workspace.file("docs/a.txt", "one"))
    digests = Digests(workspace.settings())
    first = digests.of(DiskPlace(path))
    path.write_text("two")
    assert digests.of(DiskPlace(aged(path))) != first


def test_a_young_file_is_not_remembered(workspace):
    path = workspace.file("docs/a.txt", "one")
    digests = Digests(workspace.settings())
    digests.of(DiskPlace(path))
    digests.save()
    assert read_sealed(workspace.settings().cache / "sources/digests.json") == b"{}"


def test_a_broken_memory_is_said_and_not_believed(workspace, caplog):
    path = workspace.file("docs/a.txt", "one")
    workspace.file(".abcd/cache/sources/digests.json", "{broken")
    assert Digests(workspace.settings()).of(DiskPlace(path))[1] == 3
    assert "was damaged" in caplog.text
