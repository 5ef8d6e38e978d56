"""The rules for web pages of C4 (https://arxiv.org/abs/1910.10683, section 2.2) and FineWeb.

FineWeb's own (https://arxiv.org/abs/2406.17557, section 3.6) are the three that its ablations chose, and one for lists.
C4's rules for single lines change a text rather than drop it: `kernel.c4_lines`.
"""

import numpy as np

from tasks.big_data.judging import Against, Figures, share
from tasks.thresholds import Thresholds


def few_sentences(of: Figures, limits: Thresholds) -> Against:
    """C4: 5 sentences at least, in lines that its rules for lines keep."""
    return of["sentences"] < limits.min_sentences


def lorem_ipsum(of: Figures, limits: Thresholds) -> Against:
    """C4: no placeholder text, in lines that end as a sentence does."""
    return (of["lorem_ipsum"] > 0) & limits.drop_lorem_ipsum


def curly_brackets(of: Figures, limits: Thresholds) -> Against:
    """C4: no curly bracket, in lines that end as a sentence does: else code."""
    return (of["curly_brackets"] > 0) & limits.drop_curly_brackets


def unended_lines(of: Figures, limits: Thresholds) -> Against:
    """FineWeb: 0.12 of the lines that are not blank end in a sign that ends sentences."""
    return share(of["ended_lines"], of["filled_lines"]) < limits.min_ended_line_share


def short_lines(of: Figures, limits: Thresholds) -> Against:
    """FineWeb: at most 0.67 of the lines that are not blank have 30 characters or fewer."""
    return share(of["short_lines"], of["filled_lines"]) > limits.max_short_line_share


def repeated_text(of: Figures, limits: Thresholds) -> Against:
    """FineWeb: at most 0.01 of the characters are in lines that occurred before."""
    written = np.maximum(of["characters"] - of["line_feeds"], 0)
    return share(of["repeated_filled_characters"], written) > limits.max_repeated_text_share


def lists(of: Figures, limits: Thresholds) -> Against:
    """FineWeb: at most 0.3 line feeds a word, punctuation counted: else a list."""
    return share(of["line_feeds"], of["words"]) > limits.max_line_feed_word_ratio
