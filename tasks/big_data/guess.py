"""The encoding of a text that is neither marked, nor declared, nor UTF-8: the one in which it reads most like language.

Each encoding is tried on the places of the file that are not ASCII. What these become is weighed by how often a
language that was written in this encoding uses the letter, and by where it stands: no capital follows a small letter,
no symbol stands within a word. Measured by `python -m benchmarks.encodings`.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from tasks.big_data.letters import LETTERS, SIGNS
from tasks.big_data.rows import UnreadableError

_WESTERN = ("de", "fr", "es", "it", "pt", "sv", "da", "nb", "fi", "nl")
_CENTRAL = ("pl", "cs", "sk", "hu", "sl", "hr", "ro")
_CYRILLIC = ("ru", "uk", "bg")


class _Candidate(NamedTuple):
    encoding: str
    languages: tuple[str, ...]
    prior: float  # how much rarer than the most frequent one, in nats: decides where a text says little


# latin-1 is a part of cp1252. cp932 and cp949 are Microsoft's supersets of Shift JIS and EUC-KR.
_CANDIDATES = (
    _Candidate("cp1252", _WESTERN, 0), _Candidate("iso8859-15", _WESTERN, -1), _Candidate("cp850", _WESTERN, -2),
    _Candidate("cp437", _WESTERN, -2.5), _Candidate("mac-roman", _WESTERN, -2.5),
    _Candidate("cp1250", _CENTRAL, -1), _Candidate("iso8859-2", _CENTRAL, -1.5), _Candidate("cp852", _CENTRAL, -2),
    _Candidate("cp1251", _CYRILLIC, -1), _Candidate("koi8-r", _CYRILLIC, -1.5), _Candidate("koi8-u", ("uk",), -2),
    _Candidate("cp866", _CYRILLIC, -2), _Candidate("iso8859-5", _CYRILLIC, -2.5),
    _Candidate("mac-cyrillic", _CYRILLIC, -2.5), _Candidate("cp1254", ("tr",), -2), _Candidate("cp1253", ("el",), -2),
    _Candidate("iso8859-7", ("el",), -2.5), _Candidate("cp932", ("ja",), -1.5), _Candidate("euc-jp", ("ja",), -2),
    _Candidate("gb18030", ("zh_CN",), -1.5), _Candidate("big5", ("zh_TW",), -2), _Candidate("cp949", ("ko",), -2),
)  # fmt: skip
# Frequent words in ASCII, as far as each is of few languages.
_WORDS = {
    language: frozenset(words.encode().split())
    for language, words in {
        "de": "der die das sie und ist nicht mit von zu den ein eine wird werden auf bei oder wenn im kann datei",
        "fr": "le la les des est pas une pour dans sur avec du ou par ne fichier en sont vous aux",
        "es": "el los las una para con por del se al fichero archivo no es en como su",
        "it": "di il che non per una del della nel sono con file un gli dei alla impossibile da si",
        "pt": "o os do da um uma para com por ao em foi no na ficheiro arquivo dos das se",
        "sv": "och att det som inte kan av en ett filen med den till kunde vid",
        "da": "og ikke det kan af en et filen med den til kunne fra der ved",
        "nb": "og ikke det kan av en et filen med den til kunne fra som ved",
        "fi": "ei on ja tai kuin tiedosto tiedostoa voi se ole ovat tiedoston",
        "nl": "de het een van niet is en voor met bestand dat kan wordt zijn worden te",
        "pl": "nie na do jest pliku dla lub przez od nazwa plik przy z w",
        "cs": "nelze pro je na se souboru soubor nen v s jako bez do ve neplatn",
        "sk": "pre je na sa zo nie alebo bez ako vo do sa nastavenie",
        "hu": "nem az egy vagy hogy ez meg csak van nincs ha a fel",
        "sl": "ni je za ali ne datoteke pri ki ter bi datoteka se v so brez",
        "hr": "nije je za ili ne datoteke pri koji te bi datoteka se u su bez",
        "ro": "nu de la este pentru sau cu un din nu fi care pe",
        "tr": "bir ve bu dosya veya yok ile hata olarak de da",
    }.items()
}
_WORD = re.compile(rb"(?<![\x80-\xff])\b[a-z]+\b(?![\x80-\xff])")
_WORDS_BYTES = 4096
_SPOKEN = 1.0  # nats a word
_SPOKEN_MOST = 8.0
_PLACE = re.compile(rb"[\x01-\x7f]{0,8}[\x80-\xff]{1,256}[\x01-\x7f]{0,8}")
_SAMPLE_BYTES = 3000
_SAMPLE_START_BYTES = 1 << 20
_UTF8_PLACE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_HIGH = re.compile(rb"[\x80-\xff]")
_MIXED_SHARE = 0.5
_MIXED_PLACES = 3
_LEAST_USUAL = 0.6

# Probabilities of what the tables do not have.
_PUNCTUATION = {
    **dict.fromkeys("•·€£©®™±×²³µ¿¡º\xa0\xad", math.log(0.004)),
    **dict.fromkeys("„“”‚‘’«»–—…°§、。「」，：；（）", math.log(0.02)),
}
_OTHER_LETTER = math.log(2e-4)
_OTHER_SIGN = math.log(2e-4)  # of the thousands beyond the table
_BOX = math.log(2e-3)
_OTHER = math.log(3e-5)
_NO_TEXT = math.log(1e-8)
_MISPLACED = -3.0
_ALONE = -1.5
_WORDS_OF_ONE_LETTER = "àáèéíóòôúýåæöÀÁÈÉÍÓÒÔÚÝÅÆÖ"
# Below this mean no language of the table fits.
_WORST_MEAN = -7.5


def guess(data: bytes) -> str:
    """Most likely encoding of a text that is not UTF-8.

    Raises:
        UnreadableError: it is `binary`, has `mixed_encodings`, or an `unknown_encoding`.
    """
    if b"\0" in data:
        return _wide(data)
    head = data[:_SAMPLE_START_BYTES]
    if _is_mixed(head):
        raise UnreadableError("mixed_encodings")
    sample = _sample(head) or _sample(data)
    spoken = _spoken(head[:_WORDS_BYTES])
    scores = {each.encoding: _score(sample, each, spoken) for each in _CANDIDATES}
    for encoding in sorted(scores, key=lambda name: -scores[name][0]):
        if scores[encoding][1] < _WORST_MEAN:
            break
        if _decodes(data, encoding):
            return encoding
    return _normalizer(data)


def _sample(data: bytes) -> bytes:
    """Places that are not ASCII, with some letters around them."""
    found: list[bytes] = []
    size = 0
    for place in _PLACE.finditer(data):
        found.append(place[0])
        size += len(place[0])
        if size >= _SAMPLE_BYTES:
            break
    return b"\n".join(found)


def _is_mixed(data: bytes) -> bool:
    """Whether a good part of what is not ASCII is UTF-8, while the whole is not."""
    places = _UTF8_PLACE.findall(data)
    return len(places) >= _MIXED_PLACES and sum(map(len, places)) > _MIXED_SHARE * len(_HIGH.findall(data))


def _wide(data: bytes) -> str:
    """UTF-16 without a mark: NUL bytes that are halves of characters.

    Raises:
        UnreadableError: it is `binary`.
    """
    texts = {}
    for encoding in ("utf-16-le", "utf-16-be"):
        try:
            texts[encoding] = data.decode(encoding)
        except UnicodeDecodeError:
            continue
    ranked = sorted((_usual(text[:_SAMPLE_BYTES]), name) for name, text in texts.items())
    if not ranked or ranked[-1][0] < _LEAST_USUAL:
        raise UnreadableError("binary")
    return ranked[-1][1]


def _usual(text: str) -> float:
    """Share of characters below U+0250 and of frequent signs; -1 if some are none."""
    kinds = {unicodedata.category(char) for char in text if char not in "\t\r\n\f\x1b"}
    if kinds & {"Cn", "Co", "Cs", "Cc"}:
        return -1.0
    signs = set().union(*SIGNS.values())
    return sum(char < "\u0250" or char in signs for char in text) / max(1, len(text))


def _spoken(data: bytes) -> Mapping[str, float]:
    """What the words in ASCII say for each language, in nats."""
    counts = Counter(_WORD.findall(data.lower()))
    return {
        language: min(_SPOKEN_MOST, _SPOKEN * sum(counts[word] for word in words)) for language, words in _WORDS.items()
    }


@cache
def _table(language: str) -> Mapping[str, float]:
    """Logarithm of the probability of each letter of a language among what is not ASCII."""
    if language in SIGNS:
        signs = SIGNS[language]
        harmonic = sum(1 / (rank + 8) for rank in range(len(signs)))
        return {char: math.log(0.9 / (rank + 8) / harmonic) for rank, char in enumerate(signs)}
    found = {entry[0]: int(entry[1:]) or 0.2 for entry in LETTERS[language].split(" ")}
    total = sum(found.values())
    return {char: math.log(0.98 * share / total) for char, share in found.items()}


@cache
def _rest(char: str) -> float:
    """Logarithm of the probability of a character that is in no table."""
    if char in _PUNCTUATION:
        return _PUNCTUATION[char]
    kind = unicodedata.category(char)
    if char == "\ufffd" or kind in ("Cc", "Cn", "Co", "Cs"):
        return _NO_TEXT
    if "\u2500" <= char <= "\u259f":
        return _BOX
    if kind == "Lo" and char > "\u2fff":
        return _OTHER_SIGN
    return _OTHER_LETTER if kind.startswith("L") else _OTHER


def _score(sample: bytes, candidate: _Candidate, spoken: Mapping[str, float]) -> tuple[float, float]:
    """Logarithm of the probability of the sample in an encoding, and its mean a byte that is not ASCII."""
    text = sample.decode(candidate.encoding, "replace")
    places: dict[str, int] = {}
    context = 0.0
    before = "\n"
    for at, char in enumerate(text):
        if char > "\x7f":
            places[char] = places.get(char, 0) + 1
            context += _misplaced(before, char, text[at + 1 : at + 2])
        before = char
    fit = {
        language: sum(count * _table(language).get(char, _rest(char)) for char, count in places.items())
        for language in candidate.languages
    }
    best = max(value + spoken.get(language, 0.0) for language, value in fit.items())
    return best + context + candidate.prior, max(fit.values()) / max(1, sum(places.values()))


def _misplaced(before: str, char: str, after: str) -> float:
    """What a place costs in which no language would put the character."""
    if not char.isalpha():
        within = before.isalpha() and after.isalpha() and char not in "’·\xad"
        return _MISPLACED if within and before < "\u2e80" and after < "\u2e80" else 0.0
    if char > "\u2e80":
        return 0.0
    cost = 0.0
    if char < "\u0250" and char not in _WORDS_OF_ONE_LETTER and not (before.isalpha() or after.isalpha()):
        cost += _ALONE
    if char.isupper() and before.islower():
        cost += _MISPLACED
    if char > "\u0370" and (("a" <= before.lower() <= "z") or ("a" <= after.lower() <= "z")):
        cost += _MISPLACED  # two scripts in one word
    return cost


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except ValueError:
        return False
    return True


def _normalizer(data: bytes) -> str:
    """What charset-normalizer says, which knows more encodings and takes longer.

    Raises:
        UnreadableError: `unknown_encoding`.
    """
    from charset_normalizer import from_bytes

    best = from_bytes(data).best()
    if best is None:
        raise UnreadableError("unknown_encoding")
    return best.encoding
