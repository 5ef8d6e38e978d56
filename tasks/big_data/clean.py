"""Documents become clean documents: damage repaired, one form of every character, boilerplate out, language known.

What a rule is against is dropped. How the documents of a source are cleaned is chosen by what they are like
(`survey.py`, `kinds.py`).
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.settings import Settings
from tasks.big_data import language, normal
from tasks.big_data.boilerplate import without
from tasks.big_data.buffers import text_buffers, text_series
from tasks.big_data.documents import Sifted, Tally, sifted
from tasks.big_data.engine import engine
from tasks.big_data.figures import FIELDS, Shares
from tasks.big_data.kernel import c4_lines, statistics
from tasks.big_data.kinds import Choice, choices
from tasks.big_data.mojibake import repaired
from tasks.big_data.normal import Bytes, Offsets
from tasks.big_data.personal import KINDS, redact
from tasks.big_data.rules import RULES, reasons_against
from tasks.big_data.rules_gopher import harmless_ngram_share
from tasks.big_data.sift import sift
from tasks.big_data.survey import ends_in, survey
from tasks.params import Params
from tasks.presets import TextKind
from tasks.report import Report, StepError
from tasks.thresholds import Clean

logger = logging.getLogger(__name__)

# Two spaces at the end of a Markdown line are a line break, and a Python string may hold any; what rows of a table
# hold is not known. In these two they mean nothing.
_TAILS_MEAN_NOTHING = ends_in((".txt", ".rst"))
_MOST = 0.5
_SHOWN_LINES, _SHOWN_CHARACTERS = 20, 40
_OTHER_LANGUAGE = "other_language"


class Treatment(NamedTuple):
    """How the documents of one source in a shard are cleaned; `lines` are hashes in rising order."""

    source: str
    kind: TextKind
    languages: language.Expected
    lines: tuple[int, ...]


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write the documents that no rule is against, and the others with every rule that is.

    Raises:
        StepError: every document was dropped.
    """
    source = settings.artifacts / "ingest"
    with engine(settings) as where:
        measured, sources = survey(source, settings, where)
        chosen = choices(measured, params)
        extras = {name: tuple(_treatment(each, chosen[each]) for each in found) for name, found in sources.items()}
        tally = sift("clean", source, out, work, params.clean, settings, where, extras=extras)
    rules = {reason: meaning(reason, params.clean, chosen.values()) for reason in sorted(tally.reasons)}
    presets = {source: f"{choice.kind}: {choice.why}" for source, choice in chosen.items()}
    _warn(tally, rules, presets)
    lines = {source: shown(choice) for source, choice in chosen.items() if choice.lines}
    report = tally.report("clean", {**tally.facts, "boilerplate": lines, "presets": presets, "rules": rules})
    kinds = ", ".join(sorted({choice.kind for choice in chosen.values()}))
    return report.model_copy(update={"summary": f"{report.summary}; rules for {kinds}"})


def work(frame: pl.DataFrame, clean: Clean, treatments: tuple[Treatment, ...]) -> Sifted:
    """One shard: documents in their clean form, and as they came those that a rule is against."""
    of = _numbers(frame["source"], treatments)
    is_code = _is_code(treatments, of)
    data, offsets = text_buffers(frame["text"])
    data, offsets, lost = _without_boilerplate(data, offsets, treatments, of)
    tails = frame["uri"].str.contains(_TAILS_MEAN_NOTHING).to_numpy()
    flags = normal.look(data, offsets, tails)
    damaged = np.flatnonzero((flags & normal.MOJIBAKE > 0) & ~is_code) if clean.repair_mojibake else np.zeros(0, int)
    mended = _mended(data, offsets, damaged.tolist())
    if mended:
        data, offsets = normal.replaced(data, offsets, mended)
        flags = normal.look(data, offsets, tails)
    data, offsets = normal.normalised(data, offsets, flags, tails)
    data, offsets, removed = _c4(data, offsets, clean, treatments, of)
    texts = text_series(data, offsets)
    figures = statistics(data, offsets, _harmless(clean, treatments, of))
    languages = _languages(data, offsets, figures, frame["language"], treatments, of)
    against = _reasons(figures, languages, clean, treatments, of)
    is_kept = pl.Series(~np.isin(np.arange(frame.height), list(against)))
    is_new = (texts != frame["text"]) & is_kept
    facts = {
        "boilerplate_lines": _sums(frame["source"], lost),
        "c4_lines": removed,
        "characters_in": int(frame["text"].str.len_chars().sum()),
        "characters_out": int(texts.filter(is_kept).str.len_chars().sum()),
        "documents_changed": int(is_new.sum()),
        "languages": _counts(frame["source"], languages),
        "mojibake_repaired": len(mended),
    }
    changed = frame.with_columns(
        text=pl.select(pl.when(is_new).then(texts).otherwise(frame["text"])).to_series(),
        language=languages,
        digest=_digests(frame["digest"], data, offsets, is_new),
    )
    return sifted(changed, against, facts)


def _numbers(sources: pl.Series, treatments: tuple[Treatment, ...]) -> NDArray[np.int64]:
    """Number of each document's treatment."""
    names = [each.source for each in treatments]
    if not names:  # a shard of which nothing was accepted
        return np.zeros(0, np.int64)
    return sources.replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy()


def _is_code(treatments: tuple[Treatment, ...], of: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.array([each.kind == "code" for each in treatments], np.bool_)[of]


def _without_boilerplate(
    data: Bytes, offsets: Offsets, treatments: tuple[Treatment, ...], of: NDArray[np.int64]
) -> tuple[Bytes, Offsets, NDArray[np.int64]]:
    """The documents without the lines of their sources that are boilerplate, and how many each lost."""
    ends = np.cumsum([0, *(len(each.lines) for each in treatments)])
    if not ends[-1]:
        return data, offsets, np.zeros(len(of), np.int64)
    hashes = np.array([mark for each in treatments for mark in each.lines], np.uint64)
    found: tuple[Bytes, Offsets, NDArray[np.int64]] = without(data, offsets, hashes, ends[of], ends[of + 1])
    return found


def _mended(data: Bytes, offsets: Offsets, rows: list[int]) -> dict[int, bytes]:
    """Those of the rows that were mojibake, repaired."""
    found = {}
    for row in rows:
        text = data[offsets[row] : offsets[row + 1]].tobytes()
        new = repaired(text.decode()).encode()
        if new != text:
            found[row] = new
    return found


def _languages(
    data: Bytes, offsets: Offsets, figures: NDArray[Any], stated: pl.Series, treatments: tuple[Treatment, ...],
    of: NDArray[np.int64],
) -> pl.Series:  # fmt: skip
    """Language of each document: as its source states it, else as it reads; of code it is not asked."""
    is_settled = np.array([each.languages.is_one for each in treatments], np.bool_)[of]
    is_asked = ~(is_settled & (np.diff(offsets) < language.LONG_BYTES))
    read = np.array([each.languages.main for each in treatments], object)[of]
    for number, each in enumerate(treatments):
        for code in each.languages.common:
            is_plain = (of == number) & is_asked & language.has_stop_words(figures["stop_words"], code)
            read[is_plain] = code
            is_asked &= ~is_plain
    is_code = _is_code(treatments, of)
    is_stated = (stated != "").to_numpy()
    rows = np.flatnonzero(is_asked & ~is_code & ~is_stated)
    sources = [treatments[number].languages for number in of[rows].tolist()]
    guesses = language.guesses(data, offsets, rows, [source.main for source in sources])
    read[rows] = [language.language(guess, source) for guess, source in zip(guesses, sources, strict=True)]
    read[is_code] = ""
    return pl.select(pl.when(pl.Series(is_stated)).then(stated).otherwise(pl.Series(read, dtype=pl.String))).to_series()


def _c4(
    data: Bytes, offsets: Offsets, clean: Clean, treatments: tuple[Treatment, ...], of: NDArray[np.int64]
) -> tuple[Bytes, Offsets, dict[str, int]]:
    """The documents with only the lines that C4 keeps where its rules for lines are on; by rule, lines taken out."""
    is_on = np.array([clean.thresholds(each.kind).c4_line_rules for each in treatments], np.bool_)[of]
    if not is_on.any():
        return data, offsets, {}
    kept, ends, figures = c4_lines(data, offsets)
    rows = np.flatnonzero(is_on).tolist()
    removed = {name.removeprefix("c4_"): int(figures[name][rows].sum()) for name in FIELDS if name.startswith("c4_")}
    data, offsets = normal.replaced(data, offsets, {row: kept[ends[row] : ends[row + 1]].tobytes() for row in rows})
    return data, offsets, removed


def _harmless(clean: Clean, treatments: tuple[Treatment, ...], of: NDArray[np.int64]) -> Shares:
    """Of each document the share of characters in repeated n-grams that no rule is against."""
    return np.array([harmless_ngram_share(clean.thresholds(each.kind)) for each in treatments], np.float64)[of]


def _reasons(
    figures: NDArray[Any], languages: pl.Series, clean: Clean, treatments: tuple[Treatment, ...], of: NDArray[np.int64]
) -> dict[int, tuple[str, ...]]:
    """Row -> what is against it."""
    found: dict[int, tuple[str, ...]] = {}
    for number, each in enumerate(treatments):
        rows = np.flatnonzero(of == number)
        reasons = reasons_against(figures[rows], clean.thresholds(each.kind), languages.gather(rows).to_list())
        found.update((row, said) for row, said in zip(rows.tolist(), reasons, strict=True) if said)
    if clean.languages:
        is_other = ~languages.is_in(["", *clean.languages])
        for row in is_other.arg_true():
            found[row] = (*found.get(row, ()), f"{_OTHER_LANGUAGE}:{languages[row]}")
    return found


def _digests(digests: pl.Series, data: Bytes, offsets: Offsets, is_new: pl.Series) -> pl.Series:
    """Digest of each text, made anew where it is new."""
    rows = is_new.arg_true().to_list()
    if not rows:
        return digests
    new = [hashlib.sha256(data[offsets[row] : offsets[row + 1]].tobytes()).hexdigest() for row in rows]
    return digests.clone().scatter(rows, new)


def _counts(sources: pl.Series, languages: pl.Series) -> dict[str, dict[str, int]]:
    """Source -> language -> documents."""
    found: dict[str, dict[str, int]] = {}
    counted = pl.DataFrame({"source": sources, "language": languages}).group_by("source", "language").len()
    for source, code, documents in counted.sort("source", "language").iter_rows():
        found.setdefault(source, {})[code or "unknown"] = documents
    return found


def _sums(sources: pl.Series, lost: NDArray[np.int64]) -> dict[str, int]:
    """Source -> lines that its documents lost."""
    summed = pl.DataFrame({"source": sources, "lost": lost}).group_by("source").sum().sort("source")
    return {source: lines for source, lines in summed.iter_rows() if lines}


def _treatment(source: str, choice: Choice) -> Treatment:
    lines = tuple(sorted(int(mark, 16) for mark in choice.lines))
    return Treatment(source, choice.kind, choice.languages, lines)


def shown(choice: Choice) -> list[str]:
    """Beginnings of a source's boilerplate lines without personal data, and in how many documents they stood."""
    return [
        f"{redact(line.text, KINDS, Counter())[:_SHOWN_CHARACTERS]} ({line.documents:,} documents)"
        for line in list(choice.lines.values())[:_SHOWN_LINES]
    ]


def meaning(reason: str, clean: Clean, chosen: Iterable[Choice]) -> str:
    """The key of `params.yaml` behind a reason, and its value for each kind of text where they differ."""
    if reason == _OTHER_LANGUAGE:
        return f"clean.languages = {' '.join(clean.languages)}"
    key = next(key for rule, key in RULES.items() if rule.__name__ == reason)
    values = {choice.kind: getattr(choice.thresholds, key) for choice in chosen}
    if len(set(values.values())) == 1:
        return f"clean.{key} = {next(iter(values.values()))}"
    return f"clean.{key} = " + ", ".join(f"{value} for {kind}" for kind, value in sorted(values.items()))


def _warn(tally: Tally, rules: dict[str, str], presets: dict[str, str]) -> None:
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
