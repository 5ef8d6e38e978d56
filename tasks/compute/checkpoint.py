"""State of a training run <-> a folder, complete or absent: tensors as safetensors, the rest as JSON, never pickle."""

import hashlib
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tasks.report import sha256_of

logger = logging.getLogger(__name__)

_TENSORS, _REST = "state.safetensors", "state.json"
_KEPT = 2
_TENSOR, _LIST, _DICT = "tensor", "list", "dict"


class BadCheckpointError(ValueError):
    """A checkpoint's bytes are not those that were written."""


def save(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write the state after `step` optimizer steps under `folder`; the last `_KEPT` checkpoints stay.

    `state` is made of dicts, lists, numbers, strings, booleans, None and tensors.
    """
    final = folder / f"step-{step:09d}"
    fresh = folder / f".{final.name}.{os.getpid()}"
    for leftover in (fresh, *folder.glob(".step-*")):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir(parents=True)
    tensors: dict[str, Tensor] = {}
    rest = {"step": step, "state": _take_tensors(state, "", tensors)}
    save_file(tensors, fresh / _TENSORS)
    rest["tensors_sha256"] = sha256_of(fresh / _TENSORS)
    (fresh / _REST).write_text(json.dumps({"sha256": _digest(rest), "content": rest}), encoding="utf-8")
    for path in (fresh / _TENSORS, fresh / _REST, fresh):
        _sync(path)
    shutil.rmtree(final, ignore_errors=True)
    fresh.rename(final)
    _sync(folder)
    for old in _newest_first(folder)[_KEPT:]:
        shutil.rmtree(old)
    return final


def load_newest(folder: Path, *, device: str = "cpu") -> tuple[int, dict[str, Any]] | None:
    """Step and state of the newest checkpoint whose bytes are intact; a warning for each that is not. None: no such."""
    for path in _newest_first(folder):
        try:
            return _load(path, device)
        except BadCheckpointError as error:
            logger.warning("%s; going back to the checkpoint before it", error)
    return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"), reverse=True)


def _load(path: Path, device: str) -> tuple[int, dict[str, Any]]:
    try:
        written = json.loads((path / _REST).read_text(encoding="utf-8"))
        rest = written["content"]
        if written["sha256"] != _digest(rest) or sha256_of(path / _TENSORS) != rest["tensors_sha256"]:
            raise BadCheckpointError(f"{path}: its bytes are not those that were written (SHA-256 differs)")
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, BadCheckpointError):
            raise
        raise BadCheckpointError(f"{path} is torn: {error!r}") from None
    state = _put_tensors(rest["state"], load_file(path / _TENSORS, device=device))
    return int(rest["step"]), state


def _digest(rest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _sync(path: Path) -> None:
    """Have the bytes on the disk before the name says that they are there."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _take_tensors(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """JSON for `value`, in which each tensor is its name in `tensors`; keys of dicts keep their type."""
    if isinstance(value, Tensor):
        # A copy of its own: safetensors refuses tensors that share memory, as views of one buffer do.
        tensors[name] = value.detach().cpu().clone().contiguous()
        return {_TENSOR: name}
    if isinstance(value, dict):
        return {_DICT: [[key, _take_tensors(part, f"{name}/{key}", tensors)] for key, part in value.items()]}
    if isinstance(value, list | tuple):
        return {_LIST: [_take_tensors(part, f"{name}/{i}", tensors) for i, part in enumerate(value)]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{name}: a checkpoint holds tensors and JSON values, found {type(value).__name__}")


def _put_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return tensors[value[_TENSOR]]
    if _DICT in value:
        return {key: _put_tensors(part, tensors) for key, part in value[_DICT]}
    return [_put_tensors(part, tensors) for part in value[_LIST]]


def random_state() -> dict[str, Tensor]:
    """State of torch's random generators on this machine."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_random_state(states: dict[str, Tensor]) -> None:
    """Continue the random numbers of `random_state`."""
    torch.set_rng_state(states["cpu"].cpu())
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"].cpu())
