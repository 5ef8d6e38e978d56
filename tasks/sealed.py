"""A file of a cache that carries the SHA-256 of its own bytes: sound, or as if it were not there.

Parquet and JSON do not notice a flipped bit, and what is remembered must never change an output.
"""

import hashlib
import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)


def write_sealed(path: Path, data: bytes) -> None:
    """Write bytes with their digest, under a temporary name first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(_seal(data) + data)
    fresh.replace(path)


def read_sealed(path: Path) -> bytes | None:
    """The bytes that were written; None if there are none, or, said and removed, other ones."""
    try:
        seal, _, data = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    if seal + b"\n" == _seal(data):
        return data
    logger.warning("%s was damaged and is removed; what it remembered is made again", path)
    path.unlink(missing_ok=True)
    return None


def _seal(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode() + b"\n"
