"""`abcd plan`: what a budget buys on a machine, and the choice written into params.yaml."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from flows import plan_table
from infra.lock import workspace_lock
from infra.settings import Settings
from tasks import params
from tasks.algorithm.blueprint import Blueprint
from tasks.algorithm.machines import PUBLISHED, Machine, PlanError, published
from tasks.algorithm.plan import Corpus, Kind, Plan, Planner
from tasks.report import Report, write_json

# Of Python's standard library with preset nano's vocabulary, for text that nobody has packed yet.
_BYTES_PER_TOKEN, _VOCABULARY = 3.09, 2048
_THIS = "this"
_HOURS_FROM = 7200


class Only(StrEnum):
    """A kind of model, as a word of the command line."""

    dense = "dense"
    mixture = "mixture"

    @property
    def kind(self) -> Kind:
        """As the planner calls it."""
        return "dense" if self is Only.dense else "mixture of experts"


def plan(
    *,
    minutes: Annotated[float | None, typer.Option(min=0, help="Minutes of training to plan for.")] = None,
    gpu_hours: Annotated[float | None, typer.Option(min=0, help="Hours of training, times GPUs (or machines).")] = None,
    money: Annotated[float | None, typer.Option(min=0, help="What it may cost; needs --price.")] = None,
    price: Annotated[float | None, typer.Option(min=0, help="Price of an hour of the machine, or of one GPU.")] = None,
    machine: Annotated[
        str, typer.Option(help=f"This one, which is measured, or a GPU as published: {', '.join(PUBLISHED)}.")
    ] = _THIS,
    gpus: Annotated[int, typer.Option(min=1, help="How many of the published GPU.")] = 1,
    mfu: Annotated[
        float | None, typer.Option(min=0.01, max=1, help="Share of a published GPU's peak that training reaches.")
    ] = None,
    corpus_mb: Annotated[
        float | None, typer.Option(min=0, help="MB of different text to train on; what is packed if not given.")
    ] = None,
    only: Annotated[
        Only | None, typer.Option(help="Choose among models of one kind; the better one if not given.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Put the choice into params.yaml, comments kept.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the plan as JSON.")] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw predicted quality against budget, as PNG.")
    ] = None,
) -> None:
    """Say which model a budget buys, how good it will be, how long it takes and what it costs.

    Examples: abcd plan --minutes 5; abcd plan --money 100 --price 3 --machine h100 --corpus-mb 5000
    """
    settings, console = Settings.load(), Console()
    file = settings.workspace / params.PARAMS_FILE
    given = params.load(file)
    if given.discover.base:
        raise PlanError(
            f"params.yaml trains on from {given.discover.base}, whose shape and tokenizer are given; "
            "set discover.base to null to plan a new model, or train.tokens for how long to train on"
        )
    corpus = _corpus(settings, given, corpus_mb)
    is_here = machine == _THIS
    known = _measured(settings, console) if is_here else published(machine, workers=gpus, mfu=mfu)
    seconds = _seconds(known, minutes=minutes, gpu_hours=gpu_hours, money=money, price=price)
    hourly = price * known.workers if price and known.device == "gpu" else price
    made = Planner(known, corpus, price=hourly, only=only.kind if only else None).plan(seconds, params=given)
    plan_table.show(made, console)
    if json_file:
        write_json(json_file, made.model_dump(mode="json"))
        console.print(f"plan       {escape(str(json_file))}", highlight=False)
    if picture:
        _draw(made, picture)
        console.print(f"picture    {escape(str(picture))}", highlight=False)
    if write:
        _write(made, settings, file, console, is_here=is_here)
    else:
        console.print("next       the same command with [bold]--write[/], then [bold]abcd run[/]", highlight=False)


def _corpus(settings: Settings, given: params.Params, megabytes: float | None) -> Corpus:
    """What `pack` left, or so much text that nobody has packed."""
    if megabytes is not None:
        return Corpus(bytes=int(megabytes * 1e6), bytes_per_token=_BYTES_PER_TOKEN, vocab_size=_VOCABULARY)
    try:
        facts = Report.read(settings.artifacts / "pack").facts
    except OSError:
        raise PlanError(
            f"how much text there is to train on is not known: nothing is packed in {settings.artifacts}; "
            "run `dvc repro pack` first (seconds), or say --corpus-mb"
        ) from None
    train = facts["train"]
    return Corpus(
        bytes=train["distinct_bytes"], bytes_per_token=train["bytes_per_token"], vocab_size=facts["vocab_size"]
    )


def _measured(settings: Settings, console: Console) -> Machine:
    with console.status("measuring this machine: products, memory, short trainings"):
        from tasks.compute.probe import measure

        return measure(settings)


def _seconds(
    machine: Machine, *, minutes: float | None, gpu_hours: float | None, money: float | None, price: float | None
) -> float:
    """Wall seconds that the budget is; a price is of an hour of one GPU, or of this whole machine."""
    said = [each for each in (minutes, gpu_hours, money) if each is not None]
    if len(said) != 1:
        raise typer.BadParameter("say one of --minutes, --gpu-hours and --money")
    units = machine.workers if machine.device == "gpu" else 1
    if minutes is not None:
        return minutes * 60
    if gpu_hours is not None:
        return gpu_hours * 3600 / units
    if not price:
        raise typer.BadParameter("--money needs --price: what an hour of the machine costs, or of one of its GPUs")
    return (money or 0.0) / price * 3600 / units


def _draw(made: Plan, picture: Path) -> None:
    from tasks.compute.pictures import draw_plan

    seconds, unit = (3600, "hours") if made.budget_seconds >= _HOURS_FROM else (60, "minutes")
    curves: dict[str, list[tuple[float, float]]] = {
        kind: [(budget / seconds, bits) for budget, bits in curve] for kind, curve in made.curves.items()
    }
    chosen = made.budget_seconds / seconds, made.choice.bits_per_byte
    draw_plan(curves, chosen, picture, unit=unit, title=f"{made.machine.name}, {made.machine.workers} workers")


def _write(made: Plan, settings: Settings, file: Path, console: Console, *, is_here: bool) -> None:
    """The choice into params.yaml; of this machine also what was foretold, for the run's record."""
    from tasks.compute.prediction import Prediction

    with workspace_lock(settings.state, what="abcd plan"):
        said = params.read(file)
        wanted = [(key, value) for key, value in made.choice.assignments() if value is not None or _is_in(said, key)]
        difference = params.override(file, wanted)
        if is_here:
            foretold = Prediction(
                wall_seconds=made.choice.seconds,
                peak_rss_bytes=made.choice.memory_bytes,
                bits_per_byte=made.choice.bits_per_byte,
                machine=made.machine.name,
            )
            foretold.keep(settings, Blueprint.make(params.load(file)))
    console.print("params.yaml:" if difference else "params.yaml says so already")
    for line in difference:
        console.print(f"  [{'green' if line.startswith('+') else 'red'}]{escape(line)}[/]", highlight=False)
    console.print("next       [bold]abcd run[/]", highlight=False)


def _is_in(said: Any, dotted: str) -> bool:
    section, _, key = dotted.partition(".")
    return key in (said.get(section) or {})
