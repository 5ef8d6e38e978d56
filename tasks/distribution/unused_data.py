"""DVC's cache and remote -> their objects that nothing names, and runs that DVC remembers without their outputs."""

import re
from collections.abc import Iterable

from infra.releases import Registry
from infra.settings import Settings
from infra.signed_log import Log
from infra.storage import LocalStore, Store, open_store
from infra.unused import Unused
from tasks.distribution.references import named_digests, object_digest, with_files

_CACHE = "objects in the DVC cache"
_WHY = "named by no git ref, no release and not by the workspace"
_RUN = re.compile(r"runs/[0-9a-f]{2}/[0-9a-f]{64}/[0-9a-f]{64}")
# The last part of a remembered run, each output with its digest.
_OUTPUTS = re.compile(r"^outs:\n(.*?)(?=^[a-z]|\Z)", re.MULTILINE | re.DOTALL)
_DIGEST = re.compile(r"\bmd5: '?([0-9a-f]{32}(?:\.dir)?)\b")


def unused(settings: Settings, registry: Registry, logs: Iterable[Log], *, remote: bool, now: float) -> list[Unused]:
    """Objects of the cache, of the remote too if `remote`, and remembered runs.

    Raises:
        StepError: git refuses.
        StorageError: something that names objects cannot be read.
    """
    cache, pushed = LocalStore(settings.dvc_cache), open_store(settings.remote)
    others = Unused.of_others(settings, cache, kind=_CACHE, setting="ABCD_DVC_CACHE")
    if others and not remote:
        return [others]
    stores: list[Store] = [cache, pushed]
    needed = with_files(named_digests(settings, registry, logs), stores)
    found = [others] if others else _in_cache(cache, needed)
    if remote:
        # Not what is younger: a publisher pushes first and names it afterwards; a young list may name old files.
        there = pushed.files()
        young = {digest for f in there if not f.is_stale(now) and (digest := object_digest(f.name))}
        kept = needed | with_files(young, [pushed])
        files = tuple(f for f in there if _is_unneeded(f.name, kept))
        found.append(Unused("objects in the DVC remote", f"{_WHY}, older than a day", pushed, files, shared=True))
    return found


def _in_cache(cache: LocalStore, needed: set[str]) -> list[Unused]:
    """Remembered runs first: a run without its outputs would be found and then not restored."""
    files = cache.files()
    runs = tuple(file for file in files if _RUN.fullmatch(file.name) and not _is_restorable(cache, file.name, needed))
    objects = tuple(file for file in files if _is_unneeded(file.name, needed))
    return [
        Unused("runs that DVC remembers", "their outputs are not needed", cache, runs),
        Unused(_CACHE, _WHY, cache, objects),
    ]


def _is_unneeded(name: str, needed: set[str]) -> bool:
    """Whether it is an object, and nothing names it."""
    digest = object_digest(name)
    return digest is not None and digest not in needed


def _is_restorable(cache: LocalStore, name: str, needed: set[str]) -> bool:
    """Whether all outputs of a remembered run stay; one that is not understood is left alone."""
    try:
        text = cache.read(name).decode()
    except (FileNotFoundError, UnicodeDecodeError):
        return True
    outputs = _OUTPUTS.search(text)
    digests = set(_DIGEST.findall(outputs[1])) if outputs else set()
    return digests <= needed
