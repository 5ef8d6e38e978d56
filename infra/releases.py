"""Reading releases: logs whose every entry is verified, blobs whose every byte is, and no way back in time.

A reader remembers, in `Settings.state`, the key that it first saw a model's log signed by and the highest
entry it saw: another key, a shorter log or another entry in that place is refused. Writing is in
`tasks/distribution/registry.py`.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from filelock import FileLock

from infra.entries import Entries
from infra.settings import Settings
from infra.signed_log import File, Log, Release, file_name, folder_of, read_log
from infra.storage import Content, StorageError, Store, content_of, open_store

CHAMPION = "champion"
CANDIDATE = "candidate"
_REF = re.compile(r"^(?P<name>[^@/]+)@(?:v(?P<version>[1-9][0-9]*)|(?P<alias>[a-z][a-z-]*))$")
_REF_FORMS = "NAME@vN or NAME@ALIAS, as in my-model@v3 or my-model@champion"
_RESTORE = "restore that file from a copy"


class RegistryError(StorageError):
    """The registry refuses: what was asked for is not there, or what is there is not what was written."""


class Registry:
    """Releases of all models in one store."""

    def __init__(self, store: Store, memory: Path) -> None:
        """`memory`: folder in which this reader keeps what it has seen."""
        self.store = store
        self.memory = memory

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Registry that the settings name."""
        store = open_store(settings.registry)
        return cls(store, settings.seen / hashlib.sha256(store.root.encode()).hexdigest()[:16])

    def models(self) -> list[str]:
        """Names of all models, those included that were seen before and are gone."""
        seen = {path.stem for path in self.memory.glob("*.json")} if self.memory.is_dir() else set()
        return sorted({*self.store.names("models"), *seen})

    def require_model(self, name: str) -> None:
        """See that there is a model of that name.

        Raises:
            RegistryError: there is none, with those that there are.
        """
        models = self.models()
        if name not in models:
            known = ", ".join(models) or "none yet"
            raise RegistryError(f"no model {name} in {self.store.root}; there are: {known}")

    def log(self, name: str) -> Log:
        """A model's log; empty when it has none.

        Raises:
            RegistryError: anything is wrong with it, the first problem by name.
        """
        log = self.examine(name)
        if log.problems:
            first = log.problems[0]
            advice = "" if "restore" in first else f"; {_RESTORE}"
            raise RegistryError(f"{self.store.root}: {first}{advice}{_and_more(len(log.problems) - 1)}")
        return log

    def examine(self, name: str, *, everything: bool = False) -> Log:
        """A model's log with all its problems, what this reader remembers held against it.

        `everything` reads each byte anew, also where the store says that it is as it was when it was verified.
        """
        path = self.memory / f"{name}.json"
        # Before the log: what another process sees and remembers while we read need not be in what we read.
        seen = _seen(path)
        entries = Entries(self.store, folder_of(name), self.memory / f"{name}.entries")
        contents = entries.read(everything=everything)
        log = read_log(name, contents)
        if log.problems and entries.took_from_memory:  # whose fault it is, the store's or the memory's
            contents = entries.read(everything=True)
            log = read_log(name, contents)
        if not log.entries and not seen:
            return log
        problems = (*log.problems, *_rewritten(log, seen, path))
        if not problems:
            self.memory.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                entries.keep(contents)
                if len(log.entries) > _seen(path).get("entries", 0):
                    _remember(path, {"key": log.key, "entries": len(log.entries), "last": log.digests[-1]})
        return Log(name, log.entries, log.digests, problems)

    def release(self, ref: str) -> tuple[Log, Release]:
        """The release that `NAME@vN` or `NAME@ALIAS` names, and its model's log.

        Raises:
            RegistryError: no such model, version or alias, with those that there are.
        """
        match = _REF.match(ref)
        if not match:
            raise RegistryError(f"{ref!r} names no release: expected {_REF_FORMS}")
        name, alias = match["name"], match["alias"]
        self.require_model(name)
        log = self.log(name)
        version = log.aliases.get(alias, 0) if alias else int(match["version"])
        if not 1 <= version <= len(log.releases):
            names = [*(f"v{r.version}" for r in log.releases), *sorted(log.aliases)]
            raise RegistryError(f"{ref}: not in {self.store.root}; {name} has {', '.join(names) or 'no release'}")
        return log, log.releases[version - 1]

    def blob(self, file: File, *, what: str) -> bytes:
        """Verified bytes of a blob; `what` is its name for people.

        Raises:
            RegistryError: the blob is missing or its bytes were changed.
        """
        try:
            data = self.store.read(file.blob)
        except FileNotFoundError:
            raise self._missing(file, what) from None
        self._compare(file, content_of(data), what)
        return data

    def fetch(self, file: File, to: Path, *, what: str) -> None:
        """Stream a blob into a new file, which is gone again when its bytes are not what was written.

        Raises:
            RegistryError: the blob is missing or its bytes were changed.
        """
        try:
            self._compare(file, self.store.download(file.blob, to), what)
        except FileNotFoundError:
            to.unlink(missing_ok=True)
            raise self._missing(file, what) from None
        except BaseException:
            to.unlink(missing_ok=True)
            raise

    def check(self, file: File, *, what: str) -> None:
        """Read every byte of a blob and compare.

        Raises:
            RegistryError: the blob is missing or its bytes were changed.
        """
        try:
            came = self.store.content(file.blob)
        except FileNotFoundError:
            raise self._missing(file, what) from None
        self._compare(file, came, what)

    def _compare(self, file: File, came: Content, what: str) -> None:
        if came != (file.sha256, file.size):
            raise RegistryError(
                f"{what}: {self.store.where(file.blob)} was changed: expected {file.size} bytes with SHA-256 "
                f"{file.sha256}, found {came.size} with {came.sha256}; {_RESTORE}"
            )

    def _missing(self, file: File, what: str) -> RegistryError:
        return RegistryError(f"{what}: {self.store.where(file.blob)} is missing; restore that file from a copy")


def champion(settings: Settings, name: str) -> dict[str, Any]:
    """The release of `name` that a new one must beat, by digest; {} when there is none.

    Returns:
        name, version, release (digest of its log entry), identity, files, record, and the fields of `Summary`
        except the verdict.

    Raises:
        StorageError: the registry cannot be read or was tampered with.
    """
    log = Registry.of(settings).log(name)
    version = log.aliases.get(CHAMPION)
    return pinned(log, version) if version else {}


def pinned(log: Log, version: int) -> dict[str, Any]:
    """A release of a log by digest; `champion` names the fields."""
    release, digest = log.releases[version - 1], log.entry_of(version)[1]
    summary = release.summary.model_dump(mode="json", exclude={"decision"})
    described = release.model_dump(mode="json", include={"version", "identity", "files", "record"})
    return {"name": log.name, "release": digest, **described, **summary}


def _rewritten(log: Log, seen: Mapping[str, Any], path: Path) -> list[str]:
    """What contradicts the reader's memory."""
    if not seen:
        return []
    folder, last = folder_of(log.name), file_name(seen["entries"] - 1)
    advice = f"restore it; if you know why, forget what was seen by deleting {path}"
    if len(log.entries) < seen["entries"] and not log.problems:
        return [f"{folder}/{last}: was seen here before and is gone: the log was cut short; {advice}"]
    if log.key and log.key != seen["key"]:
        return [f"{folder}/{file_name(0)}: names another key than before; {advice}"]
    if not log.problems and log.digests[seen["entries"] - 1] != seen["last"]:
        return [f"{folder}/{last}: is another entry than was seen here before; {advice}"]
    return []


def _seen(path: Path) -> dict[str, Any]:
    """What this reader remembers of a log; {} before its first look."""
    try:
        seen: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise RegistryError(
            f"{path}, in which this reader keeps what it saw of the log, was damaged ({error}); restore it, or, if the "
            "registry's copies agree (`abcd verify` elsewhere), forget what was seen by deleting it"
        ) from None
    return seen


def _remember(path: Path, seen: Mapping[str, Any]) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(seen))
    fresh.replace(path)


def _and_more(count: int) -> str:
    return f" (and {count} more; `abcd verify` lists them)" if count > 0 else ""
