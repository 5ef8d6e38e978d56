"""What was UTF-8 and was read as cp1252 or Latin-1 becomes itself again; a text about it stays."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.big_data.mojibake import repaired

GERMAN = (
    "Die Pumpe ist für die Kühlung zuständig.",
    "Größe, Länge, Öl und Übermaß prüfen – nach §\u00a012 Abs. 3, bei 20\u00a0°C.",
    "Der Prüfer schrieb: „Dichtung porös“, 2 Stück à 15 €.",
    "Ärztliche Bescheinigung für Beschäftigte",
)
OTHERS = (
    "It’s a café — really.",
    "L'été à Paris, déjà vu",
    "Señor Muñoz, mañana",
    "Žluťoučký kůň",
    "naïve façade … 5 µm",
)


@pytest.mark.parametrize("text", [*GERMAN, *OTHERS])
def test_a_misread_line_is_what_it_was(text):
    for encoding in ("latin-1", "cp1252"):
        try:
            damaged = text.encode().decode(encoding)
        except UnicodeDecodeError:  # a byte that cp1252 has no sign for
            continue
        assert repaired(damaged) == text
        assert repaired(f"before\n{damaged}\n\nafter Ü") == f"before\n{text}\n\nafter Ü"


def test_a_line_that_was_misread_twice_is_read_twice():
    assert repaired(GERMAN[0].encode().decode("cp1252").encode().decode("cp1252")) == GERMAN[0]


@pytest.mark.parametrize(
    "text",
    [
        *GERMAN,
        *OTHERS,
        "Aus ü wird Ã¼, wenn UTF-8 als Latin-1 gelesen wird.",
        "If you see Ã¼ or Ã¶, the file was read in the wrong encoding.",
        "The word `fÃ¼r` in the log should be `für`.",
        'Suchen Sie nach "fÃ¼r" und ersetzen Sie es.',
        "| Ã¼ | u umlaut |",
        "SÃO PAULO, JOÃO, ÂNGULO, Â, â€",
        "Un été à l’île de Ré – “déjà vu”, 5 €",
        "x = b'\\xc3\\xbc'.decode('latin-1')  # Ã¼",
    ],
)
def test_what_is_right_or_about_it_stays(text):
    assert repaired(text) == text


@given(st.text(st.characters(max_codepoint=0x2200, exclude_categories=["Cs"]), max_size=40))
def test_a_repaired_text_stays_as_it_is(text):
    once = repaired(text)
    assert repaired(once) == once


@pytest.mark.parametrize(("name", "least"), [("statutes_de", 0.999), ("techdoc_en_python", 0.6), ("novels_en", 0.9)])
def test_real_text_is_not_touched_and_comes_back_from_damage(shared_data, name, least):
    """Share of damaged lines that are repaired, in documents that were misread as a whole."""
    with gzip.open(shared_data / f"{name}.jsonl.gz", "rt") as file:
        texts = [json.loads(line)["text"][:100_000] for line in file][:200]
    found = damaged = 0
    for text in texts:
        assert repaired(text) == text
        lines, mended = text.split("\n"), repaired(text.encode().decode("latin-1")).split("\n")
        found += sum(not line.isascii() and line == new for line, new in zip(lines, mended, strict=True))
        damaged += sum(not line.isascii() for line in lines)
    assert found >= least * damaged > 50
