"""Where sources are: a uri and the settings become a real path, a path becomes the digest of its bytes."""

import hashlib
import json
import sysconfig
import time
from pathlib import Path, PurePosixPath

from infra.settings import Settings
from tasks.params import STDLIB_URI
from tasks.report import StepError, sha256_of
from tasks.sealed import read_sealed, write_sealed

TEXT_SUFFIXES = (".txt", ".md", ".rst", ".py")
ROW_SUFFIXES = (".jsonl", ".parquet")
COMPRESSION_SUFFIXES = (".gz", ".zst")
READ_SUFFIXES = f"{' '.join((*TEXT_SUFFIXES, *ROW_SUFFIXES))}, and {' '.join(COMPRESSION_SUFFIXES)} of them"
# A file changed this shortly before it was read may change again within one tick of the file system's clock.
_RACY_NANOSECONDS = 2_000_000_000


def kind_of(name: str) -> tuple[str, str] | None:
    """Suffix that says the format and suffix that says the compression ("" for none); None if we do not read it."""
    path = PurePosixPath(name.lower())
    compression = path.suffix if path.suffix in COMPRESSION_SUFFIXES else ""
    suffix = PurePosixPath(path.stem).suffix if compression else path.suffix
    return (suffix, compression) if suffix in TEXT_SUFFIXES + ROW_SUFFIXES else None


def suffix_of(uri: str) -> str:
    """Suffix that says the format of the file a document came from; a row's uri ends in "#<row>"."""
    suffix, _ = kind_of(uri) or kind_of(uri.rpartition("#")[0]) or ("", "")
    return suffix


def root_of(source: str, settings: Settings) -> Path:
    """Folder or file of a source as given.

    Raises:
        StepError: the source is a URL of a scheme we do not read.
    """
    if source == STDLIB_URI:
        return Path(sysconfig.get_path("stdlib"))
    if "://" in source:
        raise StepError(
            f"discover.sources: expected a local folder, a file or {STDLIB_URI}, found {source!r}; "
            "copy it to a local folder and name that"
        )
    return settings.source_root / source


def base_of(source: str) -> str:
    """Beginning of the uris of a source's files: the source as given, without what only looks different."""
    return source if source == STDLIB_URI else PurePosixPath(source).as_posix()


def place_of(uri: str, settings: Settings) -> Path:
    """Real path of a source file."""
    stdlib = f"{STDLIB_URI}/"
    if uri.startswith(stdlib):
        return root_of(STDLIB_URI, settings) / uri.removeprefix(stdlib)
    return settings.source_root / uri


def group_of(uri: str, source: str) -> str:
    """What the bootstrap resamples as one: the folder right below the source, else the document by itself."""
    base = base_of(source).rstrip("/")
    folder, nested, _ = uri.removeprefix(f"{base}/").partition("/")
    return f"{base}/{folder}" if nested and uri.startswith(f"{base}/") else uri


class Digests:
    """SHA-256 of files, remembered by what `stat` says of them; the memory never changes a digest."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.cache / "sources" / "digests.json"
        self._known: dict[str, list[int | str]] = json.loads(read_sealed(self._file) or b"{}")

    def of(self, path: Path) -> tuple[str, int]:
        """Digest and size in bytes; the file is read only if its stat is new.

        Raises:
            OSError: the file is not there or not readable.
        """
        seen = _stamp(path)
        known = self._known.get(str(path), [])
        if known[:-1] != seen:
            known = [*seen, sha256_of(path)]
            self._remember(path, known)
        return str(known[-1]), int(seen[0])

    def read(self, path: Path) -> tuple[bytes, str]:
        """All bytes and their digest.

        Raises:
            OSError: the file is not there or not readable.
        """
        seen = _stamp(path)
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        self._remember(path, [*seen, digest])
        return data, digest

    def save(self) -> None:
        """Write what is remembered."""
        write_sealed(self._file, json.dumps(self._known, sort_keys=True).encode())

    def _remember(self, path: Path, known: list[int | str]) -> None:
        """Not a file so young that a later change could leave the same stat, nor one that changed meanwhile."""
        changed = max(int(known[1]), int(known[2]))
        if time.time_ns() - changed > _RACY_NANOSECONDS and _stamp(path) == known[:-1]:
            self._known[str(path)] = known
        else:
            self._known.pop(str(path), None)


def _stamp(path: Path) -> list[int | str]:
    """Size in bytes, change times in nanoseconds, inode. A modification time can be set back, ctime cannot."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
