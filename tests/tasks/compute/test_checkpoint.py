"""Checkpoints are complete or absent, and say when their bytes are not those that were written."""

import logging
from pathlib import Path

import pytest
import torch

from tasks.compute import checkpoint

STATE = {
    "weights": {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(7)},
    "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "groups": [{"lr": 0.1}, {"lr": 0.2}]},
    "curve": [{"loss": 0.1 + 0.2, "load": [[1, 2]]}],
    "nothing": None,
}


def same(left, right) -> bool:
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right) and left.dtype == right.dtype
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right and type(left) is type(right)


def test_state_comes_back_as_it_was(tmp_path: Path):
    checkpoint.save(tmp_path, 12, STATE)
    step, state = checkpoint.load_newest(tmp_path)
    assert step == 12
    assert same(state, STATE)


def test_views_of_one_buffer_are_saved(tmp_path: Path):
    buffer = torch.arange(4.0)
    checkpoint.save(tmp_path, 1, {"left": buffer[:2], "right": buffer[2:], "both": buffer})
    _, state = checkpoint.load_newest(tmp_path)
    assert same(state, {"left": torch.tensor([0.0, 1.0]), "right": torch.tensor([2.0, 3.0]), "both": buffer})


def test_the_last_two_are_kept(tmp_path: Path):
    for step in (1, 2, 10):
        checkpoint.save(tmp_path, step, STATE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000002", "step-000000010"]


def test_without_checkpoints_there_is_nothing_to_load(tmp_path: Path):
    assert checkpoint.load_newest(tmp_path / "none") is None


@pytest.mark.parametrize("name", ["state.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["flip", "tear", "lose"])
def test_a_damaged_newest_falls_back_with_a_warning(tmp_path: Path, caplog, name: str, damage: str):
    checkpoint.save(tmp_path, 5, STATE)
    file = checkpoint.save(tmp_path, 6, STATE) / name
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[-3] ^= 1
        file.write_bytes(content)
    elif damage == "tear":
        file.write_bytes(content[: len(content) // 2])
    else:
        file.unlink()
    with caplog.at_level(logging.WARNING):
        step, state = checkpoint.load_newest(tmp_path)
    assert step == 5
    assert same(state, STATE)
    assert "step-000000006" in caplog.text


def test_what_a_killed_writer_left_is_no_checkpoint_and_goes(tmp_path: Path):
    (tmp_path / ".step-000000009.123").mkdir(parents=True)
    assert checkpoint.load_newest(tmp_path) is None
    checkpoint.save(tmp_path, 10, STATE)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000010"]


def test_what_is_neither_tensor_nor_json_is_refused(tmp_path: Path):
    with pytest.raises(TypeError, match=r"/weights/x.*set"):
        checkpoint.save(tmp_path, 1, {"weights": {"x": {1, 2}}})


def test_random_numbers_continue():
    torch.manual_seed(4)
    state = checkpoint.random_state()
    expected = torch.rand(3)
    checkpoint.set_random_state(state)
    assert torch.equal(torch.rand(3), expected)
