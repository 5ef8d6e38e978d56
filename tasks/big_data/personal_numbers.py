"""Numbers in a text: which are cards, identity numbers or telephones, told by form, check digit and the words around.

A run is digits with at most three separators between two of them. Checkable kinds need no words; a telephone number
needs a form that hardly anything else has (international, area code, North American), or a word that announces it.
"""

import re
from collections.abc import Iterator
from functools import cached_property

from tasks.big_data import personal_checks as checks
from tasks.big_data.personal_spans import Span

_GAP = r"[ .\-/()\u00a0\u2009\u2011\u2013\u202f]"
RUN = re.compile(rf"[0-9](?:{_GAP}{{0,3}}[0-9])*")
_BEFORE, _AFTER = 48, 24

_SPACE = r"[ \u00a0\u2009\u202f]"
_CARD = re.compile(
    r"(?<![\w.,/+-])(?:[0-9]{12,19}"
    rf"|(?<![0-9]{_SPACE})[0-9]{{4}}({_SPACE}|-)[0-9]{{4}}\1[0-9]{{4}}\1[0-9]{{4}}(?:\1[0-9]{{3}})?"
    rf"|(?<![0-9]{_SPACE})3[0-9]{{3}}({_SPACE}|-)[0-9]{{6}}\2[0-9]{{4,5}})"
    rf"(?!\w|[.,/-][0-9]|{_SPACE}[0-9]{{4}}(?![0-9]))"
)
_CARD_SAID = re.compile(r"card|karte|visa|master|amex|credit|kredit|\bcc\b|\batm\b", re.IGNORECASE)
_TRADE_UNIT_DIGITS = (12, 13, 14)  # UPC, EAN and ISBN, GTIN-14

_SSN = re.compile(r"(?<![\w.-])([0-9]{3})([- ]?)([0-9]{2})\2([0-9]{4})(?!\w|[-.][0-9])")
_US_SAID = re.compile(
    r"(?P<us_ssn>\bssn\b|social security)|(?P<us_itin>\bitin\b|taxpayer identification)", re.IGNORECASE
)
_TAX_ID = re.compile(rf"(?<![\w.,/+-])(?<![0-9]{_SPACE})[1-9][0-9](?:{_SPACE}?[0-9]{{3}}){{3}}(?!\w|{_GAP}?[0-9])")
_PENSION_ID = re.compile(r"(?<![\w.,/+-])[0-9]{2} ?[0-9]{6} ?[A-Z] ?[0-9]{3}(?![\w-])")
_IMEI = re.compile(r"(?<!\w)[0-9]{2}([ -]?)[0-9]{6}\1[0-9]{6}\1[0-9](?!\w)")
_IMEI_SAID = re.compile(r"\bimei\b", re.IGNORECASE)

# Country calling codes: ITU-T, List of ITU-T Recommendation E.164 assigned country codes.
_COUNTRY = re.compile(
    r"1(?=[^0-9]*[2-9](?:[^0-9]*[0-9]){9})|7|2(?:[07]|1[1-368]|[2346]\d|5[0-8]|9[01789])|3(?:[0-469]|[57]\d|8[0-35-79])|4(?:[013-9]|2[0134])"
    r"|5(?:[1-8]|0\d|9\d)|6(?:[0-6]|7[02-9]|8\d|9[0-2])|8(?:[1246]|0[08]|5[02356]|7[08]|8[0368])|9(?:[0-58]|6\d|7[0-79]|9\d)"
)
_PHONE_DIGITS = range(7, 16)  # E.164 allows fifteen
_INTERNATIONAL_DIGITS, _DIALLED_DIGITS, _NATIONAL_DIGITS = range(8, 17), range(10, 19), range(9, 14)  # "(0)" counts
_DIALLED = re.compile(rf"00[1-9](?:[0-9]{{0,2}}(?!\.){_GAP}|(?<=4)[139])")  # 00 instead of +
_AREA = re.compile(  # and mobile networks, and numbers free of charge: Bundesnetzagentur, Rufnummernraeume
    rf"0(?:3[0-9]{{1,4}}|[2-9][0-9]{{1,3}}|1[5-7][0-9]{{1,3}}|[189]00|180[1-7]?)(?=(?!\.){_GAP})"
    r"|(?<=\()0[0-9]{1,5}\)"
    r"|(?<=\()0 [2-9][0-9](?: ?[0-9]{1,2})?\)|0 [2-9][0-9](?: [0-9]{1,2})?/"  # in pairs, as before 2001
)
_ITEM = re.compile(r"[0-9]{4} [0-9]{4} [0-9]{4}|[0-9]{3}-[0-9]{2,3}-[0-9]{3,4}")  # as others number things
_MOBILE = re.compile(r"01[5-7][0-9]{8,10}")
_FRENCH = re.compile(r"0[1-9](?:\.[0-9]{2}){4}")
_NORTH_AMERICAN = re.compile(
    r"(?:1[-. ])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}([-.]))[2-9][0-9]{2}(?:\1|[-.])[0-9]{4}(?! ?[-./0-9])"
)
_DECIMAL = re.compile(r"\+?[0-9]*\.[0-9]+")
_DATE = re.compile(
    r"(?:(?:19|20)[0-9]{2}[-./][01]?[0-9][-./][0-3]?[0-9]|[0-3]?[0-9][-./][0-3]?[0-9][-./](?:19|20)[0-9]{2}"
    r"|(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:[0-2][0-9]|3[01]))(?![0-9])"
)
_EXTENSION = re.compile(r" ?(?:x|ext\.?|extension|durchwahl|dw\.?|app\.?) ?[0-9]{1,5}(?![\w-])", re.IGNORECASE)
_SPLIT = re.compile(
    rf"(?:{_SPACE}*[/]{_SPACE}*|{_SPACE}+[-\u2013]{_SPACE}+|{_SPACE}+)(?=\(?0{{1,2}}[1-9][0-9](?:{_GAP}{{0,3}}[0-9]){{5}})"
)

_NUMBER_WORD = r"(?:nr|no|num|nummer|number|numéro)"
_PHONE_NOUN = (
    r"(?:tele?phone?|telefon\w*|telefax|phone\w*|tele?|fax|mobil(?:e|funk\w*|telefon\w*|nummer)?|cell(?:phone|ular)?"
    r"|handy(?:nummer)?|hotline|rufnummer|ruf-?nr|durchwahl|festnetz\w*|whatsapp|sms|(?:desk|office)(?=:)"
    r"|zentrale|pager|notdienst|bereitschaft|rückruf\w*|my registered)"
)
_PHONE_VERB = (
    r"(?:(?:call|ring|text|dial|phone|reach|answer)(?:ed|ing|able)?(?: ?(?:me|us|him|her|them|back))?"
    r"|messages?|anrufen|anzurufen|erreich\w+(?: (?:mich|uns|ihn|sie))?)"
)  # fmt: skip
_SAID_BEFORE = re.compile(
    rf"(?<![^\W_])(?:{_PHONE_NOUN}(?![^\W_])"
    r"(?P<filler>[^0-9\n]{0,20}\n?[^\S\n]{0,8})"
    rf"|{_PHONE_VERB}(?: (?:at|on|to|under|unter|via)|:)? \(?)\Z",
    re.IGNORECASE,
)
_SAID_AFTER = re.compile(
    r"[ \t]?[-–(,]?[ \t]?\(?(?:office|fax|mobile?|cell|home|desk|phone|telefon|privat|dienstlich|geschäftlich"
    r"|anrufen|zurückrufen|anzurufen|zurückzurufen|erreichbar)\b",
    re.IGNORECASE,
)
_OTHER_WORD = (
    r"(?:\w*teile?|part|art|\w*artikel|\w*bestell\w*|orders?|\w*auftrags?|\w*rechnungs?|invoice|serien\w*|serial|s/n|sn|p/n|pn"
    r"|mat|material|din|en|iso|iec|vde|ansi|isbn|issn|ean|gtin|upc|version|ver|rev|revision|id|ident|kunden\w*|customer"
    r"|ticket|po|sku|item|zeichnungs?|charge|charge[nr]?|lot|batch|case|docket|konto|account|blz|plz|zip|postal\w*|postcode|drucksache|drs"
    r"|bgbl|az|aktenzeichen|licen[sc]e|inventar|equipment|kostenstelle|typ|type|model|modell|seite|page|section|figure|code"
    r"|gerät|katalog|catalog|referenz|reference|ref|lieferschein|vertrags?|projekt|project|anlagen?|maschinen?|asset|wkn|hs)"
)
_OTHER_BEFORE = re.compile(
    rf"(?:(?<!\w){_OTHER_WORD}[-.\s]{{0,2}}{_NUMBER_WORD}?|(?<!\w){_NUMBER_WORD}|§|#)[^\w\n]{{0,5}}\Z", re.IGNORECASE
)
_OTHER_NAMED = re.compile(rf"(?<!\w){_OTHER_WORD}[-.\s]{{0,2}}{_NUMBER_WORD}?[^\w\n]{{0,5}}\Z", re.IGNORECASE)
_OTHER = re.compile(rf"(?<!\w){_OTHER_WORD}(?!\w)|\w+[-]?(?:nr|nummer|number)\b", re.IGNORECASE)
_UNIT_AFTER = re.compile(r" ?(?:%|°|€|\$|mm|cm|m|km|kg|g|t|V|A|W|kW|bar|Hz|kHz|MHz|EUR|USD|Euro|ms|s|h)(?!\w)")
_GLUED_BEFORE, _GLUED_AFTER = re.compile(r"(?:\w|\w[-_.,/]|[0-9]:)\Z"), re.compile(r"[-_/]?[^\W\d]")
_DIGITS, _NO_DIGITS = re.compile("[0-9]+"), re.compile("[^0-9]+")


def spans(text: str, place: int, end: int) -> Iterator[Span]:
    """What the run of digits from `place` to `end` holds."""
    start = place
    low = max(0, start - _BEFORE)
    if text.startswith("+", start - 1):
        start -= 1
    if text.startswith("(", start - 1) and ")" in text[place:end]:
        start -= 1
    digits = len(_NO_DIGITS.sub("", text[place:end]))
    if digits >= 9:
        yield from _checked(text, low, place, end)
    if digits >= 7:
        yield from _pension(text, place)
        yield from _phones(text, low, start, end)


def _checked(text: str, low: int, start: int, end: int) -> Iterator[Span]:
    """Numbers with a check digit or with ranges that are never issued."""
    window, said = text[low : end + _AFTER], text[low:start]
    inside = (start - low, end - low)

    def found(pattern: re.Pattern[str]) -> Iterator[tuple[re.Match[str], str]]:
        for match in pattern.finditer(window, inside[0]):
            if match.start() >= inside[1]:
                break
            yield match, "".join(filter(str.isdecimal, match.group()))

    for match, number in found(_CARD):
        if checks.luhn(number) and (_CARD_SAID.search(said) or _is_card(number, text[low : low + match.start()])):
            yield Span(low + match.start(), low + match.end(), "card_number")
    for match, number in found(_SSN):
        labels = [label.lastgroup for label in _US_SAID.finditer(said)]
        label = labels[-1] if labels else None  # the nearest
        span = (low + match.start(), low + match.end())
        if label != "us_itin" and checks.us_ssn(number) and (label or match[2] == "-"):
            yield Span(*span, "us_ssn")
        elif label and checks.us_itin(number):
            yield Span(*span, "us_itin")
    for match, number in found(_TAX_ID):
        if checks.de_tax_id(number):
            yield Span(low + match.start(), low + match.end(), "de_tax_id")
    for match, number in found(_IMEI):
        if checks.luhn(number) and _IMEI_SAID.search(said):
            yield Span(low + match.start(), low + match.end(), "imei")


def _is_card(number: str, before: str) -> bool:
    """Whether a number that passes Luhn's formula is a card without a word that says so."""
    trade = len(number) in _TRADE_UNIT_DIGITS and checks.gtin(number)
    return checks.issued(number) and not trade and not _OTHER_NAMED.search(before)


def _pension(text: str, place: int) -> Iterator[Span]:
    match = _PENSION_ID.match(text, place)
    if match and checks.de_pension_id(match.group().replace(" ", "")):
        yield Span(*match.span(), "de_pension_id")


def _phones(text: str, low: int, start: int, end: int) -> Iterator[Span]:
    context = _Context(text, low, start, end)
    for first, last in _parts(text, start, end):
        stop = _phone(text, first, last, context)
        if stop and stop == end:
            extension = _EXTENSION.match(text, end)
            stop = extension.end() if extension else stop
        if stop:
            yield Span(first, stop, "phone")


class _Context:
    """What the words around a run say; asked only where its form leaves a doubt, as most runs are decided by form."""

    def __init__(self, text: str, low: int, start: int, end: int) -> None:
        self._before, self._after = text[low:start], text[end : end + _AFTER]

    @cached_property
    def said(self) -> bool:
        """A word announces a telephone number."""
        announced = _SAID_BEFORE.search(self._before)
        if announced and not _OTHER.search(announced["filler"] or ""):
            return True
        return _SAID_AFTER.match(self._after) is not None

    @cached_property
    def glued(self) -> bool:
        """It is part of a longer mark."""
        return _GLUED_BEFORE.search(self._before) is not None or _GLUED_AFTER.match(self._after) is not None

    @cached_property
    def other(self) -> bool:
        """It is part of a longer mark, has a unit, or a word announces a number of another kind."""
        return not self.said and (
            self.glued or _UNIT_AFTER.match(self._after) is not None or _OTHER_BEFORE.search(self._before) is not None
        )


def _parts(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A run parted where a second national number begins: 030 1234567 / 0171 1234567."""
    first = start
    for gap in _SPLIT.finditer(text, start, end):
        if text[first] not in "0+(":
            break
        if sum(map(str.isdecimal, text[first : gap.start()])) >= _NATIONAL_DIGITS.start:
            yield first, gap.start()
            first = gap.end()
    yield first, end


def _phone(text: str, first: int, last: int, context: _Context) -> int:
    """Where the telephone number ends that begins at `first`; 0 if it is none."""
    whole = text[first:last]
    plain = whole.lstrip("(+")
    if _DATE.match(plain):
        return 0
    if _DECIMAL.fullmatch(whole):
        return _fitting(text, first, last, _PHONE_DIGITS) if context.said else 0
    if "+" in whole[:2] and _COUNTRY.match(plain) and (context.said or not context.glued):
        return _fitting(text, first, last, _INTERNATIONAL_DIGITS)
    if _DIALLED.match(plain) and _COUNTRY.match(plain, 2) and not _ITEM.fullmatch(whole) and not context.other:
        return _fitting(text, first, last, _DIALLED_DIGITS)
    american = _NORTH_AMERICAN.match(whole)
    if american and not context.other:
        return first + american.end()
    if context.said:
        return _fitting(text, first, last, _PHONE_DIGITS)
    formed = _AREA.match(whole, whole.startswith("(")) and not _ITEM.fullmatch(whole)
    if (formed or _MOBILE.fullmatch(whole) or _FRENCH.fullmatch(whole)) and not context.other:
        return _fitting(text, first, last, _NATIONAL_DIGITS)
    return 0


def _fitting(text: str, first: int, last: int, allowed: range) -> int:
    """The end of as many groups as have not too many digits together; 0 if these are too few."""
    digits, end = 0, 0
    for group in _DIGITS.finditer(text, first, last):
        digits += group.end() - group.start()
        if digits >= allowed.stop:
            break
        if digits >= allowed.start:
            end = group.end()
    return end
