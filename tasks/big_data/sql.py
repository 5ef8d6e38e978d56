"""A query to a database becomes rows of texts, in the order of its watermark; the password is in the environment."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from tasks.big_data.credentials import hushed, opened
from tasks.report import StepError
from tasks.source import Source

Texts = tuple[str | None, ...]
# Rows that a server sends at a time.
_FETCHED = 2000
_MADE_OF: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "Decimal": Decimal,
    "str": str,
    "date": date.fromisoformat,
    "datetime": datetime.fromisoformat,
}

# It says a second time, with a traceback, that a query failed.
logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)


class Mark(NamedTuple):
    """A value of the watermark column: its type and its text."""

    kind: str
    text: str

    @property
    def value(self) -> Any:
        """As the database takes it."""
        return _MADE_OF[self.kind](self.text)


class Answer:
    """What a database says to a query."""

    def __init__(self, source: Source, result: sa.CursorResult[Any]) -> None:
        self._source, self._result = source, result
        self.columns = list(result.keys())
        if twice := sorted({name for name in self.columns if self.columns.count(name) > 1}):
            raise StepError(f"discover.sources: {source.uri!r}: the query has two columns called {', '.join(twice)}")

    def rows(self) -> Iterator[tuple[Mark | None, Texts]]:
        """Each row's place in the order of the watermark, if there is one, and its values as texts.

        Raises:
            StepError: the database breaks off, or the watermark is none.
        """
        parts, at = iter(self._result.partitions(_FETCHED)), self._place_of("watermark")
        while True:
            with _explained(self._source):
                part = next(parts, None)
            if part is None:
                return
            for row in part:
                yield None if at is None else self._mark(row[at]), tuple(map(spelt, row))

    def by_key(self, rows: Iterable[tuple[Mark | None, Texts]]) -> Iterator[tuple[Mark | None, Texts]]:
        """Rows of one mark, looked through for what may not be: two of one key, or one without.

        Raises:
            StepError: there is such a row.
        """
        at, seen = self._place_of("key"), set[str | None]()
        for row in rows:
            if at is not None:
                value = row[1][at]
                if value is None or value in seen:
                    found = "a row without one" if value is None else f"two rows of {value!r}"
                    raise StepError(
                        f"discover.sources: {self._source.uri!r}: expected a value of its own for each row in the key "
                        f"column {self._source.key!r}, found {found}; choose another column, or leave key out"
                    )
                seen.add(value)
            yield row

    def _place_of(self, what: Literal["watermark", "key"]) -> int | None:
        """Number of a column that the source names."""
        name = getattr(self._source, what)
        if name and name not in self.columns:
            raise StepError(
                f"discover.sources: {self._source.uri!r}: expected a column {name!r}, the {what}, in the "
                f"answer, found {', '.join(self.columns)}"
            )
        return self.columns.index(name) if name else None

    def _mark(self, value: Any) -> Mark:
        kind = type(value).__name__
        if kind not in _MADE_OF:
            found = "a row without one" if value is None else f"a value of type {kind}"
            raise StepError(
                f"discover.sources: {self._source.uri!r}: expected numbers, times or texts in the watermark column "
                f"{self._source.watermark!r}, found {found}; choose another column, or leave watermark out"
            )
        return Mark(kind, str(spelt(value)))


@contextmanager
def asked(source: Source, since: Mark | None) -> Iterator[Answer]:
    """The answer to a source's query, of rows from a mark on if one is given.

    Raises:
        StepError: the database cannot be reached or refuses.
    """
    with ExitStack() as stack:
        with _explained(source):
            url = sa.make_url(opened(source.uri.partition("#")[0]))
            engine = sa.create_engine(_with_driver(url), poolclass=NullPool, hide_parameters=True)
            connection = stack.enter_context(engine.connect())
            connection = connection.execution_options(stream_results=True, yield_per=_FETCHED)
            if engine.dialect.name == "postgresql":
                connection = connection.execution_options(postgresql_readonly=True)
            result = connection.execute(_statement(source, since, engine))
        yield Answer(source, result)


@contextmanager
def _explained(source: Source) -> Iterator[None]:
    """What goes wrong with a database is said without the values of the URL's variables."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise StepError(
            f"discover.sources: {source.uri!r}: {error.name!r} is not installed; type `pip install -e '.[sql]'` for "
            "PostgreSQL, else `pip install` what SQLAlchemy names for this database"
        ) from None
    except (sa.exc.SQLAlchemyError, OSError, ValueError) as error:
        said = hushed(_message(error), source.uri)
        raise StepError(f"discover.sources: {source.uri!r} cannot be asked: {said}") from None


def _message(error: Exception) -> object:
    """What the database itself says; pg8000 has it among the fields of PostgreSQL's answer."""
    said = getattr(error, "orig", None) or error
    fields = said.args[0] if said.args else None
    return fields.get("M", fields) if isinstance(fields, dict) else said


def spelt(value: Any) -> str | None:
    """A value as text, the same on every machine."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=spelt)
    return str(value)


def _with_driver(url: sa.URL) -> sa.URL:
    """PostgreSQL through the driver of the extra `sql`, unless another is named."""
    bare = url.drivername in ("postgresql", "postgres")
    return url.set(drivername="postgresql+pg8000") if bare else url


def _statement(source: Source, since: Mark | None, engine: sa.Engine) -> sa.TextClause:
    # To SQLAlchemy a colon begins a parameter.
    query = source.query.strip().rstrip(";").replace(":", "\\:")
    if not source.watermark:
        return sa.text(query)
    column = engine.dialect.identifier_preparer.quote(source.watermark)
    # On lines of its own: the query may end in a comment.
    query = f"SELECT * FROM (\n{query}\n) asked"
    if since is None:
        return sa.text(f"{query} ORDER BY {column}")
    return sa.text(f"{query} WHERE {column} >= :since ORDER BY {column}").bindparams(since=since.value)
