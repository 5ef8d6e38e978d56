"""The outside world becomes a manifest, the release to beat and the one to start from, each file by its SHA-256.

The world enters once: a manifest made for the same `discover` section is kept until `ABCD_DISCOVER=1` asks for a
new look. A touched file changes nothing, because only bytes count.
"""

import hashlib
import json
import logging
import platform
import shutil
from pathlib import Path
from typing import Any

from infra.settings import Settings
from tasks.big_data.base import fetch_base
from tasks.big_data.documents import EVALUATION_FILE, EVALUATION_SCHEMA, write_table
from tasks.big_data.look import Found, look
from tasks.big_data.manifest import MANIFEST, compared, read_manifest, write_manifest
from tasks.big_data.personal_names import read_names
from tasks.big_data.places import Places, link_or_copy
from tasks.big_data.sources import Digests
from tasks.params import STDLIB_URI, Params
from tasks.report import Report, StepError, write_json

logger = logging.getLogger(__name__)

# What a look depends on of all that is said of a source.
_ASKED = ("uri", "format", "exclude", "query", "watermark", "key")
BASE, BASE_FILES, CHAMPION, SNAPSHOTS = "base.json", "base", "champion.json", "snapshots"
NAMES = "names.csv"
_FILES = (MANIFEST, BASE, CHAMPION, NAMES, EVALUATION_FILE)


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write the manifest, the base, the champion, the names and n-grams of evaluations, or keep the ones there are.

    Raises:
        StepError: a source is missing, is empty, or has nothing that can be read; a release cannot be had.
    """
    before = settings.artifacts / "discover"
    kept = None if settings.discover else _kept(before, params)
    if kept:
        for name in _FILES:
            shutil.copyfile(before / name, out / name)
        shutil.copytree(before / BASE_FILES, out / BASE_FILES)
        shutil.copytree(before / SNAPSHOTS, out / SNAPSHOTS, copy_function=link_or_copy)
        logger.info("discover: kept the manifest of %d files; `abcd discover` looks again", kept.facts["files"])
        return kept
    digests = Digests(settings)
    (out / SNAPSHOTS).mkdir()
    found = look(params.discover.sources, settings, digests, out / SNAPSHOTS)
    evaluations = _pin_evaluations(params, settings, digests, out)
    digests.save()
    _say_what_changed(before, found)
    champion = _champion(params, settings)
    write_manifest(out, found.files.values())
    base = fetch_base(params.discover.base, champion, settings, manifest=out / MANIFEST, to=out / BASE_FILES)
    write_json(out / BASE, base)
    write_json(out / CHAMPION, champion)
    names = _names(params.privacy.names_file, settings)
    (out / NAMES).write_bytes(names)
    facts = _facts(found, params, champion) | {"base": base.get("ref"), "names": _names_facts(names)}
    facts["evaluations"] = evaluations
    summary = f"{facts['files']:,} source files, {facts['bytes'] / 1e6:.1f} MB"
    return Report(step="discover", summary=summary, facts=facts)


def _say_what_changed(before: Path, found: Found) -> None:
    """In the log alone: the report says what there is, whatever was there before."""
    try:
        counts = compared(read_manifest(before), found.files.values())
    except StepError:
        return
    logger.info("discover: since the look before, %s", ", ".join(f"{n:,} {what}" for what, n in counts.items()))


def _kept(folder: Path, params: Params) -> Report | None:
    """Report of the manifest that is there, if it is whole and was made for the same question."""
    try:
        report = Report.read(folder)
    except (OSError, ValueError):
        return None
    whole = all((folder / name).is_dir() for name in (BASE_FILES, SNAPSHOTS)) and all(
        (folder / name).is_file() for name in _FILES
    )
    return report if whole and report.facts.get("params_digest") == _digest(params) else None


def _digest(params: Params) -> str:
    """Of the question that the world is asked: what later steps are told of a source is no part of it."""
    asked = params.discover.model_dump(exclude={"sources"})
    asked["names_file"] = params.privacy.names_file
    asked["sources"] = [[getattr(source, name) for name in _ASKED] for source in params.discover.sources]
    asked["evaluation_files"] = params.dedup.evaluation_files
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _pin_evaluations(params: Params, settings: Settings, digests: Digests, out: Path) -> dict[str, Any]:
    """Write what must not be trained on."""
    if not params.dedup.evaluation_files:
        write_table(out / EVALUATION_FILE, EVALUATION_SCHEMA.to_frame())
        return {}
    # Here, because only who has evaluations waits for numba.
    from tasks.big_data.evaluation import pin

    return pin(params.dedup.evaluation_files, settings, digests, out)


def _names(names_file: str | None, settings: Settings) -> bytes:
    """The company's list of names, pinned as it is now; nothing if there is none."""
    if names_file is None:
        return b""
    try:
        data = Places(settings).one(names_file, names_file).read()
    except OSError as error:
        raise StepError(f"privacy.names_file {names_file} cannot be read: {error.strerror or error}") from error
    read_names(data, names_file)
    return data


def _names_facts(data: bytes) -> dict[str, Any]:
    """How many there are, and which list it was; never what is in it."""
    entries = len(read_names(data, NAMES)) if data else 0
    return {"entries": entries, "sha256": hashlib.sha256(data).hexdigest() if data else None}


def _champion(params: Params, settings: Settings) -> dict[str, Any]:
    """The release to beat, pinned; {} if there is none yet."""
    # Here, because only a new look at the world needs the registry.
    from infra import releases
    from infra.storage import StorageError

    try:
        return releases.champion(settings, params.model_name)
    except StorageError as error:
        raise StepError(f"the release to beat cannot be read: {error}") from error


def _facts(found: Found, params: Params, champion: dict[str, Any]) -> dict[str, Any]:
    sources: dict[str, dict[str, int]] = {source.uri: {"files": 0, "bytes": 0} for source in params.discover.sources}
    for file in found.files.values():
        sources[file.source]["files"] += 1
        sources[file.source]["bytes"] += file.size
    facts = {
        "model_name": params.model_name,
        "params_digest": _digest(params),
        "files": len(found.files),
        "bytes": sum(file.size for file in found.files.values()),
        "sources": sources,
        "named_twice": found.named_twice,
        "ignored": dict(sorted(found.ignored.items())),
        "ignored_examples": found.ignored_examples,
        "skipped_folders": dict(sorted(found.skipped_folders.items())),
        "unreadable": found.unreadable,
        "champion": champion.get("version"),
    }
    return facts | ({"python": platform.python_version()} if STDLIB_URI in sources else {})
