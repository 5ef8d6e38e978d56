"""What distribution keeps that nothing needs: blobs of no release, remembered bits, measurements of lost weights."""

import re

from infra.releases import Registry
from infra.settings import Settings
from infra.signed_log import Release
from infra.storage import LocalStore
from infra.unused import Unused
from tasks.distribution import unused_data
from tasks.distribution.champion import remembered_bits
from tasks.report import read_json, sha256_of

_BLOB = re.compile(r"blobs/sha256/[0-9a-f]{64}")
_BITS = re.compile(r"[0-9a-f]{64}\.parquet")
_MEASURED = re.compile(r"measured/([0-9a-f]{64})\.json")


def unused(settings: Settings, *, remote: bool, now: float) -> list[Unused]:
    """Files to remove; those of the DVC remote too if `remote`.

    Raises:
        StepError: git refuses.
        StorageError: the registry cannot be read or was tampered with: what its releases need cannot be told.
    """
    registry = Registry.of(settings)
    # Listed before the logs are read: what a publisher stores from now on is not in it.
    stored = registry.store.files()
    logs = [registry.log(name) for name in registry.models()]
    releases = [release for log in logs for release in log.releases]
    named = {file.blob for release in releases for file in (*release.files.values(), release.record)}
    blobs = tuple(f for f in stored if _BLOB.fullmatch(f.name) and f.name not in named and f.is_stale(now))
    halves = tuple(f for f in stored if f.name.startswith(".tmp/") and f.is_stale(now))
    return [
        Unused("blobs in the registry", "named by no release, older than a day", registry.store, blobs),
        Unused("unfinished files", "left by a publisher that was killed more than a day ago", registry.store, halves),
        *unused_data.unused(settings, registry, logs, remote=remote, now=now),
        _remembered(settings),
        _measured(settings, releases),
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
    kind, store = "measurements of trainings", LocalStore(settings.runs)
    if others := Unused.of_others(settings, store, kind=kind, setting="ABCD_RUNS"):
        return others
    known = {release.summary.weights_sha256 for release in releases}
    weights = settings.artifacts / "train" / "model.safetensors"
    if not weights.is_file():
        return Unused(kind, "", store, left_alone=f"which weights come next cannot be told: {weights} is missing")
    known.add(sha256_of(weights))
    matches = [(f, _MEASURED.fullmatch(f.name)) for f in store.files("measured")]
    files = tuple(f for f, match in matches if match and match[1] not in known)
    return Unused(kind, "of weights that no release has and the workspace has not", store, files)
