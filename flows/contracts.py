"""`abcd contract`: compare any file with a contract, list the contracts."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

app = typer.Typer(help="Compare any file with a contract; list the contracts.", no_args_is_help=True)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Parquet, JSON Lines, CSV, a folder of shards, or what pack leaves.")],
    contract: Annotated[str | None, typer.Option("--contract", help="Its name or file; guessed if not given.")] = None,
) -> None:
    """Compare a file with a contract: every broken rule with its count and examples; exit code 1 if there is one."""
    # Here, because only this command needs pyarrow.
    from data_contracts import tables
    from data_contracts.checking import check as compare
    from data_contracts.contract import Contract

    contracts = Contract.read_all(_path_of(contract) if contract else tables.contract_for(file))
    checked = compare(contracts, *tables.tables_of(file, contracts))
    rows = ", ".join(f"{count:,} rows of {name}" for name, count in checked.rows.items())
    console = Console()
    if not checked.broken:
        console.print(f"{file} keeps the contract {checked.contract}: {checked.rules} rules, {rows}", soft_wrap=True)
        return
    table = Table("rule", "expected", "found", "for example", title=f"{file} breaks the contract {checked.contract}")
    for broken in checked.broken:
        rule = broken.rule if len(contracts) == 1 else f"{broken.table}: {broken.rule}"
        table.add_row(*map(escape, (rule, broken.expected, broken.found, ", ".join(broken.examples))))
    console.print(table)
    console.print(f"{len(checked.broken)} broken, of {checked.rules} rules; {rows}", soft_wrap=True)
    raise typer.Exit(1)


@app.command("list")
def list_() -> None:
    """List the contracts: version, tables, number of rules, purpose."""
    from data_contracts.contract import ENDING, ROOM, Contract
    from data_contracts.odcs import read_odcs

    table = Table("contract", "version", "tables", "rules", "what for")
    for path in sorted(ROOM.glob(f"*{ENDING}")):
        said, contracts = read_odcs(path), Contract.read_all(path)
        rules = sum(contract.rules for contract in contracts.values())
        purpose = said.description.purpose if said.description else ""
        table.add_row(str(said.name), str(said.version), ", ".join(contracts), str(rules), purpose or "")
    Console().print(table)


def _path_of(contract: str) -> Path:
    """File of a contract that is given by its name or its file."""
    from data_contracts.contract import ENDING, ROOM

    path = ROOM / f"{contract}{ENDING}"
    if path.is_file():
        return path
    if Path(contract).is_file():
        return Path(contract)
    known = ", ".join(sorted(path.name.removesuffix(ENDING) for path in ROOM.glob(f"*{ENDING}")))
    raise typer.BadParameter(f"expected one of {known}, or a file, found {contract!r}", param_hint="--contract")
