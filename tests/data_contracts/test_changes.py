"""Versions of contracts: what breaks is named, and is a new major version or fails here."""

import shutil

import pytest

from data_contracts.changes import RELEASED, breaking_changes, faults, releases, version_of
from data_contracts.contract import DOCUMENTS, ENDING, ROOM
from data_contracts.errors import ContractError


@pytest.mark.parametrize("path", sorted(ROOM.glob(f"*{ENDING}")), ids=lambda path: path.name)
def test_no_contract_breaks_what_its_version_promised(path):
    assert faults(path) == []


def test_every_released_form_is_of_a_contract_that_is_there():
    known = {path for name in ("documents", "raw", "packed") for path in releases(name)}
    assert known == set(RELEASED.iterdir())


@pytest.fixture
def changed(tmp_path):
    """The contract on documents with pieces of its text replaced."""

    def change(*pieces: tuple[str, str], name: str = "documents.odcs.yaml"):
        text = DOCUMENTS.read_text()
        for old, new in pieces:
            assert old in text
            text = text.replace(old, new, 1)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return change


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("maxLength: 4096", "maxLength: 4000", "rule uri.maxLength maxLength was 4096 and is 4000"),
        ("minLength: 1", "minLength: 2", "rule uri.minLength minLength was 1 and is 2"),
        ("value: 0.02", "value: 0.01", "maxRejectedShare was 0.02 and is 0.01"),
        ("max_value: 100", "max_value: 99", "rule licence_known_in_form max_value was 100 and is 99"),
        ("column: licence", "column: source", "rule licence_known_in_form is on another column"),
        ("OrEqualTo: 1", "OrEqualTo: 5", "rule not_empty min_value was 1 and is 5"),
        ("pattern: ^[0-9a-f]{32}$", "pattern: ^[0-9a-e]{32}$", r"rule id.pattern pattern was ^[0-9a-f]{32}$ and is"),
        ("      - name: language\n", "      - name: tongue\n", "column language is gone"),
        ("      - name: language\n", "      - name: tongue\n", "column tongue is new, and a table must have it"),
        (
            "logicalTypeOptions:\n          pattern: ^([a-z]",
            "unique: true\n        logicalTypeOptions:\n          pattern: ^([a-z]",
            "rule language.unique is new",
        ),
        ("- name: documents\n    logicalType", "- name: texts\n    logicalType", "table documents is gone"),
    ],
)
def test_a_change_that_refuses_more_is_named(changed, old, new, said):
    found = breaking_changes(DOCUMENTS, changed((old, new)))
    assert any(change.startswith(said) for change in found), found


def test_another_type_is_named(tmp_path):
    head = "apiVersion: v3.1.0\nkind: DataContract\nid: t\nversion: 1.0.0\nschema:\n  - name: rows\n    properties:\n"
    for kind in ("string", "integer"):
        (tmp_path / kind).write_text(f"{head}      - {{name: a, logicalType: {kind}}}\n")
    assert breaking_changes(tmp_path / "string", tmp_path / "integer") == ["column a was String and is Int64"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("maxLength: 4096", "maxLength: 5000"),
        ("minLength: 1", "minLength: 0"),
        ("value: 0.02", "value: 0.05"),
        ("max_value: 100", "max_value: 1000"),
        ("purpose: Texts", "purpose: All texts"),
        ("        unique: true\n", ""),
        ("            mustBe: 0\n            dimension: completeness\n", "            mustBe: 0\n"),
    ],
)
def test_a_change_that_allows_more_breaks_nothing(changed, old, new):
    assert breaking_changes(DOCUMENTS, changed((old, new))) == []


def test_a_breaking_change_needs_a_new_major_version(changed, tmp_path):
    released = tmp_path / "released"
    shutil.copytree(RELEASED, released)
    stricter = ("maxLength: 4096", "maxLength: 4000")

    (said,) = faults(changed(stricter), released)
    assert "other than documents-2.0.0.odcs.yaml; give it a new version" in said

    path = changed(stricter, ("version: 2.0.0", "version: 2.1.0"))
    shutil.copy(path, released / "documents-2.1.0.odcs.yaml")
    (said,) = faults(path, released)
    assert "documents.odcs.yaml 2.1.0 breaks documents-2.0.0.odcs.yaml: rule uri.maxLength" in said
    assert said.endswith("make it version 3.0.0")

    (released / "documents-2.1.0.odcs.yaml").unlink()
    path = changed(stricter, ("version: 2.0.0", "version: 3.0.0"))
    (said,) = faults(path, released)
    assert "version 3.0.0 has no released form; copy it to" in said
    shutil.copy(path, released / "documents-3.0.0.odcs.yaml")
    assert faults(path, released) == []


def test_a_version_is_three_numbers(changed):
    assert version_of(DOCUMENTS) == (2, 0, 0)
    with pytest.raises(ContractError, match=r"version of three numbers such as 1\.0\.0, found '2'"):
        version_of(changed(("version: 2.0.0", "version: '2'")))
