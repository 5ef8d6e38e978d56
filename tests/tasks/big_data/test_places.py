"""Where sources are: a uri becomes a file on a disk or an object in a bucket, whose bytes are the manifest's."""

import os
from pathlib import Path

import fsspec
import pytest

from tasks.big_data.manifest import read_manifest
from tasks.big_data.places import BucketPlace, Places, base_of, root_of
from tasks.big_data.sources import group_of
from tasks.report import StepError

ASIDE = {"img/logo.png": "no text", ".git/config": "x", "a/.hidden.txt": "x", "a/__pycache__/b.txt": "x", "empty/": ""}


@pytest.fixture
def bucket(s3_url):
    """Url of a folder in a fresh bucket, and what writes objects into it."""
    system = fsspec.filesystem("s3", use_listings_cache=False)

    def write(name: str, text: str) -> None:
        system.pipe_file(f"{s3_url}/{name}", text.encode())

    return s3_url, write


def test_relative_places_start_at_the_source_root(workspace, tmp_path):
    places = Places(workspace.settings(source_root=tmp_path / "elsewhere"))
    assert str(places.of("docs/a.txt", "docs")) == str(tmp_path / "elsewhere/docs/a.txt")
    assert str(places.of("/data/a.txt", "/data")) == "/data/a.txt"
    assert str(places.of("python:stdlib/os.py", "python:stdlib")) == os.__file__


def test_a_url_that_is_not_read_is_refused(workspace):
    with pytest.raises(StepError, match=r"local or s3://.*found 'gs://bucket/key'"):
        root_of("gs://bucket/key", workspace.settings())


def test_uris_in_a_bucket_are_urls():
    assert base_of("s3://bucket/docs/") == "s3://bucket/docs"
    assert group_of("s3://bucket/docs/pumps/a.txt", "s3://bucket/docs/") == "s3://bucket/docs/pumps"
    assert group_of("s3://bucket/docs/a.txt", "s3://bucket/docs") == "s3://bucket/docs/a.txt"


@pytest.mark.parametrize(
    ("source", "base"),
    [
        ("postgresql://reader:${PW}@h:5432/plant?sslmode=require#orders", "postgresql://h:5432/plant#orders"),
        ("postgresql://h/plant?user=u&password=${PW}", "postgresql://h/plant"),
        ("sqlite:////data/log.db?timeout=5#log", "sqlite:////data/log.db#log"),
        ("https://u:${PW}@h/a.csv?at=b@c", "https://h/a.csv?at=b@c"),
        ("docs/**/*.md", "docs"),
    ],
)
def test_uris_of_documents_do_not_say_who_asks(source, base):
    assert base_of(source) == base


def test_a_folder_in_a_bucket_is_read_as_one_on_a_disk(workspace, bucket):
    url, write = bucket
    write("b.txt", "two\n")
    write("a/one.md", "one\n")
    write("rows.jsonl", '{"text": "three"}\n{"text": "four"}\n')
    for name, text in ASIDE.items():
        write(name, text)
    workspace.set(discover={"sources": [f"{url}/"]})
    found = workspace.run("discover", discover=True)
    assert [file.uri for file in read_manifest(workspace.out("discover"))] == [
        f"{url}/a/one.md",
        f"{url}/b.txt",
        f"{url}/rows.jsonl",
    ]
    assert found.facts["ignored"] == {".png": 1, "hidden": 1, "in a skipped folder": 2}
    workspace.run("ingest")
    texts = {uri.removeprefix(url): text for uri, text in workspace.texts("ingest").items()}
    assert texts == {"/a/one.md": "one\n", "/b.txt": "two\n", "/rows.jsonl#1": "three", "/rows.jsonl#2": "four"}


def test_a_glob_and_exclusions_mean_objects_too(workspace, bucket):
    url, write = bucket
    for name in ("a.md", "b.txt", "x/c.md", "x/drafts/d.md", "y/e.md"):
        write(name, "text")
    workspace.set(discover={"sources": [{"uri": f"{url}/**/*.md", "exclude": ["drafts", "y/*"]}]})
    found = workspace.run("discover", discover=True)
    assert [file.uri for file in read_manifest(workspace.out("discover"))] == [f"{url}/a.md", f"{url}/x/c.md"]
    assert found.facts["ignored"] == {"excluded": 2}
    workspace.run("ingest")
    assert set(workspace.texts("ingest")) == {f"{url}/a.md", f"{url}/x/c.md"}


def test_one_object_is_a_source(workspace, bucket):
    url, write = bucket
    write("notes.txt", "one")
    write("notes.txt.old", "another")
    workspace.set(discover={"sources": [f"{url}/notes.txt"]})
    workspace.run("discover", discover=True)
    assert [file.uri for file in read_manifest(workspace.out("discover"))] == [f"{url}/notes.txt"]


def test_an_unchanged_object_is_read_once(workspace, bucket, monkeypatch):
    url, write = bucket
    write("a.txt", "one")
    workspace.set(discover={"sources": [url]})
    workspace.run("discover", discover=True)
    monkeypatch.setattr(BucketPlace, "read", lambda _: pytest.fail("read again"))
    workspace.run("discover", discover=True)


def test_an_object_that_changed_since_discover_is_refused(workspace, bucket):
    url, write = bucket
    write("a.txt", "one")
    workspace.set(discover={"sources": [url]})
    workspace.run("discover", discover=True)
    write("a.txt", "two")
    with pytest.raises(StepError, match=r"a\.txt: changed since discover: expected 3 bytes.*look again"):
        workspace.run("ingest")


def test_an_object_that_went_is_named(workspace, bucket):
    url, write = bucket
    write("a.txt", "one")
    workspace.set(discover={"sources": [url]})
    workspace.run("discover", discover=True)
    manifest = workspace.out("discover") / "sources.jsonl"
    manifest.write_text(manifest.read_text().replace("a.txt", "b.txt"))
    with pytest.raises(StepError, match=r"b\.txt: changed since discover.*look again"):
        workspace.run("ingest")


@pytest.mark.parametrize("source", ["s3://no-such-bucket-here/docs", "s3://no-such-bucket-here"])
def test_a_bucket_without_objects_is_said(workspace, bucket, source):
    workspace.set(discover={"sources": [source]})
    with pytest.raises(StepError, match=r"no-such-bucket-here.*AWS_ENDPOINT_URL"):
        workspace.run("discover", discover=True)


def test_files_on_a_disk_and_in_a_bucket_make_one_corpus(workspace, bucket, tmp_path: Path):
    url, write = bucket
    write("a.txt", "one")
    workspace.file("docs/b.txt", "two")
    workspace.set(discover={"sources": ["docs", url]})
    workspace.run("discover", discover=True)
    assert sorted(file.source for file in read_manifest(workspace.out("discover"))) == ["docs", url]
