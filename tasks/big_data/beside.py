"""Results of another process: what is large is left in files and not sent, small things go as they are."""

import io
import os
import pickle
import signal
import threading
from collections.abc import Callable
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

A = TypeVar("A")

_LARGE_BYTES = 64 << 10
# One thread each: there are as many processes as there are cores.
_ONE_THREAD = {"POLARS_MAX_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def begin_beside() -> None:
    """First thing in a process that works beside another one: it ends with that one, which also hears Ctrl-C for it."""
    os.environ.update(_ONE_THREAD)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def kept_in_files(work: Callable[[A], Any], item: A, folder: Path) -> bytes:
    """Do the work; its result, pickled, of which large bytes are in files of `folder`."""
    written = io.BytesIO()
    _Writer(written, folder).dump(work(item))
    return written.getvalue()


def from_files(data: bytes) -> tuple[Any, list[Path]]:
    """A result of `kept_in_files`, with paths in the place of large bytes, and these paths."""
    reader = _Reader(io.BytesIO(data))
    return reader.load(), reader.files


class _Writer(pickle.Pickler):
    """Large bytes and buffers of Arrow become files, named by their paths."""

    def __init__(self, file: io.BytesIO, folder: Path) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._folder = folder

    def persistent_id(self, value: Any) -> str | None:
        if not (type(value) is bytes or type(value).__module__ == "pyarrow.lib"):
            return None
        content = memoryview(value)
        if content.nbytes < _LARGE_BYTES:
            return None
        path = self._folder / uuid4().hex
        path.write_bytes(content)
        return str(path)


class _Reader(pickle.Unpickler):
    """Paths in the place of what was large."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.files: list[Path] = []

    def persistent_load(self, path: str) -> Path:
        self.files.append(Path(path))
        return self.files[-1]
