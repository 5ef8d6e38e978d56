"""Clean documents become documents without personal data and secrets: each is replaced by its kind and counted."""

from collections import Counter
from pathlib import Path

import polars as pl

from infra.settings import Settings
from tasks.big_data.documents import Sifted, sifted, with_texts
from tasks.big_data.personal import redact
from tasks.big_data.sift import sift
from tasks.params import Params, Privacy
from tasks.report import Report


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write every document, redacted; the report counts what was replaced and never shows it."""
    tally = sift("privacy", settings.artifacts / "clean", out, work, params.privacy, settings)
    return tally.report("privacy", tally.facts)


def work(frame: pl.DataFrame, privacy: Privacy, _extra: None) -> Sifted:
    """One shard with placeholders; the facts count what was replaced by kind and source, and never show it."""
    texts: dict[int, str] = {}
    replaced: dict[str, Counter[str]] = {kind: Counter() for kind in sorted(privacy.kinds)}
    for row, (source, text) in enumerate(frame.select("source", "text").iter_rows()):
        counts: Counter[str] = Counter()
        new = redact(text, privacy.kinds, counts)
        if new != text:
            texts[row] = new
        for kind, count in counts.items():
            replaced[kind][source] += count
    facts = {"documents_changed": len(texts), "replaced": {kind: dict(counts) for kind, counts in replaced.items()}}
    return sifted(with_texts(frame, texts), {}, facts)
