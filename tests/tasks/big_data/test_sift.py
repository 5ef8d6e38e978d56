"""A step over shards: each document once, the same bytes on one core and on all, unchanged shards not done again."""

import shutil
from collections import Counter

import polars as pl
import pytest

from tasks.big_data import documents
from tasks.big_data.documents import Sifted, sifted, with_texts
from tasks.big_data.engine import InProcess, engine
from tasks.big_data.memory import Memory
from tasks.big_data.sift import sift

SEEN: Counter[str] = Counter()


def work(frame: pl.DataFrame, common: str, extra: str | None) -> Sifted:
    """Words are made loud, documents that name the shard's word go."""
    SEEN.update(frame["uri"])
    texts = {row: f"{text}{common}" for row, text in enumerate(frame["text"])}
    out = {row: (f"said:{extra}",) for row, text in enumerate(frame["text"]) if extra and extra in text}
    return sifted(with_texts(frame, texts), out, {"loud": len(texts)})


def losing(frame: pl.DataFrame, _common: None, _extra: None) -> Sifted:
    return Sifted(frame.head(1), documents.REJECTED_SCHEMA.to_frame())


def shards(workspace, texts: dict[str, dict[str, str]]) -> None:
    """An output of `ingest` of several shards."""
    index = []
    for name, inner in texts.items():
        workspace.put("ingest", inner)
        index += [
            documents.Shard(**{**shard._asdict(), "name": name})
            for shard in documents.read_index(workspace.out("ingest"))
        ]
        (workspace.out("ingest") / documents.part("0")).rename(workspace.out("ingest") / documents.part(name))
    documents.write_index(workspace.out("ingest"), index)


THREE = {"a": {"x/1": "one", "x/2": "two"}, "b": {"y/1": "three"}, "c": {"z/1": "four"}}


def run(workspace, step="step", common="!", extras=None, **settings):
    out, given = workspace.out(step), workspace.settings(**settings)
    out.mkdir(exist_ok=True)
    with engine(given) as where:
        return sift(step, workspace.out("ingest"), out, work, common, given, where, extras=extras)


@pytest.fixture(autouse=True)
def _nothing_seen():
    SEEN.clear()


def test_every_document_goes_on_or_is_rejected(workspace):
    shards(workspace, THREE)
    tally = run(workspace, extras={"a": "two"})
    assert workspace.texts("step") == {"x/1": "one!", "y/1": "three!", "z/1": "four!"}
    assert workspace.reasons("step") == {"x/2": ["said:two"]}
    by_source = {"docs": {"documents": 3, "bytes": 15, "rejected": 1}}
    assert (tally.rows_in, tally.rows_out, tally.rows_rejected) == (4, 3, 1)
    assert tally.facts == {"loud": 4, "by_source": by_source}
    assert (tally.bytes_in, tally.bytes_out) == (15, 15)


@pytest.mark.parametrize("settings", [{"workers": 4}, {"data_engine": "one"}])
def test_the_same_bytes_on_all_engines(make_workspace, settings):
    first, second = make_workspace(), make_workspace()
    for workspace in (first, second):
        shards(workspace, THREE)
    run(first, workers=1)
    run(second, **settings)
    assert first.bytes_of("step") == second.bytes_of("step")


def test_only_what_is_new_is_done(workspace):
    shards(workspace, THREE)
    before = run(workspace, "first")
    SEEN.clear()
    assert run(workspace, "second").note() == before.note()  # another step's memory
    assert SEEN
    SEEN.clear()
    (workspace.out("first") / "part-a.parquet").unlink()
    assert run(workspace, "first").note() == before.note()
    assert not SEEN
    assert workspace.bytes_of("first") == workspace.bytes_of("second")
    run(workspace, "first", extras={"b": "three"})
    assert SEEN == {"y/1": 1}
    SEEN.clear()
    shards(workspace, THREE | {"d": {"w/1": "five"}})
    run(workspace, "first", extras={"b": "three"})
    assert SEEN == {"w/1": 1}
    SEEN.clear()
    run(workspace, "first", common="?")
    assert len(SEEN) == 5


def test_shards_of_the_same_bytes_are_remembered_apart(workspace):
    """As shards of which nothing is left are: their files have other names."""
    shards(workspace, {"a": {}, "b": {}, "c": {"x/1": "one"}})
    first = run(workspace).note()
    before = workspace.bytes_of("step")
    assert {"part-a.parquet", "part-b.parquet", "part-c.parquet"} <= before.keys()
    shutil.rmtree(workspace.out("step"))
    assert run(workspace).note() == first
    assert workspace.bytes_of("step") == before


def test_what_is_remembered_wrongly_is_made_again(workspace):
    shards(workspace, THREE)
    run(workspace)
    kept = workspace.bytes_of("step")
    for number, file in enumerate(sorted(workspace.settings().cache.glob("shards/step/*/0"))):
        data = bytearray(file.read_bytes())
        data[len(data) // 2 + number] ^= 1
        file.unlink()  # the output is a link to it
        file.write_bytes(data)
    SEEN.clear()
    run(workspace)
    assert len(SEEN) == 4
    assert workspace.bytes_of("step") == kept


def test_a_note_that_was_changed_is_no_note(workspace):
    shards(workspace, THREE)
    before = run(workspace).note()
    for file in workspace.settings().cache.glob("shards/step/*/entry.json"):
        data = file.read_bytes()
        assert b'"rows_out": ' in data
        at = data.index(b'"rows_out": ') + len(b'"rows_out": ')
        file.write_bytes(data[:at] + b"7" + data[at + 1 :])
    SEEN.clear()
    assert run(workspace).note() == before
    assert len(SEEN) == 4


def test_two_runs_that_share_a_memory_may_keep_the_same(workspace, tmp_path):
    first, second = (Memory(workspace.settings().cache / "shards" / "step") for _ in range(2))
    for memory, out in ((first, tmp_path / "one"), (second, tmp_path / "two")):
        memory.keep("k", {"part-a.parquet": b"bytes"}, {"n": 1}, out)  # neither knew of the other
        assert (out / "part-a.parquet").read_bytes() == b"bytes"
    assert first.recall("k", tmp_path / "three") == {"n": 1}
    assert [path.name for path in first.folder.iterdir()] == ["k"]


def test_a_work_that_loses_rows_is_found_out(workspace):
    shards(workspace, THREE)
    workspace.out("step").mkdir()
    with pytest.raises(ValueError, match=r"test_sift: 2 rows became 1 \+ 0"):
        sift("step", workspace.out("ingest"), workspace.out("step"), losing, None, workspace.settings(), InProcess())


def unchanged(frame: pl.DataFrame, _common: None, _extra: None) -> Sifted:
    return sifted(frame, {1: ("no",)} if frame.height > 1 else {}, {})


def test_a_shard_that_goes_on_as_it_is_is_the_same_file(workspace):
    shards(workspace, THREE)
    source, out = workspace.out("ingest"), workspace.out("step")
    for again in (False, True):  # the second time from memory
        out.mkdir(exist_ok=True)
        sift("step", source, out, unchanged, None, workspace.settings(), InProcess())
        same = {name: (out / name).samefile(source / name) for name in map(documents.part, THREE)}
        assert same == {"part-a.parquet": False, "part-b.parquet": True, "part-c.parquet": True}, again
    assert documents.read_index(out)[1:] == documents.read_index(source)[1:]
    assert workspace.texts("step") == {"x/1": "one", "y/1": "three", "z/1": "four"}
