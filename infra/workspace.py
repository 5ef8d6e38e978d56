"""Tell this clone's DVC the whereabouts from the settings; they go into `.dvc/config.local`, which git ignores."""

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from infra.settings import Settings

logger = logging.getLogger(__name__)

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
    _drop_torn(settings.workspace / ".dvc" / "tmp" / "rwlock", json.loads)
    _drop_torn(settings.workspace / "dvc.lock", _read_lock, keep_in=settings.state)
    config = Config(str(settings.workspace / ".dvc"))
    if _merge(config.load_one("local"), wanted):
        with config.edit("local") as local:
            _merge(local, wanted)


def _drop_torn(path: Path, read: Callable[[str], object], keep_in: Path | None = None) -> None:
    """Take away a file of DVC's that is half written, as a killed DVC may leave it; one worth a look is kept aside.

    With it no DVC command works any more (3.67.1). A DVC that writes it now is done by the second look.
    """
    for _ in range(2):
        try:
            read(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except (ValueError, TypeError, KeyError, AttributeError, YAMLError):
            time.sleep(_SECOND_LOOK_SECONDS)
        else:
            return
    if keep_in is None:
        path.unlink(missing_ok=True)
        return
    aside = keep_in / f"{path.name}.torn"
    path.replace(aside)
    logger.warning(
        "%s was half written by a process that was killed; it is now %s; what steps had made is in DVC's cache",
        path, aside,
    )  # fmt: skip


def _read_lock(text: str) -> None:
    """Refuse what is no `dvc.lock`: each stage has its command, and lists."""
    stages = YAML(typ="safe").load(text)["stages"].values()
    if not all({"cmd", "outs"} <= stage.keys() for stage in stages):
        raise ValueError("a stage is cut off")


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
