"""Token streams and their index: every document is where the index says, none is in both streams."""

import numpy as np
import polars as pl
import pytest
from tokenizers import Tokenizer

from tasks.big_data.documents import document_id
from tasks.report import StepError

TEXTS = {f"docs/{n}": f"Document {n} says <|endoftext|> and goes on, größer. " * (1 + n % 4) for n in range(30)}


@pytest.fixture
def packed(workspace):
    workspace.set(tokenizer={"vocab_size": 300})
    workspace.put("validate", TEXTS)
    workspace.report = workspace.run("tokenizer", "pack")
    return workspace


def test_each_document_is_where_the_index_says(packed):
    tokenizer = Tokenizer.from_file(str(packed.out("tokenizer") / "tokenizer.json"))
    streams = {split: np.load(packed.out("pack") / f"{split}.npy") for split in ("train", "held_out")}
    index = pl.read_parquet(packed.out("pack") / "documents.parquet")

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
        assert mine["id"].is_sorted()


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
    index = pl.read_parquet(packed.out("pack") / "documents.parquet").filter(pl.col("split") == "held_out")
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
