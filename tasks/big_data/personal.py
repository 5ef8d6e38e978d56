"""Patterns of personal data and secrets: each replaces what surely is one by a typed placeholder and counts it.

Conservative: what cannot be told from code or a version number stays. Reserved names and addresses
(RFC 2606, 5737, 3849, loopback) point to nobody and stay too.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple


class Form(NamedTuple):
    """One form of a kind: `mark` begins with a literal, which makes it fast; `replace` says what a match becomes."""

    kind: str
    mark: re.Pattern[str]
    pattern: re.Pattern[str]
    replace: Callable[[re.Match[str]], str]


# Local part and domain of RFC 5322 without quoting; a domain ends in letters (RFC 3696, section 2).
_AT_DOMAIN = r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![\w@-])"
_EMAIL = r"(?<![\w.+%-])[A-Za-z0-9][\w.+%-]{0,63}" + _AT_DOMAIN
_RESERVED_DOMAINS = re.compile(
    r"(?:^|[@.])(?:example(?:\.(?:com|org|net))?|test|invalid|localhost|local)$", re.IGNORECASE
)
# Endings of file names that are no top-level domains, as in icon@2x.png.
_FILE_ENDINGS = frozenset(("png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "ts", "rst", "txt", "json",
    "yaml", "yml", "html", "xml"))  # fmt: skip
_NO_PERSON = frozenset({"git", "hg", "svn"})  # the users of ssh addresses of repositories

# The first digit comes before what must not stand before it: twice as fast.
_IPV4 = r"[0-9](?<![\w.:/-].)[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![\w-]|\.[0-9])"
# At least four groups: slices and times of day have fewer.
_IPV6 = r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:{1,2}){3,7}[0-9A-Fa-f]{1,4}(?![\w:.])"
_VERSION_BEFORE = re.compile(
    r"(?:version|ver|release|section|chapter|oid|nummern?|nr|abschnitt|§|[=~<>]=)[\s\"'=:.]{0,3}$", re.IGNORECASE
)
_DOCUMENTATION = tuple(
    ipaddress.ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)
_NUMBERING_BELOW, _PRIVATE = 64, 10

_URL_CREDENTIALS = r"(?<=://)[^\s/:@<>{}$'\"`%\\]{1,64}:[^\s/:@<>{}$'\"`\\]{1,128}(?=@[\w\[])"
_PRIVATE_KEY = (
    r"-----BEGIN (?P<type>(?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?)-----"
    r"(?:(?!-----)[\s\S]){16,20000}"
    r"-----END (?P=type)-----"
)
_API_KEYS = (
    r"AKIA[0-9A-Z]{16}", r"ASIA[0-9A-Z]{16}",  # AWS access key ids
    r"gh[pousr]_[A-Za-z0-9]{36}", r"github_pat_[A-Za-z0-9_]{82}",  # GitHub
    r"glpat-[A-Za-z0-9_-]{20}",  # GitLab
    r"xox[abeprs]-[A-Za-z0-9-]{20,250}",  # Slack
    r"AIza[0-9A-Za-z_-]{35}",  # Google
    r"sk_live_[0-9A-Za-z]{24,99}", r"rk_live_[0-9A-Za-z]{24,99}",  # Stripe
    r"sk-(?:proj-|ant-)?[A-Za-z0-9_-]{40,200}",  # OpenAI, Anthropic
    r"hf_[A-Za-z]{34}",  # Hugging Face
    r"npm_[A-Za-z0-9]{36}", r"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,250}",  # npm, PyPI
    r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",  # signed JSON web token, RFC 7519
)  # fmt: skip


def placeholder(kind: str) -> str:
    """What a kind is replaced by: `email` becomes `<EMAIL>`."""
    return f"<{kind.upper()}>"


def redact(text: str, kinds: Iterable[str], counts: Counter[str]) -> str:
    """The text without personal data of these kinds; `counts` counts what was replaced."""
    wanted = set(kinds)
    for form in FORMS:
        if form.kind in wanted and form.mark.search(text):
            text = form.pattern.sub(_counting(form, counts), text)
    return text


def _counting(form: Form, counts: Counter[str]) -> Callable[[re.Match[str]], str]:
    def counted(match: re.Match[str]) -> str:
        new = form.replace(match)
        if new != match.group():
            counts[form.kind] += 1
        return new

    return counted


def _always(kind: str) -> Callable[[re.Match[str]], str]:
    return lambda _: placeholder(kind)


def _email(match: re.Match[str]) -> str:
    local, _, domain = match.group().rpartition("@")
    ending = domain.rpartition(".")[2].lower()
    stays = ending in _FILE_ENDINGS or local.lower() in _NO_PERSON or _RESERVED_DOMAINS.search(domain)
    return match.group() if stays else placeholder("email")


def _ip_address(match: re.Match[str]) -> str:
    found = match.group()
    try:
        address = ipaddress.ip_address(found)
    except ValueError:  # 300.1.2.3, or a leading zero
        return found
    if (
        address.is_loopback or address.is_unspecified or address.is_multicast or address.is_reserved
        or address.is_link_local or any(address in net for net in _DOCUMENTATION)
    ):  # fmt: skip
        return found
    before = match.string[max(0, match.start() - 16) : match.start()]
    if address.version == 4 and (
        found.startswith("0.") or found.endswith(".0") or _is_numbering(found) or _VERSION_BEFORE.search(before)
    ):
        return found  # 10.0.0.0 is a network
    return placeholder("ip_address")


def _is_numbering(found: str) -> bool:
    """Whether four numbers count sections or versions (17.4.1.6) more likely than they name a machine.

    One public address in 256 has only such small numbers; 10.x.x.x is a private network (RFC 1918).
    """
    numbers = [int(number) for number in found.split(".")]
    return max(numbers) < _NUMBERING_BELOW and numbers[0] != _PRIVATE


def _form(kind: str, mark: str, pattern: str, replace: Callable[[re.Match[str]], str] | None = None) -> Form:
    return Form(kind, re.compile(mark), re.compile(pattern), replace or _always(kind))


# In this order: the password of a URL would pass for the name in an e-mail address.
FORMS = (
    _form("private_key", "-----BEGIN [A-Z0-9 ]*PRIVATE KEY", _PRIVATE_KEY),
    _form("url_credentials", r"://[^\s/@]+@", _URL_CREDENTIALS),
    *(_form("api_key", key, rf"(?<![A-Za-z0-9_-])(?:{key})(?![A-Za-z0-9_-])") for key in _API_KEYS),
    _form("email", _AT_DOMAIN, _EMAIL, _email),
    _form("ip_address", r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]", _IPV4, _ip_address),
    _form("ip_address", ":[0-9A-Fa-f]{1,4}:{1,2}[0-9A-Fa-f]{1,4}", _IPV6, _ip_address),
)
