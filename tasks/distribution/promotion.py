"""A verdict or a person's word becomes a move of the champion's alias: forward, or back to an earlier champion.

Every move says from where it was believed to start; who was overtaken moves nothing and is told.
"""

import logging
import re

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field

from infra.releases import CHAMPION, Registry, RegistryError
from infra.settings import Settings
from infra.signed_log import Log
from tasks.distribution.registry import HeldBeforeError, MovedError, set_alias, signing_key
from tasks.distribution.succession import earlier_champion, end_of_reign, moves
from tasks.distribution.verdict import Verdict

logger = logging.getLogger(__name__)

_VERSION = re.compile(r"^v?([1-9][0-9]*)$")


class Promotion(BaseModel):
    """Where the champion's alias points now and where it pointed before."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int
    before: int | None = Field(description="none: there was no champion")

    @property
    def ref(self) -> str:
        """Name by which the champion can be pulled."""
        return f"{self.name}@v{self.version}"


def promote(settings: Settings, ref: str) -> Promotion:
    """Make a release the champion because a person says so.

    Raises:
        StorageError: no such release, the registry refuses, or the champion was moved meanwhile.
    """
    registry = Registry.of(settings)
    log, release = registry.release(ref)
    return _move(registry, settings, log, release.version)


def rollback(settings: Settings, name: str, to: str | None = None) -> Promotion:
    """Make an earlier champion the champion again: the one before, or version `to` ("v2").

    Raises:
        RegistryError: there is no earlier champion, `to` never was it, or the champion was moved meanwhile.
        StorageError: the registry refuses or cannot be reached.
    """
    registry = Registry.of(settings)
    registry.require_model(name)
    log = registry.log(name)
    target = earlier_champion(log) if to is None else _champion_of_before(log, to)
    if target is None:
        raise RegistryError(
            f"{name}: expected a champion before {_now(log)}, found none; `abcd history {name}` shows all moves, "
            f"and `abcd promote {name}@vN` makes any release the champion"
        )
    return _move(registry, settings, log, target)


def promote_as_judged(registry: Registry, key: Ed25519PrivateKey, name: str, version: int, verdict: Verdict) -> str:
    """Make it the champion if the gate says so, it never was it, and nobody else is by now; else why not.

    What was the champion once was taken back by a person, or replaced: a run that changed nothing must not undo that.
    """
    if not verdict.promote:
        return ""
    beaten = verdict.champion.version if verdict.champion else None
    try:
        set_alias(registry, key, name, CHAMPION, version, expected=beaten, only_once=True)
    except HeldBeforeError:
        note = (
            f"v{version} {end_of_reign(registry.log(name), version)}; only a person makes it the champion again: "
            f"abcd promote {name}@v{version}"
        )
    except MovedError as error:
        note = f"{error}; type `abcd discover` to see the new champion, then run again"
    else:
        return ""
    logger.warning("%s", note)
    return note


def _move(registry: Registry, settings: Settings, log: Log, version: int) -> Promotion:
    """Move the alias from where the log has it."""
    before = log.aliases.get(CHAMPION)
    try:
        set_alias(registry, signing_key(settings.keys), log.name, CHAMPION, version, expected=before)
    except MovedError as error:
        raise MovedError(f"{error}: someone else was faster; look at `abcd history {log.name}`, then decide") from error
    return Promotion(name=log.name, version=version, before=before)


def _champion_of_before(log: Log, to: str) -> int:
    match = _VERSION.match(to)
    if not match:
        raise RegistryError(f"--to {to}: expected a version, as in v3")
    version, now = int(match[1]), log.aliases.get(CHAMPION)
    held = sorted({move.version for move in moves(log)} - {now})
    if version > len(log.releases):
        raise RegistryError(
            f"{log.name}@v{version}: expected one of {len(log.releases)} releases; type `abcd releases`"
        )
    if version not in held:
        known = ", ".join(f"v{each}" for each in held) or "none"
        what = "is the champion already" if version == now else "never was the champion"
        raise RegistryError(
            f"{log.name}@v{version} {what}, expected an earlier champion ({known}); "
            f"`abcd promote {log.name}@vN` makes any release the champion"
        )
    return version


def _now(log: Log) -> str:
    version = log.aliases.get(CHAMPION)
    return f"v{version}" if version else "now"
