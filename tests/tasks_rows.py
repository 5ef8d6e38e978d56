"""A step's work on a table of one document."""

from typing import Any

from tasks.big_data import documents
from tasks.big_data.sift import Work


def one_row(
    work: Work, common: Any, text: str, *, extra: Any = None, uri: str = "docs/a.txt", source: str = "docs"
) -> str | list[str]:
    """The text as it goes on, or the reasons against it."""
    row = (documents.document_id(uri), uri, source, uri, "MIT", "", "", text, documents.digest_of(text))
    sifted = work(documents.pl.DataFrame([row], schema=documents.SCHEMA, orient="row"), common, extra)
    assert sifted.accepted.height + sifted.rejected.height == 1
    if sifted.rejected.height:
        reasons: list[str] = sifted.rejected["reasons"][0].to_list()
        return reasons
    return str(sifted.accepted["text"][0])
