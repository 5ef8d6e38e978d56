"""A file or folder becomes tables to be checked: Parquet, JSON Lines, CSV, shards of documents, what `pack` leaves."""

import gzip
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from data_contracts.checking import Source
from data_contracts.contract import DOCUMENTS, PACKED, RAW, Contract
from data_contracts.errors import ContractError

SHARDS, INDEX, REPORT = "shards.json", "documents.parquet", "report.json"
STREAMS = ("train", "held_out")
KINDS = ".parquet, .jsonl, .csv (also .gz), a folder of shards, or what pack leaves"
_AT_ONCE = 4096
_TOKENS = 1 << 22


def contract_for(path: Path) -> Path:
    """The contract that a path is most likely meant to keep."""
    if (path / INDEX).is_file():
        return PACKED
    return RAW if path.resolve().name == "ingest" else DOCUMENTS


def tables_of(path: Path, contracts: dict[str, Contract]) -> dict[str, Source]:
    """Tables in a file or folder, named as the contracts name them.

    Raises:
        ContractError: it is nothing that can be read, or not what these contracts are about.
    """
    if not path.exists():
        raise ContractError(f"expected {KINDS}, found nothing at {path}")
    if (path / INDEX).is_file():
        return packed_tables(path)
    if len(contracts) != 1:
        raise ContractError(f"{path}: expected a folder with {INDEX}, for the tables {', '.join(contracts)}")
    ((name, contract),) = contracts.items()
    parts = _parts_of(path, contract)
    return {name: Source(parts, lambda: pl.concat([pl.DataFrame(schema=dict(contract.columns)), *parts()]).lazy())}


def packed_tables(folder: Path, vocabulary: int | None = None) -> dict[str, Source]:
    """Tables of what `pack` leaves.

    Args:
        folder: of the step.
        vocabulary: tokens that the tokenizer knows; by default as the step's report says.
    """
    if vocabulary is None:
        report = folder / REPORT
        facts = json.loads(report.read_text(encoding="utf-8"))["facts"] if report.is_file() else {}
        vocabulary = facts.get("vocab_size")
    streams = _streams(folder, vocabulary)
    return {
        "index": Source(lambda: _parquet(folder / INDEX), lambda: pl.scan_parquet(folder / INDEX, glob=False)),
        "streams": Source(lambda: [streams], lambda: streams.lazy()),
        "held_out": Source(
            lambda: _parquet(folder / "held_out.parquet"),
            lambda: pl.scan_parquet(folder / "held_out.parquet", glob=False),
        ),
    }


def _streams(folder: Path, vocabulary: int | None) -> pl.DataFrame:
    """A row a file of tokens: what is measured of it."""
    rows = []
    for split in STREAMS:
        path = folder / f"{split}.npy"
        if not path.is_file():
            continue
        try:
            tokens = np.load(path, mmap_mode="r")
        except ValueError as error:
            raise ContractError(f"{path}: expected a NumPy array of tokens: {error}") from None
        # Mapped anew for each part, as pages that were read count as memory of the process while they are mapped.
        parts = (np.load(path, mmap_mode="r")[at : at + _TOKENS] for at in range(0, len(tokens), _TOKENS))
        largest = max((int(part.max()) for part in parts), default=None)
        rows.append((split, str(tokens.dtype), len(tokens), largest, vocabulary, _endings(folder, split, len(tokens))))
    kinds = {"split": pl.String, "type": pl.String, "tokens": pl.Int64, "largest": pl.Int64, "vocabulary": pl.Int64,
             "endings": pl.Int64}  # fmt: skip
    return pl.DataFrame(rows, schema=kinds, orient="row")


def _endings(folder: Path, split: str, length: int) -> int:
    """How many different tokens are the last one of a document."""
    found: set[int] = set()
    index = pl.scan_parquet(folder / INDEX, glob=False).filter(pl.col("split") == split)
    ends = index.select(end=pl.col("offset") + pl.col("tokens") - 1).collect(engine="streaming")["end"].to_numpy()
    ends = ends[(ends >= 0) & (ends < length)]
    for at in range(0, len(ends), _AT_ONCE):  # each end is a page that was read, see `_streams`
        tokens = np.load(folder / f"{split}.npy", mmap_mode="r")
        found.update(np.unique(tokens[ends[at : at + _AT_ONCE]]).tolist())
    return len(found)


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
