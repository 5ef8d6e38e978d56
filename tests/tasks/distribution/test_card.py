"""The model card says what the reports say, in Markdown that texts cannot break."""

from ruamel.yaml import YAML

from tasks.distribution.card import gather, write_card
from tasks.distribution.markdown import as_text, code_block, table
from tasks.report import read_json


def card(trained, params, tmp_path):
    facts = gather(params, trained.artifacts, pictures=["train-curves.png"], largest_difference=1e-6)
    write_card(facts, tmp_path)
    return (tmp_path / "README.md").read_text(encoding="utf-8")


def test_front_matter_is_what_the_hub_reads(trained, params, tmp_path):
    _, front, _ = card(trained, params, tmp_path).split("---\n", 2)
    read = YAML(typ="safe").load(front)
    assert read["license"] == params.export.licence
    assert read["library_name"] == "transformers"
    assert read["pipeline_tag"] == "text-generation"
    assert "deepseek_v3" in read["tags"]


def test_numbers_of_the_reports_are_in_the_card(trained, params, tmp_path):
    text = card(trained, params, tmp_path)
    assert text.split("---\n", 2)[2].strip().startswith("# novels")
    assert "| **this model** | **2.000** |" in text
    assert "| byte 3-gram model of the same text | 2.640 |" in text
    assert "| clean | 20 | 18 | 2 | 2 too_short |" in text
    assert "3 email" in text
    assert "MIT (2 documents), PSF-2.0 (1 documents)" in text
    assert "the standard library of Python, `novels`" in text
    assert "![train-curves](train-curves.png)" in text
    assert "at most 1e-06" in text


def test_different_tokens_repeats_in_the_stream_and_tokens_trained_on_stand_apart(trained, params, tmp_path):
    text = card(trained, params, tmp_path)
    pack = read_json(trained.artifacts / "pack" / "report.json")["facts"]["train"]
    assert f"| different tokens | {pack['tokens'] - 100:,} |" in text
    assert f"leave out documents | {pack['tokens']:,} |" in text
    assert "| tokens trained on, repeats counted | 1,000 |" in text
    assert "| `novels` | 2 | 1,500 | 2 | 3,000 (75.0%) | 750 |" in text


def test_a_sample_stays_in_its_block(trained, params, tmp_path):
    text = card(trained, params, tmp_path)
    assert "````\ndef add(a, b):\n```\n    return a\n````" in text


def test_the_card_is_the_same_bytes_each_time(trained, params, tmp_path):
    assert card(trained, params, tmp_path) == card(trained, params, tmp_path)


def test_cells_and_fences_by_hand():
    assert table(("a", "b"), [("x|y", "two\nlines")]) == "| a | b |\n| --- | --- |\n| x\\|y | two lines |"
    assert code_block("x", "python") == "```python\nx\n```"
    assert [as_text(value) for value in (1234567, 0.123456, True, "x", None)] == [
        "1,234,567", "0.1235", "True", "x", "None",
    ]  # fmt: skip
