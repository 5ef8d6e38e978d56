"""params.yaml: unknown keys and impossible values are refused by path; edits keep comments."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks import params, presets
from tasks.overrides import Overrides

ROOT = Path(__file__).parents[2]
GUIDE, KINDS = ROOT / "docs" / "your-text.md", ("prose", "code", "notes", "web")
MINIMAL = {"blueprint": {"preset": "nano"}, "discover": {"sources": ["notes"]}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    copy = tmp_path / "params.yaml"
    copy.write_text((ROOT / "params.yaml").read_text())
    return copy


def test_null_and_absent_keys_are_the_presets():
    given = params.parse({**MINIMAL, "train": {"seed": None, "learning_rate": 0.5}})
    assert given.train.seed == params.PRESETS["nano"]["train"]["seed"]
    assert given.train.learning_rate == 0.5


@pytest.mark.parametrize("preset", params.PRESETS)
def test_every_preset_is_possible(preset: str):
    assert params.parse({**MINIMAL, "blueprint": {"preset": preset}}).blueprint.preset == preset


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": {"learning_rat": 1}}, "train.learning_rat: unknown key; did you mean 'learning_rate'?"),
        ({"trian": {}}, "trian: unknown key; did you mean 'train'?"),
        ({"blueprint": {"preset": "nano", "top_k": 99}}, "top_k (99) must not exceed n_experts (16); lower"),
        ({"blueprint": {"preset": "huge"}}, "blueprint.preset: found \"huge\"; input should be 'nano'"),
        ({"train": {"micro_shards": 3}}, "micro_shards (3) must be a power of two"),
        ({"train": {"batch_tokens": 1000}}, "train.batch_tokens (1000) must be a multiple"),
        ({"train": {"tokens": "lots"}}, 'train.tokens: found "lots"; input should be a valid integer'),
        ({"clean": {"preset": "poems"}}, "clean.preset: found \"poems\"; input should be 'auto'"),
        ({"clean": {"min_characters": 0}}, "clean.min_characters: found 0; input should be greater than or equal to 1"),
        ({"clean": {"min_chars": 9}}, "clean.min_chars: unknown key"),
        ({"discover": {"sources": []}}, "discover.sources: found []"),
        ({"discover": {"sources": ["a"], "name": "My Model"}}, 'discover.name: found "My Model"'),
        ({"gate": {"confidence": 1.5}}, "gate.confidence: found 1.5; input should be less than 1"),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_by_path(change: dict, message: str):
    with pytest.raises(params.ParamsError, match=re.escape(message)):
        params.parse({**MINIMAL, **change})


def test_all_problems_are_reported_at_once():
    with pytest.raises(params.ParamsError) as error:
        params.parse({**MINIMAL, "pack": {"held_out_share": 2}, "train": {"tokens": 0}})
    assert "pack.held_out_share" in str(error.value)
    assert "train.tokens" in str(error.value)


def test_an_edit_keeps_comments_and_shows_the_difference(file: Path):
    before = file.read_text()
    changed = params.override(file, [("train.learning_rate", 0.01)])
    assert [line.split("#")[0].strip() for line in changed] == [
        "-  learning_rate: null",
        "+  learning_rate: 0.01",
    ]
    assert params.load(file).train.learning_rate == 0.01
    params.override(file, [("train.learning_rate", None)])
    assert file.read_text() == before


@pytest.mark.parametrize("dotted", ["train.learning_rat", "nothing.there", "train"])
def test_a_bad_edit_leaves_the_file_alone(file: Path, dotted: str):
    before = file.read_text()
    with pytest.raises(params.ParamsError):
        params.override(file, [(dotted, 1)])
    assert file.read_text() == before


def test_an_edit_may_add_a_key_that_the_file_does_not_show(file: Path):
    assert params.override(file, [("blueprint.width", 256)]) == ["+  width: 256"]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("python:stdlib", "python-stdlib"),
        ("../shared/data/techdoc_en_python.jsonl.gz", "techdoc-en-python"),
        ("Wartung/Berichte 2024/", "berichte-2024"),
        ("...", "model"),
    ],
)
def test_a_model_without_a_name_is_called_after_its_first_source(source: str, name: str):
    assert params.parse({**MINIMAL, "discover": {"sources": [source]}}).model_name == name


def test_every_key_says_what_it_means():
    silent = [
        f"{section}.{key}"
        for section, info in params.Params.model_fields.items()
        for key, field in info.annotation.model_fields.items()  # type: ignore[union-attr]
        if not field.description
    ]
    assert silent == []


def test_every_key_in_the_file_has_a_comment():
    lines = (ROOT / "params.yaml").read_text().splitlines()
    keys = [line for line in lines if re.match(r"  [a-z_]+:", line)]
    assert [line for line in keys if "#" not in line] == []
    assert len(keys) > 20


def test_overrides_keep_bounds_and_refuse_unknown_keys():
    assert Overrides(train={"tokens": 5000}).dotted() == [("train.tokens", 5000)]
    with pytest.raises(ValidationError):
        Overrides(train={"tokens": 0})
    with pytest.raises(ValidationError):
        Overrides(train={"token": 1})


@pytest.mark.parametrize("kind", presets.CLEAN_PRESETS)
def test_every_kind_of_text_has_every_threshold(kind: str):
    thresholds = params.parse(MINIMAL).clean.thresholds(kind)
    assert thresholds.model_dump() == presets.CLEAN_PRESETS[kind]


def test_the_guide_shows_the_thresholds_as_they_are():
    cells = r"\| ([^|]+) " * len(KINDS)
    rows = re.findall(rf"^\| `clean\.(\w+)` \|[^|]*{cells}\|", GUIDE.read_text(), re.M)
    shown = {kind: {key: values[i] for key, *values in rows} for i, kind in enumerate(KINDS)}
    assert shown == {
        kind: {key: "off" if value == presets.OFF[key] else _cell(value) for key, value in values.items()}
        for kind, values in presets.CLEAN_PRESETS.items()
    }


def _cell(value: float | tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "yes" if value is True else f"{value:,}"
