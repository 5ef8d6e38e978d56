"""State of a training run <-> one file in a store, complete or absent: safetensors, never pickle.

A file is `<run>/step-<step>-<SHA-256 of the file>.safetensors`: its name says what its bytes must be. What is no tensor
is JSON in the file's metadata.
"""

import json
import logging
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from infra.storage import Store
from tasks.report import sha256_of

logger = logging.getLogger(__name__)

_KEPT = 2
_NAME = re.compile(r"^step-(?P<step>\d{9,})-(?P<sha256>[0-9a-f]{64})\.safetensors$")
_REST = "state"
_TENSOR, _LIST, _DICT = "tensor", "list", "dict"


def save(store: Store, run: str, step: int, state: dict[str, Any]) -> str:
    """Write the state after `step` optimizer steps of a run; the last `_KEPT` checkpoints stay. The name it got.

    `state` is made of dicts, lists, numbers, strings, booleans, None and tensors.

    Raises:
        StorageError: the store cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    rest = _take_tensors(state, "", tensors)
    with store.scratch() as file:
        save_file(tensors, file, metadata={_REST: json.dumps(rest)})
        name = f"{run}/step-{step:09d}-{sha256_of(file)}.safetensors"
        store.take(name, file)
    for old in _newest_first(store, run)[_KEPT:]:
        store.remove(f"{run}/{old}")
    return name


def load_newest(store: Store, run: str) -> tuple[int, dict[str, Any]] | None:
    """Step and state of the newest checkpoint whose bytes are intact; a warning for each that is not. None: no such.

    Raises:
        StorageError: the store cannot be reached.
    """
    for name in _newest_first(store, run):
        match = _NAME.match(name)
        assert match  # _newest_first lists no others
        with store.scratch() as file:
            try:
                came = store.download(f"{run}/{name}", file)
            except FileNotFoundError:  # removed by the worker that went on
                continue
            if came.sha256 == match["sha256"]:
                return int(match["step"]), _load(file)
        logger.warning(
            "%s: expected %s, found SHA-256 %s: its bytes are not those that were written; "
            "going back to the checkpoint before it",
            store.where(f"{run}/{name}"), match["sha256"][:12], came.sha256[:12],
        )  # fmt: skip
    return None


def _newest_first(store: Store, run: str) -> list[str]:
    return sorted(filter(_NAME.match, store.names(run)), reverse=True)


def _load(file: Path) -> dict[str, Any]:
    with safe_open(file, framework="pt") as opened:
        rest = json.loads(opened.metadata()[_REST])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # it is no dict
    state: dict[str, Any] = _put_tensors(rest, tensors)
    return state


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
