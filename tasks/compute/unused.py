"""Checkpoints that no training would resume from: those of other inputs than the workspace has."""

from contextlib import suppress

from infra.checkout import checkouts
from infra.settings import Settings
from infra.storage import open_store
from infra.unused import Unused
from tasks.compute.train import inputs_digest

_DEVICES = ("cpu", "cuda")


def unused(settings: Settings, *, stale: str) -> list[Unused]:
    """Checkpoints to remove.

    Args:
        settings: of a workspace that is locked, so that nothing trains.
        stale: why what train reads is not what the next run would give it; "" if it is. Which checkpoints that
            run would resume from cannot be told then.
    """
    store = open_store(settings.checkpoints)
    kind = "checkpoints"
    if others := Unused.of_others(settings, store, kind=kind, setting="ABCD_CHECKPOINTS"):
        return [others]
    if not stale:
        try:
            resumed = {inputs_digest(settings.artifacts, device=device) for device in _DEVICES}
        except FileNotFoundError as error:
            stale = f"{error.filename} is missing"
    if stale:
        return [Unused(kind, "", store, left_alone=f"what the next training resumes from cannot be told: {stale}")]
    resumed |= _of_checkouts(settings)
    files = tuple(file for file in store.files() if not _is_resumed(file.name, resumed))
    return [Unused(kind, "of other inputs than the workspace and the checkouts have now", store, files)]


def _of_checkouts(settings: Settings) -> set[str]:
    """What a run that failed in its checkout would be resumed from by one of the same inputs."""
    found = set()
    for folder in checkouts(settings):
        with suppress(FileNotFoundError):  # it did not come as far as training
            found |= {inputs_digest(folder / "artifacts", device=device) for device in _DEVICES}
    return found


def _is_resumed(name: str, resumed: set[str]) -> bool:
    """Whether a file is a finished checkpoint of these inputs; one in the making is in a folder of its own."""
    return name.partition("/")[0] in resumed
