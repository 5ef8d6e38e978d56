"""Documents become documents that keep their contract: the gate through which data comes to training, or does not.

Rows that break a row rule are kept in `rejected/` with every rule they broke. If too many do, or the table as a
whole breaks a rule, the step fails and what it had found stays under `settings.runs / "rejected" / "validate"`.
Every row is judged here; Great Expectations gets of all rows the columns that table rules name, and of a sample all.
"""

import hashlib
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import polars as pl

from data_contracts.contract import DOCUMENTS, Contract
from data_contracts.errors import ContractError
from data_contracts.expectations import Tables, columns_of_table, ready, run_expectations
from infra.settings import Settings
from tasks.big_data import documents
from tasks.big_data.documents import Sifted, Tally
from tasks.big_data.engine import engine
from tasks.big_data.scans import columns_of, smallest
from tasks.big_data.sift import sift
from tasks.params import Params
from tasks.report import Report, StepError

_EXAMPLES = 3
_SHOWN_CHARACTERS = 60
# What Great Expectations gets at most: it takes 5 KB of memory a row beside the text itself.
_SAMPLED_SHARDS, _SAMPLED_ROWS, _SAMPLED_BYTES = 8, 2048, 8 << 20


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write the rows that keep the contract, the ones that do not, and Data Docs.

    Raises:
        StepError: the contract cannot be run, more rows break it than it allows, or the table as a whole does.
    """
    source, kept_in = settings.artifacts / "dedup", settings.runs / "rejected" / "validate"
    try:
        contract = Contract.read(DOCUMENTS)
        if contract.key_rules or contract.query_rules:
            names = [*(rule.name for rule in contract.key_rules), *(rule.name for rule in contract.query_rules)]
            raise ContractError(f"{DOCUMENTS.name}: {', '.join(names)}: only packed tables may have such rules")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(ready)  # takes seconds; what polars does meanwhile leaves it the other core
            tally = part_table(source, out, contract, settings)
        if tally.rows_rejected > contract.max_rejected_share * tally.rows_in:
            raise StepError(_too_many(contract, tally, documents.read_rejected(out), _keep(out, kept_in)))
        tables = Tables(whole(out, columns_of_table(contract)), sample(out))
        failures = run_expectations(contract, tables, out / "data_docs")
    except ContractError as error:
        raise StepError(f"the contract on documents cannot be run: {error}") from error
    if failures:
        lines = "; ".join(
            f"rule {failure.rule}: expected {failure.expected}, found {failure.found}"
            + (f", such as {', '.join(failure.examples)}" if failure.examples else "")
            for failure in failures
        )
        raise StepError(
            f"the accepted {tally.rows_out:,} rows break the contract {contract.title}: {lines}; rejected rows and "
            f"Data Docs are kept in {_keep(out, kept_in)}; mend the sources, or the limit in {DOCUMENTS.name}"
        )
    facts = {
        "contract": contract.title,
        "rules": contract.rules,
        "max_rejected_share": contract.max_rejected_share,
        "sampled_rows": tables.sample.height,
    }
    return tally.report("validate", {**tally.facts, **facts})


def part_table(source: Path, out: Path, contract: Contract, settings: Settings) -> Tally:
    """Part all shards by the row rules; whether a value came before is known from the whole table."""
    shards = documents.read_index(source)
    repeats = contract.repeats(lambda: columns_of(source, contract.unique_columns))
    extras, start = {}, 0
    for shard in shards:
        mine = repeats.slice(start, shard.rows)
        start += shard.rows
        if mine.select(pl.any_horizontal(pl.all()).any()).item():
            extras[shard.name] = tuple(mine.iter_rows())
    common = (contract.title, tuple(repeats.columns))
    with engine(settings) as where:
        return sift("validate", source, out, work, common, settings, where, extras=extras)


def work(
    frame: pl.DataFrame, common: tuple[str, tuple[str, ...]], repeated: Sequence[tuple[bool, ...]] | None
) -> Sifted:
    """One shard, parted by the row rules of the contract; its file is part of the code that memory goes by."""
    _, columns = common
    schema = dict.fromkeys(columns, pl.Boolean)
    none = [(False,) * len(columns)] * frame.height
    repeats = pl.DataFrame(list(repeated) if repeated else none, schema=schema, orient="row")
    return Sifted(*_contract().judge(frame, repeats))


def whole(folder: Path, columns: list[str]) -> pl.DataFrame:
    """Some columns of all rows, each text a number in memory; a column of nothing if none is asked for."""
    if not columns:
        rows = sum(shard.rows for shard in documents.read_index(folder))
        return pl.select(row=pl.repeat(value=True, n=rows, dtype=pl.Boolean))
    empty = pl.DataFrame(schema=dict.fromkeys(columns, pl.Categorical()))
    parts = (part.select(pl.col(columns).cast(pl.Categorical())) for part in columns_of(folder, columns))
    return pl.concat([empty, *parts])


def sample(folder: Path) -> pl.DataFrame:
    """Rows that hashes choose: those with the smallest ids, from shards with the smallest hashes of names."""
    shards = [shard for shard in documents.read_index(folder) if shard.rows]
    chosen = sorted(shards, key=lambda shard: hashlib.sha256(shard.name.encode()).digest())[:_SAMPLED_SHARDS]
    found = documents.SCHEMA.to_frame()
    for shard in chosen:
        mine = smallest(folder, shard.name, _SAMPLED_ROWS // len(chosen)).sort("id")
        below = mine["text"].str.len_bytes().cum_sum() <= _SAMPLED_BYTES // len(chosen)
        found = pl.concat([found, mine.filter(below)])
    return found.sort("id")


@cache
def _contract() -> Contract:
    return Contract.read(DOCUMENTS)


def _keep(out: Path, kept_in: Path) -> Path:
    """Copy of the rejected rows and Data Docs that outlives the step's output; the last failure's only."""
    shutil.rmtree(kept_in, ignore_errors=True)
    kept_in.mkdir(parents=True)
    shutil.copyfile(out / documents.INDEX, kept_in / documents.INDEX)
    for name in (documents.REJECTED, "data_docs"):
        if (out / name).is_dir():
            shutil.copytree(out / name, kept_in / name)
    return kept_in


def _too_many(contract: Contract, tally: Tally, rejected: pl.DataFrame, kept_in: Path) -> str:
    """What is wrong, how often, where to see it, three rows that show it."""
    shown = [
        f"{uri} ({', '.join(reasons)}): {text[:_SHOWN_CHARACTERS]!r}"
        for uri, reasons, text in rejected.select("uri", "reasons", pl.col("text").fill_null(""))
        .head(_EXAMPLES)
        .iter_rows()
    ]
    return (
        f"{tally.rows_rejected:,} of {tally.rows_in:,} rows ({tally.rows_rejected / tally.rows_in:.1%}) break the "
        f"contract {contract.title}, which allows {contract.max_rejected_share:.1%}: rows by rule: {tally.in_words()}; "
        f"for example {'; '.join(shown)}; all rejected rows are kept in {kept_in}; mend the sources or params.yaml, "
        f"or the limits in {DOCUMENTS.name} if they are wrong"
    )
