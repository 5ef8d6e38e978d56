"""A text in UTF-8 that was read as cp1252 or Latin-1 becomes what it was ("fÃ¼r" becomes "für"), where that is sure.

Line by line, each as a whole, and only in a document that has a misread line with damage inside a word that is not
quoted, so that a text about such damage stays as it is. ftfy (https://ftfy.readthedocs.io) decides and decodes.
"""

import re

import ftfy

# Only the decoding; ftfy's other fixes change what somebody wrote.
_CONFIG = ftfy.TextFixerConfig(
    unescape_html=False, remove_terminal_escapes=False, fix_encoding=True, restore_byte_a0=False,
    replace_lossy_sequences=False, decode_inconsistent_utf8=False, fix_c1_controls=False, fix_latin_ligatures=False,
    fix_character_width=False, uncurl_quotes=False, fix_line_breaks=False, fix_surrogates=False,
    remove_control_chars=False, normalization=None, explain=False,
)  # fmt: skip
# What UTF-8's bytes 80 to BF are in Latin-1 and cp1252.
_SECOND = "\u0080-¿€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_DAMAGE = re.compile(f"[ÂÃ][{_SECOND}]|â[€\u0080][{_SECOND}]")
# A word is what stands between white space and opening or closing signs; damage may hold such signs itself.
_WORD = re.compile(r"[^\s()\[\]{}<>/,;:|=]+")
_QUOTES = "\"'`‘’“”„«»‹›"


def repaired(text: str) -> str:
    """The text, its misread lines decoded."""
    if not _DAMAGE.search(text):
        return text
    lines = text.split("\n")
    if not any(_is_misread(line) for line in lines):
        return text
    return "\n".join(line if line.isascii() else _decoded(line) for line in lines)


def _is_misread(line: str) -> bool:
    """Whether the line as a whole was misread, and shows it in a word."""
    return bool(_DAMAGE.search(line) and any(map(_is_damaged_word, _WORD.findall(line))) and _decoded(line) != line)


def _decoded(line: str) -> str:
    return ftfy.fix_encoding(line, _CONFIG)


def _is_damaged_word(word: str) -> bool:
    """Whether damage stands among other letters, not in quotes: `fÃ¼r` or `it’s` misread, not `"Ã¼"`."""
    if not _DAMAGE.search(word) or word[0] in _QUOTES:
        return False
    return any(character.isalpha() for character in _DAMAGE.sub("", word))
