"""A file or folder becomes tables to be checked: Parquet, JSON Lines, CSV, shards of documents, what `pack` leaves."""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from data_contracts.checking import Pieces, Source
from data_contracts.contract import DOCUMENTS, PACKED, RAW, Contract
from data_contracts.errors import ContractError
from data_contracts.pieces import PIECES, TEXTS, TRAIN, Piece, is_packed, read_pieces

SHARDS, REPORT = "shards.json", "report.json"
KINDS = ".parquet, .jsonl, .csv (also .gz), a folder of shards, or what pack leaves"
_AT_ONCE = 4096
# What is measured of a piece, what the tokenizer knows, and whether the list of pieces says the same.
PIECE_ROWS = pl.Schema(
    {"split": pl.String(), "name": pl.String(), "documents": pl.Int64(), "tokens": pl.Int64(), "type": pl.String(),
     "largest": pl.Int64(), "endings": pl.Int64(), "ending": pl.Int64(), "vocabulary": pl.Int64(),
     "listed": pl.Boolean()}
)  # fmt: skip


class Tables(NamedTuple):
    """Tables to be checked, and for queries on pieces the same in pieces; by default they are one piece."""

    sources: dict[str, Source]
    pieces: Callable[[], Iterable[Pieces]] | None = None


def contract_for(path: Path) -> Path:
    """The contract that a path is most likely meant to keep."""
    if is_packed(path):
        return PACKED
    return RAW if path.resolve().name == "ingest" else DOCUMENTS


def tables_of(path: Path, contracts: dict[str, Contract]) -> Tables:
    """Tables in a file or folder, named as the contracts name them.

    Raises:
        ContractError: it is nothing that can be read, or not what these contracts are about.
    """
    if not path.exists():
        raise ContractError(f"expected {KINDS}, found nothing at {path}")
    if is_packed(path):
        return packed_tables(path)
    if len(contracts) != 1:
        raise ContractError(f"{path}: expected a folder with {PIECES}, for the tables {', '.join(contracts)}")
    ((name, contract),) = contracts.items()
    parts = _parts_of(path, contract)
    whole = Source(parts, lambda: pl.concat([pl.DataFrame(schema=dict(contract.columns)), *parts()]).lazy())
    return Tables({name: whole})


def packed_tables(folder: Path, vocabulary: int | None = None) -> Tables:
    """Tables of what `pack` leaves, read in full.

    Args:
        folder: of the step.
        vocabulary: tokens that the tokenizer knows; by default as the step's report says.

    Raises:
        ContractError: the list or a file of a piece cannot be read.
    """
    if vocabulary is None:
        report = folder / REPORT
        facts = json.loads(report.read_text(encoding="utf-8"))["facts"] if report.is_file() else {}
        vocabulary = facts.get("vocab_size")
    try:
        listed = read_pieces(folder)
    except (OSError, ValueError, TypeError) as error:
        raise ContractError(f"{folder / PIECES}: expected the list of what pack left: {error}") from None
    pieces = pl.concat([PIECE_ROWS.to_frame(), *(_measured(folder, piece, vocabulary) for piece in listed)])
    files, texts = [folder / piece.index_file for piece in listed], folder / TEXTS

    def in_pieces() -> Iterator[Pieces]:
        for number, piece in enumerate(listed):
            index, row, is_train = files[number], pieces.slice(number, 1), piece.split == TRAIN
            held_out = pl.LazyFrame(schema={"id": pl.String()}) if is_train else _scan([texts])
            yield {"index": _scan([index]), "pieces": row.lazy(), "held_out": held_out}

    sources = {
        "index": Source(lambda: (part for file in files for part in _parquet(file)), lambda: _scan(files)),
        "pieces": Source.of(pieces),
        "held_out": Source(lambda: _parquet(texts), lambda: _scan([texts])),
    }
    return Tables(sources, in_pieces)


def whole_tables(folder: Path, pieces: Sequence[Piece], vocabulary: int, index: Contract) -> dict[str, Source]:
    """The same of pieces that were measured and checked alone: for what needs all of them, `Contract.of_the_whole`."""
    rows = pl.concat([PIECE_ROWS.to_frame(), *(piece_row(piece, vocabulary) for piece in pieces)])
    files, keys = [folder / piece.index_file for piece in pieces], list(index.of_the_whole().columns)

    def parts() -> Iterator[pl.DataFrame]:
        return (pl.read_parquet(file, columns=keys, glob=False) for file in files)

    return {
        "index": Source(parts, lambda: _scan(files)),
        "pieces": Source.of(rows),
        "held_out": Source(list, pl.LazyFrame),
    }


def piece_row(piece: Piece, vocabulary: int | None, listed: Piece | None = None) -> pl.DataFrame:
    """Row of a piece as it was measured; by default the list has it so."""
    row = {**piece._asdict(), "vocabulary": vocabulary, "listed": listed in (None, piece)}
    return pl.DataFrame([row], schema=PIECE_ROWS)


def _measured(folder: Path, listed: Piece, vocabulary: int | None) -> pl.DataFrame:
    """Row of a piece as it is."""
    path = folder / listed.tokens_file
    index = pl.concat(part.select("offset", "tokens") for part in _parquet(folder / listed.index_file))
    try:
        found = Piece.measured(listed.split, listed.name, lambda: np.load(path, mmap_mode="r"), index)
    except (OSError, ValueError) as error:
        raise ContractError(f"{path}: expected a NumPy array of tokens: {error}") from None
    return piece_row(found, vocabulary, listed)


def _scan(files: list[Path]) -> pl.LazyFrame:
    return pl.scan_parquet(files, glob=False)


def _parts_of(path: Path, contract: Contract) -> Callable[[], Iterator[pl.DataFrame]]:
    if path.is_dir():
        files = _shards(path)
        return lambda: (part for file in files for part in _parquet(file))
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        return lambda: _parquet(path)
    if name.endswith((".jsonl", ".ndjson")):
        return lambda: _json_lines(path, contract)
    if name.endswith(".csv"):
        return lambda: _csv(path, contract)
    raise ContractError(f"expected {KINDS}, found {path}")


def _shards(folder: Path) -> list[Path]:
    """Parquet files of a folder, in the order of its index where it has one."""
    if (folder / SHARDS).is_file():
        entries: list[dict[str, Any]] = json.loads((folder / SHARDS).read_text(encoding="utf-8"))
        return [folder / f"part-{entry['name']}.parquet" for entry in entries]
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise ContractError(f"expected {KINDS}, found a folder without Parquet files: {folder}")
    return files


def _parquet(path: Path) -> Iterator[pl.DataFrame]:
    """Parts of a Parquet file."""
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_AT_ONCE):
                yield pl.DataFrame(batch)
            if not file.metadata.num_rows:
                yield pl.DataFrame(file.schema_arrow.empty_table())
    except (OSError, ValueError) as error:
        raise ContractError(f"{path}: cannot be read as Parquet: {error}") from None


def _json_lines(path: Path, contract: Contract) -> Iterator[pl.DataFrame]:
    """Parts of a file of JSON Lines; the contract says what its columns are."""
    with _opened(path) as file:
        filled, at = (line for line in file if line.strip()), 0
        while lines := list(islice(filled, _AT_ONCE)):
            try:
                rows = [json.loads(line) for line in lines]
            except ValueError as error:
                raise ContractError(f"{path}: rows {at + 1} to {at + len(lines)}: no JSON: {error}") from None
            at += len(lines)
            names = dict.fromkeys(name for row in rows for name in row)
            yield pl.DataFrame({name: _column([row.get(name) for row in rows], contract, name) for name in names})


def _column(values: list[Any], contract: Contract, name: str) -> pl.Series:
    kind = contract.columns.get(name)
    try:
        return pl.Series(name, values, dtype=kind, strict=True)
    except (TypeError, pl.exceptions.PolarsError):
        return pl.Series(name, values, dtype=pl.Object)


def _csv(path: Path, contract: Contract) -> Iterator[pl.DataFrame]:
    """Parts of a CSV file; the contract says what its columns are."""
    try:
        scan = pl.scan_csv(path, infer_schema=False, empty_string_is_null=False, glob=False)
        names = scan.collect_schema().names()
        kinds = {name: contract.columns.get(name, pl.String()) for name in names}
        scan = pl.scan_csv(path, schema=kinds, empty_string_is_null=False, glob=False)
        yield from scan.collect_batches(chunk_size=_AT_ONCE, maintain_order=True)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ContractError(f"{path}: cannot be read as CSV with the contract's columns: {error}") from None


def _opened(path: Path) -> Any:
    try:
        return gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")
    except OSError as error:
        raise ContractError(f"{path}: {error.strerror}") from None
