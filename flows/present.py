"""Reports of steps as people see them in the Prefect UI: Markdown with counts, reasons, facts and pictures."""

import base64
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from flows.failure import Failure
from tasks.distribution.markdown import code_block, literal, table
from tasks.report import Report

if TYPE_CHECKING:
    from tasks.distribution.publish import PublishedRelease

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
_LIST_MOST = 12


def attempt(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
    """Call something whose failure must not fail a step: an update of what people see."""
    try:
        return function(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - a lost artifact is a warning, whatever went wrong
        logger.warning("not shown in the UI (%s): %s", getattr(function, "__name__", function), error)
        return None


def markdown(report: Report, folder: Path) -> str:
    """A step's report as Markdown, its pictures inside as data URIs (`file://` does not load in the UI)."""
    parts = [f"# {report.step}"]
    if report.summary:
        parts.append(literal(report.summary))
    if report.rows_in is not None:
        rows = (("read", report.rows_in), ("passed on", report.rows_out or 0), ("rejected", report.rows_rejected or 0))
        parts.append(table(("documents", "count"), [(name, f"{count:,}") for name, count in rows], numbers=(1,)))
    if report.reasons:
        by_count = sorted(report.reasons.items(), key=lambda item: (-item[1], item[0]))
        rejected = [(literal(reason), f"{count:,}") for reason, count in by_count]
        parts.append(table(("rejected because", "documents"), rejected, numbers=(1,)))
    if report.facts:
        facts = [(literal(name), literal(shown(value))) for name, value in report.facts.items()]
        parts.append(table(("what", "value"), facts))
    parts += [f"![{name}]({data_uri(folder / name)})" for name in report.pictures if (folder / name).is_file()]
    return "\n\n".join(parts)


def failed(failure: Failure) -> str:
    """Why a step ended badly: first cause and next move, then the last lines, then where the log is."""
    return "\n\n".join([cause(failure), *log_end(failure)])


def cause(failure: Failure) -> str:
    """What went wrong and what to do next, on one line."""
    return f"**{failure.step or 'the run'} failed:** {literal(failure.cause)}"


def log_end(failure: Failure) -> Iterator[str]:
    """The last lines, and where the others are."""
    if failure.tail:
        yield code_block("\n".join(failure.tail))
    if failure.log:
        yield f"The whole log: `{failure.log}`"


def describe(release: "PublishedRelease") -> str:
    """What became of a model, in one line: how good it is, whether users get it, and why."""
    quality = "" if release.bits_per_byte is None else f"{release.bits_per_byte:.3f} bits per byte, "
    state = "champion" if release.is_champion else f"kept, not promoted ({release.decision})"
    if release.note:
        state = "kept, not promoted though the gate would have it"
    before = "" if release.is_new else "already published, "
    return f"{quality}{before}{state}: {'; '.join(filter(None, [release.note, *release.reasons]))}"


def data_uri(picture: Path) -> str:
    """A PNG file as a URI that carries it."""
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode("ascii")


def shown(value: Any) -> str:
    """A value of a report, long ones cut."""
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {shown(item)}" for key, item in list(value.items())[:_LIST_MOST]) or "none"
    if isinstance(value, list | tuple):
        more = f" and {len(value) - _LIST_MOST} more" if len(value) > _LIST_MOST else ""
        return ", ".join(map(shown, value[:_LIST_MOST])) + more or "none"
    return str(value)
