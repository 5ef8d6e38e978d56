"""Tell this clone's DVC the whereabouts from the settings; they go into `.dvc/config.local`, which git ignores."""

import json
import os
import time
from pathlib import Path
from typing import Any

from infra.settings import Settings

_SECOND_LOOK_SECONDS = 0.2


def prepare(settings: Settings) -> None:
    """Make the workspace's folders and keep `.dvc/config.local` in step with the settings."""
    from dvc.config import Config

    for folder in (settings.state, settings.runs, settings.artifacts):
        folder.mkdir(parents=True, exist_ok=True)
    wanted: dict[str, Any] = {
        # Per workspace, else DVC keeps its state in one folder for all users of the machine.
        "core": {"site_cache_dir": str(settings.state / "dvc-site")},
        "cache": {"dir": str(settings.dvc_cache)},
        "remote": {"store": {"url": settings.remote}},
    }
    _drop_torn_lock(settings.workspace / ".dvc" / "tmp" / "rwlock")
    config = Config(str(settings.workspace / ".dvc"))
    if _merge(config.load_one("local"), wanted):
        with config.edit("local") as local:
            _merge(local, wanted)


def _drop_torn_lock(path: Path) -> None:
    """Remove DVC's list of who reads and writes what, if it is half written, as a killed DVC may leave it.

    With it no DVC command works any more (3.67.1). A DVC that writes it now is done by the second look.
    """
    for _ in range(2):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except ValueError:
            time.sleep(_SECOND_LOOK_SECONDS)
        else:
            return
    path.unlink(missing_ok=True)


def _merge(into: dict[str, Any], values: dict[str, Any]) -> bool:
    """Set nested values; whether anything was different."""
    changed = False
    for key, value in values.items():
        if isinstance(value, dict):
            changed |= _merge(into.setdefault(key, {}), value)
        elif str(into.get(key)) != value:
            into[key], changed = value, True
    return changed


def source_parameter(given: str, settings: Settings) -> str:
    """A source typed in the current folder as `params.yaml` has it: paths relative to the source root."""
    if ":" in given.split("/")[0]:
        return given
    return Path(os.path.relpath(Path(given).expanduser().resolve(), settings.source_root.resolve())).as_posix()
