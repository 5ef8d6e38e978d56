"""Checkpoints are complete or absent, and say when their bytes are not those that were written."""

import hashlib
import logging
from pathlib import Path

import pytest
import torch

from infra.storage import Store, open_store
from tasks.compute import checkpoint

STATE = {
    "weights": {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(7)},
    "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "groups": [{"lr": 0.1}, {"lr": 0.2}]},
    "curve": [{"loss": 0.1 + 0.2, "load": [[1, 2]]}],
    "nothing": None,
}


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Where checkpoints may be."""
    return open_store(str(tmp_path / "store") if request.param == "folder" else request.getfixturevalue("s3_url"))


def same(left, right) -> bool:
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right) and left.dtype == right.dtype
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right and type(left) is type(right)


def test_state_comes_back_as_it_was(store: Store):
    checkpoint.save(store, "run", 12, STATE)
    step, state = checkpoint.load_newest(store, "run")
    assert step == 12
    assert same(state, STATE)


def test_views_of_one_buffer_are_saved(store: Store):
    buffer = torch.arange(4.0)
    checkpoint.save(store, "run", 1, {"left": buffer[:2], "right": buffer[2:], "both": buffer})
    _, state = checkpoint.load_newest(store, "run")
    assert same(state, {"left": torch.tensor([0.0, 1.0]), "right": torch.tensor([2.0, 3.0]), "both": buffer})


def test_the_last_two_are_kept(store: Store):
    names = [checkpoint.save(store, "run", step, STATE) for step in (1, 2, 10)]
    assert [f"run/{name}" for name in store.names("run")] == names[1:]


def test_runs_do_not_see_each_other(store: Store):
    checkpoint.save(store, "other", 5, STATE)
    assert checkpoint.load_newest(store, "run") is None


@pytest.mark.parametrize("damage", ["flip", "tear", "lose"])
def test_a_damaged_newest_falls_back(store: Store, tmp_path: Path, caplog, damage: str):
    checkpoint.save(store, "run", 5, STATE)
    name = checkpoint.save(store, "run", 6, STATE)
    content = bytearray(store.read(name))
    if damage == "flip":
        content[-3] ^= 1
    elif damage == "tear":
        content = content[: len(content) // 2]
    if damage == "lose":
        store.remove(name)
    else:
        changed = tmp_path / "changed"
        changed.write_bytes(content)
        store.put(name, changed, sha256=hashlib.sha256(content).hexdigest())
    with caplog.at_level(logging.WARNING):
        step, state = checkpoint.load_newest(store, "run")
    assert step == 5
    assert same(state, STATE)
    assert ("step-000000006" in caplog.text) == (damage != "lose")


def test_what_a_killed_writer_left_is_no_checkpoint(tmp_path: Path):
    store = open_store(str(tmp_path))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "step-000000009.safetensors.part").touch()
    assert checkpoint.load_newest(store, "run") is None


def test_what_is_neither_tensor_nor_json_is_refused(store: Store):
    with pytest.raises(TypeError, match=r"/weights/x.*set"):
        checkpoint.save(store, "run", 1, {"weights": {"x": {1, 2}}})


def test_random_numbers_continue():
    torch.manual_seed(4)
    state = checkpoint.random_state()
    expected = torch.rand(3)
    checkpoint.set_random_state(state)
    assert torch.equal(torch.rand(3), expected)
