"""Document tables as steps leave them, made from rows by hand, and a step's work on one row."""

from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from tasks.big_data import documents
from tasks.big_data.documents import Sifted, Tally
from tasks.big_data.sift import Work


class Document(NamedTuple):
    """One row of a table, in the order of its columns."""

    id: str
    uri: str
    source: str
    group: str
    licence: str
    language: str
    meta: str
    text: str
    digest: str


def write_all(out: Path, accepted: pl.DataFrame, rejected: pl.DataFrame, *, name: str = "0") -> Tally:
    """Write a small table as one shard."""
    sifted = Sifted(accepted, rejected)
    shard, files = documents.files_of(name, sifted)
    for file, data in files.items():
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        (out / file).write_bytes(data)
    documents.write_index(out, [shard])
    return documents.tally_of(accepted.height + rejected.height, documents.text_bytes(accepted), sifted)


def one_row(
    work: Work, common: Any, text: str, *, extra: Any = None, uri: str = "docs/a.txt", source: str = "docs"
) -> str | list[str]:
    """The text as it goes on, or the reasons against it."""
    row = (documents.document_id(uri), uri, source, uri, "MIT", "", "", text, documents.digest_of(text))
    sifted = work(pl.DataFrame([row], schema=documents.SCHEMA, orient="row"), common, extra)
    assert sifted.accepted.height + sifted.rejected.height == 1
    if sifted.rejected.height:
        reasons: list[str] = sifted.rejected["reasons"][0].to_list()
        return reasons
    return str(sifted.accepted["text"][0])
