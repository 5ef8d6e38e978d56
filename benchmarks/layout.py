"""How much of a corpus of small files a night's new ones touch: groups that change, and bytes that are worked again.

`python -m benchmarks.layout`. Names alone are made, no files: groups are a function of names and sizes.
1 % of the files are new, once scattered among all others by their names, once in one folder.
"""

import random

from rich.console import Console
from rich.table import Table

from data_contracts.records import SourceFile
from tasks.big_data.layout import groups

CORPORA = ((20_000, 20_000), (100_000, 4_000), (5_000, 200_000), (2_000, 1_000_000))
FOLDERS, SHARE = 100, 100


def named(number: int, size: int, draw: random.Random, folder: int | None = None) -> list[SourceFile]:
    """Files with random names in random folders, or all in one."""
    return [
        SourceFile(
            uri=f"docs/{draw.randrange(FOLDERS) if folder is None else folder:02}/{draw.getrandbits(48):012x}.txt",
            source="docs", size=size, sha256=f"{draw.getrandbits(256):064x}",
        )
        for _ in range(number)
    ]  # fmt: skip


def touched(before: list[SourceFile], new: list[SourceFile]) -> tuple[int, int, float]:
    """Groups that are other ones with the new files, all groups, and the share of all bytes that is in the former."""
    known, after = set(groups(before)), list(groups([*before, *new]))
    changed = [group for group in after if group not in known]
    again = sum(file.size for group in changed for file in group)
    return len(changed), len(after), again / sum(file.size for group in after for file in group)


def main() -> None:
    """Print a table."""
    table = Table("files", "bytes each", "1 % new", "groups changed", "of the bytes worked again")
    for number, size in CORPORA:
        draw = random.Random(1)
        before = named(number, size, draw)
        for where, folder in (("scattered", None), ("in one folder", FOLDERS // 2)):
            changed, total, share = touched(before, named(number // SHARE, size, draw, folder))
            table.add_row(f"{number:,}", f"{size:,}", where, f"{changed} of {total}", f"{share:.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
