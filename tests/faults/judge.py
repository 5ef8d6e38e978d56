"""What must be true after a fault: an undisturbed run's bytes or a clear error, and a registry that reads right."""

import re
import signal
from collections.abc import Sequence
from typing import NamedTuple

from infra.releases import CHAMPION, Registry
from tasks.distribution.verify import verify
from tests.faults.workspace import NAME, Ran, Reference, Workspace

_TORN = "dvc.lock' validation failed"
SAME, CLEAR = "same bytes", "clear error, then same bytes"
# A message that says what to do next has one of these.
_NEXT_MOVE = re.compile(
    r"\b(type|run|restore|free|wait|delete|again|use|look|copy|set|restart|start|name|publish|repair|dvc \w+)\b"
)
_TROUBLE = re.compile(r"error|problem|changed|cannot|failed|expected|not |full|stopped|in use|busy", re.IGNORECASE)


class Result(NamedTuple):
    """How a fault ended; `problem` is empty when all is right."""

    ending: str
    problem: str = ""


def unclear(ran: Ran) -> str:
    """What is wrong with how a disturbed command failed; empty if it says what and what next, or ended well."""
    if ran.code == 0:
        return ""
    if "Traceback (most recent call last)" in ran.said:
        return f"a traceback instead of a clear error:\n{ran.said[-3000:]}"
    if ran.code == -signal.SIGKILL:  # it had no time to say anything
        return ""
    if "No space left on device" in ran.said:  # no more need be said
        return ""
    if not _TROUBLE.search(ran.said) or not _NEXT_MOVE.search(ran.said):
        return f"an error that says not what or what next:\n{ran.said[-2000:]}"
    return ""


def outputs_differ(workspace: Workspace, reference: Reference, *, but: Sequence[str] = ()) -> str:
    """How a workspace's outputs differ from the undisturbed ones, those of some steps left out."""
    truth, found = reference.truth.outputs, workspace.outputs()
    both = {path for path in truth.keys() | found.keys() if path.split("/")[0] not in but}
    wrong = sorted(path for path in both if truth.get(path) != found.get(path))
    if wrong:
        return f"{len(wrong)} outputs are not those of an undisturbed run, as {wrong[0]}"
    if not but and workspace.lock() != reference.truth.lock:
        return "dvc.lock is not that of an undisturbed run"
    return ""


def registry_wrong(workspace: Workspace, *, champions: set[int | None]) -> str:
    """What is wrong with the registry: a problem that verify names, or another champion than the allowed ones."""
    found = verify(workspace.settings)
    if found.problems:
        return f"verify: {found.problems[0]}"
    now = Registry.of(workspace.settings).log(NAME).aliases.get(CHAMPION)
    return "" if now in champions else f"the champion is {now}, expected one of {champions}"


def repaired(workspace: Workspace, reference: Reference, *before: Ran) -> Result:
    """Judge the disturbed runs and the next one: it ends with the undisturbed bytes, at the latest when repeated."""
    problem = next((text for ran in before if (text := unclear(ran))), "")
    if problem:
        return Result("failed", problem)
    last = list(reference.truth.seconds)[-1]
    target = [] if last in ("gate", "publish") else [last]
    ending = SAME if all(ran.code in (0, -signal.SIGKILL) for ran in before) else CLEAR
    first = workspace.run("dvc", "repro", *target)
    if _TORN in first.said:  # DVC says no more; any command of abcd puts it right, and says so
        ending = CLEAR
        workspace.must("abcd", "discover")
        first = workspace.run("dvc", "repro", *target)
    if first.code:
        if problem := unclear(first):
            return Result("failed", problem)
        ending, again = CLEAR, workspace.run("dvc", "repro", *target)
        if again.code:
            return Result("failed", f"the next run fails again:\n{again.said[-3000:]}")
    problem = outputs_differ(workspace, reference)
    if not problem and reference.champion:
        problem = registry_wrong(workspace, champions={reference.champion})
    return Result("failed" if problem else ending, problem)


def published(
    workspace: Workspace,
    reference: Reference,
    *before: Ran,
    killed_before_publish: bool = False,
    looked_again: bool = False,
) -> Result:
    """Judge a disturbed publish: the champion is the old or the new one, and publishing again makes the one release.

    `looked_again`: after the release was published a flow may have pinned it as the champion and judged against it.
    """
    problem = next((text for ran in before if (text := unclear(ran))), "")
    problem = problem or registry_wrong(workspace, champions={1, 2})
    if problem:
        return Result("failed", problem)
    if killed_before_publish:
        workspace.must("dvc", "repro")
    again = workspace.run("abcd", "publish")
    ending = SAME if all(ran.code in (0, -signal.SIGKILL) for ran in before) else CLEAR
    if again.code:
        if problem := unclear(again):
            return Result("failed", problem)
        ending = CLEAR
        workspace.must("dvc", "repro")
        workspace.must("abcd", "publish")
    problem = outputs_differ(workspace, reference, but=("discover", "drift", "gate") if looked_again else ())
    problem = problem or registry_wrong(workspace, champions={2})
    problem = problem or _release_differs(workspace)
    return Result("failed" if problem else ending, problem)


def _release_differs(workspace: Workspace) -> str:
    """Release 2 must hold exactly the export's files, and what it says of its documents."""
    log = Registry.of(workspace.settings).log(NAME)
    if len(log.releases) != 2:
        return f"{len(log.releases)} releases, expected 2"
    if log.aliases != {"candidate": 2, "champion": 2}:
        return f"aliases {log.aliases}, expected both on 2"
    outputs = workspace.outputs()
    export = {path.removeprefix("export/"): digest for path, digest in outputs.items() if path.startswith("export/")}
    files = {path: file.sha256 for path, file in log.releases[1].files.items()}
    data = {path: files.pop(path) for path in list(files) if path.startswith("data/")}
    if files != export:
        return "release 2 is not what artifacts/export has"
    same = all(outputs.get(path.replace("data/", "drift/", 1)) == digest for path, digest in data.items())
    return "" if data and same else "release 2 does not say of its documents what artifacts/drift does"
