"""Patterns of personal data and secrets: what surely is one is replaced by a typed placeholder and counted.

Conservative: what cannot be told from code or a version number stays. Reserved names and addresses
(RFC 2606, 5737, 3849, 7042, loopback) point to nobody and stay too.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Set

from tasks.big_data import personal_checks, personal_marks, personal_numbers
from tasks.big_data.personal_spans import Span, apart, replace

# In this order: where two overlap, the first counts.
KINDS = (
    "private_key", "url_credentials", "api_key", "email", "iban", "ip_address", "mac_address", "card_number", "us_ssn",
    "us_itin", "de_tax_id", "de_pension_id", "imei", "phone",
)  # fmt: skip
_RANK = {kind: rank for rank, kind in enumerate(KINDS)}

# Local part and domain of RFC 5322 without quoting; a domain ends in letters (RFC 3696, section 2).
_LOCAL = re.compile(r"[\w.+%'-]{1,129}\Z")
_LOCAL_CHARACTERS = 128
_DOMAIN = re.compile(r"@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[A-Za-z]{2,24}(?![\w@-])")
_RESERVED_DOMAINS = re.compile(
    r"(?:^|[@.])(?:example(?:\.(?:com|org|net|de|edu))?|test|invalid|localhost|local)$", re.IGNORECASE
)
# Endings of file names that are no top-level domains, as in icon@2x.png.
_FILE_ENDINGS = frozenset(("png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "ts", "rst", "txt", "json",
    "yaml", "yml", "html", "xml"))  # fmt: skip
_NO_PERSON = frozenset({"git", "hg", "svn"})  # the users of ssh addresses of repositories

_IPV4 = re.compile(r"(?<![\w.:/-])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![\w-]|\.[0-9])")
_DATE = re.compile(r"[0-9]{2}\.[0-9]{2}\.[0-9]{4}|[0-9]{4}-[0-9]{2}-[0-9]{2}")
# At least four groups: slices and times of day have fewer.
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:{1,2}){3,7}[0-9A-Fa-f]{1,4}(?![\w:]|\.[\w])")
_VERSION_BEFORE = re.compile(
    r"(?:version|ver|release|section|chapter|oid|nummern?|nr|abschnitt|§|[=~<>]="
    r"|(?:firmware|fw|software|sw|build|patch|update|upgrade)(?: (?:from|to|von|auf))?)[\s\"'=:.]{0,3}\Z",
    re.IGNORECASE,
)
_DOCUMENTATION = tuple(
    ipaddress.ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)
_NUMBERING_BELOW, _COUNTED_BELOW, _PRIVATE, _DOTS, _BEFORE = 64, 100, 10, 3, 24
_LINE_BEFORE = re.compile(r"(?:^|\n)[\s*|#>]*\Z")

_MAC = re.compile(
    r"(?<![\w:.-])(?:[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4})(?![\w:-]|\.\w)"
)
_IBAN = {
    country: re.compile(rf"[A-Za-z]{{2}}[0-9]{{2}}(?:[ \u00a0]?[0-9A-Za-z]){{{length - 4}}}(?!\w)")
    for country, length in personal_checks.IBAN_LENGTHS.items()
}

_IBAN_GROUPS = re.compile(r"[0-9A-Za-z]+|(?:[0-9A-Za-z]{4}[ \u00a0])+[0-9A-Za-z]{1,4}")  # else words would pass

_URL_CREDENTIALS = re.compile(r"://([^\s/:@<>{}$'\"`%\\]{1,64}:[^\s/:@<>{}$'\"`\\]{1,128})(?=@[\w\[])")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?P<type>(?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?)-----"
    r"(?:(?:(?!-----)[\s\S]){16,20000}-----END (?P=type)-----"
    r"|(?:\s+[A-Za-z0-9+/=]{24,76}(?![\w+/=])){2,400}(?:\s+[A-Za-z0-9+/=]{1,76}(?![\w+/=]))?)"  # its end cut off
)
_API_KEYS = (
    r"AKIA[0-9A-Z]{16}", r"ASIA[0-9A-Z]{16}",  # AWS access key ids
    r"gh[pousr]_[A-Za-z0-9]{36}", r"github_pat_[A-Za-z0-9_]{82}",  # GitHub
    r"glpat-[A-Za-z0-9_-]{20}",  # GitLab
    r"xox[abeprs]-[A-Za-z0-9-]{20,250}",  # Slack
    r"AIza[0-9A-Za-z_-]{35}",  # Google
    r"[sr]k_live_[0-9A-Za-z]{24,99}",  # Stripe
    r"sk-(?:proj-|ant-)?[A-Za-z0-9_-]{40,200}",  # OpenAI, Anthropic
    r"hf_[A-Za-z]{34}",  # Hugging Face
    r"npm_[A-Za-z0-9]{36}", r"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,250}",  # npm, PyPI
    r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",  # SendGrid
    r"dop_v1_[0-9a-f]{64}",  # DigitalOcean
    r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",  # signed JSON web token, RFC 7519
)  # fmt: skip
_API_KEY = re.compile(rf"(?<![A-Za-z0-9_-])(?:{'|'.join(_API_KEYS)})(?![A-Za-z0-9_-])")

# Every place where a family could begin, without the thrift of `personal_marks`.
_EVERYWHERE = (
    (personal_marks.AT, re.compile("@")),
    (personal_marks.URL, re.compile("://")),
    (personal_marks.BEGIN, re.compile("-----BEGIN ")),
    (personal_marks.KEY, re.compile(r"(?<![A-Za-z0-9_-])(?=[A-Za-z])")),
    (personal_marks.NUMBER, re.compile(rf"{personal_numbers.RUN.pattern}")),
    (personal_marks.HEX, re.compile(r"(?<!\w)(?=[0-9A-Fa-f]{1,4}[:.-])")),
    (personal_marks.IBAN, re.compile(r"(?<!\w)(?=[A-Za-z]{2}[0-9]{2})")),
)


def redact(text: str, kinds: Iterable[str], counts: Counter[str]) -> str:
    """The text without personal data of these kinds; `counts` counts what was replaced."""
    return replace(text, find(text, everywhere(text), frozenset(kinds)), counts)


def everywhere(text: str) -> Iterator[tuple[int, int]]:
    """Place and family of all that `find` could try."""
    for family, pattern in _EVERYWHERE:
        for match in pattern.finditer(text):
            yield match.start(), family


def find(text: str, marks: Iterable[tuple[int, int]], kinds: Set[str]) -> list[Span]:
    """Personal data of these kinds at these places, in order and without overlaps."""
    found = [span for place, family in marks for span in _FINDERS[family](text, place) if span.kind in kinds]
    return apart(found, _RANK) if found else found


def _email(text: str, place: int) -> Iterator[Span]:
    domain = _DOMAIN.match(text, place)
    written = _LOCAL.search(text, max(0, place - _LOCAL_CHARACTERS - 1), place) if domain else None
    if domain is None or written is None:
        return
    local = written.group().lstrip("._+%'-")
    if not local or len(local) > _LOCAL_CHARACTERS:
        return
    ending = domain.group().rpartition(".")[2].lower()
    if ending in _FILE_ENDINGS or local.lower() in _NO_PERSON or _RESERVED_DOMAINS.search(domain.group()):
        return
    yield Span(place - len(local), domain.end(), "email")


def _url(text: str, place: int) -> Iterator[Span]:
    match = _URL_CREDENTIALS.match(text, place)
    if match:
        yield Span(*match.span(1), "url_credentials")


def _private_key(text: str, place: int) -> Iterator[Span]:
    match = _PRIVATE_KEY.match(text, place)
    if match:
        yield Span(*match.span(), "private_key")


def _api_key(text: str, place: int) -> Iterator[Span]:
    match = _API_KEY.match(text, place)
    if match:
        yield Span(*match.span(), "api_key")


def _number(text: str, place: int) -> Iterator[Span]:
    run = personal_numbers.RUN.match(text, place)
    if run is None or _DATE.fullmatch(run.group()):
        return
    end = run.end()
    if run.group().count(".") >= _DOTS:
        for match in _IPV4.finditer(text, place, min(len(text), end + 2)):  # what follows may forbid it
            if _is_machine(match):
                yield Span(*match.span(), "ip_address")
    yield from personal_numbers.spans(text, place, end)


def _hex(text: str, place: int) -> Iterator[Span]:
    mac = _MAC.match(text, place)
    if mac and _is_device(mac.group()):
        yield Span(*mac.span(), "mac_address")
    ipv6 = _IPV6.match(text, place)
    if ipv6 and _is_machine(ipv6):
        yield Span(*ipv6.span(), "ip_address")


def _iban(text: str, place: int) -> Iterator[Span]:
    form = _IBAN.get(text[place : place + 2].upper())
    match = form.match(text, place) if form else None
    if match is None:
        return
    plain = re.sub(r"[ \u00a0]", "", match.group()).upper()
    if (plain[2:].isdigit() or _IBAN_GROUPS.fullmatch(match.group())) and personal_checks.iban(plain):
        yield Span(*match.span(), "iban")


def _is_device(found: str) -> bool:
    """Whether an address names one device: not none, no group (IEEE 802), not documentation's (RFC 7042, 2.1.2)."""
    plain = re.sub("[:.-]", "", found).lower()
    if int(plain[:2], 16) & 1:  # all devices, or a group of them
        return False
    parts = re.split("[:.-]", found)
    words = len(parts) == 3 and not (re.search("[a-f]", plain) and re.search("[0-9]", plain))
    return not words and len(set(plain)) > 1 and not plain.startswith("00005e0053")


def _is_machine(match: re.Match[str]) -> bool:
    found = match.group()
    try:
        address = ipaddress.ip_address(found)
    except ValueError:  # 300.1.2.3, or a leading zero
        return False
    if (
        address.is_loopback or address.is_unspecified or address.is_multicast or address.is_link_local
        or any(address in net for net in _DOCUMENTATION)
    ):  # fmt: skip
        return False
    if address.version == 6:  # eight pairs are a key's fingerprint
        return not address.is_reserved or ("::" not in found and max(map(len, found.split(":"))) > 2)
    if address.is_reserved or found.startswith("0.") or found.endswith(".0"):  # 10.0.0.0 is a network
        return False
    before = match.string[max(0, match.start() - _BEFORE) : match.start()]
    return not _is_numbering(found, before) and not _VERSION_BEFORE.search(before)


def _is_numbering(found: str, before: str) -> bool:
    """Whether four numbers count sections or versions (17.4.1.6) more likely than they name a machine.

    One public address in 70 looks so; 10.x.x.x is a private network (RFC 1918), but not as the heading of a line.
    """
    numbers = [int(number) for number in found.split(".")]
    if numbers[0] < _PRIVATE:
        return max(numbers[1:3]) < _COUNTED_BELOW
    return max(numbers) < _NUMBERING_BELOW and (numbers[0] != _PRIVATE or _LINE_BEFORE.search(before) is not None)


_FINDERS = {
    personal_marks.AT: _email,
    personal_marks.URL: _url,
    personal_marks.BEGIN: _private_key,
    personal_marks.KEY: _api_key,
    personal_marks.NUMBER: _number,
    personal_marks.HEX: _hex,
    personal_marks.IBAN: _iban,
}
