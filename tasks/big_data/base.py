"""The release that `discover.base` names -> its weights and tokenizer, fetched by digest: what training goes on from.

They become outputs of `discover`, so that no later step looks outside and a run can be had again without the registry.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.settings import Settings
from tasks.params import CHAMPION_BASE
from tasks.report import StepError, sha256_of

FILES = ("blueprint.json", "model.safetensors", "tokenizer.json")
# What the base was trained on, which must not judge the new model; early releases do not say.
_TRAINED = "data/trained.npy"


def fetch_base(
    asked: str | None, champion: Mapping[str, Any], settings: Settings, *, manifest: Path, to: Path
) -> dict[str, Any]:
    """What was pinned, its files in the new folder `to`; {} and an empty folder: from nothing.

    The champion's own base takes its place if the champion was trained on this very manifest: a run again, with nothing
    new, is the same run.

    Args:
        asked: `discover.base`.
        champion: as pinned, {} when there is none yet: then training starts from nothing.
        settings: registry.
        manifest: of the sources as they are now.
        to: folder to make.

    Raises:
        StepError: there is no such release, or its bytes cannot be had.
    """
    # Here, because only who asks for a base needs the registry.
    from infra.releases import Registry, pinned
    from infra.storage import StorageError

    to.mkdir()
    try:
        if asked == CHAMPION_BASE:
            base = _before(champion, settings, sha256_of(manifest)) if champion else {}
        elif asked:
            log, release = Registry.of(settings).release(asked)
            base = _described(pinned(log, release.version))
        else:
            base = {}
        _fetch(base, settings, to)
    except StorageError as error:
        raise StepError(f"the release to start from (discover.base: {asked}) cannot be read: {error}") from error
    return base


def _before(champion: Mapping[str, Any], settings: Settings, manifest_sha256: str) -> dict[str, Any]:
    """The champion, or, if it was made from this manifest, what it was made from."""
    from infra.releases import Registry
    from infra.signed_log import File

    described = _described(champion)
    record = Registry.of(settings).blob(File.model_validate(champion["record"]), what=f"{described['ref']} record")
    made_of = json.loads(record)
    if made_of.get("manifest", {}).get("sha256") != manifest_sha256:
        return described
    before: dict[str, Any] = made_of.get("base", {})
    return before


def _described(release: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a base the same base: its entry in the log, its files by digest."""
    ref = f"{release['name']}@v{release['version']}"
    missing = [name for name in FILES if name not in release["files"]]
    if missing:
        raise StepError(f"{ref} has no {', '.join(missing)}, and training goes on from {', '.join(FILES)}")
    files = {name: release["files"][name] for name in (*FILES, _TRAINED) if name in release["files"]}
    return {"ref": ref, "release": release["release"], "files": files}


def _fetch(base: Mapping[str, Any], settings: Settings, to: Path) -> None:
    from infra.releases import Registry
    from infra.signed_log import File

    for name, file in base.get("files", {}).items():
        Registry.of(settings).fetch(File.model_validate(file), to / Path(name).name, what=f"{base['ref']} {name}")
