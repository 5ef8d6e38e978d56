"""Gopher's rules of quality and of repetition (https://arxiv.org/abs/2112.11446, appendix A.1.1 and table A1).

A rule says of every document whether it is against it, by the figures of `figures.FIELDS`. Where the paper leaves open
what is counted, it is what datatrove counts.
"""

import numpy as np

from tasks.big_data.figures import COUNTED
from tasks.big_data.judging import Against, Figures, at_least, share
from tasks.thresholds import Thresholds


def few_words(of: Figures, limits: Thresholds) -> Against:
    """50 words at least; punctuation is no word here."""
    return of["words"] - of["symbol_words"] < limits.min_words


def many_words(of: Figures, limits: Thresholds) -> Against:
    """100,000 words at most."""
    return of["words"] - of["symbol_words"] > limits.max_words


def short_words(of: Figures, limits: Thresholds) -> Against:
    """A word has 3 characters at least on average: else numbers, lists of letters."""
    words = of["words"] - of["symbol_words"]
    return at_least(of["word_characters"] - of["symbol_characters"], words) < limits.min_mean_word_characters


def long_words(of: Figures, limits: Thresholds) -> Against:
    """A word has 10 characters at most on average: else identifiers, data."""
    words = of["words"] - of["symbol_words"]
    return share(of["word_characters"] - of["symbol_characters"], words) > limits.max_mean_word_characters


def symbols(of: Figures, limits: Thresholds) -> Against:
    """Hash signs, or ellipses, are at most 0.1 of the words, punctuation counted."""
    return share(np.maximum(of["hashes"], of["ellipses"]), of["words"]) > limits.max_symbol_word_ratio


def bullet_lines(of: Figures, limits: Thresholds) -> Against:
    """At most 0.9 of the lines begin with a bullet."""
    return share(of["bullet_lines"], of["lines"]) > limits.max_bullet_line_share


def ellipsis_lines(of: Figures, limits: Thresholds) -> Against:
    """At most 0.3 of the lines end in an ellipsis: else teasers."""
    return share(of["ellipsis_lines"], of["lines"]) > limits.max_ellipsis_line_share


def few_alphabetic_words(of: Figures, limits: Thresholds) -> Against:
    """0.8 of the words have a letter; punctuation is a word here, as datatrove has it."""
    return at_least(of["words"] - of["letterless_words"], of["words"]) < limits.min_alphabetic_word_share


def few_stop_words(of: Figures, limits: Thresholds) -> Against:
    """Two of eight frequent English words occur; other languages have lists of their own, or no such rule."""
    return of["stop_words"] < limits.min_stop_words


def repeated_lines(of: Figures, limits: Thresholds) -> Against:
    """At most 0.3 of the lines occurred before."""
    return share(of["repeated_lines"], of["written_lines"]) > limits.max_repeated_line_share


def repeated_line_characters(of: Figures, limits: Thresholds) -> Against:
    """At most 0.2 of the characters are in such lines."""
    return share(of["repeated_line_characters"], of["characters"]) > limits.max_repeated_line_character_share


def repeated_paragraphs(of: Figures, limits: Thresholds) -> Against:
    """At most 0.3 of the paragraphs occurred before."""
    return share(of["repeated_paragraphs"], of["paragraphs"]) > limits.max_repeated_paragraph_share


def repeated_paragraph_characters(of: Figures, limits: Thresholds) -> Against:
    """At most 0.2 of the characters are in such paragraphs."""
    return share(of["repeated_paragraph_characters"], of["characters"]) > limits.max_repeated_paragraph_character_share


def frequent_ngrams(of: Figures, limits: Thresholds) -> Against:
    """The most frequent n-gram has at most 0.20, 0.18, 0.16 of the characters, for 2, 3, 4 words.

    To the letter: in a text of a few words an n-gram that occurs once may be the most frequent and too much of it.
    Occurrences that overlap are counted in full, so that the share may come to more than 1, which no limit is.
    """
    columns = [np.minimum(share(of[f"top_{n}"], of["characters"]), 1.0) for n in range(2, 5)]
    return np.any([column > limit for column, limit in zip(columns, limits.max_top_ngram_shares, strict=True)], axis=0)


def repeated_ngrams(of: Figures, limits: Thresholds) -> Against:
    """N-grams that occurred before have at most 0.15, 0.14, ... 0.10 of the characters, for 5, 6, ... 10 words."""
    columns = [share(of[f"repeated_{n}"], of["characters"]) for n in range(5, 11)]
    limit_of = limits.max_repeated_ngram_shares
    return np.any([column > limit for column, limit in zip(columns, limit_of, strict=True)], axis=0)


def harmless_ngram_share(limits: Thresholds) -> float:
    """Share of characters in repeated n-grams up to which none of the two rules above is against a document; or -1."""
    return min(limits.max_repeated_ngram_shares) if min(limits.max_top_ngram_shares) >= 1 else COUNTED
