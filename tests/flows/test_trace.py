"""`abcd trace` on packed documents: by name, by row, by token, and for a release."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from data_contracts.pieces import write_pieces
from flows import cli
from tasks.big_data import documents
from tasks.big_data.documents import document_id
from tests.packed import write_piece
from tests.tables import Document, write_all

ROOT = Path(__file__).parents[2]
LENGTH, DOCUMENTS = 256, 30


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Thirty documents of a hundred tokens each, one after the other."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / ".git").mkdir()
    uris = [f"docs/[{n}].txt" for n in range(DOCUMENTS)]
    rows = [Document(document_id(uri), uri, "docs", uri, "MIT", "", "", uri, uri) for uri in uris]
    table = pl.DataFrame(rows, schema=documents.SCHEMA, orient="row")
    for step in ("ingest", "clean", "privacy", "dedup", "validate"):
        write_all(tmp_path / "artifacts" / step, table, documents.REJECTED_SCHEMA.to_frame())
    pack = tmp_path / "artifacts" / "pack"
    index = table.select("id", "uri", "source", "group").with_columns(
        split=pl.lit("train"), epoch=pl.lit(0, pl.Int32), tokens=pl.lit(100, pl.Int64), bytes=pl.lit(400, pl.Int64),
        offset=pl.int_range(DOCUMENTS, dtype=pl.Int64) * 100,
    )  # fmt: skip
    (shard,) = documents.read_index(tmp_path / "artifacts" / "validate")
    nothing = write_piece(pack, "held_out", "held_out", [], index.clear())
    write_pieces(pack, [write_piece(pack, "train", shard.name, [0] * 100 * DOCUMENTS, index), nothing])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ask(*arguments: str) -> str:
    done = CliRunner().invoke(cli.app, ["trace", *arguments], env={"COLUMNS": "200"}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_rows_lead_to_documents_and_documents_to_rows(workspace):
    windows = (100 * DOCUMENTS - 1) // LENGTH - 1
    rows = {row: json.loads(ask("--row", str(row), "--json")) for row in range(windows)}
    for row, found in rows.items():
        assert found["stop"] - found["first"] == LENGTH + 1
        named = [int(held["uri"][6:-5]) for held in found["documents"]]
        assert named == list(range(found["first"] // 100, (found["stop"] - 1) // 100 + 1)), row
    for number in (0, 11, DOCUMENTS - 1):
        found = json.loads(ask(f"docs/[{number}].txt", "--json"))
        has_part = [row for row in rows if any(held["id"] == found["id"] for held in rows[row]["documents"])]
        assert found["first_epoch_rows"] == has_part


def test_it_is_told_in_words(workspace):
    said = ask("docs/[7].txt")
    assert "docs/[7].txt" in said
    assert "validate  kept" in said
    assert "tokens    700 to 799 of the train stream, time 1" in said
    said = ask("--token", "1234")
    assert "token 1,234 of the train stream" in said
    assert "docs/[12].txt" in said


@pytest.mark.parametrize("arguments", [[], ["docs/[7].txt", "--row", "1"], ["--row", "1", "--token", "1"]])
def test_one_question_at_a_time(workspace, arguments):
    assert CliRunner().invoke(cli.app, ["trace", *arguments]).exit_code == 2
