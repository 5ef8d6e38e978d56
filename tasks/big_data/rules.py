"""Published rules of text quality: one function a rule, which keeps a document (None) or names why not.

Thresholds are given in `params.clean` or those of a kind of text (`presets.CLEAN_PRESETS`); each rule says who
published it. All apply to text as `clean.normalise` leaves it.
"""

import re
from collections import Counter
from collections.abc import Callable

from tasks.params import Thresholds

_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")
# Gopher (https://arxiv.org/abs/2112.11446, appendix A.1.1) counts lines that begin with a bullet.
_BULLETS = ("•", "‣", "▪", "◦", "●", "○", "- ", "* ")
_ELLIPSES = ("...", "…")


def too_short(text: str, limits: Thresholds) -> str | None:
    """Gopher drops documents of fewer than 50 words; characters also measure text without spaces."""
    return "too_short" if len(text) < limits.min_characters else None


def too_long(text: str, limits: Thresholds) -> str | None:
    """Gopher drops documents of over 100,000 words, The Stack (https://arxiv.org/abs/2211.15533) files over 1 MB."""
    return "too_long" if len(text) > limits.max_characters else None


def long_line(text: str, limits: Thresholds) -> str | None:
    """Codex (https://arxiv.org/abs/2107.03374) drops code with a line over 1000; prose has a paragraph a line."""
    if len(text) <= limits.max_line_characters:
        return None
    return "long_line" if max(map(len, text.split("\n"))) > limits.max_line_characters else None


def long_lines(text: str, limits: Thresholds) -> str | None:
    """Codex drops code whose mean line is over 100 characters: data rather than text."""
    return "long_lines" if len(text) > limits.max_mean_line_characters * (text.count("\n") + 1) else None


def few_letters(text: str, limits: Thresholds) -> str | None:
    """BigCode (https://arxiv.org/abs/2305.06161) drops files with under 0.25 of letters and digits: dumps, drawings."""
    letters = len(_NOT_ALPHANUMERIC.sub("", text))
    return "few_letters" if letters < limits.min_alphanumeric_share * len(text) else None


def repeated_lines(text: str, limits: Thresholds) -> str | None:
    """Gopher (table A1) drops documents by the share of characters in lines that occurred before."""
    lines = Counter(line for line in map(str.strip, text.split("\n")) if line)
    repeated = sum((len(line) + 1) * (count - 1) for line, count in lines.items())
    return "repeated_lines" if repeated > limits.max_duplicate_line_share * len(text) else None


def bullet_lines(text: str, limits: Thresholds) -> str | None:
    """Gopher drops documents of which more than 0.9 of the lines begin with a bullet."""
    lines = [line for line in map(str.lstrip, text.split("\n")) if line]
    bullets = sum(line.startswith(_BULLETS) for line in lines)
    return "bullet_lines" if bullets > limits.max_bullet_line_share * len(lines) else None


def ellipsis_lines(text: str, limits: Thresholds) -> str | None:
    """Gopher drops documents of which more than 0.3 of the lines end in an ellipsis: teasers."""
    if not any(ellipsis in text for ellipsis in _ELLIPSES):
        return None
    lines = [line for line in map(str.rstrip, text.split("\n")) if line]
    ellipses = sum(line.endswith(_ELLIPSES) for line in lines)
    return "ellipsis_lines" if ellipses > limits.max_ellipsis_line_share * len(lines) else None


def damaged(text: str, limits: Thresholds) -> str | None:
    """U+FFFD stands for bytes that an earlier program could not decode (Unicode 16, section 5.22)."""
    return "damaged" if text.count("\ufffd") > limits.max_replacement_share * len(text) else None


Rule = Callable[[str, Thresholds], str | None]
# Rule -> key of `params.clean` with its threshold, in the order in which reasons are named.
RULES: dict[Rule, str] = {
    too_short: "min_characters",
    too_long: "max_characters",
    long_line: "max_line_characters",
    long_lines: "max_mean_line_characters",
    few_letters: "min_alphanumeric_share",
    repeated_lines: "max_duplicate_line_share",
    bullet_lines: "max_bullet_line_share",
    ellipsis_lines: "max_ellipsis_line_share",
    damaged: "max_replacement_share",
}


def reasons_against(text: str, limits: Thresholds) -> tuple[str, ...]:
    """Every rule that the text breaks."""
    return tuple(reason for rule in RULES if (reason := rule(text, limits)))
