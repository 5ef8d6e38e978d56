"""Published rules of quality, each at its threshold."""

import numpy as np
import pytest

from tasks.big_data import rules
from tasks.big_data.kernel import statistics
from tasks.big_data.rules import RULES, reasons_against
from tasks.presets import CLEAN_PRESETS
from tasks.thresholds import Clean, Thresholds

OFF = {key: CLEAN_PRESETS["notes"][key] for key in CLEAN_PRESETS["notes"]} | {
    "min_characters": 1, "max_line_characters": 10**9, "max_mean_line_characters": 10**9,
    "min_alphanumeric_share": 0.0, "max_replacement_share": 1.0,
}  # fmt: skip
WORDS = [f"w{chr(97 + a)}{chr(97 + b)}" for a in range(26) for b in range(26)]


def against(text: str, limits: Thresholds, language: str = "") -> tuple[str, ...]:
    """Every rule that one text breaks."""
    data = np.frombuffer(text.encode(), np.uint8)
    return reasons_against(statistics(data, np.array([0, len(data)])), limits, [language])[0]


def words(count: int) -> str:
    """So many words of three letters, none twice."""
    return " ".join(WORDS[:count])


TWICE_5, TWICE_10 = (f"{words(count)} {words(count)}" for count in (5, 10))
CASES = [
    ("too_short", {"min_characters": 64}, "a" * 64, "a" * 63),
    ("too_long", {"max_characters": 64}, "ä" * 64, "ä" * 65),
    ("long_line", {"max_line_characters": 99}, "b\n" + "ä" * 99, "b\n" + "a" * 100),
    ("long_lines", {"max_mean_line_characters": 1000}, "a" * 999 + "\n" + "a" * 1000, "a" * 1000 + "\n" + "a" * 1000),
    ("few_letters", {"min_alphanumeric_share": 0.25}, "ab" + "-_ " * 2, "ab" + "-_ " * 2 + "!"),
    ("damaged", {"max_replacement_share": 0.001}, "a" * 999 + "\ufffd", "a" * 998 + "\ufffd"),
    ("few_words", {"min_words": 50}, words(50), words(49) + " ."),
    ("many_words", {"max_words": 50}, words(50) + " .", words(51)),
    ("short_words", {"min_mean_word_characters": 3.0}, "abc, abc", "abc, ab"),
    ("long_words", {"max_mean_word_characters": 10.0}, "a" * 10 + " " + "b" * 10, "a" * 10 + " " + "b" * 11),
    ("symbols", {"max_symbol_word_ratio": 0.1}, words(9) + " #", words(17) + " # #"),
    ("symbols", {"max_symbol_word_ratio": 0.1}, words(9) + " ...", words(16) + "... wzz…"),
    ("bullet_lines", {"max_bullet_line_share": 0.9}, "- a\n" * 9 + "b", "- a\n* b\n • c\n" * 5),
    ("ellipsis_lines", {"max_ellipsis_line_share": 0.3}, "a...\nb…\nc... \n" + "d\n" * 7, "a...\nb…\n" + "d\n" * 4),
    ("few_alphabetic_words", {"min_alphabetic_word_share": 0.8}, "a b c d 1", "a b c d 1 ."),
    ("repeated_lines", {"max_repeated_line_share": 0.3}, "a\na\nb\n\nc", "a\na\na\nb\nc"),
    ("repeated_line_characters", {"max_repeated_line_character_share": 0.2}, "aa\naa\nbbb\n", "aa\naa\nbb\n"),
    ("repeated_paragraphs", {"max_repeated_paragraph_share": 0.3}, "a\nb\n\nc\n\na\nb\n\nd", "a\nb\n\n\nc\n\na\nb"),
    ("repeated_paragraph_characters", {"max_repeated_paragraph_character_share": 0.2}, "a\n\na\n\nb", "abcd\n\nabcd"),
    ("frequent_ngrams", {"max_top_ngram_shares": (0.2, 1, 1)}, words(18) + " waa wab", words(18) + " waa wab waa wab"),
    ("frequent_ngrams", {"max_top_ngram_shares": (1, 0.18, 1)}, words(300), words(8) + " waa wab wac"),
    ("repeated_ngrams", {"max_repeated_ngram_shares": (0.15,) + (1,) * 5}, words(40) + " " + words(5), TWICE_5),
    ("repeated_ngrams", {"max_repeated_ngram_shares": (1,) * 5 + (0.1,)}, words(9) + " x " + words(9), TWICE_10),
    ("few_sentences", {"min_sentences": 2}, "This is one. That is two.", "Mr. Smith is one.\nNo second"),
    ("lorem_ipsum", {"drop_lorem_ipsum": True}, "Lorem the ipsum is.", "Here is Lorem Ipsum too."),
    ("curly_brackets", {"drop_curly_brackets": True}, "if (a) { b }", "A sentence with {this}."),
    ("unended_lines", {"min_ended_line_share": 0.5}, "Here.\n\nthere", "Here.\nthere\nwhere"),
    ("short_lines", {"max_short_line_share": 0.5}, "a" * 30 + "\n" + "a" * 31, "a" * 30),
    ("repeated_text", {"max_repeated_text_share": 0.01}, "a\na\n" + "b" * 98, "a\na\n" + "b" * 97),
    ("lists", {"max_line_feed_word_ratio": 0.3}, words(10) + "\n\n\n", words(9) + "\n\n\n"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "limits", "good", "bad"), CASES)
def test_each_rule_holds_at_its_threshold(rule, limits, good, bad):
    thresholds = Thresholds.model_validate({**OFF, **limits})
    assert against(good, thresholds) == ()
    assert against(bad, thresholds) == (rule,)


def test_every_rule_is_tried_here():
    assert {rule.__name__ for rule in RULES} == {case[0] for case in CASES} | {"few_stop_words"}


@pytest.mark.parametrize(
    ("language", "text", "reasons"),
    [
        ("en", "the pump and a valve", ()),
        ("en", "the pump, The valve", ("few_stop_words",)),
        ("de", "die Pumpe und ein Ventil", ()),
        ("de", "the pump and a valve", ("few_stop_words",)),
        ("fr", "la pompe", ()),
        ("", "pump", ()),
    ],
)
def test_stop_words_are_those_of_the_language(language, text, reasons):
    assert against(text, Thresholds.model_validate({**OFF, "min_stop_words": 2}), language) == reasons


def test_every_threshold_belongs_to_a_rule():
    assert set(rules.RULES.values()) | {"c4_line_rules"} == set(Thresholds.model_fields)


@pytest.mark.parametrize("kind", CLEAN_PRESETS)
def test_an_empty_text_is_too_short_for_every_kind(kind):
    assert "too_short" in against("", Clean().thresholds(kind))
