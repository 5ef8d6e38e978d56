"""Checkouts whose time is over, for `abcd gc`: removed whole, and git told."""

from dataclasses import dataclass, field
from pathlib import Path

from infra.checkout import finished, remove
from infra.settings import Settings
from infra.storage import LocalStore
from infra.unused import Unused


@dataclass(frozen=True)
class _Checkouts(Unused):
    """Each is a worktree that git knows of."""

    settings: Settings = field(kw_only=True)

    def remove(self) -> None:
        """Remove those that were shown.

        Raises:
            GitError: git refuses.
        """
        for name in sorted({Path(file.name).parts[0] for file in self.files}):
            remove(self.settings, self.settings.checkouts / name)


def unused(settings: Settings, now: float) -> list[Unused]:
    """Checkouts of runs that ended long enough ago, file by file."""
    store, over = LocalStore(settings.checkouts), [folder.name for folder in finished(settings, now)]
    files = tuple(file for name in over for file in store.files(name))
    return [_Checkouts("checkouts", "of runs that ended long enough ago", store, files, settings=settings)]
