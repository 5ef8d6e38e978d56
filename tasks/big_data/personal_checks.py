"""Check digits: what tells a number that somebody issued from one that only looks like it."""

import re

# Lengths of IBANs by country: SWIFT's IBAN registry, release 99, SEPA and the countries of Europe's neighbours first.
_IBAN_LENGTHS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
    "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
    "YE30"
)
IBAN_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _IBAN_LENGTHS.split()}

# Issuer ranges and lengths of ISO/IEC 7812 numbers as the networks publish them: the first digits, and how many in all.
_CARDS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|5[1-5]\d{14}|(?:222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-5]|09|[689]\d)\d{11}"  # Diners Club
    r"|(?:6011|64[4-9]\d|65\d{2})\d{12}(?:\d{3})?"  # Discover
    r"|(?:2131|1800)\d{11}|35(?:2[89]|[3-8]\d)\d{12}"  # JCB
    r"|62\d{14,17}"  # UnionPay
    r"|(?:5018|5020|5038|5[678]\d{2}|6304|639\d|6759|676[1-3]|0604)\d{8,12}"  # Maestro
)
_IBAN_WEIGHTS = {letter: str(value) for value, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ", start=10)}


def luhn(digits: str) -> bool:
    """Luhn's formula (ISO/IEC 7812-1, annex B)."""
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(value - 9 * (value > 9) for value in doubled)) % 10 == 0


def gtin(digits: str) -> bool:
    """Check digit of GTIN-8 to GTIN-14, which EAN, UPC and ISBN-13 are (GS1 General Specifications, section 7.9)."""
    return (sum(map(int, digits[-1::-2])) + 3 * sum(map(int, digits[-2::-2]))) % 10 == 0


def issued(digits: str) -> bool:
    """Whether a network that issues payment cards has numbers of this beginning and length."""
    return _CARDS.fullmatch(digits) is not None


def iban(characters: str) -> bool:
    """Length by country and the remainder modulo 97 (ISO 13616-1, section 6); upper case, without spaces."""
    if IBAN_LENGTHS.get(characters[:2]) != len(characters):
        return False
    moved = characters[4:] + characters[:4]
    return int("".join(_IBAN_WEIGHTS.get(c, c) for c in moved)) % 97 == 1


def de_tax_id(digits: str) -> bool:
    """Steueridentifikationsnummer (section 139b AO; Pruefziffernberechnung of the Bundeszentralamt fuer Steuern).

    Eleven digits; among the first ten one occurs two or three times, all others once at most; the last is that of
    ISO/IEC 7064, MOD 11,10.
    """
    first, often = digits[:10], sorted((digits.count(d, 0, 10) for d in set(digits[:10])), reverse=True)
    if len(digits) != 11 or first[0] == "0" or often[0] not in (2, 3) or often[1] != 1:
        return False
    product = 10
    for digit in first:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def de_pension_id(characters: str) -> bool:
    """Versicherungsnummer of the German pension insurance (VKVV, sections 2 and 4): area, birthday, letter, number."""
    day, month = int(characters[2:4]), int(characters[4:6])
    if not (1 <= day <= 31 or 51 <= day <= 81) or not 1 <= month <= 12:
        return False
    digits = f"{characters[:8]}{ord(characters[8]) - ord('A') + 1:02d}{characters[9:11]}"
    products = (int(d) * weight for d, weight in zip(digits, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), strict=True))
    return sum(p // 10 + p % 10 for p in products) % 10 == int(characters[11])


def us_ssn(digits: str) -> bool:
    """Ranges that the Social Security Administration never issues (20 CFR 422.103; SSA, POMS RM 10201.035)."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    advertised = digits in ("078051120", "219099999")  # cards of advertisements, which belong to nobody
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000" and not advertised


def us_itin(digits: str) -> bool:
    """Ranges of the individual taxpayer number (IRS, Internal Revenue Manual 3.21.263.8.2)."""
    group = int(digits[3:5])
    return digits[0] == "9" and (50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99)
