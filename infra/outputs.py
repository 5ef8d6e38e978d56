"""Outputs that `dvc.lock` names, every byte looked at; what is not what it says is removed, so that DVC makes it anew.

DVC believes a file of its cache that nobody may write to, and a file of the workspace whose size and times it has seen
(measured with 3.67.1): a bit that flips on the disk would be restored, trained on and released. So a step looks at what
it reads, and publish at all that it publishes.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML

from infra.settings import Settings

FOLDER = ".dir"


class DamagedError(RuntimeError):
    """Outputs are not what `dvc.lock` says; the message names them and the next move."""


class _Expected(NamedTuple):
    path: Path
    md5: str


def outputs_of(lock_text: str) -> dict[str, dict[str, str]]:
    """Digest of each output path of each step of a `dvc.lock`."""
    lock = YAML(typ="safe").load(lock_text)
    return {
        step: {out["path"]: out[out.get("hash", "md5")] for out in entry.get("outs", ())}
        for step, entry in lock["stages"].items()
    }


def object_name(digest: str) -> str:
    """Name of an object in DVC's cache and remote."""
    return f"files/md5/{digest[:2]}/{digest[2:]}"


def require_sound_inputs(settings: Settings, step: str) -> None:
    """Look at every output that a step reads.

    Raises:
        DamagedError: one is not what `dvc.lock` says.
    """
    stages = YAML(typ="safe").load((settings.workspace / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    read = [dep for dep in stages[step].get("deps", ()) if dep.startswith(f"{settings.artifacts.name}/")]
    outputs = {
        path: digest
        for path, digest in _all_outputs(settings).items()
        if any(dep == path or dep.startswith(f"{path}/") for dep in read)
    }
    _require_sound(settings, outputs, cache_too=False)


def require_sound_outputs(settings: Settings) -> None:
    """Look at every output, and at its copy in DVC's cache, which is what a push pushes.

    Raises:
        DamagedError: one is not what `dvc.lock` says.
    """
    _require_sound(settings, _all_outputs(settings), cache_too=True)


def _all_outputs(settings: Settings) -> dict[str, str]:
    lock = settings.workspace / "dvc.lock"
    if not lock.is_file():
        return {}
    steps = outputs_of(lock.read_text(encoding="utf-8"))
    return {path: digest for outs in steps.values() for path, digest in outs.items()}


def _require_sound(settings: Settings, outputs: dict[str, str], *, cache_too: bool) -> None:
    expected = [file for path, digest in outputs.items() for file in _files(settings, path, digest)]
    bad = _removed(expected)
    suspects = list(dict.fromkeys(file.md5 for file in (expected if cache_too else bad)))
    bad += _removed([_Expected(settings.dvc_cache / object_name(md5), md5) for md5 in suspects])
    if bad:
        first = bad[0].path
        raise DamagedError(
            f"{len(bad)} files are not what dvc.lock says, as {os.path.relpath(first, settings.workspace)} (expected "
            f"MD5 {bad[0].md5}): the disk damaged them, or something wrote to them. They were removed; type the same "
            "command again, or `dvc repro`: they are restored or made anew"
        )


def _files(settings: Settings, path: str, digest: str) -> Iterator[_Expected]:
    """Files of an output; of a folder, its list in the cache first. Without that list nothing can be said."""
    target = settings.workspace / path
    if not digest.endswith(FOLDER):
        yield _Expected(target, digest)
        return
    listed = settings.dvc_cache / object_name(digest)
    try:
        content = listed.read_bytes()
    except FileNotFoundError:
        return
    yield _Expected(listed, digest.removesuffix(FOLDER))
    if hashlib.md5(content, usedforsecurity=False).hexdigest() == digest.removesuffix(FOLDER):
        yield from (_Expected(target / entry["relpath"], entry["md5"]) for entry in json.loads(content))


def _removed(expected: Sequence[_Expected]) -> list[_Expected]:
    """Those of the files that are there with other bytes; they are gone now."""
    with ThreadPoolExecutor() as pool:
        sound = list(pool.map(_is_sound, expected))
    bad = [file for file, good in zip(expected, sound, strict=True) if not good]
    for file in bad:
        file.path.unlink(missing_ok=True)
    return bad


def _is_sound(file: _Expected) -> bool:
    """Whether the bytes are the expected ones; a missing file is DVC's to find."""
    try:
        with file.path.open("rb") as opened:
            return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == file.md5
    except FileNotFoundError:
        return True
