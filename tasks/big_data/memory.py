"""What steps remember: the files that came of a shard, by the digest of all they were made of; it changes no result.

An entry is a folder `.abcd/cache/shards/<step>/<key>` with the files and `entry.json`, written last. Files go into a
step's output as hard links, so that what did not change costs neither reading nor writing nor space.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from pydantic import BaseModel

from tasks.sealed import read_sealed, write_sealed

logger = logging.getLogger(__name__)

_ENTRY = "entry.json"
_PIECE_BYTES = 256 << 10
_ROOMS = (Path(__file__).parent, Path(__file__).parents[2] / "data_contracts")
_STANDS_ON = (
    "polars", "pyarrow", "numpy", "numba", "orjson", "pycld2", "ftfy", "tokenizers", "charset-normalizer", "zstandard",
    "pypdfium2", "python-docx", "python-pptx", "python-calamine", "resiliparse", "lxml",
)  # fmt: skip


@cache
def code_version() -> str:
    """Digest of all code that makes documents, and of the libraries that it stands on."""
    digest = hashlib.sha256(" ".join(f"{name} {_version(name)}" for name in _STANDS_ON).encode())
    files = (file for room in _ROOMS for file in sorted(room.iterdir()) if file.suffix in (".py", ".yaml"))
    for file in files:
        digest.update(f"{file.name} ".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:  # an extra that is not installed
        return "none"


def key_of(*made_of: Any) -> str:
    """Name of all that a result depends on, the code included.

    Raises:
        TypeError: something is given whose content cannot be told.
    """
    return hashlib.sha256(f"{code_version()} {_spelt(made_of)}".encode()).hexdigest()[:40]


def _spelt(value: Any) -> str:
    """A value in full, the same way in every process."""
    if isinstance(value, BaseModel):
        return f"{type(value).__name__} {value.model_dump_json()}"
    if isinstance(value, bytes):
        return f"bytes {hashlib.sha256(value).hexdigest()}"
    if value is None or isinstance(value, str | int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(sorted(f"{_spelt(key)}: {_spelt(item)}" for key, item in value.items())) + "}"
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(map(_spelt, value))) + "}"
    if isinstance(value, Sequence):
        return f"{type(value).__name__}(" + ", ".join(map(_spelt, value)) + ")"
    if isinstance(value, np.ndarray):
        return f"array {value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    raise TypeError(f"expected numbers, texts, models and collections of them, found {type(value).__name__}")


class Memory:
    """What one step remembers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def recall(self, key: str, out: Path) -> dict[str, Any] | None:
        """Link the files of an entry into `out`; what was noted with them, None if nothing sound is remembered."""
        folder = self.folder / key
        noted_bytes = read_sealed(folder / _ENTRY)
        if noted_bytes is None:
            return None
        entry: dict[str, Any] = json.loads(noted_bytes)
        try:
            sound = all(_seal(folder / str(number)) == seal for number, seal in enumerate(entry["files"].values()))
            if sound:
                for number, name in enumerate(entry["files"]):
                    _place(folder / str(number), out / name)
                os.utime(folder)  # by which `abcd gc` knows that it is used
        except FileNotFoundError:
            sound = False
        if not sound:
            logger.warning("%s was damaged and is removed; what it remembered is made again", folder)
            shutil.rmtree(folder, ignore_errors=True)
            return None
        noted: dict[str, Any] = entry["noted"]
        return noted

    def keep(self, key: str, files: Mapping[str, Any], noted: Mapping[str, Any], out: Path) -> None:
        """Write files into `out`, or link those that are given by path, and remember them, with what is noted."""
        folder = self.folder / key
        files = dict(sorted(files.items()))  # as the entry has them, whose keys are sorted
        fresh = folder.with_name(f".{key}.{os.getpid()}")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for number, data in enumerate(files.values()):
            if isinstance(data, Path):
                _place(data, fresh / str(number))
            else:
                (fresh / str(number)).write_bytes(data)
        seals = {name: _seal(data) for name, data in files.items()}
        entry = {"files": seals, "noted": dict(noted)}
        write_sealed(fresh / _ENTRY, json.dumps(entry, sort_keys=True, ensure_ascii=False).encode())
        for number, name in enumerate(files):
            _place(fresh / str(number), out / name)
        try:
            fresh.rename(folder)
        except OSError:  # another run, which shares the memory, has kept the same meanwhile
            shutil.rmtree(fresh)


def _seal(data: Any) -> str:
    """Tells damage, not tampering: what is here was made here."""
    if not isinstance(data, Path):
        return xxhash.xxh3_128_hexdigest(data)
    seal = xxhash.xxh3_128()
    with data.open("rb", buffering=0) as file:
        # Fresh memory for a whole file costs more than what is done with it.
        piece = memoryview(bytearray(_PIECE_BYTES))
        while size := file.readinto(piece):
            seal.update(piece[:size])
    return seal.hexdigest()


def _place(file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    to.unlink(missing_ok=True)
    try:
        os.link(file, to)
    except OSError:  # another file system, or one without links
        shutil.copyfile(file, to)
