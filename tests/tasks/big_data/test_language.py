"""A long text says its language itself; a short one is what its source is, where that is one thing."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.big_data.buffers import text_buffers
from tasks.big_data.language import Expected, Guess, beginning, expected, guess, guesses, language

LONG = {
    "en": "The pump was leaking again this morning, so the night shift closed both valves and called the workshop.",
    "de": "Die Pumpe war heute Morgen wieder undicht, deshalb schloss die Nachtschicht beide Ventile und rief an.",
    "fr": "La pompe fuyait de nouveau ce matin, l'équipe de nuit a donc fermé les deux vannes et appelé l'atelier.",
    "es": "La bomba volvió a perder agua esta mañana, así que el turno de noche cerró las dos válvulas y avisó.",
    "it": "Stamattina la pompa perdeva di nuovo, così il turno di notte ha chiuso le due valvole e ha chiamato.",
    "pt": "A bomba voltou a verter esta manhã, por isso o turno da noite fechou as duas válvulas e ligou à oficina.",
    "nl": "De pomp lekte vanochtend weer, dus sloot de nachtploeg de beide kleppen en belde zij de werkplaats op.",
    "pl": "Pompa znów ciekła dziś rano, więc nocna zmiana zamknęła oba zawory i zadzwoniła do warsztatu po pomoc.",
    "cs": "Čerpadlo dnes ráno znovu teklo, a proto noční směna zavřela oba ventily a zavolala do dílny o pomoc.",
    "sv": "Pumpen läckte igen i morse, så nattskiftet stängde båda ventilerna och ringde till verkstaden om hjälp.",
    "hu": "A szivattyú ma reggel újra szivárgott, ezért az éjszakai műszak elzárta a szelepeket és segítséget hívott.",
    "tr": "Pompa bu sabah yine sızdırıyordu, bu yüzden gece vardiyası iki vanayı kapattı ve atölyeyi aradı.",
    "ru": "Сегодня утром насос снова протекал, поэтому ночная смена закрыла оба клапана и позвонила в мастерскую.",
    "zh": "今天早上水泵又漏水了，所以夜班工人关闭了两个阀门，并打电话给车间请求帮助。他们说下午会有人来修理。",
    "ja": "今朝またポンプが漏れていたので、夜勤の班は両方のバルブを閉めて、整備工場に電話をかけました。",
}


@pytest.mark.parametrize(("code", "text"), LONG.items())
def test_a_text_of_two_lines_says_its_language(code, text):
    found = guess(f"{text}\n{text}".encode())
    assert found == Guess(code, sure=True, long=len(f"{text}\n{text}".encode()) >= 200)
    assert language(found._replace(long=True), Expected()) == code


@pytest.mark.parametrize("text", ["", "20194", "\x00\x01 text with control characters", "!!!", "== 1 2 3 =="])
def test_what_cannot_be_told_is_not_guessed(text):
    assert not guess(text.encode()).sure
    assert language(guess(text.encode()), Expected()) == ""
    assert language(guess(text.encode()), Expected(("de",), "de")) == "de"


def test_a_rare_language_is_only_believed_of_a_long_text():
    source = expected({"en": 900, "de": 60, "lb": 20})
    assert source == Expected(("de", "en"), "en")
    assert language(Guess("lb", sure=True, long=False), source) == "en"
    assert language(Guess("lb", sure=True, long=True), source) == "lb"
    assert language(Guess("de", sure=False, long=False), source) == "de"
    assert expected({"en": 5, "de": 5}) == Expected(("de", "en"), "")
    assert expected({"de": 15, "lb": 2}) == Expected(("de",), "de")
    assert expected({"de": 15, "lb": 3}) == Expected(("de", "lb"), "de")
    assert expected({"de": 1, "fr": 1, "en": 1}) == Expected(("de", "en", "fr"), "")
    assert expected({}) == Expected()


@pytest.mark.parametrize(
    ("source", "is_one"),
    [(Expected(), True), (Expected(("en",), "en"), True), (Expected(("de", "en"), "en"), False)],
)
def test_short_texts_need_not_be_read_where_their_source_is_one_thing(source, is_one):
    assert source.is_one is is_one
    if is_one:
        assert all(
            language(Guess(code, sure=sure, long=False), source) == source.main
            for code in ("", "de", "en") for sure in (True, False)
        )  # fmt: skip


@given(st.text(st.sampled_from("aä漢😀 \n"), max_size=700))
def test_the_beginning_ends_after_a_word_or_a_character(text):
    data = text.encode()
    found = beginning(memoryview(data), 500)
    assert data.startswith(found)
    assert len(found) <= 500
    assert found.decode() == text[: len(found.decode())]
    if len(data) <= 500:
        assert found == data
    elif b" " in data[251:500]:
        assert data[len(found) : len(found) + 1] == b" "
    else:
        assert len(found) >= 497


def test_documents_are_read_where_they_are():
    data, offsets = text_buffers(pl.Series([LONG["de"] * 20, "", LONG["fr"] * 2]))
    assert [found.language for found in guesses(data, offsets, np.array([2, 0, 1]))] == ["fr", "de", ""]


def test_real_documents_are_in_their_language(shared_data):
    """Alone, without what their source says; docs/your-text.md has the table of `benchmarks.languages`."""
    for name, code, least in (("statutes_de", "de", 0.99), ("techdoc_en_postgresql", "en", 0.99)):
        texts = pl.read_ndjson(shared_data / f"{name}.jsonl.gz")["text"]
        found = guesses(*text_buffers(texts), np.arange(len(texts)))
        assert np.mean([each.language == code for each in found]) >= least
        assert all(each.language == code for each in found if each.sure)


def test_work_orders_are_in_the_language_of_their_source(shared_data):
    texts = pl.read_ndjson(shared_data / "maintnorm.jsonl.gz")["raw"]
    found = guesses(*text_buffers(texts), np.arange(len(texts)))
    votes: dict[str, int] = {}
    for each in found:
        if each.sure:
            votes[each.language] = votes.get(each.language, 0) + 1
    assert expected(votes) == Expected(("en",), "en")
    assert {language(each, expected(votes)) for each in found} == {"en"}


@pytest.mark.parametrize(("main", "found"), [("", "de"), ("en", "en"), ("de", "de"), ("fr", "de")])
def test_where_the_first_bytes_are_in_the_main_language_no_more_is_read(main, found):
    mixed = f"{LONG['en']} {LONG['en']} {LONG['en']} {LONG['de'] * 9}"[75:]
    data, offsets = text_buffers(pl.Series([mixed, LONG["fr"] * 9]))
    assert [each.language for each in guesses(data, offsets, np.arange(2), [main] * 2)] == [found, "fr"]
