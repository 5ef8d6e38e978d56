"""Writing releases: blobs, then one signed entry that names them, then aliases; each done once or not at all.

The log's one primitive is put-if-absent of the next sequence number: who loses the race reads the log again
and decides anew, so that versions are contiguous and an alias moves only from where it was believed to point.
Reading is `infra/releases.py`.
"""

import logging
import os
import secrets
import stat
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infra.releases import Registry, RegistryError
from infra.signed_log import Alias, Body, Entry, File, Key, Log, Release, Summary, file_name, folder_of
from infra.storage import StorageError, content_of
from tasks.report import sha256_of

logger = logging.getLogger(__name__)

KEY_FILE = "registry.pem"
_APPEND_TRIES = 200
_LONGEST_WAIT_SECONDS = 0.5


class MovedError(RegistryError):
    """An alias does not point to where it was believed to."""


class HeldBeforeError(RegistryError):
    """An alias that may take each version once has pointed to this one before."""


def signing_key(keys: Path) -> Ed25519PrivateKey:
    """The private key of this workspace, made by the first use (PKCS8 PEM, readable by its owner alone).

    Raises:
        RegistryError: others may read the key, or the file is no ed25519 key.
    """
    path = keys / KEY_FILE
    if not path.exists():
        _make_key(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise RegistryError(f"{path} can be read by others; type: chmod 600 {path}")
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise RegistryError(f"{path} is no private key ({error}); restore it from a copy") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise RegistryError(f"{path}: expected an ed25519 key, found {type(key).__name__}")
    return key


def public_half(key: Ed25519PrivateKey) -> str:
    """Public key in hex, as the log's first entry names it."""
    return key.public_key().public_bytes_raw().hex()


def put_file(registry: Registry, source: Path) -> File:
    """Store a file under its digest, whole, and tell which; what is there already is read and compared."""
    file = File(sha256=sha256_of(source), size=source.stat().st_size)
    if not _is_sound(registry, file, what=source.name):
        registry.store.put(file.blob, source, sha256=file.sha256)
    return file


def put_bytes(registry: Registry, data: bytes) -> File:
    """Store bytes under their digest."""
    content = content_of(data)
    file = File(sha256=content.sha256, size=content.size)
    if not registry.store.put_if_absent(file.blob, data):
        registry.check(file, what="record")
    return file


def add_release(
    registry: Registry,
    key: Ed25519PrivateKey,
    name: str,
    *,
    identity: str,
    files: Mapping[str, File],
    record: File,
    summary: Summary,
) -> tuple[Release, bool]:
    """Append the next version, unless this identity is a release already.

    Returns:
        The release and whether it is new.
    """

    def next_version(log: Log) -> Release | None:
        if find_release(log, identity):
            return None
        return Release(
            version=len(log.releases) + 1,
            identity=identity,
            files=dict(files),
            record=record,
            summary=summary,
        )

    log, appended = append(registry, key, name, next_version)
    release = find_release(log, identity)
    assert release is not None  # appended just now, or found by next_version
    return release, appended


def find_release(log: Log, identity: str) -> Release | None:
    """The release with this identity, if there is one."""
    return next((release for release in log.releases if release.identity == identity), None)


def set_alias(
    registry: Registry,
    key: Ed25519PrivateKey,
    name: str,
    alias: str,
    version: int,
    *,
    expected: int | None,
    only_once: bool = False,
) -> bool:
    """Point an alias to a version if it points to `expected` (None: nowhere); False if it was there already.

    Args:
        registry: where the log is.
        key: that signs the log.
        name: of the model.
        alias: the name that moves.
        version: where to.
        expected: where from.
        only_once: not if it has ever pointed to that version and was moved away.

    Raises:
        MovedError: it points elsewhere, moved by someone else in the meantime.
        HeldBeforeError: `only_once`, and it has pointed there before.
    """

    def move(log: Log) -> Alias | None:
        now = log.aliases.get(alias)
        if now == version:
            return None
        if only_once and any(
            isinstance(e.body, Alias) and e.body.alias == alias and e.body.version == version for e in log.entries
        ):
            raise HeldBeforeError(f"{name}@{alias} has pointed to v{version} before; it was not moved back")
        if now != expected:
            raise MovedError(
                f"{name}@{alias} points to {_version(now)}, expected {_version(expected)}; "
                f"it was not moved to v{version}"
            )
        return Alias(alias=alias, version=version, expected=expected)

    return append(registry, key, name, move)[1]


def advance_alias(registry: Registry, key: Ed25519PrivateKey, name: str, alias: str, version: int) -> bool:
    """Point an alias to a version unless it points there or to a later one; whether it moved."""

    def move(log: Log) -> Alias | None:
        now = log.aliases.get(alias)
        return None if now and now >= version else Alias(alias=alias, version=version, expected=now)

    return append(registry, key, name, move)[1]


def append(
    registry: Registry, key: Ed25519PrivateKey, name: str, decide: Callable[[Log], Body | None]
) -> tuple[Log, bool]:
    """Append what `decide` makes of the log as it is, nothing if that is None. Raced for until won.

    Returns:
        The log as read and verified afterwards, and whether something was appended.

    Raises:
        RegistryError: the log is signed with another key, or cannot be trusted.
        StorageError: the store lets nobody win.
    """
    for attempt in range(_APPEND_TRIES):
        log = registry.log(name)
        if not log.entries:
            registry.store.probe()
            body: Body | None = Key(public=public_half(key))
        else:
            _check_key(registry, log, key)
            body = decide(log)
        if body is None:
            return log, False
        entry = _entry(log, body).signed(key)
        path = f"{folder_of(name)}/{file_name(entry.sequence)}"
        if registry.store.put_if_absent(path, entry.encoded()):
            if not isinstance(body, Key):
                return registry.log(name), True
        else:  # someone else was faster; the wait differs between writers
            time.sleep(secrets.randbelow(1000) / 1000 * min(0.01 * 2**attempt, _LONGEST_WAIT_SECONDS))
    raise StorageError(f"{registry.store.root}: no entry could be appended in {_APPEND_TRIES} tries; try again")


def _entry(log: Log, body: Body) -> Entry:
    return Entry(
        name=log.name,
        sequence=len(log.entries),
        previous=log.digests[-1] if log.digests else "",
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        nonce=secrets.token_hex(8),
        body=body,
    )


def _check_key(registry: Registry, log: Log, key: Ed25519PrivateKey) -> None:
    if log.key != public_half(key):
        raise RegistryError(
            f"{registry.store.where(folder_of(log.name))} is signed with key {log.key[:16]}…, "
            f"this workspace has {public_half(key)[:16]}…; copy {KEY_FILE} from the workspace that made it "
            "into the folder ABCD_KEYS, or release under another name"
        )


def _is_sound(registry: Registry, file: File, *, what: str) -> bool:
    """Whether the blob is there as written; wrong bytes may be replaced: the name says what is right."""
    if not registry.store.exists(file.blob):
        return False
    try:
        registry.check(file, what=what)
    except RegistryError as error:
        logger.warning("%s; it is stored anew", error)
        return False
    return True


def _make_key(path: Path) -> None:
    """Write a new key under a name that only one process gets; the others then read that one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    fresh = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
        logger.info("made the key that signs releases: %s; keep a copy of it", path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


def _version(number: int | None) -> str:
    return "no release" if number is None else f"v{number}"
