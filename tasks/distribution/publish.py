"""What the steps left becomes a release: data and outputs in the DVC remote, blobs and a signed entry in the registry.

Not a step: it has an effect outside. Done twice, or after a run that changed nothing, or killed anywhere and done
again, it makes one release.
"""

import hashlib
import logging
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field

from infra.lock import workspace_lock
from infra.outputs import outputs_of, require_sound_outputs
from infra.releases import CANDIDATE, CHAMPION, Registry
from infra.settings import Settings
from infra.signed_log import Release, Summary, canonical
from tasks import params as params_file
from tasks.distribution.code_state import is_only_here
from tasks.distribution.dvc_remote import push_data
from tasks.distribution.promotion import promote_as_judged
from tasks.distribution.record import make_record
from tasks.distribution.registry import add_release, advance_alias, find_release, put_bytes, put_file, signing_key
from tasks.distribution.verdict import Verdict
from tasks.report import Report, StepError, read_json, sha256_of

logger = logging.getLogger(__name__)

# Of a champion that moved only these steps see anything, and they make no other model.
_NOT_RELEASED = ("gate", "discover", "drift")
# What a later night holds its documents against.
_DATA_FILES = ("profile.json", "known.npy", "trained.npy")


class PublishedRelease(BaseModel):
    """The release that `artifacts/` now is in the registry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int
    is_new: bool = Field(description="false: it was published before, nothing was added")
    decision: str = Field(description="the gate's: promote, refuse or ask")
    reasons: tuple[str, ...]
    is_champion: bool
    note: str = Field(default="", description="why it is not the champion though the gate would have it")
    bits_per_byte: float | None
    weights_sha256: str

    @property
    def ref(self) -> str:
        """Name by which it can be pulled."""
        return f"{self.name}@v{self.version}"


def publish(settings: Settings) -> PublishedRelease:
    """Publish what is in `artifacts/`; the caller has checked that it is current with `dvc.lock`.

    Raises:
        StepError: a step's output is missing or does not fit the others, or the data could not be pushed.
        DamagedError: an output is not what `dvc.lock` says.
        StorageError: the registry refuses or cannot be reached.
    """
    with workspace_lock(settings.state, what="publish"):
        params = params_file.load(settings.workspace / "params.yaml")
        _require_outputs(settings)
        verdict = Verdict.model_validate(read_json(settings.artifacts / "gate" / "verdict.json"))
        _require_verdict_on_these_weights(settings, verdict)
        require_sound_outputs(settings)
        name = params.model_name
        push_data(settings)
        registry, key = Registry.of(settings), signing_key(settings.keys)
        release, is_new = store_release(settings, registry, key, name, verdict)
        advance_alias(registry, key, name, CANDIDATE, release.version)
        note = promote_as_judged(registry, key, name, release.version, verdict)
        is_champion = registry.log(name).aliases.get(CHAMPION) == release.version
    return PublishedRelease(
        name=name,
        version=release.version,
        is_new=is_new,
        decision=verdict.decision,
        reasons=tuple(verdict.reasons),
        is_champion=is_champion,
        note=note,
        bits_per_byte=release.summary.bits_per_byte,
        weights_sha256=release.summary.weights_sha256,
    )


def store_release(
    settings: Settings, registry: Registry, key: Ed25519PrivateKey, name: str, verdict: Verdict
) -> tuple[Release, bool]:
    """The release of these outputs, found by identity or made: blobs, record, entry; and whether it is new."""
    identity = identity_of(settings, name)
    known = find_release(registry.log(name), identity)
    if known:
        return known, False
    paths = _release_files(settings.artifacts)
    files = {name: put_file(registry, path) for name, path in paths.items()}
    record = make_record(settings, name=name, identity=identity, verdict=verdict.model_dump(mode="json"))
    commit = record["code"]["commit"]
    if not commit or record["code"]["patch"] or record["code"]["left_out"]:
        logger.warning("the release is of code that is not committed; its record keeps the changes as a patch")
    if commit and is_only_here(settings.main, commit):
        logger.warning(
            "commit %s is on no git remote: without `git push`, `abcd reproduce` makes this release again here alone",
            commit[:12],
        )
    release, is_new = add_release(
        registry,
        key,
        name,
        identity=identity,
        files=files,
        record=put_bytes(registry, canonical(record)),
        summary=_summary(settings, verdict),
    )
    if is_new:
        _put_missing(registry, release, paths, canonical(record))
    return release, is_new


def _release_files(artifacts: Path) -> dict[str, Path]:
    """Files of a release by their names in it: the export, and under `data/` what it says of its documents."""
    export = artifacts / "export"
    exported = sorted(path for path in export.rglob("*") if path.is_file())
    files = {path.relative_to(export).as_posix(): path for path in exported}
    return files | {f"data/{name}": artifacts / "drift" / name for name in _DATA_FILES}


def _put_missing(registry: Registry, release: Release, paths: dict[str, Path], record: bytes) -> None:
    """Blobs that `abcd gc` of someone removed before a release named them, stored again."""
    for path, file in release.files.items():
        if not registry.store.exists(file.blob):
            put_file(registry, paths[path])
    if not registry.store.exists(release.record.blob):
        put_bytes(registry, record)


def identity_of(settings: Settings, name: str) -> str:
    """Digest of what would be released: the name, the manifest and every output in `dvc.lock`, the gate's apart."""
    steps = outputs_of((settings.workspace / "dvc.lock").read_text(encoding="utf-8"))
    outputs = {step: outs for step, outs in steps.items() if step not in _NOT_RELEASED}
    discover = settings.artifacts / "discover"
    world = {file: sha256_of(discover / file) for file in ("sources.jsonl", "base.json")}
    return hashlib.sha256(canonical({"name": name, "outputs": outputs, "world": world})).hexdigest()


def _summary(settings: Settings, verdict: Verdict) -> Summary:
    artifacts = settings.artifacts
    blueprint = read_json(artifacts / "blueprint" / "blueprint.json")
    return Summary(
        weights_sha256=sha256_of(artifacts / "train" / "model.safetensors"),
        tokenizer_sha256=sha256_of(artifacts / "tokenizer" / "tokenizer.json"),
        held_out_sha256=sha256_of(artifacts / "pack" / "held_out.parquet"),
        parameters=blueprint["total_parameters"],
        active_parameters=blueprint["active_parameters"],
        bits_per_byte=Report.read(artifacts / "evaluate").facts["bits_per_byte"],
        decision=verdict.decision,
    )


def _require_outputs(settings: Settings) -> None:
    needed = [settings.workspace / "dvc.lock"]
    for step in ("discover", "tokenizer", "pack", "blueprint", "drift", "train", "evaluate", "export", "gate"):
        needed.append(settings.artifacts / step / "report.json")
    missing = [str(path.relative_to(settings.workspace)) for path in needed if not path.is_file()]
    if missing:
        raise StepError(f"nothing to publish: {', '.join(missing)} missing; type `dvc repro` or `make run` first")


def _require_verdict_on_these_weights(settings: Settings, verdict: Verdict) -> None:
    weights = sha256_of(settings.artifacts / "train" / "model.safetensors")
    if verdict.weights_sha256 != weights:
        raise StepError(
            f"the gate judged weights {verdict.weights_sha256[:12]}…, artifacts/train has {weights[:12]}…; "
            "type `dvc repro` to judge these"
        )
