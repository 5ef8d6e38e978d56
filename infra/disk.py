"""An error of a full disk, however a library words it, becomes what is full and what to do."""

import errno
import re

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# Libraries in Rust and C++ hand the error on as text.
_WORDS = re.compile(
    r"no space left on device|disk quota exceeded|file too large|os error 2[78]\b"
    r"|^[0-9]+ requested and [0-9]+ written$",  # numpy.ndarray.tofile
    re.IGNORECASE,
)


def full_disk(error: BaseException) -> str:
    """What to say of an error that came from a full disk; empty for every other one."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _FULL:
            return _message(f"{seen.strerror}: {seen.filename}" if seen.filename else str(seen.strerror))
        if _WORDS.search(str(seen)):
            return _message(str(seen).splitlines()[0][:300])
        seen = seen.__cause__ or seen.__context__
    return ""


def _message(found: str) -> str:
    return (
        f"expected room on the disk, found none ({found}); what was complete before is kept: "
        "free some space (`df -h` shows where), then type the same command again"
    )
