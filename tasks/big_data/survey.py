"""What the documents of each source are like, measured shard by shard and added up: lengths, endings, languages, edges.

A source is measured by its own documents, so that adding another source changes nothing for it.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.settings import Settings
from tasks.big_data.boilerplate import Line, edge_lines
from tasks.big_data.buffers import text_buffers
from tasks.big_data.documents import part, read_index, rows_in
from tasks.big_data.engine import Engine
from tasks.big_data.formats import CODE_SUFFIXES, COMPRESSION_SUFFIXES
from tasks.big_data.language import guesses
from tasks.big_data.memory import Memory, key_of

# Gopher (https://arxiv.org/abs/2112.11446, appendix A.1.1) takes no document of fewer than 50 words, about 300
# characters of English: where the typical document is shorter, rules for prose would measure the wrong thing.
NOTE_CHARACTERS = 300
# Documents of a source in a shard whose languages are asked: those of the lowest digests.
_ASKED = 200
# Those whose edges are read: a line that recurs in a tenth of a source recurs in a tenth of these.
_EDGES_READ = 1000


def ends_in(suffixes: Iterable[str]) -> str:
    """Pattern of the uri of a file with one of these endings, compressed or not; a row's uri ends in "#<row>"."""
    of, packed = ("|".join(map(re.escape, endings)) for endings in (suffixes, COMPRESSION_SUFFIXES))
    return rf"(?i)(?:{of})(?:{packed})?(?:\?[^#]*)?(?:#[^#]*)?$"


_CODE = ends_in(CODE_SUFFIXES)


@dataclass
class Measures:
    """Counts of one source's documents."""

    documents: int = 0
    code: int = 0  # documents with text in files that end as code does
    lengths: Counter[int] = field(default_factory=Counter)  # of documents with text; `NOTE_CHARACTERS`: or more
    languages: Counter[str] = field(default_factory=Counter)  # of documents that were asked and are sure
    long: int = 0  # documents whose edges were read
    lines: dict[str, Line] = field(default_factory=dict)  # by hash

    def add(self, other: "Measures") -> None:
        """Add what another shard counted."""
        self.documents += other.documents
        self.code += other.code
        self.lengths += other.lengths
        self.languages += other.languages
        self.long += other.long
        for mark, line in other.lines.items():
            known = self.lines.get(mark, Line(0, line.text))
            self.lines[mark] = Line(known.documents + line.documents, min(known.text, line.text))

    @property
    def with_text(self) -> int:
        return self.lengths.total()

    @property
    def median_length(self) -> int:
        """The lower of the two in the middle where they are even; `NOTE_CHARACTERS` stands for that or more."""
        left = (self.with_text + 1) // 2
        for length in sorted(self.lengths):
            left -= self.lengths[length]
            if left <= 0:
                return length
        return 0

    def note(self) -> dict[str, Any]:
        """As JSON has it."""
        lines = {mark: list(line) for mark, line in self.lines.items()}
        return {**vars(self), "lengths": sorted(self.lengths.items()), "lines": lines}

    @classmethod
    def of_note(cls, noted: dict[str, Any]) -> Self:
        """From JSON."""
        lines = {mark: Line(*line) for mark, line in noted["lines"].items()}
        lengths, languages = Counter(dict(map(tuple, noted["lengths"]))), Counter(noted["languages"])
        return cls(**{**noted, "lengths": lengths, "languages": languages, "lines": lines})


def measure(frame: pl.DataFrame) -> dict[str, Measures]:
    """Source -> measures of its documents in one shard."""
    lengths = frame.select(
        "source",
        length=pl.col("text").str.strip_chars().str.len_chars().clip(0, NOTE_CHARACTERS),
        code=pl.col("uri").str.contains(_CODE),
    )
    found: dict[str, Measures] = {}
    for source, documents in frame["source"].value_counts().iter_rows():
        found[source] = Measures(documents)
    with_text = lengths.filter(pl.col("length") > 0)
    for source, length, documents in with_text.group_by("source", "length").len().iter_rows():
        found[source].lengths[length] = documents
    for source, code in with_text.group_by("source").agg(pl.col("code").sum()).iter_rows():
        found[source].code = code
    data, offsets = text_buffers(frame["text"])
    is_long = (lengths["length"] == NOTE_CHARACTERS).to_numpy() & ~lengths["code"].to_numpy()
    is_long[_beyond(frame.filter(pl.Series(is_long)), _EDGES_READ, np.flatnonzero(is_long))] = False
    for source, documents in frame["source"].filter(pl.Series(is_long)).value_counts().iter_rows():
        found[source].long = documents
    for source, lines in edge_lines(data, offsets, frame["source"], is_long).items():
        found[source].lines = lines
    asked = np.flatnonzero(~lengths["code"].to_numpy())
    asked = np.setdiff1d(asked, _beyond(frame[asked], _ASKED, asked))
    for source, guess in zip(frame["source"].gather(asked), guesses(data, offsets, asked), strict=True):
        if guess.sure:
            found[source].languages[guess.language] += 1
    return found


def _beyond(frame: pl.DataFrame, most: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of these rows all but the `most` of each source with the lowest digests, which is a choice without a pattern."""
    ranked = frame.select("source", "digest", row=pl.Series(rows)).sort("digest", "row")
    return ranked.filter(pl.col("row").cum_count().over("source") > most)["row"].to_numpy()


def survey(folder: Path, settings: Settings, where: Engine) -> tuple[dict[str, Measures], dict[str, tuple[str, ...]]]:
    """Measures of each source of a document table, and the sources in each shard; shards measured before are not read.

    Raises:
        StepError: there is no table in `folder`.
    """
    memory = Memory(settings.cache / "shards" / "survey")
    shards = read_index(folder)
    keys = {shard.name: key_of("survey", shard.sha256) for shard in shards}
    known = {shard.name: memory.recall(keys[shard.name], folder) for shard in shards}
    fresh = [name for name, noted in known.items() if noted is None]
    files = (where.carried(folder / part(name)) for name in fresh)
    for name, noted in zip(fresh, where.map(_measure_file, files), strict=True):
        memory.keep(keys[name], {}, noted, folder)
        known[name] = noted
    total: dict[str, Measures] = {}
    for shard in shards:
        for source, note in (known[shard.name] or {}).items():
            total.setdefault(source, Measures()).add(Measures.of_note(note))
    return total, {shard.name: tuple(sorted(known[shard.name] or {})) for shard in shards}


def _measure_file(file: bytes | Path) -> dict[str, Any]:
    """Measures of one shard, from its file."""
    frame = rows_in(file, ["uri", "source", "text", "digest"])
    return {source: measures.note() for source, measures in measure(frame).items()}
