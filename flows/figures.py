"""Reports of steps and what train measured become figures with units: quality, cost, rows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tasks.report import Report

_YARDSTICKS = {"byte_5gram": "byte 5-gram", "byte_3gram": "byte 3-gram", "xz": "xz -9"}
_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"))


class Figure(BaseModel):
    """A number with its unit, and what it says."""

    model_config = ConfigDict(frozen=True)

    label: str
    value: str
    note: str = ""


class Bar(BaseModel):
    """Bits per byte of a model; less is better."""

    model_config = ConfigDict(frozen=True)

    label: str
    bits_per_byte: float
    is_ours: bool = False


class Rows(BaseModel):
    """Documents that a step read, passed on and kept back."""

    model_config = ConfigDict(frozen=True)

    step: str
    read: int
    passed: int
    rejected: int
    reasons: dict[str, int] = Field(description="the most frequent first")


def compared(reports: Mapping[str, Report]) -> tuple[Bar, ...]:
    """The model beside the champion and the yardsticks."""
    if "evaluate" not in reports:
        return ()
    facts = reports["evaluate"].facts
    verdict = reports["gate"].facts if "gate" in reports else {}
    bars = [Bar(label="this model", bits_per_byte=facts["bits_per_byte"], is_ours=True)]
    champion = verdict.get("champion")
    if champion and verdict.get("champion_bits_per_byte") is not None:
        label = f"champion, v{champion['version']}"
        bars.append(Bar(label=label, bits_per_byte=verdict["champion_bits_per_byte"]))
    bars += [Bar(label=label, bits_per_byte=facts[key]) for key, label in _YARDSTICKS.items() if key in facts]
    return tuple(bars)


def quality(reports: Mapping[str, Report]) -> tuple[Rows, ...]:
    """A line for each step that counts rows."""
    return tuple(
        Rows(
            step=step,
            read=report.rows_in,
            passed=report.rows_out or 0,
            rejected=report.rows_rejected or 0,
            reasons=dict(sorted(report.reasons.items(), key=lambda item: (-item[1], item[0]))),
        )
        for step, report in reports.items()
        if report.rows_in is not None
    )


def cost(reports: Mapping[str, Report], measured: Mapping[str, Any], *, trained_now: bool) -> tuple[Figure, ...]:
    """What the model took: nothing that was not measured is made up."""
    if "train" not in reports:
        return ()
    facts = reports["train"].facts
    figures = [
        Figure(label="tokens", value=f"{facts['tokens']:,}", note=_readings(reports)),
        Figure(label="operations", value=_operations(facts["training_flops"]), note="of training"),
    ]
    if not measured:
        return (*figures, Figure(label="time", value="not known", note="not measured on this machine"))
    flops, peak = measured["flops_per_second"], measured["matmul_peak_flops_per_second"]
    speed = f"{measured['tokens_per_second']:,.0f} tokens a second"
    energy = measured.get("energy_joules")
    return (
        *figures,
        Figure(label="training time", value=duration(measured["wall_seconds"]),
               note=speed if trained_now else f"{speed}, when it was trained"),
        Figure(label="utilisation (MFU)", value=f"{measured['share_of_matmul_peak']:.0%}",
               note=f"{_operations(flops)}/s of {_operations(peak)}/s, measured as a matrix product"),
        Figure(label="workers", value=f"{measured['workers']}", note=_machine(measured)),
        Figure(label="memory, at most", value=f"{measured['peak_rss_bytes'] / 2**30:.1f} GiB", note="all workers"),
        Figure(label="energy", value=f"{energy / 3.6e6:.3g} kWh") if energy is not None
        else Figure(label="energy", value="not known", note="this machine has no meter that is read"),
        *_against_plan(reports, measured),
    )  # fmt: skip


def _against_plan(reports: Mapping[str, Report], measured: Mapping[str, Any]) -> Iterator[Figure]:
    """What `abcd plan` foretold of this training, and by how much it differs from what happened."""
    if not (foretold := measured.get("predicted")):
        return
    found = {
        "time": ("wall_seconds", measured["wall_seconds"]),
        "memory": ("peak_rss_bytes", measured["peak_rss_bytes"]),
    }
    if "evaluate" in reports:
        found["bits per byte"] = ("bits_per_byte", reports["evaluate"].facts["bits_per_byte"])
    off = ", ".join(f"{name} {value / foretold[key] - 1:+.1%}" for name, (key, value) in found.items())
    said = f"{duration(foretold['wall_seconds'])}, {foretold['peak_rss_bytes'] / 2**30:.1f} GiB"
    yield Figure(
        label="against the plan", value=off, note=f"planned: {said}, {foretold['bits_per_byte']:.3f} bits per byte"
    )


def _readings(reports: Mapping[str, Report]) -> str:
    """How often it read which text, whatever weights repeat of it in the stream."""
    facts = reports["train"].facts
    if "pack" not in reports:
        return f"{facts['epochs']:,.3g} times the stream"
    different = reports["pack"].facts["train"]["distinct_tokens"]
    return f"{facts['tokens'] / different:,.3g} times {different:,} different ones"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _operations(flops: float) -> str:
    size, prefix = next(((size, prefix) for size, prefix in _PREFIXES if flops >= size), (1.0, ""))
    return f"{flops / size:,.3g} {prefix}FLOP"


def _machine(measured: Mapping[str, Any]) -> str:
    hardware = measured.get("hardware", {})
    gpus: Sequence[str] = hardware.get("gpus") or ()
    if gpus:
        return ", ".join(gpus)
    return f"{hardware.get('processor', 'CPU')}, {hardware.get('cores', '?')} cores"
