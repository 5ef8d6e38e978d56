"""All that the data steps left becomes `data.html`: what was kept, what was dropped and why, with samples of each.

One file that needs no network and runs nothing; beside it Great Expectations' Data Docs, to which it links. Whatever is
shown of a document passes the patterns of `privacy` again, as dropped documents have not passed them.
"""

import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jinja2 import Template

from data_contracts.contract import DOCUMENTS, Contract
from data_contracts.pieces import HELD_OUT, TRAIN, index_parts
from infra.settings import Settings
from tasks.big_data import charts, documents, samples
from tasks.big_data.charts import LENGTHS, Chart
from tasks.big_data.decontaminate import CONTAMINATED_FILE
from tasks.big_data.nearly import STRICTER, nearly_dropped
from tasks.big_data.privacy import pinned_names
from tasks.big_data.samples import Redact, Sample
from tasks.big_data.scans import columns_of
from tasks.page import template
from tasks.params import Params
from tasks.report import Report, StepError

PAGE, DOCS = "data.html", "data_docs"
_TEMPLATE = "data.html.j2"
STEPS = ("ingest", "clean", "privacy", "dedup", "validate")
DOES = {
    "ingest": "reads the files and rows of the sources",
    "clean": "brings texts into one form and drops what the rules of quality are against",
    "privacy": "replaces personal data and secrets by placeholders",
    "dedup": "keeps one of each group of copies, and nothing that an evaluation or a held-out document has",
    "validate": "lets nothing pass that breaks the contract on data",
    "pack": "turns texts into tokens",
}
_MEANINGS = {
    "duplicate_of": "the same text as the document named behind the colon",
    "near_duplicate_of": "nearly the same text as the document named behind the colon",
    "near_copy_of_held_out": "nearly the same text as a document that models are judged by",
    "only_repeated_blocks": "nothing is left of it but passages that stand in other documents too",
    "contaminated": "shares long passages with a file of an evaluation",
}
_CONTAMINATED_SHOWN, _NEARLY_SHOWN = 10, 3


class Line(NamedTuple):
    """One step of the funnel."""

    step: str
    does: str
    documents: int
    bytes: int
    rejected: int
    percent: float
    reasons: dict[str, int]


class Dropped(NamedTuple):
    """Documents that a step dropped for one reason."""

    step: str
    reason: str
    number: int
    meaning: str
    samples: list[Sample]
    nearly: list[Sample]


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write `data.html` and a copy of the Data Docs.

    Raises:
        StepError: a step before this one has not run.
    """
    artifacts = settings.artifacts
    reports = {step: _report(artifacts / step) for step in (*STEPS, "pack")}
    redact = Redact(params.privacy, pinned_names(params, settings))
    measured = samples.measured(artifacts / "validate")
    found = nearly_dropped(measured, params.clean, reports["clean"].facts["presets"], _NEARLY_SHOWN)
    nearly = {("clean", reason): ids for reason, ids in found.items()}
    dropped = [
        Dropped(step, reason, reports[step].reasons.get(reason, 0), _meaning(reason, reports[step]), shown,
                samples.of_rows(measured.filter(pl.col("id").is_in(nearly.get((step, reason), []))), redact))
        for step in STEPS
        for reason, shown in _most_first(samples.dropped(artifacts / step, redact), reports[step].reasons)
    ]  # fmt: skip
    kept = samples.kept(artifacts / "validate", redact)
    page = _template().render(
        funnel=_funnel(reports),
        sources=_by_source(reports, redact),
        names={source: redact.text(source) for source in _sources(reports)},
        charts=_charts(artifacts, measured["text"]),
        personal=_personal(reports["privacy"], redact),
        groups=_groups(reports["dedup"], redact),
        dedup=reports["dedup"].facts,
        contaminated=_contaminated(artifacts / "dedup", redact),
        contracts=_contracts(reports),
        clean=reports["clean"].facts,
        pack=reports["pack"].facts,
        kept=kept,
        stricter=f"{STRICTER:.0%}",
        dropped=dropped,
    )
    (out / PAGE).write_text(page, encoding="utf-8")
    shutil.copytree(artifacts / "validate" / "data_docs", out / DOCS)
    number = len(kept) + sum(len(each.samples) + len(each.nearly) for each in dropped)
    last = reports["validate"].rows_out or 0
    return Report(
        step="describe",
        summary=f"{last:,} of {reports['ingest'].rows_in or 0:,} documents and {number:,} samples on one page: {PAGE}",
        facts={"page": PAGE, "samples": number, "reasons": len(dropped)},
    )


def _report(folder: Path) -> Report:
    try:
        return Report.read(folder)
    except FileNotFoundError:
        raise StepError(f"expected a report in {folder}, found none; run the step: `dvc repro {folder.name}`") from None


def _funnel(reports: Mapping[str, Report]) -> list[Line]:
    first = max(reports["ingest"].facts["bytes_out"], 1)
    return [
        Line(
            step, DOES[step], reports[step].rows_out or 0, reports[step].facts["bytes_out"],
            reports[step].rows_rejected or 0, round(100 * reports[step].facts["bytes_out"] / first, 1),
            dict(_most_first(reports[step].reasons, reports[step].reasons)),
        )
        for step in STEPS
    ]  # fmt: skip


def _most_first(items: Mapping[str, Any], counts: Mapping[str, int]) -> list[tuple[str, Any]]:
    return sorted(items.items(), key=lambda item: (-counts.get(item[0], 0), item[0]))


def _sources(reports: Mapping[str, Report]) -> list[str]:
    return sorted({source for step in STEPS for source in reports[step].facts.get(documents.BY_SOURCE, {})})


def _by_source(reports: Mapping[str, Report], redact: Redact) -> list[tuple[str, list[tuple[int, str, int]], str]]:
    """Source -> documents, bytes and rejected ones at each step, and its part of the training text."""
    nothing = {"documents": 0, "bytes": 0, "rejected": 0}
    found = []
    for source in _sources(reports):
        numbers = [reports[step].facts.get(documents.BY_SOURCE, {}).get(source, nothing) for step in STEPS]
        mix = reports["pack"].facts.get("sources", {}).get(source)
        said = f"{mix['share']:.1%}, {mix['epochs']:g} epochs" if mix else "none"
        found.append(
            (redact.text(source), [(n["documents"], charts.size(n["bytes"]), n["rejected"]) for n in numbers], said)
        )
    return found


def _charts(artifacts: Path, measured: pl.Series) -> list[Chart]:
    counts = np.zeros(len(LENGTHS) + 1, np.int64)
    for split in (TRAIN, HELD_OUT):
        for part in index_parts(artifacts / "pack", split, ["bytes", "epoch"]):
            sizes = part.filter(pl.col("epoch") == 0)["bytes"].to_numpy()
            counts += np.bincount(np.searchsorted(LENGTHS, sizes, side="right"), minlength=len(counts))
    languages: dict[str, int] = {}
    for rows in columns_of(artifacts / "validate", ["language"]):
        for language, count in rows["language"].value_counts().iter_rows():
            name = language or "not known, or code"
            languages[name] = languages.get(name, 0) + count
    note = "Documents by the language that their source states or that they read as (ISO 639)."
    return [
        charts.lengths(counts.tolist()),
        Chart("Language", note, charts.ranked(languages)),
        *charts.qualities(measured),
    ]


def _personal(report: Report, redact: Redact) -> list[tuple[str, dict[str, int]]]:
    """Kind -> how often it was replaced in each source; the values are nowhere."""
    found: list[tuple[str, dict[str, int]]] = []
    for kind, counts in report.facts.get("replaced", {}).items():
        found.append((kind, {redact.text(source): count for source, count in counts.items()}))
    return sorted(found, key=lambda item: (-sum(item[1].values()), item[0]))


def _groups(report: Report, redact: Redact) -> list[dict[str, Any]]:
    return [{**group, "keeper": redact.text(group["keeper"])} for group in report.facts.get("largest_groups", [])]


def _contaminated(folder: Path, redact: Redact) -> list[tuple[str, str, int]]:
    """Some of the documents that share passages with an evaluation."""
    path = folder / CONTAMINATED_FILE
    if not path.is_file():
        return []
    most = pl.read_parquet(path, glob=False).sort(["ngrams", "uri", "file"], descending=[True, False, False])
    rows = most.head(_CONTAMINATED_SHOWN).select("uri", "file", "ngrams").iter_rows()
    return [(redact.text(uri), redact.text(file), ngrams) for uri, file, ngrams in rows]


def _contracts(reports: Mapping[str, Report]) -> list[tuple[str, int, str]]:
    """Contract, number of its rules, how it went; a step that ended well has kept its own."""
    validate, pack = reports["validate"], reports["pack"]
    rejected, allowed = validate.rows_rejected or 0, validate.facts["max_rejected_share"]
    share = rejected / max(validate.rows_in or 0, 1)
    return [
        (validate.facts["contract"], validate.facts["rules"],
         f"kept by {validate.rows_out or 0:,} documents; {rejected:,} broke it and were dropped ({share:.2%}; "
         f"{allowed:.0%} would be too many)"),
        (pack.facts["contract"], pack.facts["rules"], "kept by the streams of tokens and their index"),
    ]  # fmt: skip


def _meaning(reason: str, report: Report) -> str:
    """What a reason means, for people."""
    if report.step == "validate":
        rules = {rule.name: rule for rule in Contract.read(DOCUMENTS).row_rules}
        rule = rules.get(reason)
        return f"{rule.column}: {rule.check} {'' if rule.value is True else rule.value}".strip() if rule else ""
    return str(report.facts.get("rules", {}).get(reason, _MEANINGS.get(reason, "")))


@cache
def _template() -> Template:
    return template(Path(__file__).with_name(_TEMPLATE), {"size": charts.size, "number": "{:,}".format})
