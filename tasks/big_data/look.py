"""One look at the sources: folders are walked in a fixed order; each file is a source, or passed over and counted."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from data_contracts.records import SourceFile
from infra.settings import Settings
from tasks.big_data.globs import excluded, matches
from tasks.big_data.places import SIDE_BY_SIDE, DiskPlace, Place, Places, base_of, root_of, web_place
from tasks.big_data.sources import READ_SUFFIXES, Digests, kind_of
from tasks.report import StepError
from tasks.source import HTTP, S3, STDLIB_URI, Source, split_glob

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


def look(sources: tuple[Source, ...], settings: Settings, digests: Digests, snapshots: Path) -> Found:
    """Files of all sources; what databases say becomes files below `snapshots`.

    Raises:
        StepError: a source is missing, or has no file that can be read.
    """
    all_found = Found()
    for source in sources:
        found = _ask(source, settings, digests, snapshots) if source.query else _look_at(source, settings, digests)
        again = found.files.keys() & all_found.files.keys()
        all_found.files = found.files | all_found.files
        all_found.named_twice += len(again)
        all_found.ignored += found.ignored
        all_found.ignored_examples += found.ignored_examples[: _NAMED - len(all_found.ignored_examples)]
        all_found.skipped_folders += found.skipped_folders
        all_found.unreadable |= found.unreadable
    return all_found


def _ask(source: Source, settings: Settings, digests: Digests, snapshots: Path) -> Found:
    # Here, because only sources with a query need a database's client.
    from tasks.big_data.snapshot import take

    found = Found(files={file.uri: file for file in take(source, settings, digests, snapshots)})
    if not found.files:
        raise StepError(f"discover.sources: {source.uri!r}: expected rows, found none; look at the query")
    return found


def _look_at(source: Source, settings: Settings, digests: Digests) -> Found:
    found, uri = Found(), source.uri
    if source.format and kind_of("", source.format) is None:
        raise StepError(
            f"discover.sources: {uri!r}: expected a format that is read, one of {READ_SUFFIXES}, "
            f"found {source.format!r}"
        )
    if uri.startswith(S3):
        places: Iterable[tuple[str, Place]] = _objects(source, settings, digests, found)
        where = uri
    elif uri.startswith(HTTP):
        places, where = [(base_of(uri), web_place(uri))], uri
    else:
        root = root_of(uri, settings)
        if not root.exists():
            raise StepError(
                f"discover.sources: expected a folder, a file or {STDLIB_URI}, found nothing at {root} "
                f"({uri!r}); relative paths start at ABCD_SOURCE_ROOT ({settings.source_root})"
            )
        places = _files(source, root, settings, found)
        where = str(root)
    for name, place in places:
        _add(name, source, place, digests, found)
    if found.files:
        return found
    if found.unreadable:
        name, reason = next(iter(found.unreadable.items()))
        raise StepError(
            f"discover.sources: {uri!r}: none of {len(found.unreadable)} files can be read; "
            f"the first is {name}: {reason}"
        )
    passed = ", ".join(f"{count} x {kind}" for kind, count in sorted(found.ignored.items()))
    nothing = "no file of such a name" if split_glob(uri)[1] else "no file"
    raise StepError(
        f"discover.sources: {uri!r} ({where}) has no document: expected {READ_SUFFIXES}, "
        f"found {passed or nothing}; name another source in params.yaml or with --source"
    )


def _objects(source: Source, settings: Settings, digests: Digests, found: Found) -> list[tuple[str, Place]]:
    """Uri and place of each object of a bucket's source, in a fixed order; new ones are read side by side."""
    taken: list[tuple[str, Place]] = []
    base = base_of(source.uri)
    for uri, place in Places(settings).bucket(source.uri).items():
        below = uri.removeprefix(f"{base}/")
        *folders, name = below.split("/")
        if not _named(source, below):
            continue
        if name.startswith("."):
            found.ignore(uri, "hidden")
        elif excluded(source.exclude, below):
            found.ignore(uri, "excluded")
        elif any(folder.startswith(".") or folder in _SKIPPED_FOLDERS for folder in folders):
            found.ignore(uri, "in a skipped folder")
        else:
            taken.append((uri, place))
    if not taken and not found.ignored:
        raise StepError(
            f"discover.sources: expected objects, found none at {source.uri!r}; "
            "look at the name, and at AWS_ENDPOINT_URL"
        )

    def digest(place: Place) -> None:
        with suppress(OSError):  # said when it is added
            digests.of(place)

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(digest, [place for uri, place in taken if kind_of(uri, source.format)]))
    return taken


def _named(source: Source, below: str) -> bool:
    """Whether the source's glob means a file, which is said by its path below where the glob starts."""
    _, pattern = split_glob(source.uri)
    return not pattern or matches(pattern, below)


def _files(source: Source, root: Path, settings: Settings, found: Found) -> Iterator[tuple[str, Place]]:
    """Uri and place of each file of a source, in a fixed order."""
    base = base_of(source.uri)
    if not root.is_dir():
        yield base, DiskPlace(root)
        return
    ours = {path.resolve() for path in settings.not_sources}

    def closed(error: OSError) -> None:
        found.unreadable[_printable(str(error.filename))] = str(error.strerror)

    for folder, folders, names in os.walk(root, onerror=closed):
        inner = Path(folder).relative_to(root).as_posix()
        above = "" if inner == "." else f"{inner}/"
        folders[:] = [
            name for name in sorted(folders) if _enters(source, Path(folder, name), f"{above}{name}", ours, found)
        ]
        for name in sorted(names):
            uri = f"{base.rstrip('/')}/{above}{name}"
            if not _named(source, f"{above}{name}"):
                continue
            if name.startswith("."):
                found.ignore(uri, "hidden")
            elif excluded(source.exclude, f"{above}{name}"):
                found.ignore(uri, "excluded")
            else:
                yield uri, DiskPlace(Path(folder, name))


def _enters(source: Source, folder: Path, below: str, ours: set[Path], found: Found) -> bool:
    """Whether a folder below a source is walked into; one that is not is counted."""
    name, stdlib = folder.name, source.uri == STDLIB_URI
    if name in _SKIPPED_FOLDERS or (stdlib and name in _STDLIB_LEFT_OUT):
        reason = name
    elif stdlib and name.startswith(_STDLIB_BUILD_RECORDS):
        reason = "build record"
    elif name.startswith("."):
        reason = "hidden"
    elif excluded(source.exclude, below):
        reason = "excluded"
    elif folder.is_symlink():
        reason = "symbolic link"  # may lead in a circle
    elif folder.resolve() in ours:
        reason = "output of this pipeline"
    else:
        return True
    found.skipped_folders[reason] += 1
    return False


def _add(uri: str, source: Source, place: Place, digests: Digests, found: Found) -> None:
    """Add one file if it is a source, else say why not."""
    stdlib, path = source.uri == STDLIB_URI, PurePosixPath(urlsplit(uri).path if uri.startswith(HTTP) else str(place))
    if kind_of(uri, source.format) is None or (stdlib and path.suffix != ".py"):
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
        found.files[uri] = SourceFile(uri=uri, source=source.uri, size=size, sha256=digest)


def _printable(text: str) -> str:
    """File names are bytes; what is no UTF-8 in them is shown as an escape."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
