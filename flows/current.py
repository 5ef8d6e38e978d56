"""Which steps need no DVC process of their own: one look at the whole graph, kept while this run holds the workspace.

A step that has nothing to do costs DVC's start, most of a second; a run in which nothing changed asks for all of them.
"""

import os
from dataclasses import dataclass

from flows.graph import Outcome, StaleUpstreamError, stale_steps
from infra.lock import HELD_VARIABLE
from infra.settings import Settings
from tasks.__main__ import STEPS


@dataclass
class _Look:
    """What was found, by whom: another hold of the lock is another time, in which all may have changed."""

    holder: str = ""
    current: frozenset[str] = frozenset()


_last = _Look()


def is_current(step: str, settings: Settings) -> bool:
    """Whether a step surely has nothing to do; False also says "ask DVC"."""
    holder = os.environ.get(HELD_VARIABLE, "")
    if not holder:
        return False
    if _last.holder != holder:
        _last.holder, _last.current = holder, _leading(settings)
    return step in _last.current


def note(outcome: Outcome, *, looked_again: bool) -> None:
    """A step went through DVC: what depends on it may be stale now, and after a look outside it is worth asking."""
    if looked_again:
        _last.holder = ""
    elif outcome != "current":
        _last.current = frozenset()


def _leading(settings: Settings) -> frozenset[str]:
    """Steps before the first stale one, in the order in which they run; later ones may depend on it."""
    try:
        stale = stale_steps(list(STEPS), settings)
    except StaleUpstreamError:  # DVC says what is wrong, with more words, when the step itself is asked
        return frozenset()
    first = min((number for number, step in enumerate(STEPS) if step in stale), default=len(STEPS))
    return frozenset(list(STEPS)[:first])
