"""The registry for people: a row a release, all that is known of one, and a row a log entry."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from infra.releases import Registry
from infra.settings import Settings
from infra.signed_log import Alias, Entry, Key, Log, Release
from tasks.distribution.succession import standing


class ReleaseRow(BaseModel):
    """One release in a list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int
    aliases: tuple[str, ...] = Field(description="that point to it now")
    released_at: str = Field(description="UTC")
    bits_per_byte: float | None
    parameters: int | None
    active_parameters: int | None
    size: int = Field(description="bytes of its files")
    decision: str = Field(description="of the gate: promote, refuse or ask")


class HistoryRow(BaseModel):
    """One entry of a log: the key that signs it, a release, or a move of an alias."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sequence: int
    at: str = Field(description="UTC")
    kind: str = Field(description="key, release or alias")
    key: str | None = Field(default=None, description="public half, in hex")
    version: int | None = Field(default=None, description="released, or pointed to since")
    decision: str | None = Field(default=None, description="of the gate, on a release")
    bits_per_byte: float | None = None
    alias: str | None = None
    before: int | None = Field(default=None, description="version that the alias pointed to")
    is_return: bool = Field(default=False, description="the alias pointed to that version once before")


def list_releases(settings: Settings, name: str | None = None) -> list[ReleaseRow]:
    """All releases, or one model's, oldest first.

    Raises:
        StorageError: the registry cannot be reached or was tampered with.
    """
    registry = Registry.of(settings)
    names = registry.models() if name is None else [name]
    return [_row(log, release) for log in map(registry.log, names) for release in log.releases]


def show_release(settings: Settings, ref: str) -> dict[str, Any]:
    """All that is known of the release `ref`, its record included, as plain JSON values.

    Raises:
        StorageError: no such release, or it was tampered with.
    """
    registry = Registry.of(settings)
    log, release = registry.release(ref)
    row = _row(log, release)
    record = json.loads(registry.blob(release.record, what=f"{row.name}@v{row.version} record.json"))
    body = release.model_dump(mode="json", include={"identity", "files", "summary"})
    verdict = record.get("verdict", {})
    beaten = (verdict.get("champion") or {}).get("version")
    said = {"standing": standing(log, release, beaten=beaten), "reasons": verdict.get("reasons", [])}
    return {**row.model_dump(mode="json"), **said, **body, "key": log.key, "record": record}


def list_history(settings: Settings, name: str) -> list[HistoryRow]:
    """Every entry of a model's log, oldest first.

    Raises:
        StorageError: no such model, or the registry cannot be reached or was tampered with.
    """
    registry = Registry.of(settings)
    registry.require_model(name)
    entries = registry.log(name).entries
    return [_history_row(entry, entries[:place]) for place, entry in enumerate(entries)]


def _history_row(entry: Entry, earlier: Sequence[Entry]) -> HistoryRow:
    body, facts = entry.body, {"sequence": entry.sequence, "at": entry.at, "kind": entry.body.kind}
    if isinstance(body, Key):
        return HistoryRow(**facts, key=body.public)
    if isinstance(body, Release):
        summary = body.summary
        return HistoryRow(**facts, version=body.version, decision=summary.decision, bits_per_byte=summary.bits_per_byte)
    pointed = {(e.body.alias, e.body.version) for e in earlier if isinstance(e.body, Alias)}
    is_return = (body.alias, body.version) in pointed
    return HistoryRow(**facts, version=body.version, alias=body.alias, before=body.expected, is_return=is_return)


def _row(log: Log, release: Release) -> ReleaseRow:
    summary = release.summary
    return ReleaseRow(
        name=log.name,
        version=release.version,
        aliases=tuple(sorted(alias for alias, version in log.aliases.items() if version == release.version)),
        released_at=log.entry_of(release.version)[0].at,
        bits_per_byte=summary.bits_per_byte,
        parameters=summary.parameters,
        active_parameters=summary.active_parameters,
        size=sum(file.size for file in release.files.values()),
        decision=summary.decision,
    )
