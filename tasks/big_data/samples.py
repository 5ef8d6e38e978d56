"""Tables of the data steps become a few texts that people read: chosen by hash, free of personal data, short.

Every id is looked at, and texts are read of the shards alone that hold a chosen one.
"""

import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, get_args

import polars as pl

from tasks.big_data import documents, privacy
from tasks.big_data.documents import Shard, file_of, read_index
from tasks.big_data.scans import columns_of, rejected_file, rows_with, smallest
from tasks.params import PersonalKind, Privacy

SAMPLES = 10
SHOWN_CHARACTERS = 600
# Enough that what is shown is redacted as it would be in the whole text.
_READ_CHARACTERS = 40_000
_SHARDS, _ROWS_A_SHARD = 8, 256
# Unicode categories: control, format (bidirectional overrides), surrogate, private, unassigned, separators of lines.
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


class Sample(NamedTuple):
    """One document: where it came from, what was against it in full, the beginning of its text."""

    id: str
    uri: str
    source: str
    why: str
    text: str
    is_cut: bool


class Redact:
    """Takes personal data out of whatever is shown, of every kind, whichever kinds the params name."""

    def __init__(self, given: Privacy, names: bytes) -> None:
        wide = given.model_copy(update={"kinds": get_args(PersonalKind)})
        self._common = privacy.Common(wide, names)

    def texts(self, texts: Iterable[str]) -> list[str]:
        """The texts with placeholders, and without characters that are not seen."""
        rows = [("0" * 32, "u", "s", "g", "l", "", "", text[:_READ_CHARACTERS], "") for text in texts]
        frame = pl.DataFrame(rows, schema=documents.SCHEMA, orient="row")
        return [visible(text) for text in privacy.work(frame, self._common, None).accepted["text"]]

    def text(self, text: str) -> str:
        """One text."""
        return self.texts([text])[0]


def visible(text: str) -> str:
    """The text with a mark for each character that cannot be seen or that turns the writing round."""
    return text.translate({ord(character): "\ufffd" for character in set(text) if _is_hidden(character)})


def _is_hidden(character: str) -> bool:
    return character not in "\n\t" and unicodedata.category(character) in _HIDDEN


def kept(folder: Path, redact: Redact, number: int = SAMPLES) -> list[Sample]:
    """Documents of a table with the smallest ids, which are hashes."""
    chosen = pl.DataFrame(schema={"id": pl.String, "shard": pl.UInt32})
    for ids in columns_of(folder, ["id"]):
        chosen = pl.concat([chosen, ids]).bottom_k(number, by="id")
    files = [file_of(folder, shard.name) for shard in _shards_of(folder, chosen)]
    return of_rows(rows_with(files, chosen["id"]) if files else documents.SCHEMA.to_frame(), redact)


def dropped(folder: Path, redact: Redact, number: int = SAMPLES) -> dict[str, list[Sample]]:
    """For each reason of a step, the rejected documents with the smallest ids."""
    kinds = {"id": pl.String, "reason": pl.String, "why": pl.String, "shard": pl.UInt32}
    chosen = pl.DataFrame(schema=kinds)
    for rows in columns_of(folder, ["id", "reasons"], rejected=True):
        why = pl.col("reasons")
        reason = why.str.splitn(":", 2).struct.field("field_0")
        named = rows.explode("reasons").select("id", reason=reason, why=why, shard="shard")
        chosen = pl.concat([chosen, named]).sort("reason", "id").group_by("reason", maintain_order=True).head(number)
        chosen = chosen.select(list(kinds))
    if not chosen.height:
        return {}
    files = [rejected_file(folder, shard) for shard in _shards_of(folder, chosen)]
    rows_of = {str(row["id"]): row for row in rows_with(files, chosen["id"].unique()).iter_rows(named=True)}
    return {
        str(reason): _shown(((rows_of[id_], why) for id_, why in mine.select("id", "why").iter_rows()), redact)
        for (reason,), mine in chosen.group_by("reason", maintain_order=True)
    }


def measured(folder: Path) -> pl.DataFrame:
    """A few hundred documents of a few shards, both chosen by hash, for figures of quality."""
    shards = sorted((shard for shard in read_index(folder) if shard.rows), key=lambda shard: shard.sha256)[:_SHARDS]
    empty = documents.SCHEMA.to_frame()
    found = [smallest(folder, shard.name, _ROWS_A_SHARD) for shard in shards]
    return pl.concat([empty, *found]).sort("id")


def of_rows(frame: pl.DataFrame, redact: Redact) -> list[Sample]:
    """Rows of a table as they are shown."""
    return _shown(((row, "") for row in frame.iter_rows(named=True)), redact)


def _shards_of(folder: Path, chosen: pl.DataFrame) -> list[Shard]:
    """Those that have the chosen rows."""
    shards = read_index(folder)
    return [shards[at] for at in chosen["shard"].unique().sort()]


def _shown(rows: Iterable[tuple[dict[str, object], str]], redact: Redact) -> list[Sample]:
    given = sorted(rows, key=lambda row: str(row[0]["id"]))
    texts = redact.texts(str(row["text"] or "") for row, _ in given)
    uris = redact.texts(str(row["uri"] or "") for row, _ in given)
    return [
        Sample(str(row["id"]), uri, str(row["source"]), why, text[:SHOWN_CHARACTERS],
               len(text) > SHOWN_CHARACTERS or len(str(row["text"] or "")) > _READ_CHARACTERS)
        for (row, why), text, uri in zip(given, texts, uris, strict=True)
    ]  # fmt: skip
