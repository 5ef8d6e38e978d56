"""Clean documents become documents without personal data and secrets: each is replaced by its kind and counted."""

from collections import Counter
from pathlib import Path
from typing import Any

from infra.settings import Settings
from tasks.big_data import documents
from tasks.big_data.documents import Document, Keep
from tasks.big_data.personal import redact
from tasks.params import Params, Privacy
from tasks.report import Report


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write every document, redacted; the report counts what was replaced and never shows it."""
    replaced: dict[str, Counter[str]] = {}
    changed = 0

    def judge_and_count(document: Document) -> Keep:
        nonlocal changed
        counts: Counter[str] = Counter()
        verdict = judge(document, params.privacy, counts)
        changed += verdict.text != document.text
        for kind, count in counts.items():
            replaced.setdefault(kind, Counter())[document.source] += count
        return verdict

    source = settings.artifacts / "clean"
    tally = documents.sift(source, out, lambda frame: documents.judge_rows(frame, judge_and_count))
    return tally.report("privacy", facts(replaced, changed, params.privacy))


def judge(document: Document, privacy: Privacy, counts: Counter[str]) -> Keep:
    """The document with placeholders; `counts` counts them by kind."""
    return Keep(redact(document.text, privacy.kinds, counts))


def facts(replaced: dict[str, Counter[str]], changed: int, privacy: Privacy) -> dict[str, Any]:
    """How many of each kind were replaced in each source."""
    return {
        "documents_changed": changed,
        "replaced": {kind: dict(sorted(replaced.get(kind, Counter()).items())) for kind in sorted(privacy.kinds)},
    }
