"""Published rules of text quality: a function each, which says of every document of a shard whether it is against it.

Thresholds are given in `params.clean` or those of a kind of text (`presets.CLEAN_PRESETS`); each rule says who
published it. Here are those for files; Gopher's are in `rules_gopher.py`, those of C4 and FineWeb in `rules_web.py`.
All apply to text as `clean.normalise` leaves it.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tasks.big_data import rules_gopher as gopher
from tasks.big_data import rules_web as web
from tasks.big_data.judging import Against, Figures, share
from tasks.big_data.vocabulary import STOP_BITS
from tasks.thresholds import Thresholds

# More than any list of stop words has.
_ENOUGH = 64


def too_short(of: Figures, limits: Thresholds) -> Against:
    """Gopher drops documents of fewer than 50 words; characters also measure text without spaces."""
    return of["characters"] < limits.min_characters


def too_long(of: Figures, limits: Thresholds) -> Against:
    """The Stack (https://arxiv.org/abs/2211.15533) drops files over 1 MB."""
    return of["characters"] > limits.max_characters


def long_line(of: Figures, limits: Thresholds) -> Against:
    """Codex (https://arxiv.org/abs/2107.03374) drops code with a line over 1000; prose has a paragraph a line."""
    return of["longest_line"] > limits.max_line_characters


def long_lines(of: Figures, limits: Thresholds) -> Against:
    """Codex drops code whose mean line is over 100 characters: data rather than text."""
    return of["characters"] > limits.max_mean_line_characters * (of["line_feeds"] + 1)


def few_letters(of: Figures, limits: Thresholds) -> Against:
    """BigCode (https://arxiv.org/abs/2305.06161) drops files with under 0.25 of letters and digits: dumps, drawings."""
    return of["alphanumerics"] < limits.min_alphanumeric_share * of["characters"]


def damaged(of: Figures, limits: Thresholds) -> Against:
    """U+FFFD stands for bytes that an earlier program could not decode (Unicode 16, section 5.22)."""
    return share(of["replacements"], of["characters"]) > limits.max_replacement_share


Rule = Callable[[Figures, Thresholds], Against]
# Rule -> key of `params.clean` with its threshold, in the order in which reasons are named.
RULES: Mapping[Rule, str] = {
    too_short: "min_characters",
    too_long: "max_characters",
    long_line: "max_line_characters",
    long_lines: "max_mean_line_characters",
    few_letters: "min_alphanumeric_share",
    damaged: "max_replacement_share",
    gopher.few_words: "min_words",
    gopher.many_words: "max_words",
    gopher.short_words: "min_mean_word_characters",
    gopher.long_words: "max_mean_word_characters",
    gopher.symbols: "max_symbol_word_ratio",
    gopher.bullet_lines: "max_bullet_line_share",
    gopher.ellipsis_lines: "max_ellipsis_line_share",
    gopher.few_alphabetic_words: "min_alphabetic_word_share",
    gopher.few_stop_words: "min_stop_words",
    gopher.repeated_lines: "max_repeated_line_share",
    gopher.repeated_line_characters: "max_repeated_line_character_share",
    gopher.repeated_paragraphs: "max_repeated_paragraph_share",
    gopher.repeated_paragraph_characters: "max_repeated_paragraph_character_share",
    gopher.frequent_ngrams: "max_top_ngram_shares",
    gopher.repeated_ngrams: "max_repeated_ngram_shares",
    web.few_sentences: "min_sentences",
    web.lorem_ipsum: "drop_lorem_ipsum",
    web.curly_brackets: "drop_curly_brackets",
    web.unended_lines: "min_ended_line_share",
    web.short_lines: "max_short_line_share",
    web.repeated_text: "max_repeated_text_share",
    web.lists: "max_line_feed_word_ratio",
}


def reasons_against(figures: Figures, limits: Thresholds, languages: Sequence[str]) -> list[tuple[str, ...]]:
    """Every rule that each document breaks, by name.

    Args:
        figures: of the documents, from `kernel.statistics`.
        limits: thresholds for all of them.
        languages: ISO 639-1 code of each; where there is no list of stop words for it, that rule is not applied.
    """
    of = figures.copy()
    of["stop_words"] = _stop_words(figures["stop_words"], languages)
    against = np.array([rule(of, limits) for rule in RULES])
    names = [rule.__name__ for rule in RULES]
    reasons: list[tuple[str, ...]] = [()] * len(figures)
    for row in np.flatnonzero(against.any(axis=0)):
        reasons[row] = tuple(names[rule] for rule in np.flatnonzero(against[:, row]))
    return reasons


def _stop_words(bits: Figures, languages: Sequence[str]) -> Figures:
    """How many stop words of its language occur in each document."""
    of_language = np.array([STOP_BITS.get(language, 0) for language in languages], np.int64)
    return np.where(of_language != 0, np.bitwise_count(bits & of_language), _ENOUGH)
