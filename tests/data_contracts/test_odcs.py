"""Contract files: read with the standard's models, and nothing in them passed over."""

import json
from importlib import resources

import jsonschema
import pytest
from ruamel.yaml import YAML

from data_contracts.contract import DOCUMENTS, PACKED, RAW
from data_contracts.errors import ContractError
from data_contracts.odcs import read_odcs


@pytest.fixture
def changed(tmp_path):
    """The contract on documents with one piece of its text replaced."""

    def change(old: str, new: str):
        text = DOCUMENTS.read_text()
        assert old in text
        path = tmp_path / "changed.odcs.yaml"
        path.write_text(text.replace(old, new, 1))
        return path

    return change


@pytest.mark.parametrize("path", [DOCUMENTS, RAW, PACKED], ids=lambda path: path.name)
def test_our_contracts_keep_the_standards_own_schema(path):
    schema = json.loads(resources.files("open_data_contract_standard").joinpath("schema.json").read_text())
    jsonschema.validate(YAML(typ="safe").load(path.read_text()), schema)


def test_the_models_say_what_the_file_says():
    odcs = read_odcs(DOCUMENTS)
    assert odcs.version == "2.0.0"
    assert [column.name for column in odcs.schema_[0].properties][:2] == ["id", "uri"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("status: active", "statsu: active", r"statsu: unknown key; did you mean 'status'\?"),
        (
            "        required: true",
            "        requird: true",
            r"schema\[documents\]\.properties\[id\]\.requird: unknown key",
        ),
        ("        mustBeGreater", "        mustbeGreater", r"schema\[documents\]\.quality\[not_empty\]\.mustbeGreater"),
        ("      - property: max", "      - propert: max", r"customProperties\[0\]\.propert: unknown key"),
        ("  purpose:", "  purpos:", r"description\.purpos: unknown key; did you mean 'purpose'"),
        ("        unique: true", "        qqq: true", r"qqq: unknown key; allowed: .*unique"),
    ],
)
def test_a_misspelt_key_is_refused_with_its_path(changed, old, new, message):
    with pytest.raises(ContractError, match=message):
        read_odcs(changed(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("apiVersion: v3.1.0", "apiVersion: v9", r"expected kind: DataContract and apiVersion: v3\.1\.0, found .*'v9'"),
        ("kind: DataContract", "kind: Something", "found 'Something'"),
        ("version: 2.0.0", "version: [1", "cannot be read as YAML"),
        ("status: active", "status: {a: b}", "status: Input should be a valid string"),
    ],
)
def test_what_is_no_contract_is_refused(changed, old, new, message):
    with pytest.raises(ContractError, match=message):
        read_odcs(changed(old, new))


def test_a_missing_or_empty_file_is_named(tmp_path):
    with pytest.raises(ContractError, match=r"gone\.yaml cannot be read"):
        read_odcs(tmp_path / "gone.yaml")
    (tmp_path / "list.yaml").write_text("- a\n")
    with pytest.raises(ContractError, match="expected a mapping"):
        read_odcs(tmp_path / "list.yaml")
