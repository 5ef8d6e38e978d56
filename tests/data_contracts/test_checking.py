"""`abcd contract check`: any file against a contract, every broken rule with its count and examples."""

import gzip
import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from data_contracts.checking import Source, check, check_piece
from data_contracts.contract import DOCUMENTS, PACKED, Contract
from data_contracts.errors import ContractError
from data_contracts.pieces import write_pieces
from data_contracts.tables import contract_for, packed_tables, piece_row, tables_of, whole_tables
from flows import cli
from tests.packed import write_piece

ROWS = [
    {"id": f"{n:032x}", "uri": f"u{n}", "source": "s", "group": "g", "licence": "MIT", "language": "en", "meta": "",
     "text": f"text {n}", "digest": f"{n:064x}"}
    for n in range(10)
]  # fmt: skip


def write(path, rows):
    """A table in the form that the name says."""
    frame = pl.DataFrame(rows)
    if path.name.startswith("folder"):
        path.mkdir()
        frame.head(4).write_parquet(path / "a.parquet")
        frame.tail(-4).write_parquet(path / "b.parquet")
    elif ".parquet" in path.name:
        frame.write_parquet(path)
    elif ".csv" in path.name:
        frame.write_csv(path)
    else:
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


def checked(path):
    contracts = Contract.read_all(contract_for(path))
    return check(contracts, *tables_of(path, contracts))


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.jsonl", "t.jsonl.gz", "folder"])
def test_a_file_is_judged_the_same_in_every_form(tmp_path, name):
    path = write(tmp_path / name, ROWS)
    assert checked(path).broken == ()
    assert checked(path).rows == {"documents": 10}
    bad = [*ROWS, {**ROWS[0], "uri": "", "text": "\x00", "meta": "not JSON"}, {**ROWS[0], "uri": "x" * 5000}]
    found = {broken.rule: broken for broken in checked(write(tmp_path / f"{name[:-1]}2.jsonl", bad)).broken}
    assert {rule: broken.found for rule, broken in found.items()} == {
        "id.unique": "2 rows", "uri.minLength": "1 rows", "uri.maxLength": "1 rows", "meta.pattern": "1 rows",
        "text.no_control_characters": "1 rows", "digest.unique": "2 rows",
    }  # fmt: skip
    assert found["uri.maxLength"].expected == "maxLength 4096"
    assert found["text.no_control_characters"].examples == ("'\\x00'",)


def test_missing_and_mistyped_columns_are_named_and_the_others_judged(tmp_path):
    rows = [{**row, "text": 1, "uri": ""} for row in ROWS]
    for row in rows:
        del row["digest"]
    found = {broken.rule: broken.found for broken in checked(write(tmp_path / "t.jsonl", rows)).broken}
    assert found == {"text.type": "Object", "digest.type": "no such column", "uri.minLength": "10 rows",
                     "uri.unique": "9 rows"}  # fmt: skip


def test_rules_of_the_table_are_run_too(tmp_path):
    rows = [
        {**ROWS[0], "id": f"{n:032x}", "uri": f"u{n}", "digest": f"{n:064x}", "licence": f"L{n}"} for n in range(101)
    ]
    (broken,) = checked(write(tmp_path / "t.parquet", rows)).broken
    assert (broken.rule, broken.found) == ("licence_known_in_form", "101")
    contract = Contract.read(DOCUMENTS)
    empty = pl.DataFrame(schema=dict(contract.columns))
    (broken,) = check({"documents": contract}, {"documents": Source(lambda: [empty], empty.lazy)}).broken
    assert (broken.rule, broken.expected, broken.found) == ("not_empty", "from 1 to inf rows", "0 rows")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.jsonl", b'{"id": "a"}\n{"id": \n', "rows 1 to 2: no JSON"),
        ("t.parquet", b"PAR1 not really", "cannot be read as Parquet"),
        ("t.docx", b"x", "expected .parquet, .jsonl"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ContractError, match=said):
        checked(tmp_path / name)
    with pytest.raises(ContractError, match="found nothing at"):
        checked(tmp_path / "gone")


@pytest.fixture
def packed(tmp_path):
    """What `pack` leaves of three documents."""
    write_packed(tmp_path)
    return tmp_path


def write_packed(folder, streams=None, **columns):
    tokens = {"train": [5, 6, 0, 7, 0, 5, 6, 0], "held_out": [9, 0], **(streams or {})}
    index = pl.DataFrame({
        "id": ["a" * 32, "b" * 32, "a" * 32, "c" * 32], "uri": ["a", "b", "a", "c"], "source": ["s"] * 4,
        "group": ["g"] * 4, "split": ["train"] * 3 + ["held_out"], "epoch": [0, 0, 1, 0], "offset": [0, 3, 5, 0],
        "tokens": [3, 2, 3, 2], "bytes": [2, 1, 2, 1], **columns,
    }).with_columns(pl.col("epoch").cast(pl.Int32))  # fmt: skip
    another = index.head(1).with_columns(id=pl.lit("e" * 32), epoch=pl.lit(0, pl.Int32), tokens=pl.lit(2), offset=0)
    made = [write_piece(folder, "train", "one", tokens["train"], index.head(3)),
            write_piece(folder, "train", "another", [8, 0], another),
            write_piece(folder, "held_out", "held_out", tokens["held_out"], index.tail(1))]  # fmt: skip
    write_pieces(folder, made)
    held = [{"id": "c" * 32, "uri": "c", "group": "g", "text": "c"}]
    pl.DataFrame(held).write_parquet(folder / "held_out.parquet")
    return made


def broken_rules(folder, vocabulary=300):
    found = check(Contract.read_all(PACKED), *packed_tables(folder, vocabulary))
    return [f"{broken.table}.{broken.rule}" for broken in found.broken]


def test_what_pack_leaves_keeps_its_contract(packed):
    assert broken_rules(packed) == []
    assert contract_for(packed) == PACKED
    assert broken_rules(packed, None) == ["pieces.vocabulary.required"]


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"offset": [0, 3, 6, 0]}, ["index.within_the_piece", "index.no_gap_no_overlap"]),
        ({"offset": [0, 2, 5, 0]}, ["index.no_gap_no_overlap", "pieces.endings.maximum"]),
        ({"offset": [0, 3, 5, 1]},
         ["index.within_the_piece", "index.no_gap_no_overlap", "pieces.endings.minimum"]),
        ({"offset": [-1, 3, 5, 0]},
         ["index.offset.minimum", "index.no_gap_no_overlap", "pieces.endings.maximum"]),
        ({"epoch": [0, 0, 0, 0]}, ["index.from_the_first_epoch", "index.once_an_epoch"]),
        ({"id": ["a" * 32, "b" * 32, "c" * 32, "c" * 32]}, ["index.from_the_first_epoch"]),
        ({"id": ["a" * 32, "c" * 32, "a" * 32, "c" * 32]}, ["index.once_an_epoch"]),
        ({"id": ["a" * 32, "e" * 32, "a" * 32, "c" * 32]}, ["index.once_an_epoch"]),
        ({"id": ["a" * 32, "b" * 32, "a" * 32, "d" * 32]}, ["held_out.the_same_documents"]),
        ({"split": ["train", "train", "train", "test"]},
         ["index.split.known", "index.within_the_piece", "pieces.filled", "held_out.the_same_documents"]),
        ({"streams": {"train": [5, 6, 0, 7, 0, 5, 6, 0, 1]}}, ["pieces.filled"]),
        ({"streams": {"train": [5, 6, 0, 7, 0, 5, 300, 0]}}, ["pieces.within_the_vocabulary"]),
        ({"streams": {"train": [5, 6, 0, 7, 3, 5, 6, 0]}}, ["pieces.endings.maximum"]),
        ({"streams": {"train": [5, 6, 0]}}, ["index.within_the_piece", "pieces.filled"]),
    ],
)  # fmt: skip
def test_every_damage_breaks_a_rule(packed, change, rules):
    write_packed(packed, **change)
    assert sorted(broken_rules(packed)) == sorted(rules)


def test_values_that_must_come_once_together_are_told_apart_in_parts(tmp_path):
    head = "apiVersion: v3.1.0\nkind: DataContract\nid: t\nname: t\nversion: 1.0.0\nschema:\n  - name: t\n    quality: "
    rule = "[{name: pair, metric: duplicateValues, arguments: {properties: [a, b]}, mustBe: 0}]\n    properties:\n"
    columns = "      - {name: a, logicalType: string}\n      - {name: b, logicalType: integer}\n"
    (tmp_path / "t.odcs.yaml").write_text(head + rule + columns)
    parts = [
        pl.DataFrame({"a": ["x", "x", None], "b": [1, 2, 1]}),
        pl.DataFrame({"a": ["y", "x", None], "b": [1, 2, 1]}),
    ]
    contract = Contract.read(tmp_path / "t.odcs.yaml")
    (broken,) = check({"t": contract}, {"t": Source(lambda: parts, lambda: pl.concat(parts).lazy())}).broken
    assert (broken.rule, broken.expected, broken.found) == ("pair", "each a, b once", "1 rows")


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        (lambda one, other, held: [one, other], ["pieces.both"]),
        (lambda one, other, held: [one, other, held, other], ["index.once_an_epoch", "pieces.listed_once"]),
        (lambda one, other, held: [one._replace(tokens=9), other, held], ["pieces.listed.as_measured"]),
        (lambda one, other, held: [one, other, held._replace(ending=3)], ["pieces.listed.as_measured"]),
    ],
)
def test_the_list_says_what_is_there(packed, change, rules):
    write_pieces(packed, change(*write_packed(packed)))
    assert sorted(broken_rules(packed)) == rules


def test_pieces_end_in_one_token_and_are_of_one_type(packed):
    one, other, held = write_packed(packed)
    np.save(packed / other.tokens_file, np.array([8, 1], np.uint32))
    write_pieces(packed, [one, other._replace(type="uint32", ending=1), held])
    assert broken_rules(packed) == ["pieces.one_type", "pieces.one_ending"]


@pytest.mark.parametrize("file", ["tokens_file", "index_file"])
def test_a_piece_that_is_missing_is_named(packed, file):
    (packed / getattr(write_packed(packed)[1], file)).unlink()
    with pytest.raises(ContractError, match="another"):
        broken_rules(packed)


def test_what_can_be_said_of_a_piece_alone_and_what_cannot(packed):
    """Both together are all that is said of the whole."""
    contracts = Contract.read_all(PACKED)
    whole = {name: contract.of_the_whole() for name, contract in contracts.items()}
    for change in ({}, {"tokens": [3, 2, 2, 2]}, {"epoch": [0, 0, 0, 0]}, {"id": ["e" * 32, "b" * 32] * 2}):
        made = write_packed(packed, **change)
        alone = [
            f"{broken.table}.{broken.rule}"
            for piece in made
            for broken in check_piece(contracts, {
                "index": pl.read_parquet(packed / piece.index_file), "pieces": piece_row(piece, 300),
                "held_out": pl.read_parquet(packed / "held_out.parquet").head(int(piece.split == "held_out")),
            })
        ]  # fmt: skip
        together = [
            f"{each.table}.{each.rule}"
            for each in check(whole, whole_tables(packed, made, 300, contracts["index"])).broken
        ]
        assert {*alone, *together} == set(broken_rules(packed))
        assert not {*alone} & {*together}


def invoke(*arguments):
    return CliRunner().invoke(
        cli.app, ["contract", *map(str, arguments)], env={"COLUMNS": "150"}, catch_exceptions=False
    )


def test_the_command_says_what_is_broken_and_ends_with_1(tmp_path):
    good, bad = write(tmp_path / "good.csv", ROWS), write(tmp_path / "bad.csv", [{**ROWS[0], "licence": "?"}])
    done = invoke("check", good)
    assert done.exit_code == 0
    assert "good.csv keeps the contract documents 2.0.0: 30 rules, 10 rows of documents" in " ".join(
        done.output.split()
    )
    done = invoke("check", bad)
    assert done.exit_code == 1
    assert "licence.pattern" in done.output
    assert "1 broken, of 30 rules; 1 rows of documents" in " ".join(done.output.split())


def test_the_command_takes_a_contract_by_name_or_file(tmp_path):
    path = write(tmp_path / "t.csv", [{**ROWS[0], "text": ""}])
    assert invoke("check", path, "--contract", "raw").exit_code == 0
    assert invoke("check", path, "--contract", DOCUMENTS).exit_code == 1
    done = invoke("check", path, "--contract", "row")
    assert done.exit_code == 2
    assert "expected one of documents, packed, raw" in " ".join(done.output.split())


def test_the_list_names_every_contract():
    said = invoke("list").output
    assert all(word in said for word in ("documents", "2.0.0", "packed", "index, pieces, held_out", "raw", "30"))
