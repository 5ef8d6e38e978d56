"""Clean documents become documents without personal data and secrets: each is replaced by its kind and counted."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl

from infra.settings import Settings
from tasks.big_data import personal
from tasks.big_data.buffers import text_buffers
from tasks.big_data.documents import Sifted, sifted, with_texts
from tasks.big_data.personal_marks import marks
from tasks.big_data.personal_spans import replace
from tasks.big_data.sift import sift
from tasks.params import Params, Privacy
from tasks.report import Report


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write every document, redacted; the report counts what was replaced and never shows it."""
    tally = sift("privacy", settings.artifacts / "clean", out, work, params.privacy, settings)
    return tally.report("privacy", tally.facts)


def work(frame: pl.DataFrame, privacy: Privacy, _extra: None) -> Sifted:
    """One shard with placeholders; the facts count what was replaced by kind and source, and never show it."""
    replaced: dict[str, Counter[str]] = {kind: Counter() for kind in sorted(privacy.kinds)}
    sources, kinds = frame["source"], frozenset(privacy.kinds)

    def count(row: int, counts: Counter[str]) -> None:
        for kind, number in counts.items():
            replaced[kind][sources[row]] += number

    texts: dict[int, str] = {}
    for row, text, places in marked(frame["text"]):
        if spans := personal.find(text, places, kinds):
            counts: Counter[str] = Counter()
            texts[row] = replace(text, spans, counts)
            count(row, counts)
    metas: dict[int, str] = {}
    for row, meta, _ in marked(frame["meta"]):
        counts = Counter()
        new = _redacted(json.loads(meta), kinds, counts)
        if counts:
            metas[row] = json.dumps(new, ensure_ascii=False)
            count(row, counts)
    changed = with_texts(frame, texts)
    if metas:
        column = changed["meta"].scatter(list(metas), list(metas.values()))
        changed = changed.with_columns(meta=column)
    facts = {
        "documents_changed": len(texts.keys() | metas.keys()),
        "replaced": {kind: dict(sorted(counts.items())) for kind, counts in replaced.items()},
    }
    return sifted(changed, {}, facts)


def marked(column: pl.Series) -> Iterator[tuple[int, str, list[tuple[int, int]]]]:
    """Row, text and marks of the texts that have some."""
    rows, places, families = (found.tolist() for found in marks(*text_buffers(column)))
    for row, found in groupby(zip(rows, places, families, strict=True), key=lambda mark: mark[0]):
        yield row, column[row], [(place, family) for _, place, family in found]


def _redacted(value: Any, kinds: frozenset[str], counts: Counter[str]) -> Any:
    """A JSON value with placeholders in its strings; a number that is one becomes a string."""
    if isinstance(value, dict):
        return {key: _redacted(item, kinds, counts) for key, item in value.items()}
    if isinstance(value, list):
        return [_redacted(item, kinds, counts) for item in value]
    if isinstance(value, str):
        return personal.redact(value, kinds, counts)
    if isinstance(value, int | float) and not isinstance(value, bool):
        before = counts.total()
        text = personal.redact(str(value), kinds, counts)
        return text if counts.total() > before else value
    return value
