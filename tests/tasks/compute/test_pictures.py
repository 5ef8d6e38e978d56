"""Pictures are PNG files, the same bytes for the same numbers."""

from pathlib import Path

import pytest

from tasks.compute import pictures

LINE = {"learning_rate": 0.01, "gradient_norm": 1.0}


def curve(steps: int, layers: int) -> list[dict]:
    lines = [{"step": i, "tokens": i * 100, "loss": 7 - i / steps, **LINE} for i in range(1, steps + 1)]
    for line in lines[::2]:
        line["expert_load"] = [[0.25, 0.75, 0.0]] * layers
        line["expert_entropy"], line["dead_experts"] = [0.5 + line["step"] / 2 / steps] * layers, [1] * layers
    return lines


@pytest.mark.parametrize(("steps", "layers"), [(1, 2), (50, 3), (20, 0), (30, 9)])
def test_training(tmp_path: Path, steps: int, layers: int):
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    pictures.draw_training(curve(steps, layers), first)
    pictures.draw_training(curve(steps, layers), second)
    assert first.read_bytes().startswith(b"\x89PNG")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("points", [1, 60])
def test_speed(tmp_path: Path, points: int):
    pictures.draw_speed([(1000 * (i + 1), 5000.0 + i) for i in range(points)], tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("load", [[], [[0.1, 0.9]], [[0.25] * 4] * 5])
def test_evaluation(tmp_path: Path, load: list[list[float]]):
    pictures.draw_evaluation([1.5, 2.0, 2.5], {"this model": 2.0, "xz -9": 2.2}, load, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_smoothed_constant_is_the_constant():
    assert pictures._smooth([3.0] * 500) == pytest.approx([3.0] * 500)
