"""`abcd run`, `abcd discover`, `abcd publish`: what makes releases."""

import json
import os
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from data_contracts.records import SourceFile
from flows import server, terminal
from flows.graph import StepProcess, require_current
from flows.present import describe
from infra.lock import workspace_lock
from infra.settings import Settings
from infra.workspace import prepare, source_parameter
from tasks import params
from tasks.__main__ import STEPS
from tasks.big_data.manifest import compared, read_manifest
from tasks.report import Report, StepError, read_json

if TYPE_CHECKING:
    from tasks.distribution.publish import PublishedRelease


def run(
    *,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder, file, glob, URL or python:stdlib to learn from; may be given more than once. "
            "What params.yaml says of it stays."
        ),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column of tables that holds the text, or a template: {title} {body}.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the model; made from the first source if not given.")
    ] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Set a value in params.yaml, as in train.seed=2."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every line that the steps write.")] = False,
) -> None:
    """Run the whole pipeline: text in, published model out.

    What did not change is not run again. Options edit params.yaml, so that `dvc repro` afterwards means the same run.

    Examples: abcd run; abcd run --source reports/ --name reports; abcd run --set train.tokens=5000000
    """
    settings, console = Settings.load(), Console()
    os.chdir(settings.workspace)
    prepare(settings)
    with workspace_lock(settings.state, what="abcd run"):
        _edit(_assignments(source, text_column, name, assign or [], settings), settings, console)
        made = params.load(settings.workspace / params.PARAMS_FILE)
        sources = ", ".join(source.uri for source in made.discover.sources)
        console.print(f"[bold]abcd[/] makes [bold]{made.model_name}[/] from {escape(sources)}")
        shown = terminal.RichTerminal(console, verbose=verbose)
        try:
            with shown_run(settings, shown):
                from flows.pipeline import pipeline

                release = pipeline()
            _say_what_came_out(release, settings, console)
        finally:
            shown.say_where()


def discover(
    *,
    full: Annotated[
        bool, typer.Option("--full", help="Ask databases for all rows: rows that changed or went since are seen.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Look at the sources and the registry again, and say what changed.

    Only this and a flow look outside; `dvc repro` keeps the manifest it finds.
    """
    settings, console = Settings.load(), Console()
    asked = {"ABCD_DISCOVER_FULL": "1"} if full else {}
    prepare(settings)
    with workspace_lock(settings.state, what="abcd discover"):
        before = _files(settings)
        with StepProcess("discover", settings, look_again=True, environment=asked) as process:
            for line in process.lines():
                if line and not as_json:
                    console.print(f"[dim]{escape(line)}[/]", highlight=False)
        process.outcome()
    report = Report.read(settings.artifacts / "discover")
    if as_json:
        changes = compared(before, _files(settings))
        console.print_json(json.dumps({**report.model_dump(mode="json"), "changes": changes}))
    else:
        console.print(report.summary)


def _files(settings: Settings) -> list[SourceFile]:
    """Source files of the manifest; none if there is none."""
    try:
        return read_manifest(settings.artifacts / "discover")
    except StepError:
        return []


def publish() -> None:
    """Publish what is in artifacts/: push data and outputs, append the release to the registry.

    Refuses outputs that are not those of params.yaml and the code. Doing it twice makes one release.
    """
    from tasks.distribution.publish import publish as publish_release

    settings, console = Settings.load(), Console()
    prepare(settings)
    with workspace_lock(settings.state, what="abcd publish"):
        require_current(list(STEPS), settings)
        release = publish_release(settings)
    console.print(f"[bold]{release.ref}[/]  {escape(describe(release))}", soft_wrap=True)


def _assignments(
    source: list[str] | None, text_column: str | None, name: str | None, assign: list[str], settings: Settings
) -> list[tuple[str, Any]]:
    """Options as dotted keys. A new source without a name is named after itself, not after the last one."""
    found: list[tuple[str, Any]] = []
    if source:
        said = {known["uri"]: known for known in _sources_said(settings)}
        uris = [source_parameter(uri, settings) for uri in source]
        found.append(("discover.sources", [said.get(uri, uri) for uri in uris]))
    if name or source:
        found.append(("discover.name", name))
    if text_column:
        found.append(("ingest.text_column", text_column))
    return found + [params.parse_assignment(text) for text in assign]


def _sources_said(settings: Settings) -> list[dict[str, Any]]:
    """Sources of which params.yaml says more than the uri; none if it cannot be used, which the edit says."""
    try:
        discover = params.load(settings.workspace / params.PARAMS_FILE).discover.model_dump()
    except params.ParamsError:
        return []
    return [source for source in discover["sources"] if isinstance(source, dict)]


def _edit(assignments: list[tuple[str, Any]], settings: Settings, console: Console) -> None:
    difference = params.override(settings.workspace / params.PARAMS_FILE, assignments) if assignments else []
    if difference:
        console.print("params.yaml:")
    for line in difference:
        console.print(f"  [{'green' if line.startswith('+') else 'red'}]{escape(line)}[/]", highlight=False)


@contextmanager
def shown_run(settings: Settings, shown: terminal.RichTerminal) -> Iterator[None]:
    """A Prefect server for the flow that the block imports and runs, and what it does shown in the terminal."""
    server.configure(settings, quiet=True)
    console = shown.console
    with ExitStack() as stack:
        with console.status("starting the Prefect server"):
            url = stack.enter_context(server.prefect_server(settings))
            from prefect.logging.handlers import APILogHandler

        console.print(f"[dim]watch it at {url.removesuffix('/api')}[/]")
        stack.callback(APILogHandler().flush)
        stack.enter_context(terminal.shown_on(shown))
        stack.enter_context(shown.live())
        yield


def _say_what_came_out(release: "PublishedRelease", settings: Settings, console: Console) -> None:
    samples = read_json(settings.artifacts / "evaluate" / "samples.json")
    console.print()
    console.print(Panel(escape(samples[0]["text"]), title="a sample of what it writes"))
    pictures = [
        str((settings.artifacts / step / picture).relative_to(settings.workspace))
        for step in ("train", "evaluate", "gate")
        for picture in Report.read(settings.artifacts / step).pictures
    ]
    console.print(f"pictures   {', '.join(pictures)}")
    console.print(f"release    [bold]{release.ref}[/]  {escape(describe(release))}", soft_wrap=True)
    prompt = escape(shlex.quote(samples[0]["prompt"]))
    console.print(f"next       [bold]abcd sample --release {release.ref} {prompt}[/]", soft_wrap=True)
