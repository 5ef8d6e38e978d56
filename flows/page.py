"""A summary becomes runs/<run>/report.html: one file that needs no network, for people without the UI."""

from functools import cache
from pathlib import Path

from jinja2 import Template

from flows.figures import duration
from flows.present import data_uri
from flows.reports import REPORT_FILE
from flows.summary import Summary
from tasks.page import template

_TEMPLATE = "report.html.j2"


def write(summary: Summary) -> Path:
    """Write the report in the run's folder; complete or absent."""
    path = summary.folder / REPORT_FILE
    fresh = path.with_name(f".{REPORT_FILE}.new")
    fresh.write_text(html(summary), encoding="utf-8")
    fresh.replace(path)
    return path


def html(summary: Summary) -> str:
    """The report; whatever comes from documents is escaped."""
    slowest = max((line.seconds for line in summary.steps), default=0.0)
    worst = max((bar.bits_per_byte for bar in summary.compared), default=0.0)
    docs, data = summary.data_docs, summary.data
    return _template().render(
        s=summary,
        slowest=max(slowest, 0.001),
        worst=max(worst, 0.001),
        data=data.relative_to(summary.folder).as_posix() if data else "",
        data_docs=docs.relative_to(summary.folder).as_posix() if docs else "",
    )


@cache
def _template() -> Template:
    return template(Path(__file__).with_name(_TEMPLATE), {"duration": duration, "data_uri": data_uri})
