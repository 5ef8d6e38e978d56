"""Globs mean what Python's own glob means, and an exclusion means a name at any depth or a folder and all in it."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.big_data.globs import excluded, matches

NAMES = ("a", "b.md", "ab", "c.txt", "[x]")
PATTERNS = st.lists(st.sampled_from(["**", "*", "?", "a*", "*.md", "?b", "b.md", "*.*"]), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for folder in ("", "a", "ab", "a/a", "a/ab", "a/a/a"):
        for name in NAMES:
            path = root / folder / f"{name}{'' if '.' in name else '_'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
    return root


@given(parts=PATTERNS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_glob_means_the_files_that_pythons_glob_finds(tree: Path, parts: list[str]):
    pattern = "/".join(parts)
    if parts[-1] == "**":  # for pathlib of Python 3.11 folders alone
        pattern += "/*"
    found = {path.relative_to(tree).as_posix() for path in tree.glob(pattern) if path.is_file()}
    files = [path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()]
    assert {path for path in files if matches(pattern, path)} == found


@pytest.mark.parametrize(
    ("pattern", "path", "is_left_out"),
    [
        ("*.tmp", "a/b/c.tmp", True),
        ("drafts", "a/drafts/b/c.md", True),
        ("drafts/", "drafts/c.md", True),
        ("a/drafts", "a/drafts/c.md", True),
        ("a/drafts", "b/a/drafts/c.md", False),
        ("**/drafts/*.md", "b/drafts/c.md", True),
        ("drafts", "drafts2/c.md", False),
        ("*.md", "a.md.txt", False),
        ("[a].md", "a.md", False),
    ],
)
def test_an_exclusion_means_a_name_or_a_path(pattern: str, path: str, is_left_out: bool):
    assert excluded([pattern], path) is is_left_out
