"""A release out of the registry: one folder with its files, every byte verified, complete or absent."""

import os
import secrets
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from infra.releases import Registry, RegistryError
from infra.settings import Settings
from infra.signed_log import Release
from tasks.report import sha256_of


class Pulled(BaseModel):
    """What `pull` left where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int
    folder: Path
    files: int
    size: int = Field(description="bytes in all")
    already_there: bool = Field(description="nothing was written, all was read and compared")


def pull(settings: Settings, ref: str, to: Path) -> Pulled:
    """Copy the files of the release `ref` into the folder `to`; verify instead where they are already there.

    Raises:
        StorageError: no such release, a file was tampered with, or `to` holds something else.
    """
    registry = Registry.of(settings)
    log, release = registry.release(ref)
    to = to.absolute()
    if to.exists() and not to.is_dir():
        raise RegistryError(f"{to} is a file; name an empty or new folder")
    if to.is_dir() and any(to.iterdir()):
        _compare(to, release, ref)
        already_there = True
    else:
        _download(registry, release, f"{log.name}@v{release.version}", to)
        already_there = False
    size = sum(file.size for file in release.files.values())
    return Pulled(
        name=log.name,
        version=release.version,
        folder=to,
        files=len(release.files),
        size=size,
        already_there=already_there,
    )


def _download(registry: Registry, release: Release, ref: str, to: Path) -> None:
    """Fill a folder beside the target, then give it the name."""
    to.parent.mkdir(parents=True, exist_ok=True)
    fresh = to.with_name(f".{to.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        for path, file in sorted(release.files.items()):
            target = fresh / path
            target.parent.mkdir(parents=True, exist_ok=True)
            registry.fetch(file, target, what=f"{ref} {path}")
        fresh.rename(to)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _compare(to: Path, release: Release, ref: str) -> None:
    """Refuse a folder that is not exactly the release."""
    found = {path.relative_to(to).as_posix() for path in to.rglob("*") if not path.is_dir()}
    for path in sorted(found ^ set(release.files)):
        state = "is no file of it" if path in found else "is missing"
        raise RegistryError(f"{to} is not empty and not {ref}: {path} {state}; name an empty or new folder")
    for path, file in sorted(release.files.items()):
        if sha256_of(to / path) != file.sha256:
            raise RegistryError(f"{to} is not empty and not {ref}: {path} has other bytes; name an empty or new folder")
