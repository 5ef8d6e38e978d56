"""Token streams and their index: every document is where the index says, none is in both streams."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from data_contracts import pieces
from data_contracts.pieces import HELD_OUT, TRAIN, Stream, read_index, read_pieces
from tasks.big_data import documents, pack
from tasks.big_data.documents import document_id
from tasks.big_data.packed import _encoder, gathered
from tasks.report import StepError, write_json
from tests.packed import whole_index, write_stream
from tests.tables import Document, write_all

TEXTS = {f"docs/{n}": f"Document {n} says <|endoftext|> and goes on, größer. " * (1 + n % 4) for n in range(30)}


@pytest.fixture
def packed(workspace):
    workspace.set(tokenizer={"vocab_size": 300})
    workspace.put("validate", TEXTS)
    workspace.report = workspace.run("tokenizer", "pack")
    return workspace


def test_each_document_is_where_the_index_says(packed):
    tokenizer = Tokenizer.from_file(str(packed.out("tokenizer") / "tokenizer.json"))
    streams = {split: Stream(packed.out("pack"), split)[:] for split in ("train", "held_out")}
    index = whole_index(packed.out("pack"))

    assert index["id"].n_unique() == index.height == len(TEXTS)
    for row in index.iter_rows(named=True):
        tokens = streams[row["split"]][row["offset"] : row["offset"] + row["tokens"]]
        assert tokens[-1] == 0
        assert 0 not in tokens[:-1]
        assert tokenizer.decode(tokens[:-1].tolist()) == TEXTS[row["uri"]]
        assert row["bytes"] == len(TEXTS[row["uri"]].encode())
        assert row["id"] == document_id(row["uri"])
    for split, stream in streams.items():
        mine = index.filter(pl.col("split") == split)
        assert stream.dtype == np.uint16
        assert len(stream) == mine["tokens"].sum()
        assert mine["offset"].to_list() == [0, *np.cumsum(mine["tokens"])[:-1]]
    assert index.filter(pl.col("split") == "held_out")["id"].is_sorted()


def test_a_stream_worked_by_hand(workspace):
    """With a vocabulary of bytes alone a token is a byte: its place in GPT-2's alphabet, after the end token."""
    workspace.set(tokenizer={"vocab_size": 257}, pack={"held_out_share": 1e-9})
    workspace.put("validate", {f"docs/{n}": "!" * (n + 1) + '"' for n in range(5)})
    workspace.run("tokenizer", "pack")
    (kept_back,) = workspace.held_out()
    number = next(n for n in range(5) if document_id(f"docs/{n}") == kept_back)
    # "!" is the first printable character of the alphabet, '"' the second.
    assert np.load(workspace.out("pack") / "held_out.npy").tolist() == [1] * (number + 1) + [2, 0]


def test_held_out_documents_are_chosen_by_hash_and_kept_as_text(packed):
    texts = pl.read_parquet(packed.out("pack") / "held_out.parquet")
    index = read_index(packed.out("pack"), HELD_OUT)
    assert set(texts["id"]) == packed.held_out()
    assert texts["id"].to_list() == index["id"].to_list()
    assert dict(texts.select("uri", "text").iter_rows()).items() <= TEXTS.items()
    assert texts.columns == ["id", "uri", "group", "text"]


def test_the_report_adds_up(packed):
    report = packed.report
    assert report.rows_in == report.rows_out == 30
    assert report.facts["train"]["documents"] + report.facts["held_out"]["documents"] == 30
    assert report.facts["train"]["bytes"] + report.facts["held_out"]["bytes"] == sum(
        len(text.encode()) for text in TEXTS.values()
    )


def test_same_documents_give_the_same_bytes(packed, make_workspace):
    other = make_workspace()
    other.set(tokenizer={"vocab_size": 300})
    other.put("validate", dict(reversed(TEXTS.items())))
    other.run("tokenizer", "pack")
    assert other.bytes_of("tokenizer") == packed.bytes_of("tokenizer")
    assert other.bytes_of("pack") == packed.bytes_of("pack")


def test_without_a_tokenizer_the_next_move_is_named(workspace):
    workspace.put("validate", TEXTS)
    with pytest.raises(StepError, match="dvc repro tokenizer"):
        workspace.run("pack")


def test_too_few_documents_are_an_error(workspace):
    workspace.put("validate", dict(list(TEXTS.items())[:3]))
    with pytest.raises(StepError, match="expected at least 5 documents"):
        workspace.run("tokenizer")


def mixed(workspace, weight: float, *, seed: int = 1):
    """Two sources of twenty documents each; the second has this weight."""
    sources = [{"uri": "docs"}, {"uri": "more", "weight": weight}]
    workspace.set(tokenizer={"vocab_size": 300}, discover={"sources": sources}, pack={"seed": seed})
    first, second = (documents_of(name) for name in ("docs", "more"))
    table = pl.concat([first, second])
    write_all(workspace.out("validate"), table, documents.REJECTED_SCHEMA.to_frame())
    workspace.put_sides(table["id"])
    write_json(workspace.out("discover") / "base.json", {})
    report = workspace.run("tokenizer", "pack")
    return report, whole_index(workspace.out("pack"))


def documents_of(source: str) -> pl.DataFrame:
    rows = []
    for number in range(20):
        uri, text = f"{source}/{number}", f"Text {number} of {source} says something. " * 3
        row = Document(document_id(uri), uri, source, uri, "MIT", "", "", text, documents.digest_of(text))
        rows.append(row)
    return pl.DataFrame(rows, schema=documents.SCHEMA, orient="row")


def test_a_weight_of_two_and_a_half_is_two_epochs_and_half_of_the_documents_again(workspace):
    report, index = mixed(workspace, 2.5)
    trained = index.filter(pl.col("split") == "train")
    often = trained.group_by("source", "id").agg(pl.col("epoch").sort())
    assert {tuple(epochs) for epochs in often.filter(pl.col("source") == "docs")["epoch"]} == {(0,)}
    more = [tuple(epochs) for epochs in often.filter(pl.col("source") == "more")["epoch"]]
    assert set(more) == {(0, 1), (0, 1, 2)}
    facts = report.facts["sources"]["more"]
    assert facts["weight"] == 2.5
    assert facts["epochs"] == pytest.approx(sum(map(len, more)) / len(more), abs=0.05)
    assert facts["share"] == pytest.approx(
        trained.filter(pl.col("source") == "more")["tokens"].sum() / trained["tokens"].sum(), abs=1e-4
    )
    assert "more" in report.summary
    stream = Stream(workspace.out("pack"))
    assert len(stream) == trained["tokens"].sum() == report.facts["train"]["tokens"]
    once = trained.filter(pl.col("epoch") == 0)
    assert report.facts["train"]["distinct_tokens"] == once["tokens"].sum() < len(stream)
    assert report.facts["train"]["distinct_bytes"] == once["bytes"].sum()
    copies = trained.filter(pl.col("id") == trained.filter(pl.col("epoch") == 1)["id"][0])
    one, *others = [stream[start : start + length].tolist() for start, length in copies["offset", "tokens"].rows()]
    assert others
    assert all(other == one for other in others)
    assert index.filter(pl.col("split") == "held_out")["id"].is_unique().all()


def test_a_weight_below_one_leaves_out_documents_and_counts_them(workspace):
    report, index = mixed(workspace, 0.3)
    left_out = report.rows_rejected
    assert 0 < left_out == report.reasons["weight"] == report.facts["sources"]["more"]["left_out"]
    assert index["id"].n_unique() == 40 - left_out == report.rows_out
    assert set(index.filter(pl.col("source") == "docs")["epoch"]) == {0}
    assert report.facts["train"]["distinct_tokens"] == report.facts["train"]["tokens"]


def test_weights_that_leave_nothing_are_an_error(workspace):
    workspace.set(discover={"sources": [{"uri": "docs", "weight": 1e-9}]})
    workspace.put("validate", TEXTS)
    with pytest.raises(StepError, match="raise the weights"):
        workspace.run("tokenizer", "pack")


def test_the_order_is_another_with_another_seed_and_the_held_out_stream_the_same(make_workspace):
    one, other = make_workspace(), make_workspace()
    (_, first), (_, second) = mixed(one, 1), mixed(other, 1, seed=2)
    trained = [index.filter(pl.col("split") == "train")["id"].to_list() for index in (first, second)]
    assert trained[0] != trained[1]
    assert sorted(trained[0]) == sorted(trained[1])
    assert one.bytes_of("pack")["held_out.npy"] == other.bytes_of("pack")["held_out.npy"]


def test_what_is_remembered_changes_nothing(workspace, make_workspace):
    """Shards that come, change and go: as if everything had been packed anew."""
    tables = [documents_of("a"), documents_of("b"), documents_of("c")]
    for chosen in ([0, 1], [0, 1, 2], [2, 0]):
        fresh = make_workspace()
        for each in (workspace, fresh):
            each.set(tokenizer={"vocab_size": 300})
            put_shards(each, {str(number): tables[number] for number in chosen})
            each.run("tokenizer", "pack")
        assert workspace.bytes_of("pack") == fresh.bytes_of("pack")


def test_a_shard_that_did_not_change_is_not_packed_again(workspace, monkeypatch, caplog):
    workspace.set(tokenizer={"vocab_size": 300})
    put_shards(workspace, {name: documents_of(name) for name in "ab"})
    workspace.run("tokenizer", "pack")
    before = workspace.bytes_of("pack")
    monkeypatch.setattr(pack, "pack_shard", None)
    workspace.run("pack")
    assert workspace.bytes_of("pack") == before
    assert "damaged" not in caplog.text


def test_pieces_are_linked_and_those_of_the_shards_before_do_not_matter(workspace):
    # So many that sides of documents do not change when others come.
    workspace.set(tokenizer={"vocab_size": 300}, pack={"held_out_share": 0.2, "min_held_out": 1})
    put_shards(workspace, {name: documents_of(name) for name in "ab"})
    workspace.run("tokenizer", "pack")
    before = workspace.bytes_of("pack")
    piece = workspace.out("pack") / "train" / "b.npy"
    assert piece.stat().st_nlink == 2
    put_shards(workspace, {name: documents_of(name) for name in "cab"})
    workspace.run("pack")
    after = workspace.bytes_of("pack")
    assert [piece.name for piece in read_pieces(workspace.out("pack"))] == ["c", "a", "b", "held_out"]
    for folder, ending in (("train", "npy"), ("documents", "parquet")):
        for name in "ab":
            assert after[f"{folder}/{name}.{ending}"] == before[f"{folder}/{name}.{ending}"]
    index = read_index(workspace.out("pack"), TRAIN)
    assert index["offset"].to_list() == [0, *np.cumsum(index["tokens"])[:-1]]
    parts = [np.load(workspace.out("pack") / "train" / f"{name}.npy") for name in "cab"]
    assert (Stream(workspace.out("pack"))[:] == np.concatenate(parts)).all()


def test_a_shard_of_which_nothing_is_trained_on_has_no_piece(workspace):
    workspace.set(tokenizer={"vocab_size": 300}, discover={"sources": [{"uri": "a", "weight": 1e-9}, {"uri": "b"}]})
    put_shards(workspace, {"a": documents_of("a"), "none": documents_of("a").clear(), "b": documents_of("b")})
    report = workspace.run("tokenizer", "pack")
    assert [piece.name for piece in read_pieces(workspace.out("pack"))] == ["b", "held_out"]
    files = set(workspace.bytes_of("pack"))
    assert files == {"pieces.json", "train/b.npy", "documents/b.parquet", "held_out.npy", "held_out.parquet",
                     "held_out_index.parquet", "report.json"}  # fmt: skip
    assert report.facts["sources"]["a"]["trained_tokens"] == 0


def test_a_piece_that_breaks_the_contract_is_named_and_not_remembered(workspace, monkeypatch):
    workspace.set(tokenizer={"vocab_size": 300})
    put_shards(workspace, {"a": documents_of("a"), "b": documents_of("b").with_columns(group=pl.lit(""))})
    workspace.run("tokenizer")
    for _ in range(2):
        with pytest.raises(StepError, match=r"packed 2\.0\.0: b: index: rule group\.minLength: expected minLength 1"):
            workspace.run("pack")


def test_a_document_in_two_shards_is_refused(workspace):
    workspace.set(tokenizer={"vocab_size": 300})
    put_shards(workspace, {"a": documents_of("a"), "b": documents_of("a")})
    workspace.run("tokenizer")
    with pytest.raises(StepError, match="once_an_epoch"):
        workspace.run("pack")


@given(
    st.lists(st.lists(st.integers(0, 300), min_size=1, max_size=30), min_size=1, max_size=8),
    st.integers(-40, 260),
    st.integers(-40, 260),
)
def test_slices_of_a_stream_in_pieces_are_those_of_an_array(tmp_path_factory, parts, start, stop):
    folder = tmp_path_factory.mktemp("stream")
    write_stream(folder, *parts)
    whole = np.concatenate(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "_OPEN", 2)
        stream = Stream(folder)
        assert len(stream) == len(whole)
        assert stream[start:stop].tolist() == whole[start:stop].tolist()
        assert len(stream._maps) <= 2


def put_shards(workspace, shards: dict[str, pl.DataFrame]) -> None:
    made = []
    for name, table in shards.items():
        shard, files = documents.files_of(name, documents.Sifted(table, documents.REJECTED_SCHEMA.to_frame()))
        workspace.out("validate").mkdir(parents=True, exist_ok=True)
        for file, data in files.items():
            (workspace.out("validate") / file).write_bytes(data)
        made.append(shard)
    documents.write_index(workspace.out("validate"), made)
    workspace.put_sides(pl.concat(table["id"] for table in shards.values()))
    write_json(workspace.out("discover") / "base.json", {})


def test_held_out_text_is_sorted_part_by_part_as_at_once(workspace, monkeypatch):
    put_shards(workspace, {name: documents_of(name) for name in "abc"})
    workspace.set(pack={"held_out_share": 0.5})
    workspace.run("tokenizer", "pack")
    at_once = workspace.bytes_of("pack")
    index = whole_index(workspace.out("pack"))
    monkeypatch.setattr(pack, "_AT_ONCE", 500)
    workspace.run("pack")
    assert workspace.bytes_of("pack")["held_out.npy"] == at_once["held_out.npy"]
    assert whole_index(workspace.out("pack")).equals(index)
    texts = pl.read_parquet(workspace.out("pack") / "held_out.parquet")
    assert texts["id"].to_list() == index.filter(pl.col("split") == "held_out")["id"].to_list()
    assert texts["id"].is_sorted()


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 300)), max_size=20))
def test_runs_are_gathered(runs):
    ids = np.arange(1000, dtype=np.uint16)
    starts, counts = (np.array([run[part] for run in runs], dtype=np.int64) for part in (0, 1))
    expected = [number for start, count in runs for number in range(start, start + count)]
    assert gathered(ids, starts, counts).tolist() == expected


def test_threads_encode_at_the_same_time(workspace):
    put_shards(workspace, {"a": documents_of("a")})
    workspace.run("tokenizer")
    tokenizer = (workspace.out("tokenizer") / "tokenizer.json").read_bytes()
    texts = pl.Series(["one text that is long " * 5000, "another one " * 9000] * 5)
    alone = _encoder(tokenizer, may_be_fast=True).encode(texts)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda _: _encoder(tokenizer, may_be_fast=True).encode(texts), range(8)))
    assert all(np.array_equal(each.ids, alone.ids) for each in together)
