"""Groups of files: every file in one, and what comes or goes changes only what is near it."""

import random

from hypothesis import given
from hypothesis import strategies as st

from data_contracts.records import SourceFile
from tasks.big_data.documents import SHARD_BYTES
from tasks.big_data.layout import groups, name_of


def file(uri: str, size: int) -> SourceFile:
    return SourceFile(uri=uri, source="docs", size=size, sha256=f"{size:064x}")


SIZES = st.dictionaries(st.text("abc/", min_size=1, max_size=6), st.integers(0, 2 * SHARD_BYTES), max_size=60)


@given(SIZES)
def test_every_file_is_in_one_group_and_none_is_too_large(sizes):
    found = list(groups(file(uri, size) for uri, size in sizes.items()))
    assert [one.uri for group in found for one in group] == sorted(sizes)
    assert all(len(group) == 1 or sum(one.size for one in group) <= SHARD_BYTES for group in found)
    assert len({name_of(group) for group in found}) == len(found)


def test_a_new_file_changes_few_groups():
    draw = random.Random(1)
    files = [file(f"docs/{draw.random()}.txt", draw.randrange(200_000)) for _ in range(2000)]
    before = set(groups(files))
    assert 10 < len(before) < 60
    for number in range(20):
        after = set(groups([*files, file(f"docs/{draw.random()}-{number}.txt", 100_000)]))
        assert len(before - after) <= 3
