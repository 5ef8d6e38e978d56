"""Figures have units, and what was not measured is not made up."""

import pytest

from flows.figures import compared, cost, duration, quality
from tasks.report import Report
from tests.flows.conftest import MEASURED, REPORTS

ALL = {step: Report(step=step, **report) for step, report in REPORTS.items()}


def test_cost():
    found = {figure.label: figure for figure in cost(ALL, MEASURED, trained_now=False)}
    assert found["tokens"].value == "4,000"
    assert found["tokens"].note == "4 times 1,000 different ones"
    assert found["operations"].value == "8 TFLOP"
    assert found["training time"].value == "3 min 02 s"
    assert "when it was trained" in found["training time"].note
    assert found["utilisation (MFU)"].value == "28%"
    assert found["utilisation (MFU)"].note.startswith("44 GFLOP/s of 158 GFLOP/s")
    assert found["workers"].note == "A Chip, 2 cores"
    assert found["energy"].value == "not known"
    with_energy = {f.label: f.value for f in cost(ALL, MEASURED | {"energy_joules": 7.2e6}, trained_now=True)}
    assert with_energy["energy"] == "2 kWh"


def test_what_was_planned_is_held_against_what_happened():
    assert "against the plan" not in {figure.label for figure in cost(ALL, MEASURED, trained_now=True)}
    foretold = {"wall_seconds": 200.0, "peak_rss_bytes": 2**31, "bits_per_byte": 1.6, "machine": "m"}
    found = {f.label: f for f in cost(ALL, MEASURED | {"predicted": foretold}, trained_now=True)}["against the plan"]
    assert found.value == "time -9.1%, memory -50.0%, bits per byte +25.0%"
    assert found.note == "planned: 3 min 20 s, 2.0 GiB, 1.600 bits per byte"


def test_without_a_measurement_only_what_is_known_is_told():
    labels = [figure.label for figure in cost(ALL, {}, trained_now=True)]
    assert labels == ["tokens", "operations", "time"]
    assert cost({}, {}, trained_now=True) == ()


def test_the_model_comes_first_then_the_champion_then_the_yardsticks():
    bars = compared(ALL)
    assert [bar.label for bar in bars] == ["this model", "champion, v1", "byte 5-gram", "byte 3-gram", "xz -9"]
    assert [bar.is_ours for bar in bars] == [True, False, False, False, False]
    assert compared({}) == ()


def test_quality_has_a_line_a_step_that_counts():
    rows = quality(ALL)
    assert [row.step for row in rows] == ["ingest", "clean", "validate"]
    assert (rows[1].read, rows[1].passed, rows[1].rejected, rows[1].reasons) == (22, 20, 2, {"too_short": 2})


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (61, "1 min 01 s"), (3599.6, "1 h 00 min"), (9000, "2 h 30 min")],
)
def test_durations(seconds: float, said: str):
    assert duration(seconds) == said
