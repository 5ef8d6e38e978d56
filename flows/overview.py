"""A summary becomes Markdown: the artifact that a person sees first in the Prefect UI."""

from collections.abc import Iterator

from flows.figures import Rows, duration
from flows.present import cause, data_uri, log_end
from flows.reports import REPORT_FILE
from flows.summary import Summary
from tasks.distribution.markdown import as_text, code_block, literal, table

_SHOWN_SAMPLES = 1


def markdown(summary: Summary) -> str:
    """What came out, why, what to do next, how good it is, what it cost, what was asked, how good the data is."""
    parts = (_head, _failure, _next, _compared, _cost, _pictures, _asked, _quality, _steps, _samples, _where)
    return "\n\n".join(text for part in parts for text in part(summary))


def _head(s: Summary) -> Iterator[str]:
    quality = "" if s.bits_per_byte is None else f" · {s.bits_per_byte:.3f} bits per byte"
    if s.failure and s.outcome.state == "failed":  # cause and next move before all else
        yield cause(s.failure)
    yield f"# {literal(s.outcome.headline)}"
    yield f"**{s.outcome.badge}**{quality} · {duration(s.seconds)}"


def _failure(s: Summary) -> Iterator[str]:
    if s.failure and s.outcome.state == "failed":
        yield from log_end(s.failure)
    elif s.outcome.reasons:
        yield "\n".join(f"- {literal(reason)}" for reason in s.outcome.reasons)
    if s.outcome.helps:
        yield "**What would help:** " + "; ".join(map(literal, s.outcome.helps))


def _next(s: Summary) -> Iterator[str]:
    if s.outcome.next:
        yield "## What you can do next"
        yield table(("type", "and get"), [(f"`{command.text}`", command.does) for command in s.outcome.next])


def _asked(s: Summary) -> Iterator[str]:
    yield "## What was asked"
    edited = f" and {s.asked.uncommitted}" if s.asked.edited else ""
    rows = [
        ("model", literal(s.asked.name or "not known: params.yaml cannot be used")),
        ("sources", literal(", ".join(s.asked.sources) or "not known")),
        ("commit", (f"`{s.asked.commit[:12]}`" if s.asked.commit else "none") + edited),
    ]
    yield table(("what", "value"), rows)
    if s.asked.changes:
        changes = [(f"`{change.key}`", literal(change.before), literal(change.now)) for change in s.asked.changes]
        yield table(("changed param", "in the commit", "in this run"), changes)


def _compared(s: Summary) -> Iterator[str]:
    if s.compared:
        yield "## How good it is"
        rows = [
            (f"**{literal(bar.label)}**" if bar.is_ours else literal(bar.label), f"{bar.bits_per_byte:.3f}")
            for bar in s.compared
        ]
        yield table(("bits per byte of held-out documents, less is better", ""), rows, numbers=(1,))


def _cost(s: Summary) -> Iterator[str]:
    if s.cost:
        yield "## What it cost"
        yield table(("what", "how much", ""), [(f.label, f.value, literal(f.note)) for f in s.cost], numbers=(1,))


def _steps(s: Summary) -> Iterator[str]:
    if s.steps:
        yield "## Steps"
        rows = [
            (line.step, line.outcome_said, f"{line.seconds:.1f}", line.cost, literal(line.summary)) for line in s.steps
        ]
        yield table(("step", "", "seconds", "cost", "what came out"), rows, numbers=(2,))


def _quality(s: Summary) -> Iterator[str]:
    if s.quality:
        yield "## Data"
        yield table(
            ("step", "documents read", "passed on", "rejected", "because"), map(_counted, s.quality), numbers=(1, 2, 3)
        )
    if s.data:
        yield f"**What is in the training data, what was dropped and why** (open it in a browser): `{s.data}`"
    if s.data_docs:
        yield f"Each rule of the contract, page by page (open it in a browser): `{s.data_docs}`"


def _counted(rows: Rows) -> tuple[str, ...]:
    reasons = ", ".join(f"{as_text(count)} {literal(reason)}" for reason, count in rows.reasons.items())
    return (rows.step, f"{rows.read:,}", f"{rows.passed:,}", f"{rows.rejected:,}", reasons)


def _pictures(s: Summary) -> Iterator[str]:
    if s.pictures:
        yield "## Curves"
        for picture in s.pictures:
            yield f"**{literal(picture.title)}**"
            yield f"![{literal(picture.title)}]({data_uri(picture.path)})"


def _samples(s: Summary) -> Iterator[str]:
    for _prompt, text in s.samples[:_SHOWN_SAMPLES]:
        yield "## A sample of what it writes"
        yield code_block(text)


def _where(s: Summary) -> Iterator[str]:
    yield "## Where it is"
    rows = [("this report, as one file for a browser", f"`{s.folder / REPORT_FILE}`"), ("logs", f"`{s.folder}`")]
    yield table(("what", "where"), rows)
