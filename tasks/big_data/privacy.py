"""Clean documents become documents without personal data and secrets: each is replaced by its kind and counted.

Patterns are tried where `personal_marks` says that one can match; a company's list of names and Presidio, where asked
for, see every text. Metadata is treated as text is; uris are what traces a row to its source, and stay.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from infra.settings import Settings
from tasks.big_data import personal, personal_presidio
from tasks.big_data.buffers import text_buffers
from tasks.big_data.documents import Sifted, sifted, with_texts
from tasks.big_data.engine import engine
from tasks.big_data.personal_marks import marks
from tasks.big_data.personal_names import names_of
from tasks.big_data.personal_spans import Span, joined, replace
from tasks.big_data.sift import sift
from tasks.params import Params, Privacy
from tasks.report import Report, StepError

Marks = list[tuple[int, int]]
Finder = Callable[[str], list[Span]]


class Common(NamedTuple):
    """What decides, for every shard: the params, and the pinned list of names as it is in its file."""

    privacy: Privacy
    names: bytes = b""


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write every document, redacted; the report counts what was replaced and never shows it.

    Raises:
        StepError: there is a list of names that is not pinned, or Presidio is asked for and not installed.
    """
    if params.privacy.presidio:
        personal_presidio.require()
    common = Common(params.privacy, pinned_names(params, settings))
    with engine(settings) as where:
        tally = sift("privacy", settings.artifacts / "clean", out, work, common, settings, where)
    return tally.report("privacy", tally.facts)


def work(frame: pl.DataFrame, common: Common, _extra: None) -> Sifted:
    """One shard with placeholders; the facts count what was replaced by kind and source, and never show it."""
    finders = _finders(common)
    kinds = {*common.privacy.kinds, *(names_of(common.names).kinds if common.names else ())}
    replaced: dict[str, Counter[str]] = {kind: Counter() for kind in sorted(kinds)}
    sources = frame["source"]

    def count(row: int, counts: Counter[str]) -> None:
        for kind, number in counts.items():
            replaced.setdefault(kind, Counter())[sources[row]] += number

    texts: dict[int, str] = {}
    for row, text, places in _seen(frame["text"], every=bool(finders)):
        if spans := _found(text, places, common.privacy, finders):
            counts: Counter[str] = Counter()
            texts[row] = replace(text, spans, counts)
            count(row, counts)
    metas: dict[int, str] = {}
    for row, meta, _ in _seen(frame["meta"], every=bool(finders)):
        counts = Counter()
        new = _redacted(json.loads(meta), common.privacy, finders, counts) if meta else None
        if counts:
            metas[row] = json.dumps(new, ensure_ascii=False)
            count(row, counts)
    changed = with_texts(frame, texts)
    if metas:
        changed = changed.with_columns(meta=changed["meta"].scatter(list(metas), list(metas.values())))
    facts = {
        "documents_changed": len(texts.keys() | metas.keys()),
        "replaced": {kind: dict(sorted(counts.items())) for kind, counts in replaced.items()},
    }
    return sifted(changed, {}, facts)


def marked(column: pl.Series) -> Iterator[tuple[int, str, Marks]]:
    """Row, text and marks of the texts that have some."""
    rows, places, families = (found.tolist() for found in marks(*text_buffers(column)))
    for row, found in groupby(zip(rows, places, families, strict=True), key=lambda mark: mark[0]):
        yield row, column[row], [(place, family) for _, place, family in found]


def pinned_names(params: Params, settings: Settings) -> bytes:
    """A company's own list of names, as `discover` found it; empty if there is none.

    Raises:
        StepError: there is one that is not pinned.
    """
    if params.privacy.names_file is None:
        return b""
    path = settings.artifacts / "discover" / "names.csv"
    data = path.read_bytes() if path.is_file() else b""
    if not data:
        raise StepError(f"expected the list of names of privacy.names_file in {path}, found none; type `abcd discover`")
    return data


def _finders(common: Common) -> list[Finder]:
    """What looks at whole texts."""
    found: list[Finder] = [names_of(common.names).find] if common.names else []
    return [*found, personal_presidio.find] if common.privacy.presidio else found


def _seen(column: pl.Series, *, every: bool) -> Iterator[tuple[int, str, Marks]]:
    """Texts that are to be looked at: those with marks, or every one."""
    if not every:
        yield from marked(column)
        return
    known = {row: places for row, _, places in marked(column)}
    for row, text in enumerate(column):
        yield row, text, known.get(row, [])


def _found(text: str, places: Marks, privacy: Privacy, finders: list[Finder]) -> list[Span]:
    spans = personal.find(text, places, frozenset(privacy.kinds))
    for finder in finders:
        spans = joined(spans, finder(text))
    return spans


def _redacted(value: Any, privacy: Privacy, finders: list[Finder], counts: Counter[str]) -> Any:
    """A JSON value with placeholders in its strings; a number that is one becomes a string."""
    if isinstance(value, dict):
        return {key: _redacted(item, privacy, finders, counts) for key, item in value.items()}
    if isinstance(value, list):
        return [_redacted(item, privacy, finders, counts) for item in value]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    text = str(value)
    spans = _found(text, list(personal.everywhere(text)), privacy, finders)
    return replace(text, spans, counts) if spans else value
