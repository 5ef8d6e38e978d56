"""A model's log becomes the succession of its champions: who was it when, who came before, why one is not.

All of it is read from the signed moves of the alias; nothing else is written down, so nothing can contradict them.
"""

from typing import NamedTuple

from infra.releases import CHAMPION
from infra.signed_log import Alias, Log, Release


class Move(NamedTuple):
    """The champion's alias went from one version to another."""

    sequence: int
    at: str
    before: int | None
    version: int


def moves(log: Log) -> list[Move]:
    """Every move of the champion's alias, oldest first."""
    return [
        Move(entry.sequence, entry.at, entry.body.expected, entry.body.version)
        for entry in log.entries
        if isinstance(entry.body, Alias) and entry.body.alias == CHAMPION
    ]


def earlier_champion(log: Log) -> int | None:
    """Whom the present champion replaced; rolled back again, the one before that.

    A move to a champion of before takes back all that followed it: after v1, v2, v3 and back to v2, v1 is next.
    """
    line: list[int] = []
    for move in moves(log):
        line = [*(line[: line.index(move.version)] if move.version in line else line), move.version]
    return line[-2] if len(line) > 1 else None


def standing(log: Log, release: Release, *, beaten: int | None) -> str:
    """Whether the release is the champion, was it, or why it never was, and what a person can do.

    Args:
        log: its model's.
        release: one of the log's.
        beaten: version of the champion that the gate judged it against.
    """
    version, history = release.version, moves(log)
    if log.aliases.get(CHAMPION) == version:
        return f"champion since {_time(history[-1].at)}"
    again = f"to make it the champion all the same, type: abcd promote {log.name}@v{version}"
    ended = next((move for move in reversed(history) if move.before == version), None)
    if ended:
        return f"{_end(ended)}; {again}"
    if release.summary.decision == "refuse":
        return f"never champion: the gate refused it; {again}"
    if release.summary.decision == "ask":
        return f"never champion: the gate leaves it to a person; {again}"
    return _overtaken(log, release, beaten, again)


def end_of_reign(log: Log, version: int) -> str:
    """How a release that was the champion stopped being it."""
    return _end(next(move for move in reversed(moves(log)) if move.before == version))


def _end(move: Move) -> str:
    how = "rolled back to" if move.version < (move.before or 0) else "replaced by"
    return f"was the champion until {_time(move.at)}, then {how} v{move.version}"


def _overtaken(log: Log, release: Release, beaten: int | None, again: str) -> str:
    """The gate would have it, yet it never became the champion: someone else's release was faster."""
    released = log.entry_of(release.version)[0].sequence
    history = moves(log)
    then = next((move.version for move in reversed(history) if move.sequence < released), None)
    if then == beaten:
        then = next((move.version for move in history if move.sequence > released), None)
    if then is None:
        return "never champion: publish was interrupted before it could promote it; type: abcd publish"
    return (
        f"never champion: the gate judged it against {f'v{beaten}' if beaten else 'no champion'}, but v{then} had "
        f"become the champion meanwhile; {again}"
    )


def _time(at: str) -> str:
    return at[:16].replace("T", " ")
