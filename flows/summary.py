"""An account and what the steps left become all that people are shown of a run, whatever they look at it with."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from flows.account import Account
from flows.asked import Asked, asked
from flows.failure import Failure
from flows.figures import Bar, Figure, Rows, compared, cost, quality
from flows.outcome import Outcome, outcome_of
from flows.present import shown
from infra.settings import Settings
from tasks.report import Report, read_json, sha256_of

# What the picture shows, for those who cannot see it; a step that is not here is called by its name.
_TITLES = {
    "train": "Loss, learning rate and expert load",
    "evaluate": "Held-out documents and the load of each expert",
    "gate": "What the gate compared",
}
_SPEED_TITLE = "Tokens a second"


class StepLine(BaseModel):
    """A step: whether it ran, and how long it took."""

    model_config = ConfigDict(frozen=True)

    step: str
    outcome: str = Field(description="ran, restored, current or failed")
    seconds: float
    cost: str = Field(default="", description="CPU seconds and memory of the step itself, when it ran")
    summary: str
    facts: tuple[tuple[str, str], ...] = Field(default=(), description="its report's, by name")

    @property
    def outcome_said(self) -> str:
        """The outcome for people."""
        return {"current": "unchanged"}.get(self.outcome, self.outcome)


class Picture(BaseModel):
    """A PNG file."""

    model_config = ConfigDict(frozen=True)

    title: str
    path: Path


class Summary(BaseModel):
    """What was asked, what came out, what it cost, how good the data is."""

    model_config = ConfigDict(frozen=True)

    run: str
    run_id: str
    flow: str
    folder: Path
    started: datetime
    seconds: float
    asked: Asked
    outcome: Outcome
    failure: Failure | None = None
    release: str = Field(default="", description="NAME@vN")
    bits_per_byte: float | None = None
    compared: tuple[Bar, ...] = ()
    cost: tuple[Figure, ...] = ()
    steps: tuple[StepLine, ...] = ()
    quality: tuple[Rows, ...] = ()
    pictures: tuple[Picture, ...] = ()
    samples: tuple[tuple[str, str], ...] = Field(default=(), description="prompt, and how the model went on")
    data: Path | None = Field(default=None, description="page on the training data of this run: kept, dropped, why")
    data_docs: Path | None = Field(default=None, description="pages of Great Expectations on the data of this run")

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The few that a person looks for first."""
        first = ("training time", "utilisation (MFU)", "tokens")
        chosen = [figure for label in first for figure in self.cost if figure.label == label]
        if self.bits_per_byte is not None:
            others = [bar for bar in self.compared if not bar.is_ours][:1]
            note = "".join(f"{bar.label}: {bar.bits_per_byte:.3f}" for bar in others)
            chosen.insert(0, Figure(label="bits per byte", value=f"{self.bits_per_byte:.3f}", note=note))
        return tuple(chosen)


def summary_of(account: Account, settings: Settings) -> Summary:
    """All that is known at the end of a run; of steps that this run did not bring up to date nothing is said."""
    reports = {result.step: result.report for result in account.steps}
    wanted, samples = asked(settings), _samples(settings) if "evaluate" in reports else ()
    weights = _weights(reports, settings) if "train" in reports else ""
    measured = _json(settings.records / "measured" / f"{weights}.json", {}) if weights else {}
    prompt = samples[0][0] if samples else "The "
    return Summary(
        run=account.run,
        run_id=account.run_id,
        flow=account.flow,
        folder=account.folder,
        started=account.started,
        seconds=account.seconds,
        asked=wanted,
        outcome=outcome_of(account, name=wanted.name, prompt=prompt),
        failure=account.failure,
        release=account.release.ref if account.release else "",
        bits_per_byte=reports["evaluate"].facts["bits_per_byte"] if "evaluate" in reports else None,
        compared=compared(reports),
        cost=cost(reports, measured, trained_now=any(s.step == "train" and s.outcome == "ran" for s in account.steps)),
        steps=tuple(_lines(account, settings)),
        quality=quality(reports),
        pictures=tuple(_pictures(reports, settings, weights)),
        samples=samples,
    )


def _lines(account: Account, settings: Settings) -> Iterator[StepLine]:
    for result in account.steps:
        facts = tuple((name, shown(value)) for name, value in result.report.facts.items())
        yield StepLine(
            step=result.step, outcome=result.outcome, seconds=result.seconds,
            cost=_cost(result.step, settings) if result.outcome == "ran" else "",
            summary=result.report.summary, facts=facts,
        )  # fmt: skip
    if account.failed_step:
        outcome = "stopped" if account.stopped else "failed"
        cause = account.failure.cause if account.failure and not account.stopped else ""
        yield StepLine(step=account.failed_step, outcome=outcome, seconds=account.failed_seconds, summary=cause)


def _cost(step: str, settings: Settings) -> str:
    """What the step's process measured of itself when it ran last."""
    measured = _json(settings.runs / "steps" / f"{step}.json", {})
    if not measured:
        return ""
    return f"{measured['cpu_seconds']:.1f} CPU s, {measured['peak_rss_mib'] / 1024:.1f} GiB"


def _pictures(reports: Mapping[str, Report], settings: Settings, weights: str) -> Iterator[Picture]:
    """Curves first, each once; of a step that a later run makes anew at this moment there may be none."""
    seen: set[str] = set()
    for step in sorted(reports, key=lambda step: list(_TITLES).index(step) if step in _TITLES else len(_TITLES)):
        found = [(_TITLES.get(step, step), settings.artifacts / step / name) for name in reports[step].pictures]
        if step == "train" and weights:
            found.append((_SPEED_TITLE, settings.records / "measured" / f"{weights}.png"))
        for title, path in found:
            if path.is_file() and (digest := sha256_of(path)) not in seen:
                seen.add(digest)
                yield Picture(title=title, path=path)


def _samples(settings: Settings) -> tuple[tuple[str, str], ...]:
    found = _json(settings.artifacts / "evaluate" / "samples.json", [])
    return tuple((sample["prompt"], sample["text"]) for sample in found)


def _weights(reports: Mapping[str, Report], settings: Settings) -> str:
    """Digest of the weights; where gate has judged them, it has read those gigabytes already."""
    if "gate" in reports and "weights_sha256" in reports["gate"].facts:
        return str(reports["gate"].facts["weights_sha256"])
    try:
        return sha256_of(settings.artifacts / "train" / "model.safetensors")
    except OSError:
        return ""


def _json(path: Path, otherwise: Any) -> Any:
    """What was not measured or is gone is not shown."""
    try:
        return read_json(path)
    except (OSError, json.JSONDecodeError):
        return otherwise
