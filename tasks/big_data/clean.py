"""Documents become clean documents: one form of every character and line end; what a rule is against is dropped.

Which thresholds the rules have is chosen for each source (`kinds.py`).
"""

import logging
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from infra.settings import Settings
from tasks.big_data import documents
from tasks.big_data.documents import Sifted, sifted, with_texts
from tasks.big_data.kinds import Choice, choices
from tasks.big_data.rules import RULES, reasons_against
from tasks.big_data.sift import sift
from tasks.big_data.sources import suffix_of
from tasks.params import Params
from tasks.report import Report, StepError

logger = logging.getLogger(__name__)

# What Unicode (section 5.8) takes as the end of a line; a form feed with the line end after it is one end.
_LINE_ENDS = re.compile("\r\n|[\x0b\x0c]\n?|[\r\x85\u2028\u2029]")
# C0 but tab and line feed, DEL, C1, and the byte order mark, which is none inside a text.
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff]")
_LINE_TAILS = re.compile("[ \t]+$", re.MULTILINE)
# Two spaces at the end of a Markdown line are a line break, and a Python string may hold any; what rows of a table
# hold is not known. In these two they mean nothing.
_TAILS_MEAN_NOTHING = (".txt", ".rst")
_MOST = 0.5


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write the documents that no rule is against, and the others with every rule that is.

    Raises:
        StepError: every document was dropped.
    """
    source = settings.artifacts / "ingest"
    chosen = choices(source, params)
    tally = sift("clean", source, out, work, chosen, settings)
    rules = {reason: meaning(reason, chosen.values()) for reason in sorted(tally.reasons)}
    presets = {source: f"{choice.kind}: {choice.why}" for source, choice in chosen.items()}
    _warn(tally, rules, presets)
    report = tally.report("clean", {**tally.facts, "presets": presets, "rules": rules})
    kinds = ", ".join(sorted({choice.kind for choice in chosen.values()}))
    return report.model_copy(update={"summary": f"{report.summary}; rules for {kinds}"})


def work(frame: pl.DataFrame, chosen: Mapping[str, Choice], _extra: None) -> Sifted:
    """One shard: documents in their normal form, and those that a rule is against."""
    texts: dict[int, str] = {}
    against: dict[int, tuple[str, ...]] = {}
    facts = {"characters_in": 0, "characters_out": 0, "documents_changed": 0}
    for row, (uri, source, text) in enumerate(frame.select("uri", "source", "text").iter_rows()):
        new = normalise(text, suffix=suffix_of(uri))
        facts["characters_in"] += len(text)
        if reasons := reasons_against(new, chosen[source].thresholds):
            against[row] = reasons
            continue
        facts["characters_out"] += len(new)
        if new != text:
            texts[row] = new
    facts["documents_changed"] = len(texts)
    return sifted(with_texts(frame, texts), against, facts)


def normalise(text: str, *, suffix: str) -> str:
    """One form of a text: Unicode NFC, line feeds, no control characters, no blank lines around it.

    Args:
        text: any text.
        suffix: of the file it came from, which says whether white space at the end of a line means something.
    """
    text = _CONTROLS.sub("", _LINE_ENDS.sub("\n", text))
    if suffix in _TAILS_MEAN_NOTHING:
        text = _LINE_TAILS.sub("", text)
    end = "\n" if text.endswith("\n") else ""
    text = text.lstrip("\n").rstrip(" \t\n")
    return unicodedata.normalize("NFC", text + end) if text else ""


def meaning(reason: str, chosen: Iterable[Choice]) -> str:
    """The key of `params.yaml` behind a reason, and its value for each kind of text where they differ."""
    key = next(key for rule, key in RULES.items() if rule.__name__ == reason)
    values = {choice.kind: getattr(choice.thresholds, key) for choice in chosen}
    if len(set(values.values())) == 1:
        return f"clean.{key} = {next(iter(values.values()))}"
    return f"clean.{key} = " + ", ".join(f"{value} for {kind}" for kind, value in sorted(values.items()))


def _warn(tally: documents.Tally, rules: dict[str, str], presets: dict[str, str]) -> None:
    """Say it when most documents go, fail when all do."""
    limits = ", ".join(f"{reason} ({rules[reason]}) {count:,}" for reason, count in tally.reasons.most_common())
    if not tally.rows_out:
        raise StepError(
            f"expected documents that pass the cleaning rules, found none: all {tally.rows_in:,} were dropped: "
            f"{limits}; the rules were those for {', '.join(f'{why} ({source})' for source, why in presets.items())}; "
            "change these limits, or clean.preset, in params.yaml or with --set, to fit the text"
        )
    if tally.rows_rejected > _MOST * tally.rows_in:
        logger.warning(
            "clean: %s of %s documents were dropped: %s", f"{tally.rows_rejected:,}", f"{tally.rows_in:,}", limits
        )
