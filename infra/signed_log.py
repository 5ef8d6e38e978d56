"""A model's history as signed, hash-chained entries: what one looks like, and what is wrong with a log.

Every entry holds the SHA-256 of the bytes before it and an ed25519 signature by the key that the first entry
names (https://www.rfc-editor.org/rfc/rfc8032), over canonical JSON. The sequence number alone is the order.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Version = Annotated[int, Field(ge=1)]
# Says what the signature is about, so that it is worth nothing elsewhere.
_DOMAIN = b"abcd registry entry\n"
_FILE_NAME = re.compile(r"^[0-9]{8}\.json$")
_UNSIGNED = "0" * 128


def _inside(path: str) -> str:
    """A path that stays under the folder it is pulled into."""
    if path.startswith("/") or "\\" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f"{path!r} must be a relative path without '..'")
    return path


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class File(_Closed):
    """Bytes by digest: where in the registry they are and what they must be."""

    sha256: Sha256
    size: int = Field(ge=0)

    @property
    def blob(self) -> str:
        """Name in the store."""
        return f"blobs/sha256/{self.sha256}"


class Summary(_Closed):
    """What lists show of a release without reading its record."""

    weights_sha256: Sha256 = Field(description="of the trained weights, artifacts/train/model.safetensors")
    tokenizer_sha256: Sha256
    held_out_sha256: Sha256 = Field(description="of the held-out documents that it was judged on")
    parameters: int | None = None
    active_parameters: int | None = None
    bits_per_byte: float | None = None
    decision: Literal["promote", "refuse", "ask"]


class Key(_Closed):
    """First entry: the public half of the key that signs the log, in hex."""

    kind: Literal["key"] = "key"
    public: Sha256


class Release(_Closed):
    """A version: its files and its record, by digest."""

    kind: Literal["release"] = "release"
    version: Version
    identity: Sha256 = Field(description="digest of what was released; the same outputs are the same release")
    files: dict[Annotated[str, AfterValidator(_inside)], File]
    record: File
    summary: Summary


class Alias(_Closed):
    """A name that moves: it pointed to `expected` and now points to `version`."""

    kind: Literal["alias"] = "alias"
    alias: str = Field(pattern=r"^[a-z][a-z-]{0,62}$")
    version: Version
    expected: Version | None


Body = Key | Release | Alias


class Entry(_Closed):
    """One file of a log."""

    format: Literal[1] = 1
    name: str
    sequence: int = Field(ge=0)
    previous: Sha256 | Literal[""]
    at: str = Field(description="UTC, for people: order is the sequence")
    nonce: str = Field(description="tells one writer's bytes from another's")
    body: Annotated[Body, Field(discriminator="kind")]
    signature: str = Field(default=_UNSIGNED, pattern=r"^[0-9a-f]{128}$")

    def encoded(self) -> bytes:
        """The bytes of the file."""
        return canonical(self.model_dump(mode="json"))

    def signed(self, key: Ed25519PrivateKey) -> Self:
        """The same entry with its signature."""
        return self.model_copy(update={"signature": key.sign(self._message()).hex()})

    def is_signed_by(self, public: str) -> bool:
        """Whether the signature is the key's and of these very contents."""
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(
                bytes.fromhex(self.signature), self._message()
            )
        except (InvalidSignature, ValueError):
            return False
        return True

    def _message(self) -> bytes:
        return _DOMAIN + canonical(self.model_dump(mode="json", exclude={"signature"}))


@dataclass(frozen=True)
class Log:
    """A model's entries in order, and what is wrong with them, each problem with the file's name."""

    name: str
    entries: tuple[Entry, ...] = ()
    digests: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Public key, in hex; empty for an empty log."""
        body = self.entries[0].body if self.entries else None
        return body.public if isinstance(body, Key) else ""

    @property
    def releases(self) -> tuple[Release, ...]:
        """Releases, oldest first: version N is the Nth."""
        return tuple(entry.body for entry in self.entries if isinstance(entry.body, Release))

    @property
    def aliases(self) -> dict[str, int]:
        """Version that each alias points to now."""
        return {e.body.alias: e.body.version for e in self.entries if isinstance(e.body, Alias)}

    def entry_of(self, version: int) -> tuple[Entry, str]:
        """Entry of a version and the digest of its bytes."""
        return self._released[version]

    @cached_property
    def _released(self) -> dict[int, tuple[Entry, str]]:
        pairs = zip(self.entries, self.digests, strict=True)
        return {entry.body.version: (entry, digest) for entry, digest in pairs if isinstance(entry.body, Release)}


@dataclass
class _Before:
    """What the entries that were read so far say, so that the next can be judged without reading them again."""

    public: str = ""
    releases: int = 0
    aliases: dict[str, int] = field(default_factory=dict)

    def take(self, body: Body) -> None:
        if isinstance(body, Key):
            self.public = self.public or body.public
        elif isinstance(body, Release):
            self.releases += 1
        else:
            self.aliases[body.alias] = body.version


def canonical(value: Any) -> bytes:
    """The one way to write a value as JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def folder_of(name: str) -> str:
    """Folder of a model's log in the store."""
    return f"models/{name}/log"


def file_name(sequence: int) -> str:
    """File of an entry in its folder."""
    return f"{sequence:08d}.json"


def read_log(name: str, files: Mapping[str, bytes]) -> Log:
    """Entries of a log and everything that is wrong with it; nothing is raised.

    Args:
        name: the model.
        files: contents of the log's folder by file name.
    """
    folder = folder_of(name)
    problems = [f"{folder}/{found}: does not belong into a log" for found in files if not _FILE_NAME.match(found)]
    known = sorted(found for found in files if _FILE_NAME.match(found))
    entries: list[Entry] = []
    digests: list[str] = []
    before = _Before()
    sound: bytes | None = b""  # the bytes before, where they are sound enough to judge the next by
    for sequence in range(int(PurePosixPath(known[-1]).stem) + 1 if known else 0):
        file = file_name(sequence)
        data = files.get(file)
        if data is None:
            problems.append(f"{folder}/{file}: missing, though later entries are there")
            sound = None
            continue
        entry, problem = _read_entry(data, name, sequence, before, sound)
        if entry:
            entries.append(entry)
            # Its bytes are the canonical ones, else it would not have been read.
            digests.append(hashlib.sha256(data).hexdigest())
            before.take(entry.body)
        if problem:
            problems.append(f"{folder}/{file}: {problem}")
        sound = None if problem else data
    return Log(name, tuple(entries), tuple(digests), tuple(problems))


def _read_entry(
    data: bytes, name: str, sequence: int, before: _Before, previous: bytes | None
) -> tuple[Entry | None, str]:
    """The entry, if it can be read at all, and the first thing that is wrong with it, else "" ."""
    try:
        entry = Entry.model_validate_json(data)
    except ValidationError as error:
        return None, f"is no entry of a log ({error.errors()[0]['msg'][:200]}); its bytes were changed"
    if entry.encoded() != data:
        return None, "is not written canonically; its bytes were changed"
    if (entry.name, entry.sequence) != (name, sequence):
        return None, f"holds entry {entry.sequence} of {entry.name}, expected {sequence} of {name}"
    opening = entry.body if isinstance(entry.body, Key) else None
    if bool(opening) != (sequence == 0):
        return None, "the first entry, and no other, must name the key"
    public = opening.public if opening else before.public
    # Without a first entry there is no key to judge by; that entry's own problem is reported.
    if public and not entry.is_signed_by(public):
        return None, "its signature is not by the log's key; its bytes were changed"
    if previous is not None and entry.previous != (hashlib.sha256(previous).hexdigest() if sequence else ""):
        return entry, f"does not follow {file_name(sequence - 1)}: that entry was exchanged"
    return entry, _contradiction(entry.body, before if previous is not None else None)


def _contradiction(body: Body, before: _Before | None) -> str:
    """What the entries before forbid; nothing can be said where they are not all there."""
    if before is None or isinstance(body, Key):
        return ""
    if isinstance(body, Release):
        expected = before.releases + 1
        return "" if body.version == expected else f"releases version {body.version}, expected {expected}"
    if body.version > before.releases:
        return f"points {body.alias} to version {body.version}, which does not exist"
    if before.aliases.get(body.alias) != body.expected:
        return f"moves {body.alias} from {body.expected}, but it pointed to {before.aliases.get(body.alias)}"
    return ""
