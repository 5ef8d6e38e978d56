"""The step that judges: bits per byte of held-out documents, yardsticks, samples."""

import json
import math

import polars as pl
import pytest

from data_contracts.pieces import read_index, read_pieces, write_pieces
from tasks.algorithm.blueprint import Blueprint
from tasks.algorithm.model import Model, save_weights
from tasks.algorithm.scoring import document_bits
from tasks.compute import evaluate
from tasks.report import StepError
from tests.packed import write_piece


@pytest.fixture
def trained(workspace):
    """A workspace with weights, of no training."""
    model = Model(Blueprint.read(workspace.artifacts / "blueprint").shape)
    model.init_weights(3)
    (workspace.artifacts / "train").mkdir()
    save_weights(model.state_dict(), workspace.artifacts / "train" / "model.safetensors")
    return workspace, model


def test_documents_samples_and_yardsticks(trained, tmp_path, one_thread):
    workspace, model = trained
    outs = [tmp_path / "first", tmp_path / "second"]
    for out in outs:
        out.mkdir()
        report = evaluate.run(workspace.params, workspace.settings(), out)
    table = pl.read_parquet(outs[0] / "documents.parquet")
    assert table.columns == ["id", "uri", "group", "bytes", "bits", "bits_per_byte"]
    held_out = evaluate.read_held_out(workspace.artifacts / "pack")
    assert table["id"].to_list() == held_out.rows["id"].to_list()
    assert table["bytes"].to_list() == [len(text) for text in held_out.texts]
    assert table["bits"].to_list() == pytest.approx(list(document_bits(model, held_out.tokens)))

    facts = report.facts
    assert facts["bits_per_byte"] == pytest.approx(table["bits"].sum() / table["bytes"].sum(), abs=1e-6)
    # Untrained, so each token costs about log2(300) bits.
    tokens = sum(map(len, held_out.tokens))
    assert facts["bits_per_byte"] == pytest.approx(tokens * math.log2(300) / facts["bytes"], rel=0.05)
    assert facts["byte_5gram"] < facts["byte_3gram"] < facts["bits_per_byte"]
    assert facts["xz"] > 0
    assert facts["documents"] == 8
    assert [sum(layer) for layer in facts["expert_load"]] == pytest.approx([1.0], abs=1e-5)

    [sample] = json.loads((outs[0] / "samples.json").read_text())
    assert sample["prompt"] == "the "
    assert sample["text"].startswith("the ")
    for name in ("documents.parquet", "samples.json", "evaluation.png"):
        assert (outs[0] / name).read_bytes() == (outs[1] / name).read_bytes(), name


def test_yardsticks_learn_from_training_documents_alone(workspace):
    texts = list(evaluate.training_texts(workspace.artifacts))
    assert [len(text) for text in texts] == read_index(workspace.artifacts / "pack", "train")["bytes"].to_list()


def test_training_text_for_yardsticks_is_bounded(workspace, monkeypatch, caplog):
    monkeypatch.setattr(evaluate, "TRAINING_BYTES", 1000)
    with caplog.at_level("INFO"):
        texts = list(evaluate.training_texts(workspace.artifacts))
    assert 1000 <= sum(map(len, texts)) < 1500
    assert "first" in caplog.text


def test_no_held_out_document_is_an_error_with_advice(workspace):
    pack = workspace.artifacts / "pack"
    nothing = write_piece(pack, "held_out", "held_out", [], read_index(pack, "held_out").clear())
    write_pieces(pack, [*read_pieces(pack, "train"), nothing])
    with pytest.raises(StepError, match=r"pack\.held_out_share"):
        evaluate.read_held_out(workspace.artifacts / "pack")


def test_tokens_of_other_documents_are_refused(workspace):
    pack = workspace.artifacts / "pack"
    other = write_piece(pack, "held_out", "held_out", [0] * 5, read_index(pack, "held_out"))
    write_pieces(pack, [*read_pieces(pack, "train"), other])
    with pytest.raises(StepError, match=r"expected one text and its tokens for each of 8"):
        evaluate.read_held_out(workspace.artifacts / "pack")


def test_samples_begin_as_held_out_documents_do():
    texts = [
        b"PH639 REPLACE AUTO GREASER",
        "---\nTitle: Verordnung über die Prüfung\n".encode(),
        "übrig".encode(),
        b"never looked at",
    ]
    assert evaluate.beginnings(texts) == ("PH639 REPLACE ", "Title: Verordnung ", "übrig")
