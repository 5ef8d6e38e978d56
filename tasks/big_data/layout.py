"""Which source files make up which shards: a function of their names and sizes alone, that a new file changes little.

Files stand in the order of their uris. Small ones share a group, and where a group ends is decided by a hash of the uri
(content-defined chunking, as in LBFS, https://doi.org/10.1145/502034.502052): a file that comes or goes changes its own
group, and no other.
"""

import hashlib
from collections.abc import Iterable, Iterator

from data_contracts.records import SourceFile
from tasks.big_data.documents import SHARD_BYTES

Group = tuple[SourceFile, ...]
_MEAN_BYTES = SHARD_BYTES // 2
# Opening a file costs about as much as reading so many bytes.
_FILE_BYTES = 4096


def groups(files: Iterable[SourceFile]) -> Iterator[Group]:
    """Files that are read together; one larger than a shard stands alone."""
    open_group: list[SourceFile] = []
    size = 0
    for file in sorted(files, key=lambda file: file.uri):
        cost = file.size + _FILE_BYTES
        if open_group and size + cost > SHARD_BYTES:
            yield tuple(open_group)
            open_group, size = [], 0
        open_group.append(file)
        size += cost
        if _ends_here(file.uri, cost):
            yield tuple(open_group)
            open_group, size = [], 0
    if open_group:
        yield tuple(open_group)


def name_of(group: Group) -> str:
    """What the shards of a group are called, before their number."""
    return hashlib.sha256(group[0].uri.encode()).hexdigest()[:12]


def _ends_here(uri: str, cost: int) -> bool:
    """True for a share of files such that groups have `_MEAN_BYTES` on average."""
    number = int.from_bytes(hashlib.sha256(b"group:" + uri.encode()).digest()[:8]) / 2**64
    return number < cost / _MEAN_BYTES
