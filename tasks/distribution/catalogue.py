"""The registry for people: a row a release, and all that is known of one."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from infra.releases import Registry
from infra.settings import Settings
from infra.signed_log import Log, Release


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
    return {**row.model_dump(mode="json"), **body, "key": log.key, "record": record}


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
