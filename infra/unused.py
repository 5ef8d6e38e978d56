"""Files that nothing needs any more, by kind: what they are, why nobody needs them, their removal.

Each room says what of its own is unused; `abcd gc` shows it and removes it.
"""

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Self

from infra.settings import Settings
from infra.storage import LocalStore, Store, Stored

_SIDE_BY_SIDE = 16
# Where writers that were killed leave what they had not finished: a folder of the settings, names in it.
_UNFINISHED: tuple[tuple[Callable[[Settings], Path], str], ...] = (
    (lambda settings: settings.artifacts, r"\.[a-z_]+\.(new|old)/.+"),
    (lambda settings: settings.runs, r"progress/[^/]+\.json|([^/.]+/)?\.[^/]+\.json\.\d+|ray/.+"),
    (lambda settings: settings.cache, r"(sources|gate)/\.[^/]+\.\d+"),
    (lambda settings: settings.cache, r"shards/[a-z]+/\.[0-9a-f-]+\.\d+/.+"),
    (lambda settings: settings.cache, r"(gate|sample|drift)/tmp[^/]+/.+"),
    (lambda settings: settings.cache, r"(beside|dedup)-[^/]+/.+"),
    (lambda settings: settings.dvc_cache, r"(files/md5/|runs/).*\.[A-Za-z0-9_-]{22}\.tmp"),
    (lambda settings: settings.seen, r"[^/]+/\.[^/]+\.(json|entries)\.\d+"),
)


@dataclass(frozen=True)
class Unused:
    """Files of one kind in one store that nothing needs."""

    kind: str
    why: str
    store: Store
    files: tuple[Stored, ...] = ()
    left_alone: str = ""  # why nothing of this kind may be removed now; then `files` is empty
    shared: bool = False  # whether other workspaces may be writing to the store

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def only(self, shown: Sequence[Self]) -> Self:
        """The part that was shown before."""
        names = {file.name for other in shown if other.store.root == self.store.root for file in other.files}
        return replace(self, files=tuple(file for file in self.files if file.name in names))

    def remove(self) -> None:
        """Remove the files; one that is gone already is no error.

        Raises:
            StorageError: a file cannot be removed.
        """
        names = [file.name for file in self.files]
        # Lists before the files in them, each all gone before the next: DVC takes a folder whose list is there for
        # whole, and would not push its files again.
        lists = [name for name in names if name.endswith(".dir")]
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            for part in (lists, sorted(set(names) - set(lists))):
                list(pool.map(self.store.remove, part))
        if isinstance(self.store, LocalStore) and not self.shared:
            _remove_empty_folders(Path(self.store.root), names)

    @classmethod
    def of_others(cls, settings: Settings, store: Store, *, kind: str, setting: str) -> Self | None:
        """What to say of a store that may be shared with other workspaces; None for this one's own."""
        own = (settings.workspace.resolve(), settings.state.resolve())
        if isinstance(store, LocalStore) and any(Path(store.root).resolve().is_relative_to(folder) for folder in own):
            return None
        reason = f"outside this workspace ({setting}): others may need what this one does not"
        return cls(kind, "", store, left_alone=reason)


def unfinished(settings: Settings, now: float) -> list[Unused]:
    """What killed writers left a day ago or earlier, in the folders of this workspace."""
    found = []
    for place, pattern in _UNFINISHED:
        store = LocalStore(place(settings))
        if Unused.of_others(settings, store, kind="", setting=""):
            continue
        files = tuple(file for file in store.files() if re.fullmatch(pattern, file.name) and file.is_stale(now))
        found.append(Unused("unfinished files", "left by a process that was killed more than a day ago", store, files))
    return found


def _remove_empty_folders(root: Path, names: Sequence[str]) -> None:
    """Folders that the removed files leave empty, the deepest first."""
    folders = {folder for name in names for folder in PurePosixPath(name).parents if folder.parts}
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        with suppress(OSError):  # not empty, or gone
            (root / folder).rmdir()
