"""The `abcd` command: run the pipeline; look at, pull, verify and sample releases; look at the machine."""

import logging
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape

from data_contracts.errors import ContractError
from flows import contracts, doctor, gc, night, operate, promotion, releases, reports, reproduction, run, runs, trace
from flows import plan as planning
from flows.failure import SAYS_ALL
from flows.platform_state import PlatformError
from flows.server import ServerError
from infra.disk import full_disk
from tasks.algorithm.machines import PlanError

app = typer.Typer(
    name="abcd",
    help="Turn your own text into your own Mixture-of-Experts language model, with a release you can prove.",
    epilog="Start with `abcd run`. Then `abcd releases` and `abcd sample 'text'`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Plan": (planning.plan,),
    "Make": (run.run, night.nightly, run.discover, run.publish, reports.report, runs.runs, runs.adopt, trace.trace),
    "Use": (releases.releases, releases.show, releases.pull, releases.verify, releases.sample, reproduction.reproduce),
    "Decide": (promotion.promote, promotion.rollback, promotion.history),
    "Operate": (operate.up, operate.status, operate.down),
    "Machine": (doctor.doctor, gc.gc),
}
for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)

app.add_typer(contracts.app, name="contract", rich_help_panel="Data")

EXPECTED_ERRORS = (*SAYS_ALL, ServerError, PlatformError, ContractError, PlanError)


@app.callback()
def options(
    *, verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the parts log.")] = False
) -> None:
    """Turn your own text into your own Mixture-of-Experts language model, with a release you can prove."""
    handler = RichHandler(console=Console(stderr=True), show_path=False, show_time=False)
    for room in ("flows", "tasks", "infra"):
        logging.getLogger(room).addHandler(handler)
        logging.getLogger(room).setLevel(logging.INFO if verbose else logging.WARNING)


def main() -> None:
    """Run the command; a known error is one message and exit code 1, Ctrl-C is 130."""
    try:
        app()
    except EXPECTED_ERRORS as error:
        _fail(str(error))
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped; type the same command again to go on where it was")
        sys.exit(130)
    except Exception as error:
        said = full_disk(error)
        if not said:
            raise
        _fail(said)


def _fail(message: str) -> NoReturn:
    Console(stderr=True).print(f"[bold red]error:[/] {escape(message)}", markup=True, highlight=False, soft_wrap=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
