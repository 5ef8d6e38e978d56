"""An item of discover.sources: a string or a mapping, in the file, in the form and on the command line."""

import json
import re
from pathlib import Path

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from flows.run import _assignments
from infra.settings import Settings
from tasks import params
from tasks.overrides import Overrides
from tasks.source import Source, has_secret, split_glob

MINIMAL = {"blueprint": {"preset": "nano"}}
DATABASE = "postgresql://reader:${PLANT_PASSWORD}@db.plant/orders"
ALL = {
    "uri": DATABASE, "text": "{title}\n{body}", "metadata": ["id", "asset"], "licence": "CC-BY-4.0",
    "language": "de", "weight": 2.5, "kind": "notes", "query": "select 1", "watermark": "id", "key": "id",
}  # fmt: skip


def parsed(*sources: object) -> params.Params:
    return params.parse({**MINIMAL, "discover": {"sources": list(sources)}})


def test_a_string_and_a_mapping_are_sources():
    assert parsed("docs", {"uri": "a.csv", "licence": None}).discover.sources == (
        Source(uri="docs"),
        Source(uri="a.csv"),
    )


def test_all_that_can_be_said_is_written_as_it_was_said():
    said = parsed("docs", ALL).discover.model_dump()["sources"]
    assert said == ("docs", ALL)
    assert json.loads(parsed(ALL).model_dump_json())["discover"]["sources"] == [ALL]


def test_what_a_source_says_comes_before_what_is_said_for_all():
    given = params.parse(
        {
            **MINIMAL,
            "discover": {"sources": ["docs", {"uri": "log", "text": "raw", "licence": "MIT", "kind": "notes"}]},
            "ingest": {"text_column": "body", "licence": "CC0-1.0"}, "clean": {"preset": "prose"},
        }
    )  # fmt: skip
    filled = [(given.source(uri).text, given.source(uri).licence, given.source(uri).kind) for uri in ("docs", "log")]
    assert filled == [("body", "CC0-1.0", "prose"), ("raw", "MIT", "notes")]
    assert given.source("of another manifest").text == "body"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"uri": "x", "licens": "MIT"}, "params.yaml: discover.sources.0.licens: unknown key; did you mean 'licence'?"),
        ({"path": "x"}, "discover.sources.0.path: unknown key; allowed: uri, format, text"),
        ({"text": "x"}, "discover.sources.0.uri: missing; field required"),
        (3, "params.yaml: discover.sources.0: found 3; input should be a valid dictionary"),
        ("", 'params.yaml: discover.sources.0.uri: found ""; string should have at least 1 character'),
        ({"uri": "x", "weight": 0}, "discover.sources.0.weight: found 0; input should be greater than 0"),
        ({"uri": "x", "language": "german"}, 'discover.sources.0.language: found "german"; string should match'),
        ({"uri": "x", "kind": "poem"}, "discover.sources.0.kind: found \"poem\"; input should be"),
        ({"uri": "x", "text": "{a"}, "discover.sources.0: text: expected a column or a template of columns in braces"),
        ({"uri": "x", "query": "select 1"}, "discover.sources.0: query: 'x' is no database URL"),
        ({"uri": "x", "watermark": "id"}, "discover.sources.0: watermark: 'x' has no query"),
        ({"uri": "x", "key": "id"}, "discover.sources.0: key: 'x' has no query"),
        ({"uri": "https://h/a.csv", "exclude": ["b"]}, "discover.sources.0: exclude: 'https://h/a.csv' is no folder"),
        ({"uri": DATABASE, "query": "select 1", "format": "csv"}, "discover.sources.0: format: a query has rows"),
        ("s3://buck*/a", "discover.sources.0: expected the name of a bucket, found a glob"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_path(source: object, message: str):
    with pytest.raises(params.ParamsError, match=re.escape(message)) as error:
        parsed(source)
    assert "at least 1 item" not in str(error.value)


def test_a_source_is_named_once():
    with pytest.raises(params.ParamsError, match=r"'postgresql://h/d' is named twice.*#orders"):
        parsed(*({"uri": "postgresql://h/d", "query": query} for query in ("select 1", "select 2")))


@pytest.mark.parametrize(
    ("uri", "secret"),
    [
        ("postgresql://u:hunter2@h/d", True),
        ("postgresql://u:${PW}@h/d", False),
        ("postgresql://u@h/d", False),
        ("postgresql://h/d?user=u&password=hunter2", True),
        ("postgresql://h/d?password=${PW}", False),
        ("postgresql://u:x${PW}@h/d", True),
        ("https://h/a.csv?X-Amz-Signature=hunter2", True),
        ("https://h/a.csv?sig=hunter2", True),
        ("https://h/a.csv?version=3", False),
        ("a:b@c.txt", False),
    ],
)
def test_a_url_with_a_secret_is_told_from_one_that_names_its_variable(uri: str, secret: bool):
    assert has_secret(uri) is secret


def test_a_password_is_refused_and_not_repeated():
    source = {"uri": "postgresql://u:hunter2@h/d", "query": "select 1"}
    with pytest.raises(params.ParamsError, match=r"\$\{VARIABLE\}") as error:
        parsed(source)
    with pytest.raises(ValidationError) as of_form:
        Overrides(discover={"sources": [source]})
    assert "hunter2" not in f"{error.value}{of_form.value}"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("reports/**/*.md", "reports"),
        ("*.md", "model"),
        ("s3://plant/work orders/*.jsonl", "work-orders"),
        ("https://example.org/files/Manual.pdf?version=3", "manual"),
        ({"uri": "postgresql://db/plant", "query": "select 1"}, "plant"),
        ({"uri": "postgresql://db/plant#orders", "query": "select 1"}, "orders"),
        ({"uri": "data/log.csv", "text": "raw"}, "log"),
    ],
)
def test_a_model_is_called_after_its_first_source(source: object, name: str):
    assert parsed(source, "docs").model_name == name


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("docs/a.txt", ("docs/a.txt", "")),
        ("docs/**/*.md", ("docs", "**/*.md")),
        ("docs/2024-??/a.md", ("docs", "2024-??/a.md")),
        ("*.md", (".", "*.md")),
        ("/*.md", ("/", "*.md")),
        ("../a [1]/*.md", ("../a [1]", "*.md")),
        ("s3://bucket/*.md", ("s3://bucket", "*.md")),
        ("https://h/a?b=*", ("https://h/a?b=*", "")),
    ],
)
def test_a_glob_starts_in_a_folder(uri: str, parts: tuple[str, str]):
    assert split_glob(uri) == parts


def test_the_form_takes_strings_and_mappings():
    schema = Overrides.model_json_schema()["$defs"]["DiscoverOverrides"]["properties"]["sources"]
    assert schema["anyOf"][0]["items"]["anyOf"][0] == {"type": "string"}
    assert Overrides(discover={"sources": ["docs", ALL]}).dotted() == [("discover.sources", ("docs", ALL))]


@pytest.fixture
def workspace(tmp_path: Path) -> Settings:
    file = Path(__file__).parents[2] / "params.yaml"
    (tmp_path / "params.yaml").write_text(file.read_text())
    return Settings(workspace=tmp_path)


def test_an_edit_writes_sources_as_a_person_would(workspace: Settings):
    file = workspace.workspace / "params.yaml"
    params.override(file, [("discover.sources", ("docs", ALL))])
    assert YAML(typ="safe").load(file.read_text())["discover"]["sources"] == ["docs", ALL]
    assert "    - docs\n    - uri: postgresql://reader" in file.read_text()
    assert params.load(file).discover.sources == (Source(uri="docs"), Source.model_validate(ALL))


def test_a_source_named_on_the_command_line_keeps_what_is_said_of_it(workspace: Settings, monkeypatch):
    monkeypatch.chdir(workspace.workspace)
    file = workspace.workspace / "params.yaml"
    params.override(file, [("discover.sources", ["docs", {"uri": "log.csv", "text": "raw"}])])
    params.override(file, _assignments(["./log.csv", "new/**/*.md"], None, None, [], workspace))
    sources = params.load(file).discover.sources
    assert sources == (Source(uri="log.csv", text="raw"), Source(uri="new/**/*.md"))


def test_the_guide_has_each_key_and_an_example_that_can_be_used():
    guide = (Path(__file__).parents[2] / "docs" / "sources.md").read_text()
    assert [name for name in Source.model_fields if not re.search(rf"^\| .*`{name}`", guide, re.M)] == []
    examples = re.findall(r"```yaml\n(.*?)```", guide, re.S)
    said = [YAML(typ="safe").load(example.replace("discover:\n  sources:\n", "")) for example in examples]
    sources = [source for example in said for source in parsed(*example).discover.sources]
    assert len(said) == 5
    assert {name for source in sources for name in source.model_fields_set} == set(Source.model_fields)
