"""One look at the sources: folders are walked in a fixed order; each file is a source, or passed over and counted."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from data_contracts.records import SourceFile
from infra.settings import Settings
from tasks.big_data.places import S3, SIDE_BY_SIDE, DiskPlace, Place, Places, base_of, root_of
from tasks.big_data.sources import READ_SUFFIXES, Digests, kind_of
from tasks.params import STDLIB_URI
from tasks.report import StepError

# Folders and files of the standard library that are tests, demonstrations, other people's packages, generated
# text (pydoc_data) or this machine's build record, which names its folders.
_STDLIB_LEFT_OUT = frozenset(
    ["test", "tests", "site-packages", "dist-packages", "idlelib", "lib2to3", "ensurepip", "turtledemo", "pydoc_data"]
)
_STDLIB_BUILD_RECORDS = ("config-", "_sysconfigdata")
# Hidden folders are skipped as a whole; these are what version control and Python leave under other names.
_SKIPPED_FOLDERS = frozenset({"CVS", "_darcs", "__pycache__"})
_NAMED = 10


@dataclass
class Found:
    """What a look found, and what it passed over."""

    files: dict[str, SourceFile] = field(default_factory=dict)
    named_twice: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    ignored_examples: list[str] = field(default_factory=list)
    skipped_folders: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)

    def ignore(self, uri: str, kind: str) -> None:
        """Count a file that is no source, and name the first few."""
        self.ignored[kind] += 1
        if len(self.ignored_examples) < _NAMED:
            self.ignored_examples.append(_printable(uri))


def look(sources: tuple[str, ...], settings: Settings, digests: Digests) -> Found:
    """Files of all sources.

    Raises:
        StepError: a source is missing, or has no file that can be read.
    """
    all_found = Found()
    for source in sources:
        found = _look_at(source, settings, digests)
        again = found.files.keys() & all_found.files.keys()
        all_found.files = found.files | all_found.files
        all_found.named_twice += len(again)
        all_found.ignored += found.ignored
        all_found.ignored_examples += found.ignored_examples[: _NAMED - len(all_found.ignored_examples)]
        all_found.skipped_folders += found.skipped_folders
        all_found.unreadable |= found.unreadable
    return all_found


def _look_at(source: str, settings: Settings, digests: Digests) -> Found:
    found = Found()
    if source.startswith(S3):
        places: Iterable[tuple[str, Place]] = _objects(source, settings, digests, found)
        where = source
    else:
        root = root_of(source, settings)
        if not root.exists():
            raise StepError(
                f"discover.sources: expected a folder, a file or {STDLIB_URI}, found nothing at {root} "
                f"({source!r}); relative paths start at ABCD_SOURCE_ROOT ({settings.source_root})"
            )
        places = _files(source, root, settings, found)
        where = str(root)
    for uri, place in places:
        _add(uri, source, place, digests, found)
    if found.files:
        return found
    if found.unreadable:
        uri, reason = next(iter(found.unreadable.items()))
        raise StepError(
            f"discover.sources: {source!r}: none of {len(found.unreadable)} files can be read; "
            f"the first is {uri}: {reason}"
        )
    passed = ", ".join(f"{count} x {kind}" for kind, count in sorted(found.ignored.items()))
    raise StepError(
        f"discover.sources: {source!r} ({where}) has no document: expected {READ_SUFFIXES}, "
        f"found {passed or 'no file'}; name another source in params.yaml or with --source"
    )


def _objects(source: str, settings: Settings, digests: Digests, found: Found) -> list[tuple[str, Place]]:
    """Uri and place of each object of a bucket's source, in a fixed order; new ones are read side by side."""
    taken: list[tuple[str, Place]] = []
    base = base_of(source)
    for uri, place in Places(settings).bucket(source).items():
        *folders, name = uri.removeprefix(f"{base}/").split("/")
        if name.startswith("."):
            found.ignore(uri, "hidden")
        elif any(folder.startswith(".") or folder in _SKIPPED_FOLDERS for folder in folders):
            found.ignore(uri, "in a skipped folder")
        else:
            taken.append((uri, place))
    if not taken and not found.ignored:
        raise StepError(
            f"discover.sources: expected objects, found none at {source!r}; look at the name, and at AWS_ENDPOINT_URL"
        )

    def digest(place: Place) -> None:
        with suppress(OSError):  # said when it is added
            digests.of(place)

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(digest, [place for uri, place in taken if kind_of(uri)]))
    return taken


def _files(source: str, root: Path, settings: Settings, found: Found) -> Iterator[tuple[str, Place]]:
    """Uri and place of each file of a source, in a fixed order."""
    base = base_of(source)
    if not root.is_dir():
        yield base, DiskPlace(root)
        return
    ours = {path.resolve() for path in settings.not_sources}

    def closed(error: OSError) -> None:
        found.unreadable[_printable(str(error.filename))] = str(error.strerror)

    for folder, folders, names in os.walk(root, onerror=closed):
        inner = Path(folder).relative_to(root).as_posix()
        here = base.rstrip("/") if inner == "." else f"{base.rstrip('/')}/{inner}"
        folders[:] = [name for name in sorted(folders) if _enters(source, Path(folder, name), ours, found)]
        for name in sorted(names):
            if name.startswith("."):
                found.ignore(f"{here}/{name}", "hidden")
            else:
                yield f"{here}/{name}", DiskPlace(Path(folder, name))


def _enters(source: str, folder: Path, ours: set[Path], found: Found) -> bool:
    """Whether a folder below a source is walked into; one that is not is counted."""
    name, stdlib = folder.name, source == STDLIB_URI
    if name in _SKIPPED_FOLDERS or (stdlib and name in _STDLIB_LEFT_OUT):
        reason = name
    elif stdlib and name.startswith(_STDLIB_BUILD_RECORDS):
        reason = "build record"
    elif name.startswith("."):
        reason = "hidden"
    elif folder.is_symlink():
        reason = "symbolic link"  # may lead in a circle
    elif folder.resolve() in ours:
        reason = "output of this pipeline"
    else:
        return True
    found.skipped_folders[reason] += 1
    return False


def _add(uri: str, source: str, place: Place, digests: Digests, found: Found) -> None:
    """Add one file if it is a source, else say why not."""
    stdlib, path = source == STDLIB_URI, PurePosixPath(str(place))
    if kind_of(path.name) is None or (stdlib and path.suffix != ".py"):
        found.ignore(uri, _printable(path.suffix.lower()) or "no suffix")
    elif stdlib and path.name.startswith(_STDLIB_BUILD_RECORDS):
        found.ignore(uri, "build record")
    elif _printable(uri) != uri:
        found.unreadable[_printable(uri)] = "its name is no UTF-8"
    else:
        try:
            if not place.is_regular():
                found.ignore(uri, "no regular file")
                return
            digest, size = digests.of(place)
        except OSError as error:
            found.unreadable[uri] = str(error.strerror)
            return
        found.files[uri] = SourceFile(uri=uri, source=source, size=size, sha256=digest)


def _printable(text: str) -> str:
    """File names are bytes; what is no UTF-8 in them is shown as an escape."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
