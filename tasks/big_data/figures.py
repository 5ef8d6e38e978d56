"""What is counted of a document, by name and by column; and the types of what numba's pass takes."""

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Bits = NDArray[np.uint16]
Codes = NDArray[np.uint64]
Ints = NDArray[np.int64]
Offsets = NDArray[np.int64]
Shares = NDArray[np.float64]

# One column a figure, all of a document. Characters are code points; a line has no line feed.
FIELDS = (
    "characters",
    "line_feeds",
    "words",
    "word_characters",
    "symbol_words",  # words of nothing but punctuation
    "symbol_characters",
    "letterless_words",
    "alphanumerics",
    "replacements",  # U+FFFD
    "hashes",
    "ellipses",
    "stop_words",  # one bit a stop word that occurs: vocabulary.STOP_WORDS
    "longest_line",
    "lines",  # the end of the last one makes no line
    "bullet_lines",
    "ellipsis_lines",
    "written_lines",  # those with a character, blanks too; a text that ends in a line feed has one more
    "repeated_lines",  # of these, those that occurred before
    "repeated_line_characters",
    "paragraphs",
    "repeated_paragraphs",
    "repeated_paragraph_characters",
    "filled_lines",  # those with a character that is no blank
    "ended_lines",
    "short_lines",
    "repeated_filled_characters",
    "top_2",  # characters in the n-gram that occurs most often, spaces between its words counted
    "top_3",
    "top_4",
    "repeated_5",  # characters in n-grams that occurred before, none counted twice
    "repeated_6",
    "repeated_7",
    "repeated_8",
    "repeated_9",
    "repeated_10",
    "sentences",  # in lines that C4 keeps
    "c4_long_word",  # lines that C4 drops, by its first rule against each
    "c4_no_end",
    "c4_few_words",
    "c4_javascript",
    "c4_policy",
    "lorem_ipsum",
    "curly_brackets",
)
(
    CHARACTERS, LINE_FEEDS, WORDS, WORD_CHARACTERS, SYMBOL_WORDS, SYMBOL_CHARACTERS, LETTERLESS_WORDS, ALPHANUMERICS,
    REPLACEMENTS, HASHES, ELLIPSES, STOPS, LONGEST_LINE, LINES, BULLET_LINES, ELLIPSIS_LINES, WRITTEN_LINES,
    REPEATED_LINES, REPEATED_LINE_CHARACTERS, PARAGRAPHS, REPEATED_PARAGRAPHS, REPEATED_PARAGRAPH_CHARACTERS,
    FILLED_LINES, ENDED_LINES, SHORT_LINES, REPEATED_FILLED_CHARACTERS, TOP_2, _TOP_3, _TOP_4, REPEATED_5, _R6, _R7,
    _R8, _R9, _R10, SENTENCES, C4_LONG_WORD, C4_NO_END, C4_FEW_WORDS, C4_JAVASCRIPT, C4_POLICY, LOREM_IPSUM,
    CURLY_BRACKETS,
) = range(len(FIELDS))  # fmt: skip
STATISTICS = np.dtype([(name, np.int64) for name in FIELDS])
# In place of a share of repeated n-grams: they are counted, however few there are.
COUNTED = -1.0
# Further places in a row while its document is read: words so far; whether the last one ended a sentence; how many did
# in this line.
COUNT, ENDED, ENDS = range(len(FIELDS), len(FIELDS) + 3)
