"""The registry, read: every entry of its logs and every byte of its blobs, and what is wrong, by name."""

from pydantic import BaseModel, ConfigDict, Field

from infra.releases import Registry, RegistryError
from infra.settings import Settings
from infra.signed_log import File, Log


class Verification(BaseModel):
    """What was read and what is wrong with it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...]
    entries: int = Field(description="entries of logs")
    releases: int
    blobs: int
    size: int = Field(description="bytes of blobs")
    problems: tuple[str, ...] = Field(description="each with the name of the file; empty: all is as written")


def verify(settings: Settings, name: str | None = None) -> Verification:
    """Read every entry of the logs and every byte of the blobs, of one model or of all.

    Raises:
        StorageError: the registry cannot be reached, or there is no model of that name.
    """
    registry = Registry.of(settings)
    if name is not None:
        registry.require_model(name)
    logs = [registry.examine(model, everything=True) for model in ([name] if name else registry.models())]
    blobs = _blobs_of(logs)
    problems = [problem for log in logs for problem in log.problems]
    for _, (file, what) in sorted(blobs.items()):
        try:
            registry.check(file, what=what)
        except RegistryError as error:
            problems.append(str(error))
    size = sum(file.size for file, _ in blobs.values())
    if name is None:
        strays = [digest for digest in registry.store.names("blobs/sha256") if digest not in blobs]
        problems += [problem for digest in strays if (problem := _stray(registry, digest))]
    return Verification(
        models=tuple(log.name for log in logs),
        entries=sum(len(log.entries) for log in logs),
        releases=sum(len(log.releases) for log in logs),
        blobs=len(blobs),
        size=size,
        problems=tuple(problems),
    )


def _blobs_of(logs: list[Log]) -> dict[str, tuple[File, str]]:
    """Every blob that a release names, with a name for people."""
    found: dict[str, tuple[File, str]] = {}
    for log in logs:
        for release in log.releases:
            ref = f"{log.name}@v{release.version}"
            for path, file in [*release.files.items(), ("record.json", release.record)]:
                found.setdefault(file.sha256, (file, f"{ref} {path}"))
    return found


def _stray(registry: Registry, digest: str) -> str:
    """What is wrong with a blob that no release names; a killed publish may leave one, whole."""
    name = f"blobs/sha256/{digest}"
    if registry.store.content(name).sha256 == digest:
        return ""
    return f"{registry.store.where(name)} was changed: its bytes are not what its name says; delete it"
