"""What source files are called, which ones are read, and the digests of their bytes."""

import hashlib
import json
import time

from infra.settings import Settings
from tasks.big_data.formats import COMPRESSION_SUFFIXES, FORMATS, named
from tasks.big_data.places import Place, Stamp, base_of
from tasks.sealed import read_sealed, write_sealed

# In words for errors; the endings of source code are too many.
READ_SUFFIXES = (
    f"{' '.join(suffix for suffix, format in FORMATS.items() if format != 'code')}, those of source code, "
    f"and {' '.join(COMPRESSION_SUFFIXES)} of them"
)
# A file changed this shortly before it was read may change again within one tick of the file system's clock.
_RACY_NANOSECONDS = 2_000_000_000


def kind_of(name: str, format: str = "") -> tuple[str, str] | None:
    """Suffix that says the format and suffix that says the compression ("" for none); None if we do not read it.

    Args:
        name: of a file, or its uri.
        format: ending that the source says it has, with or without a dot; empty: its own.
    """
    kind = named(name, format)
    return (kind.suffix, kind.compression) if kind else None


def group_of(uri: str, source: str) -> str:
    """What the bootstrap resamples as one: the folder right below the source, else the document by itself."""
    base = base_of(source).rstrip("/")
    folder, nested, _ = uri.removeprefix(f"{base}/").partition("/")
    return f"{base}/{folder}" if nested and uri.startswith(f"{base}/") else uri


class Digests:
    """SHA-256 of source files, remembered by their stamps; the memory never changes a digest."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.cache / "sources" / "digests.json"
        self._known: dict[str, Stamp] = json.loads(read_sealed(self._file) or b"{}")

    def of(self, place: Place) -> tuple[str, int]:
        """Digest and size in bytes; the file is read only if its stamp is new.

        Raises:
            OSError: the file is not there or not readable.
        """
        seen = place.stamp()
        known = self._known.get(str(place), [])
        if known[:-1] != seen:
            known = [*seen, place.sha256()]
            self._remember(place, known)
        return str(known[-1]), int(seen[0])

    def read(self, place: Place) -> tuple[bytes, str]:
        """All bytes and their digest.

        Raises:
            OSError: the file is not there or not readable.
        """
        seen = place.stamp()
        data = place.read()
        digest = hashlib.sha256(data).hexdigest()
        self._remember(place, [*seen, digest])
        return data, digest

    def save(self) -> None:
        """Write what is remembered."""
        write_sealed(self._file, json.dumps(self._known, sort_keys=True).encode())

    def _remember(self, place: Place, known: Stamp) -> None:
        """Not a file so young that a later change could leave the same stamp, nor one that changed meanwhile."""
        changed = place.changed_ns()
        is_old = changed is None or time.time_ns() - changed > _RACY_NANOSECONDS
        if is_old and place.stamp(fresh=True) == known[:-1]:
            self._known[str(place)] = known
        else:
            self._known.pop(str(place), None)
