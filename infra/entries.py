"""A log's files, read: from a bucket only those that changed since this reader verified them.

A bucket's listing says of each object its ETag, size and time, which change with its bytes; what was read and found
sound is kept beside what was said then. A folder says nothing as good, so all of it is read each time. The log's
signatures and chain are checked over all bytes either way.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from infra.storage import Store


class Entries:
    """Bytes of the files in one folder of a store."""

    def __init__(self, store: Store, folder: str, memory: Path) -> None:
        """`memory`: file for what was verified."""
        self._store, self._folder, self._memory = store, folder, memory
        self._stamps: dict[str, str] = {}
        self._kept: dict[str, list[str]] = {}

    def read(self, *, everything: bool = False) -> dict[str, bytes]:
        """Contents by file name; `everything` takes nothing from memory."""
        self._stamps = self._store.stamps(self._folder)
        files = self._store.names(self._folder)
        self._kept = {} if everything or not self._stamps else self._remembered()
        known = {name: text.encode() for name, (stamp, text) in self._kept.items() if self._stamps.get(name) == stamp}
        wanted = [name for name in files if name not in known]
        fresh = self._store.read_many([f"{self._folder}/{name}" for name in wanted])
        contents = known | dict(zip(wanted, fresh, strict=True))
        return {name: contents[name] for name in files}

    @property
    def took_from_memory(self) -> bool:
        """Whether the last `read` may have returned something that it did not read now."""
        return bool(self._kept)

    def keep(self, contents: Mapping[str, bytes]) -> None:
        """Remember contents that were verified, each with what the store said before it was read."""
        kept = {name: [self._stamps[name], data.decode()] for name, data in contents.items() if name in self._stamps}
        if kept and kept != self._kept:
            fresh = self._memory.with_name(f".{self._memory.name}.{os.getpid()}")
            fresh.write_text(json.dumps(kept), encoding="utf-8")
            fresh.replace(self._memory)

    def _remembered(self) -> dict[str, list[str]]:
        """What was kept; a memory that cannot be read is as good as none."""
        try:
            found = json.loads(self._memory.read_text(encoding="utf-8"))
            return {str(name): [str(stamp), str(text)] for name, (stamp, text) in found.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}
