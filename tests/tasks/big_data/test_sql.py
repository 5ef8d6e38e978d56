"""A query on a real PostgreSQL: what discover saw is what ingest reads, and a night asks for the night's rows alone."""

import logging
from collections.abc import Iterator

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.big_data import documents, snapshot, sql
from tasks.big_data.manifest import read_manifest
from tasks.big_data.trace import trace_document
from tasks.report import StepError
from tests.postgres import PASSWORD, Postgres, postgres_server

QUERY = "SELECT id, at, title, body, cost FROM orders"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


class Table:
    """The table `orders` of a server, and a source that asks for it."""

    def __init__(self, server: Postgres) -> None:
        url = server.source_url.replace("postgresql", "postgresql+pg8000", 1).replace("${TEST_DB_PASSWORD}", PASSWORD)
        self.engine = sa.create_engine(url, poolclass=sa.NullPool)
        self.uri = f"{server.source_url}#orders"
        self.run("DROP TABLE IF EXISTS orders")
        self.run("CREATE TABLE orders (id bigint, at timestamptz, title text, body text, cost numeric, extra jsonb)")

    def run(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.exec_driver_sql(statement)

    def add(self, first: int, last: int) -> None:
        self.run(
            "INSERT INTO orders SELECT n, '2024-01-01T00:00:00Z'::timestamptz + (n / 3) * interval '1 day', "
            f"'order ' || n, 'pump ' || n || ' leaks', n * 1.50 FROM generate_series({first}, {last}) n"
        )

    def source(self, **said: object) -> dict[str, object]:
        return {"uri": self.uri, "query": QUERY, "text": "body", **said}


@pytest.fixture
def table(server, monkeypatch) -> Table:
    monkeypatch.setenv("TEST_DB_PASSWORD", PASSWORD)
    monkeypatch.setattr(snapshot, "PART_ROWS", 10)
    return Table(server)


@pytest.fixture
def sent(monkeypatch) -> list[int]:
    """How many rows each question brought."""
    counts: list[int] = []
    every = sql.Answer.rows

    def counted(answer: sql.Answer) -> Iterator[object]:
        counts.append(0)
        for row in every(answer):
            counts[-1] += 1
            yield row

    monkeypatch.setattr(sql.Answer, "rows", counted)
    return counts


def look(workspace, source: dict[str, object], **how: object):
    workspace.set(discover={"sources": [source]})
    return workspace.run("discover", discover=True, **how)


def snapshots(workspace) -> dict[str, bytes]:
    return {name: data for name, data in workspace.bytes_of("discover").items() if name.startswith("snapshots/")}


def rows(workspace) -> pl.DataFrame:
    files = sorted((workspace.out("discover") / "snapshots").rglob("*.parquet"))
    return pl.concat([pl.read_parquet(file) for file in files])


def ids(workspace) -> list[int]:
    return rows(workspace)["id"].cast(pl.Int64).to_list()


def test_rows_become_documents(workspace, table):
    table.add(1, 25)
    report = look(workspace, table.source())
    files = read_manifest(workspace.out("discover"))
    base = table.uri.replace("postgres:${TEST_DB_PASSWORD}@", "")
    assert [(file.uri, file.source) for file in files] == [
        (f"{base}/part-00000{n}.parquet", table.uri) for n in range(3)
    ]
    assert report.facts["sources"][table.uri]["files"] == 3
    workspace.run("ingest")
    assert set(workspace.texts("ingest").values()) == {f"pump {n} leaks" for n in range(1, 26)}


def test_ingest_reads_what_discover_saw_whatever_the_table_says_by_then(workspace, table):
    table.add(1, 5)
    look(workspace, table.source())
    table.run("DELETE FROM orders")
    workspace.run("ingest")
    assert len(workspace.texts("ingest")) == 5


@pytest.mark.parametrize("watermark", ["id", "at", "cost", "title"])
def test_new_rows_are_asked_for_and_give_the_bytes_of_a_look_at_all(workspace, make_workspace, table, sent, watermark):
    """Three rows have one time, so that the last time seen has rows to come; texts are in the database's own order."""
    table.add(100, 131)
    look(workspace, table.source(watermark=watermark))
    table.add(132, 145)
    look(workspace, table.source(watermark=watermark))
    fresh = make_workspace()
    look(fresh, table.source(watermark=watermark))
    assert sent == [32, 14 + (3 if watermark == "at" else 1), 46]
    assert sorted(ids(workspace)) == list(range(100, 146))
    assert snapshots(workspace) == snapshots(fresh)
    look(workspace, table.source(watermark=watermark))
    assert snapshots(workspace) == snapshots(fresh)


def test_rows_without_a_watermark_are_all_asked_for_and_their_order_is_their_own(
    workspace, make_workspace, table, sent
):
    table.add(1, 12)
    look(workspace, table.source())
    before = snapshots(workspace)
    table.run("CREATE TABLE other AS SELECT * FROM orders ORDER BY id DESC; DROP TABLE orders")
    table.run("ALTER TABLE other RENAME TO orders")
    look(workspace, table.source())
    assert snapshots(workspace) == before
    assert sent == [12, 12]


def test_rows_that_went_are_seen_by_a_full_look_alone(workspace, table, sent):
    table.add(1, 25)
    look(workspace, table.source(watermark="id"))
    table.run("DELETE FROM orders WHERE id = 3")
    look(workspace, table.source(watermark="id"))
    assert 3 in ids(workspace)
    look(workspace, table.source(watermark="id"), discover_full=True)
    assert 3 not in ids(workspace)
    table.run("DELETE FROM orders WHERE id > 20")
    look(workspace, table.source(watermark="id"))
    assert max(ids(workspace)) == 24  # rows from the last mark on are asked for again
    assert sent == [25, 1, 24, 0]


@pytest.mark.parametrize("change", ["query", "part", "index", "columns"])
def test_another_question_or_a_damaged_snapshot_is_a_full_look(workspace, table, sent, change):
    table.add(1, 25)
    query = "SELECT * FROM orders"
    look(workspace, table.source(watermark="id", query=query))
    part, index = (next((workspace.out("discover") / "snapshots").rglob(name)) for name in ("part-000000*", "*.json"))
    if change == "query":
        query += " WHERE id > 5"
    if change == "part":
        part.write_bytes(part.read_bytes()[:-1])
    if change == "index":
        index.write_text("{")
    if change == "columns":
        table.run("ALTER TABLE orders ADD COLUMN new text")
    look(workspace, table.source(watermark="id", query=query))
    assert sent[-1] == (20 if change == "query" else 25)
    assert sorted(ids(workspace)) == list(range(6 if change == "query" else 1, 26))


def test_values_are_texts_that_do_not_depend_on_the_machine(workspace, table):
    table.run(
        "INSERT INTO orders VALUES (1, '2024-06-01T12:00:00+02', 'ä', NULL, 1.50, '{\"b\": [1, null], \"a\": \"ö\"}')"
    )
    query = "SELECT *, 1.5::float8 f, true t, '2024-02-03'::date d, '\\x00ff'::bytea b FROM orders -- a comment"
    look(workspace, table.source(query=query, watermark="id"))
    row = rows(workspace).row(0)
    assert row == (
        "1", "2024-06-01T10:00:00+00:00", "ä", None, "1.50", '{"a": "ö", "b": [1, null]}', "1.5", "true", "2024-02-03",
        "00ff",
    )  # fmt: skip


def test_a_query_is_the_databases_own(workspace, table):
    table.add(1, 1)
    query = "SELECT id, ':a 12:30 100% %s \\:' AS body, id::text || ':b' AS x FROM orders;\n"
    for watermark in ("", "id"):
        look(workspace, table.source(query=query, watermark=watermark))
        assert rows(workspace).row(0)[1:] == (
            ":a 12:30 100% %s \\:", "1:b",
        )  # fmt: skip


@pytest.mark.parametrize("watermark", ["", "id", "at"])
def test_a_row_is_called_by_its_key_and_found_again(workspace, table, watermark):
    """Also when rows before it went, where its place becomes another one."""
    table.add(1, 25)
    said = {"key": "id", **({"watermark": watermark} if watermark else {})}
    look(workspace, table.source(**said))
    workspace.run("ingest")
    end = "@2024-01-07T00:00:00+00:00" if watermark == "at" else ""
    base = table.uri.replace("postgres:${TEST_DB_PASSWORD}@", "")
    name = f"{base}/id=18{end}"
    assert set(workspace.texts("ingest").values()) == {f"pump {n} leaks" for n in range(1, 26)}
    before = trace_document(workspace.settings(), name)
    place = 18 if watermark else sorted(map(str, range(1, 26))).index("18") + 1
    assert (before.source_row.query, before.source_row.position) == (QUERY, place)
    assert before.source_file["uri"] == f"{base}/part-00000{(place - 1) // 10}.parquet"
    table.run("DELETE FROM orders WHERE id IN (1, 10, 11)")
    look(workspace, table.source(**said), discover_full=True)
    workspace.run("ingest")
    after = trace_document(workspace.settings(), name)
    assert after.id == before.id
    assert after.source_row.position == place - 3


def test_a_row_without_a_key_is_found_by_its_place(workspace, table):
    table.add(1, 25)
    look(workspace, table.source(watermark="id"))
    workspace.run("ingest")
    base = table.uri.replace("postgres:${TEST_DB_PASSWORD}@", "")
    found = trace_document(workspace.settings(), f"{base}/part-000002.parquet#3")
    assert found.source_row.position == 23
    assert found.source_file["uri"] == f"{base}/part-000002.parquet"


def test_another_watermark_gives_other_names_though_the_rows_are_the_same(workspace, table):
    table.add(1, 3)
    for watermark, ends in (("id", {"id=1", "id=2", "id=3"}), ("title", {f"id={n}@order {n}" for n in (1, 2, 3)})):
        look(workspace, table.source(watermark=watermark, key="id"))
        workspace.run("ingest")
        uris = documents.read(workspace.out("ingest"), ["uri"])["uri"]
        assert {uri.rpartition("/")[2] for uri in uris} == ends


def test_nothing_is_written_to_the_database(workspace, table):
    table.add(1, 1)
    table.run("CREATE SEQUENCE IF NOT EXISTS numbers")
    with pytest.raises(StepError, match=r"cannot be asked: cannot execute nextval\(\) in a read-only transaction$"):
        look(workspace, table.source(query="SELECT nextval('numbers')"))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"query": "SELECT nothing"}, r"cannot be asked: .*nothing"),
        ({"query": "SELECT 1 AS a, 2 AS a"}, r"two columns called a"),
        ({"query": f"{QUERY} WHERE id < 0"}, r"expected rows, found none"),
        ({"watermark": "idd"}, r"cannot be asked: .*idd"),
        ({"query": "SELECT NULL::int AS id, 'x' AS body", "watermark": "id"}, r"column 'id', found a row without one"),
        ({"query": "SELECT '{}'::jsonb AS id", "watermark": "id"}, r"column 'id', found a value of type dict"),
        ({"key": "idd"}, r"expected a column 'idd', the key, in the answer, found id, at"),
        ({"query": "SELECT NULL::int AS id, 'x' AS body", "key": "id"}, r"key column 'id', found a row without one"),
        ({"query": "SELECT 1 AS id, x AS body FROM generate_series(1, 2) x", "key": "id"}, r"found two rows of '1'"),
        ({"uri": "nosuchdatabase://h/d"}, r"cannot be asked: .*nosuchdatabase"),
        ({"uri": "oracle+oracledb://h/d"}, r"'oracledb' is not installed; type .*sql"),
        ({"uri": "postgresql://postgres:${TEST_DB_PASSWORD}@127.0.0.1:1/d"}, r"cannot be asked: .*127\.0\.0\.1"),
        ({"uri": "postgresql://postgres:${NOT_SET_HERE}@127.0.0.1/d"}, r"found no NOT_SET_HERE; set it"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_said(workspace, table, said, message):
    table.add(1, 1)
    with pytest.raises(StepError, match=message):
        look(workspace, table.source(**said))


def test_a_text_column_that_is_not_there_is_named_as_of_any_table(workspace, table):
    table.add(1, 1)
    look(workspace, table.source(text="words"))
    with pytest.raises(StepError, match=r"expected a column 'words' .*hold text: id, at, title, body, cost"):
        workspace.run("ingest")


def test_the_password_is_nowhere_but_in_the_environment(workspace, table, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    table.add(1, 3)
    look(workspace, table.source(watermark="id"))
    workspace.run("ingest")
    kept = [path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()]
    assert len(kept) > 5
    assert not any(PASSWORD.encode() in data for data in [*kept, caplog.text.encode()])
    monkeypatch.setenv("TEST_DB_PASSWORD", "wrong-for/this@server")
    with pytest.raises(StepError, match=r"cannot be asked: .*password authentication failed") as error:
        look(workspace, table.source(watermark="id"))
    assert "wrong-for" not in str(error.value)


def test_a_kept_manifest_keeps_its_snapshots(workspace, table):
    table.add(1, 3)
    look(workspace, table.source())
    before = snapshots(workspace)
    table.add(4, 9)
    workspace.run("discover")
    assert snapshots(workspace) == before


def test_another_database_is_asked_in_the_same_way(workspace, tmp_path):
    path = tmp_path / "log.db"
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE log (n INTEGER, text TEXT)")
        connection.exec_driver_sql("INSERT INTO log VALUES (2, 'two'), (1, 'one')")
    look(workspace, {"uri": f"sqlite:///{path}", "query": "SELECT * FROM log", "watermark": "n"})
    workspace.run("ingest")
    assert set(workspace.texts("ingest").values()) == {"one", "two"}


@given(nights=st.lists(st.lists(st.integers(0, 6), max_size=6), min_size=1, max_size=5), part_rows=st.integers(1, 4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)
def test_nights_give_the_bytes_of_one_look_whatever_comes(make_workspace, monkeypatch, nights, part_rows):
    """Marks repeat within a night and over nights; a night may bring none; parts are of any size."""
    monkeypatch.setattr(snapshot, "PART_ROWS", part_rows)
    nightly, once = make_workspace(), make_workspace()
    engine = sa.create_engine(f"sqlite:///{nightly.root}/log.db", poolclass=sa.NullPool)
    source = {"uri": f"sqlite:///{nightly.root}/log.db", "query": "SELECT * FROM log", "watermark": "at"}
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE log (at INTEGER, text TEXT)")
        connection.exec_driver_sql("INSERT INTO log VALUES (0, 'first')")
    look(nightly, source)
    latest, count = 0, 0
    for night in nights:
        with engine.begin() as connection:
            for step in sorted(night):
                count += 1
                connection.exec_driver_sql(f"INSERT INTO log VALUES ({latest + step}, 'row {count * 7 % 11}')")
        latest += max(night, default=0)
        look(nightly, source)
    look(once, source)
    assert snapshots(nightly) == snapshots(once)
    assert rows(nightly).height == count + 1
