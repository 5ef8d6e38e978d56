"""The world enters once: what is found, what is passed over, what is an error, and when it is looked at again."""

import hashlib
import json
import os
import sysconfig
from pathlib import Path

import pytest

from tasks.big_data import places, sources
from tasks.big_data.manifest import read_manifest
from tasks.report import StepError, sha256_of


def uris(workspace) -> list[str]:
    return [file.uri for file in read_manifest(workspace.out("discover"))]


def test_files_are_listed_in_the_order_of_uris_with_size_and_digest(workspace):
    workspace.file("docs/b.txt", "hello")
    workspace.file("docs/a/c.md.gz", b"\x1f\x8b")
    report = workspace.run("discover")

    lines = [json.loads(line) for line in (workspace.out("discover") / "sources.jsonl").read_text().splitlines()]
    assert lines == [
        {"uri": "docs/a/c.md.gz", "source": "docs", "size": 2, "sha256": hashlib.sha256(b"\x1f\x8b").hexdigest()},
        {"uri": "docs/b.txt", "source": "docs", "size": 5, "sha256": hashlib.sha256(b"hello").hexdigest()},
    ]
    assert report.facts["files"] == 2
    assert report.facts["bytes"] == 7
    assert json.loads((workspace.out("discover") / "base.json").read_text()) == {}
    assert json.loads((workspace.out("discover") / "champion.json").read_text()) == {}


def test_what_is_no_document_is_counted_and_named(workspace):
    for name in ("a.txt", "b.png", "c.PNG", "LICENSE", ".hidden.txt", ".git/x.txt", "CVS/y.txt", "__pycache__/z.py"):
        workspace.file(f"docs/{name}", "text")
    (workspace.root / "docs/loop").symlink_to(workspace.root / "docs")
    (workspace.root / "docs/gone.txt").symlink_to("nowhere")
    os.mkfifo(workspace.root / "docs/pipe.txt")
    facts = workspace.run("discover").facts

    assert uris(workspace) == ["docs/a.txt"]
    assert facts["ignored"] == {".png": 2, "hidden": 1, "no regular file": 1, "no suffix": 1}
    assert facts["ignored_examples"] == [
        "docs/.hidden.txt",
        "docs/LICENSE",
        "docs/b.png",
        "docs/c.PNG",
        "docs/pipe.txt",
    ]
    assert facts["skipped_folders"] == {"CVS": 1, "__pycache__": 1, "hidden": 1, "symbolic link": 1}
    assert facts["unreadable"] == {"docs/gone.txt": "No such file or directory"}


def test_a_name_that_is_no_utf8_is_said(workspace):
    workspace.file("docs/a.txt", "text")
    Path(os.fsdecode(bytes(workspace.root) + b"/docs/\xff.txt")).write_text("text")
    assert workspace.run("discover").facts["unreadable"] == {"docs/\\xff.txt": "its name is no UTF-8"}


def test_outputs_of_the_pipeline_are_no_sources(workspace):
    workspace.set(discover={"sources": ["."]})
    workspace.file("a.txt", "text")
    workspace.file("artifacts/train/log.txt", "text")
    workspace.file("runs/log.txt", "text")
    report = workspace.run("discover")
    assert uris(workspace) == ["./a.txt"]
    assert report.facts["skipped_folders"]["output of this pipeline"] == 2


def test_a_file_named_by_two_sources_is_one_source(workspace):
    workspace.set(discover={"sources": ["docs", "docs/sub/", "./docs/a.txt"]})
    workspace.file("docs/a.txt", "text")
    workspace.file("docs/sub/b.txt", "text")
    assert workspace.run("discover").facts["named_twice"] == 2
    assert [(file.uri, file.source) for file in read_manifest(workspace.out("discover"))] == [
        ("docs/a.txt", "docs"),
        ("docs/sub/b.txt", "docs"),
    ]


def test_the_standard_library_comes_without_its_tests(workspace):
    workspace.set(discover={"sources": ["python:stdlib"]})
    facts = workspace.run("discover").facts
    folders = {folder for uri in uris(workspace) for folder in uri.split("/")[1:-1]}
    assert {"asyncio", "json", "email"} <= folders
    assert not folders & {"test", "tests", "site-packages", "idlelib", "lib2to3", "__pycache__"}
    assert all(uri.endswith(".py") and "_sysconfigdata" not in uri for uri in uris(workspace))
    # 3.11.7: 573 files, 10.2 MB.
    assert 450 < facts["files"] < 750
    assert 7e6 < facts["bytes"] < 14e6
    os_py = next(file for file in read_manifest(workspace.out("discover")) if file.uri == "python:stdlib/os.py")
    assert os_py.size == Path(sysconfig.get_path("stdlib"), "os.py").stat().st_size


def test_the_manifest_is_kept_until_asked_to_look(workspace):
    workspace.file("docs/a.txt", "one")
    workspace.run("discover")
    before = workspace.bytes_of("discover")
    workspace.file("docs/b.txt", "two")

    workspace.run("discover")
    assert workspace.bytes_of("discover") == before
    workspace.run("discover", discover=True)
    assert uris(workspace) == ["docs/a.txt", "docs/b.txt"]


def test_touching_a_file_changes_nothing(workspace):
    path = workspace.file("docs/a.txt", "one")
    workspace.run("discover")
    before = workspace.bytes_of("discover")
    os.utime(path, ns=(1, 1))
    workspace.run("discover", discover=True)
    assert workspace.bytes_of("discover") == before


def test_other_params_look_again(workspace):
    workspace.file("docs/a.txt", "one")
    workspace.file("more/b.txt", "two")
    workspace.run("discover")
    workspace.set(discover={"sources": ["docs", "more"]})
    workspace.run("discover")
    assert uris(workspace) == ["docs/a.txt", "more/b.txt"]


@pytest.mark.parametrize("broken", ["report.json", "sources.jsonl", "champion.json"])
def test_half_a_manifest_is_not_kept(workspace, broken):
    workspace.file("docs/a.txt", "one")
    workspace.run("discover")
    before = workspace.bytes_of("discover")
    (workspace.out("discover") / broken).unlink()
    workspace.run("discover")
    assert workspace.bytes_of("discover") == before


def test_a_missing_source_says_where_it_was_looked_for(workspace):
    with pytest.raises(StepError, match=rf"found nothing at {workspace.root}/docs .*ABCD_SOURCE_ROOT"):
        workspace.run("discover")
    assert not workspace.out("discover").exists()


def test_an_empty_folder_is_an_error(workspace):
    (workspace.root / "docs/sub").mkdir(parents=True)
    with pytest.raises(StepError, match=r"'docs' .* has no document: expected \.txt .*found no file; name another"):
        workspace.run("discover")


def test_a_folder_of_binaries_is_an_error_that_says_what_it_has(workspace):
    for name in ("a.png", "b.png", "c.exe", "NOTES"):
        workspace.file(f"docs/{name}", b"\x00\x01")
    with pytest.raises(StepError, match=r"expected \.txt .*found 1 x \.exe, 2 x \.png, 1 x no suffix"):
        workspace.run("discover")


def test_a_folder_of_unreadable_files_is_an_error_that_says_why(workspace):
    (workspace.root / "docs").mkdir()
    (workspace.root / "docs/gone.txt").symlink_to("nowhere")
    with pytest.raises(StepError, match=r"none of 1 files can be read; the first is docs/gone.txt: No such file"):
        workspace.run("discover")


def test_each_source_must_have_a_document(workspace):
    workspace.file("docs/a.txt", "one")
    workspace.file("pictures/b.png", "two")
    workspace.set(discover={"sources": ["docs", "pictures"]})
    with pytest.raises(StepError, match="'pictures'"):
        workspace.run("discover")


def test_a_registry_that_cannot_be_trusted_is_an_error(workspace):
    workspace.file("docs/a.txt", "one")
    workspace.file(".abcd/registry/models/docs/log/00000000.json", "not signed by anyone")
    with pytest.raises(StepError, match="the release to beat cannot be read: "):
        workspace.run("discover")


def test_without_a_manifest_the_next_move_is_named(tmp_path):
    with pytest.raises(StepError, match="dvc repro discover"):
        read_manifest(tmp_path)


def test_a_broken_manifest_is_refused(workspace):
    workspace.file("artifacts/discover/sources.jsonl", '{"uri": "a.txt"}\n')
    with pytest.raises(StepError, match="is no manifest"):
        read_manifest(workspace.out("discover"))


def test_a_glob_names_files_below_a_folder(workspace):
    for name in ("a.md", "b.txt", "x/c.md", "x/y/d.md", "x/.e.md"):
        workspace.file(f"docs/{name}", "text")
    workspace.set(discover={"sources": ["docs/**/*.md"]})
    facts = workspace.run("discover").facts
    assert uris(workspace) == ["docs/a.md", "docs/x/c.md", "docs/x/y/d.md"]
    assert facts["ignored"] == {"hidden": 1}
    workspace.run("ingest")
    assert sorted(workspace.texts("ingest")) == uris(workspace)
    workspace.set(discover={"sources": ["docs/*.pdx"]})
    with pytest.raises(StepError, match=r"'docs/\*\.pdx' .*found no file of such a name"):
        workspace.run("discover")


def test_what_is_excluded_is_left_out_and_counted(workspace):
    for name in ("a.md", "b.tmp.md", "drafts/c.md", "x/drafts/d.md", "x/e.md"):
        workspace.file(f"docs/{name}", "text")
    workspace.set(discover={"sources": [{"uri": "docs", "exclude": ["*.tmp.md", "drafts"]}]})
    facts = workspace.run("discover").facts
    assert uris(workspace) == ["docs/a.md", "docs/x/e.md"]
    assert facts["ignored"] == {"excluded": 1}
    assert facts["skipped_folders"] == {"excluded": 2}


def test_a_format_is_for_files_without_an_ending_that_says_it(workspace):
    workspace.file("docs/orders.dat", '{"text": "one"}\n')
    with pytest.raises(StepError, match=r"found 1 x \.dat"):
        workspace.run("discover")
    workspace.set(discover={"sources": [{"uri": "docs", "format": "jsonl"}]})
    workspace.run("discover", "ingest")
    assert workspace.texts("ingest") == {"docs/orders.dat#1": "one"}
    workspace.set(discover={"sources": [{"uri": "docs", "format": "exe"}]})
    with pytest.raises(StepError, match=r"'docs': expected a format that is read, one of \.txt .*found 'exe'"):
        workspace.run("discover")


def test_options_of_a_source_change_nothing_of_the_look(workspace):
    """What ingest, clean and pack are told of a source is no reason to look outside."""
    workspace.file("docs/a.txt", "one")
    workspace.run("discover")
    workspace.file("docs/b.txt", "two")
    workspace.set(discover={"sources": [{"uri": "docs", "licence": "MIT", "weight": 2, "kind": "notes"}]})
    workspace.run("discover")
    assert uris(workspace) == ["docs/a.txt"]


def test_a_second_look_reads_what_is_new_or_changed_alone_and_says_what_it_found(workspace, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(sources, "_RACY_NANOSECONDS", -1)
    for name in range(9):
        workspace.file(f"docs/{name}.txt", "x" * 1000)
    read: list[int] = []
    monkeypatch.setattr(places, "sha256_of", lambda path: (read.append(path.stat().st_size), sha256_of(path))[1])
    workspace.run("discover", discover=True)
    assert sum(read) == 9000
    assert "since the look before" not in caplog.text
    read.clear()
    workspace.file("docs/new.txt", "new")
    workspace.file("docs/1.txt", "changed")
    (workspace.root / "docs/2.txt").unlink()
    os.utime(workspace.root / "docs/3.txt")
    workspace.run("discover", discover=True)
    assert sorted(read) == [3, 7, 1000]  # new, changed, and one that was touched
    assert "since the look before, 1 new, 1 changed, 1 deleted, 7 unchanged" in caplog.text
    read.clear()
    workspace.run("discover", discover=True)
    assert read == []
