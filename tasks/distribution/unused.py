"""What distribution keeps that nothing needs: blobs of no release, remembered bits, measurements of lost weights."""

import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from infra.releases import Registry
from infra.settings import Settings
from infra.signed_log import File, Release
from infra.storage import LocalStore
from infra.unused import Unused
from tasks.distribution import unused_data
from tasks.distribution.champion import remembered_bits
from tasks.distribution.run_record import RECORD_FILE
from tasks.report import read_json, sha256_of

_BLOB = re.compile(r"blobs/sha256/[0-9a-f]{64}")
_BITS = re.compile(r"[0-9a-f]{64}\.bits")
_PAGE = re.compile(r"report\.html|[a-z_]+\.log")
_DAY_SECONDS = 86_400.0
_MEASURED = re.compile(r"measured/([0-9a-f]{64})\.(?:json|png)")


@dataclass(frozen=True)
class _Blobs(Unused):
    """Blobs that a publisher may find and name while they are removed: they are set aside until that is ruled out.

    A publisher names its blobs and then looks whether they are there, this looks who names them after they are gone:
    one of the two sees the other, and puts them back.
    """

    registry: Registry = field(kw_only=True)
    aside: Path = field(kw_only=True)

    def remove(self) -> None:
        """Remove the blobs, and put those back that a release names by now."""
        self.aside.mkdir(parents=True, exist_ok=True)
        for file in self.files:
            with suppress(FileNotFoundError):
                self.store.download(file.name, self.aside / PurePosixPath(file.name).name)
        super().remove()
        _put_back(self.registry, self.aside)


def _put_back(registry: Registry, aside: Path) -> None:
    """Blobs that were set aside, also by a process that was killed, go back where a release names them."""
    if not aside.is_dir():
        return
    releases = [release for name in registry.models() for release in registry.log(name).releases]
    named = _blobs_of(releases)
    for path in aside.iterdir():
        blob = File(sha256=path.name, size=path.stat().st_size).blob
        if blob in named and not registry.store.exists(blob):
            registry.store.put(blob, path, sha256=path.name)
    shutil.rmtree(aside)


def _blobs_of(releases: Iterable[Release]) -> set[str]:
    return {file.blob for release in releases for file in (*release.files.values(), release.record)}


def unused(settings: Settings, *, remote: bool, now: float) -> list[Unused]:
    """Files to remove; those of the DVC remote too if `remote`.

    Raises:
        StepError: git refuses.
        StorageError: the registry cannot be read or was tampered with: what its releases need cannot be told.
    """
    registry = Registry.of(settings)
    aside = settings.state / "gc"
    _put_back(registry, aside)
    # Listed before the logs are read: what a publisher stores from now on is not in it.
    stored = registry.store.files()
    logs = [registry.log(name) for name in registry.models()]
    releases = [release for log in logs for release in log.releases]
    named = _blobs_of(releases)
    blobs = tuple(f for f in stored if _BLOB.fullmatch(f.name) and f.name not in named and f.is_stale(now))
    halves = tuple(f for f in stored if f.name.startswith(".tmp/") and f.is_stale(now))
    return [
        _Blobs(
            "blobs in the registry",
            "named by no release, older than a day",
            registry.store,
            blobs,
            shared=True,
            registry=registry,
            aside=aside,
        ),
        Unused(
            "unfinished files",
            "left by a publisher that was killed more than a day ago",
            registry.store,
            halves,
            shared=True,
        ),
        *unused_data.unused(settings, registry, logs, remote=remote, now=now),
        _remembered(settings),
        _measured(settings, releases),
        _pages(settings, now),
    ]


def _remembered(settings: Settings) -> Unused:
    """Bits of documents under a champion that is not the one that gate compares with now."""
    kind, store = "remembered bits of champions", LocalStore(settings.cache / "gate")
    if others := Unused.of_others(settings, store, kind=kind, setting="ABCD_CACHE"):
        return others
    held_out = settings.artifacts / "pack" / "held_out.parquet"
    try:
        pinned = read_json(settings.artifacts / "discover" / "champion.json")
        kept = remembered_bits(pinned, settings, held_out).name if pinned else ""
    except FileNotFoundError as error:
        reason = f"what gate compares with cannot be told: {error.filename} is missing"
        return Unused(kind, "", store, left_alone=reason)
    files = tuple(f for f in store.files() if _BITS.fullmatch(f.name) and f.name != kept)
    return Unused(kind, "of other champions or other documents than gate compares now", store, files)


def _measured(settings: Settings, releases: list[Release]) -> Unused:
    """What training took, of weights that are neither released nor in the workspace."""
    kind, store = "measurements of trainings", LocalStore(settings.records)
    if others := Unused.of_others(settings, store, kind=kind, setting="ABCD_RECORDS"):
        return others
    known = {release.summary.weights_sha256 for release in releases}
    weights = settings.artifacts / "train" / "model.safetensors"
    if not weights.is_file():
        return Unused(kind, "", store, left_alone=f"which weights come next cannot be told: {weights} is missing")
    known.add(sha256_of(weights))
    matches = [(f, _MEASURED.fullmatch(f.name)) for f in store.files("measured")]
    files = tuple(f for f, match in matches if match and match[1] not in known)
    return Unused(kind, "of weights that no release has and the workspace has not", store, files)


def _pages(settings: Settings, now: float) -> Unused:
    """Reports and logs of runs that ended long ago; their records stay."""
    kind, store = "reports and logs of runs", LocalStore(settings.records)
    if others := Unused.of_others(settings, store, kind=kind, setting="ABCD_RECORDS"):
        return others
    since = now - settings.keep_runs_days * _DAY_SECONDS
    ended = {
        record.parent.name for record in settings.records.glob(f"*/{RECORD_FILE}") if record.stat().st_mtime < since
    }
    files = tuple(
        file for name in sorted(ended) for file in store.files(name) if _PAGE.fullmatch(PurePosixPath(file.name).name)
    )
    return Unused(
        kind, f"of runs that ended over {settings.keep_runs_days:g} days ago; their records stay", store, files
    )
