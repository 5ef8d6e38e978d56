"""Which names a glob means: `*` and `?` stay within one folder's or file's name, `**` is any number of folders."""

import re
from collections.abc import Iterable
from functools import lru_cache

_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+")
_MEANING = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(_MEANING.get(token, re.escape(token)) for token in _TOKEN.findall(pattern)), re.DOTALL)


def matches(pattern: str, path: str) -> bool:
    """Whether a pattern means this path; both are relative to the same folder."""
    return _compiled(pattern).fullmatch(path) is not None


def excluded(patterns: Iterable[str], path: str) -> bool:
    """Whether a pattern means this path or a folder above it; one without `/` means a name at any depth."""
    parts = path.split("/")
    above = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    return any(
        any(matches(pattern.strip("/"), one) for one in (above if "/" in pattern.strip("/") else parts))
        for pattern in patterns
    )
