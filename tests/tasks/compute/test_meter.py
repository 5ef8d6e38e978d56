"""What a run took."""

import time

import pytest
import torch

from tasks.compute import meter
from tasks.compute.meter import Meter


@pytest.fixture
def known_peak(monkeypatch):
    """A machine whose matrix products reach 1 GFLOP/s."""
    monkeypatch.setattr(meter, "matmul_peak", lambda _device: 1e9)


def test_the_peak_of_this_machine_is_plausible():
    assert 1e8 < meter.matmul_peak("cpu") < 1e14


def test_speed_is_tokens_a_second_times_operations_a_token(known_peak):
    measuring = Meter(device="cpu", flops_per_token=1000)
    time.sleep(0.05)
    measuring.add(100)
    found = measuring.measured(tokens=100, workers=1)
    assert found["wall_seconds"] >= 0.05
    assert found["tokens_per_second"] == pytest.approx(100 / found["wall_seconds"], rel=0.05)
    assert found["flops_per_second"] == pytest.approx(1000 * found["tokens_per_second"], rel=0.05)
    assert found["share_of_matmul_peak"] == pytest.approx(found["flops_per_second"] / 1e9, rel=0.05, abs=1e-4)
    assert found["training_flops"] == 100_000
    assert found["peak_rss_bytes"] > 10 << 20
    assert found["threads_per_worker"] == torch.get_num_threads()


def test_waiting_is_a_share_of_the_run_earlier_parts_included(known_peak):
    before = {"wall_seconds": 100.0, "cpu_seconds": 50.0, "waited_seconds": 20.0}
    measuring = Meter(device="cpu", flops_per_token=1, before=before)
    measuring.add(100, waited=30.0)
    measuring.add(100)
    assert measuring.measured(tokens=200, workers=1)["waiting_share"] == pytest.approx(0.5, abs=0.01)


def test_a_note_tells_the_last_seconds(known_peak, monkeypatch):
    clock = iter([0.0, *[float(second) for second in range(1, 31)]])
    monkeypatch.setattr(meter.time, "perf_counter", lambda: next(clock))
    measuring = Meter(device="cpu", flops_per_token=1_000_000)
    for second in range(1, 31):
        measuring.add(500 if second <= 15 else 100)
    assert measuring.note() == "100 tokens/s, 0 GFLOP/s (10% of peak)"


def test_speed_over_the_run_is_kept_in_few_points_and_ends_with_the_last_token(known_peak, monkeypatch):
    clock = iter([0.0, *[float(second) for second in range(1, 1001)]])
    monkeypatch.setattr(meter.time, "perf_counter", lambda: next(clock))
    measuring = Meter(device="cpu", flops_per_token=1, tokens_before=5000)
    for step in range(999):
        measuring.add(300 if step < 500 else 100)
    speed = measuring.speed()
    assert 50 <= len(speed) <= 200
    assert speed[-1][0] == 5000 + 500 * 300 + 499 * 100
    assert {speed[0][1], speed[-1][1]} == {300.0, 100.0}
    assert [tokens for tokens, _ in speed] == sorted({tokens for tokens, _ in speed})


def test_before_the_first_step_there_is_a_note(known_peak):
    assert Meter(device="cpu", flops_per_token=1).note().startswith("0 tokens/s")


def test_hardware_is_described():
    found = meter.hardware()
    assert found["cores"] >= 1
    assert found["memory_bytes"] > 1 << 28
    assert found["processor"]
