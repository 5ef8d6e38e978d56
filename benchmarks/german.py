"""German sentences of an office and a workshop, with labelled personal data and with numbers that only look like it.

Faker makes names, IBANs, cards, pension numbers and addresses; what it has not (identification numbers for taxes, the
many ways to write a phone number, part numbers) is made here from the published rules, apart from the project's code.
"""

import random
import re
from collections.abc import Callable
from typing import NamedTuple

from faker import Faker


class Labelled(NamedTuple):
    """A text and its personal data: kind, start, end in characters."""

    text: str
    spans: tuple[tuple[str, int, int], ...]


def _digits(draw: random.Random, form: str) -> str:
    """`#` becomes a digit, `%` one from 1 to 9, `?` a letter."""
    letters = "ABCDEFGHJKLMNPRSTUVWXYZ"
    return "".join(
        str(draw.randrange(10)) if c == "#" else str(draw.randrange(1, 10)) if c == "%" else
        draw.choice(letters) if c == "?" else c for c in form
    )  # fmt: skip


_AREAS = (
    "30",
    "40",
    "89",
    "69",
    "221",
    "211",
    "341",
    "351",
    "711",
    "911",
    "6123",
    "8141",
    "4852",
    "2361",
    "7721",
    "33203",
)
_MOBILE = ("151", "160", "170", "171", "172", "1512", "1575", "1590", "176", "177", "179")


def phone(draw: random.Random) -> str:
    """A German number in one of the ways that people write it; DIN 5008 of 2020, of 1996, E.123, E.164 and others."""
    mobile = draw.random() < 0.35
    area = draw.choice(_MOBILE) if mobile else draw.choice(_AREAS)
    number = _digits(draw, "%" + "#" * (7 if mobile else max(4, 9 - len(area) + draw.randrange(-1, 1))))
    extension = _digits(draw, draw.choice(("%#", "%", "0", "###")))
    pairs = " ".join(re.findall("..?", number))
    forms = [
        f"0{area} {number}", f"0{area}/{number}", f"0{area}-{number}", f"(0{area}) {number}", f"0{area} / {number}",
        f"0{area} - {number}", f"0{area} {pairs}", f"0{area}/{pairs}", f"+49 {area} {number}", f"+49{area}{number}",
        f"+49 (0){area} {number}", f"+49 (0) {area} / {number}", f"+49({area}){number}", f"+49-{area}-{number}",
        f"0049 {area} {number}", f"0049{area}{number}", f"(0{area}) {pairs}", f"+49 {area} {pairs}",
    ]  # fmt: skip
    if not mobile:
        forms += [f"0{area} {number[:-2]}-{extension}", f"+49 {area} {number[:-2]}-{extension}"]
    else:
        forms += [f"0{area}{number}"]
    return draw.choice(forms)


def tax_id(draw: random.Random) -> str:
    """Eleven digits by section 139b AO: one of ten digits stands two or three times, the last checks the others."""
    often, times = draw.randrange(10), draw.choice((2, 2, 3))
    others = draw.sample([d for d in range(10) if d != often], 10 - times)
    while True:
        ten = [often] * times + others
        draw.shuffle(ten)
        if ten[0] and not any(ten[i] == ten[i + 1] == ten[i + 2] for i in range(8)):
            break
    rest = 10
    for digit in ten:  # ISO/IEC 7064, MOD 11,10
        total = (digit + rest) % 10 or 10
        rest = total * 2 % 11
    number = "".join(map(str, ten)) + str((11 - rest) % 10)
    return draw.choice((number, f"{number[:2]} {number[2:5]} {number[5:8]} {number[8:]}"))


def _grouped(draw: random.Random, number: str) -> str:
    fours = re.findall(".{1,4}", number)
    return draw.choice((number, " ".join(fours)))


def makers(fake: Faker, draw: random.Random) -> dict[str, Callable[[], str]]:
    """What fills the holes of the sentences: personal kinds, and decoys in capitals."""

    def card() -> str:
        number = fake.credit_card_number(draw.choice(("visa16", "mastercard", "amex", "maestro", "visa19")))
        return draw.choice((number, " ".join(re.findall("....", number)), "-".join(re.findall("....", number)))) if len(
            number) == 16 else number  # fmt: skip

    def rvnr() -> str:
        number = fake.rvnr()
        return draw.choice((number, f"{number[:2]} {number[2:8]} {number[8]} {number[9:]}"))

    def pick(*forms: str) -> Callable[[], str]:
        return lambda: _digits(draw, draw.choice(forms))

    return {
        "email": lambda: fake.email(safe=False),
        "phone": lambda: draw.choice((phone(draw), phone(draw), phone(draw), fake.phone_number())),
        "iban": lambda: _grouped(draw, fake.iban()),
        "card_number": card,
        "de_tax_id": lambda: tax_id(draw),
        "de_pension_id": rvnr,
        "ip_address": lambda: draw.choice((fake.ipv4_public(), fake.ipv4_private(), fake.ipv6())),
        "mac_address": lambda: draw.choice((fake.mac_address(), fake.mac_address().upper().replace(":", "-"))),
        "NAME": fake.name,
        "PART": pick(
            "%###-####", "%### ### ###", "0 ### ### ###", "6ES7 %##-#??##-0XB0", "A%## ### ## ##", "##-####-##",
            "%#####", "%######", "%#######", "%########", "###.###.###", "??-####-##/#", "%####.####.##",
            "0###.###.###", "#####/##", "??######", "%##-##-###", "###-###-###", "%### #### ##", "PN0########",
            "%###########",
        ),
        "ORDER": pick(
            "45########", "%#######", "2024-#####", "RE-2024-#####", "AB ######", "%####-##", "%### ####", "1000#####"
        ),
        "DATE": lambda: fake.date(
            draw.choice(("%d.%m.%Y", "%Y-%m-%d", "%d.%m.%y", "%d/%m/%Y", "%Y-%m-%d %H:%M:%S", "%Y%m%d"))
        ),
        "NORM": pick(
            "DIN 912", "DIN EN ISO 4762", "DIN EN 10025-2", "DIN EN 60204-1:2019-06", "ISO 2768-1", "VDE 0100-410",
            "DIN 6885-1", "EN 61000-6-2", "DIN VDE 0701-0702",
        ),
        "VERSION": pick("V%.##", "%.#.##.###", "%.#.#", "##.##.####", "v%.##.#-rc%", "FW %.#.#.##"),
        "COORDINATE": pick(
            "5#.####00, 1#.######", "48.######, 11.######", "N 5# ##.###, E 0## ##.###", "32U 5##### 53#####"
        ),
        "TOLERANCE": pick("12,5 ±0,05", "Ø ##,# +0,021/-0,000", "##0 mm -0.05/+0.10", "###,## H7", "0,00# bis 0,0##"),
        "BOOK": lambda: draw.choice(
            (fake.isbn13(), fake.isbn10(), fake.ean13(), fake.ean8(), fake.ean13(prefixes=("40",)))
        ),
        "AMOUNT": pick("%.###,## EUR", "%##.###,## €", "EUR %##,##", "%##### h", "% ### ### Stk."),
        "SERIAL": pick(
            "%###########", "????########", "%######-##", "%###############", "%##########", "#### #### ####"
        ),
        "PLACE": lambda: f"{fake.street_address()}, {fake.postcode()} {fake.city()}",
        "METER": pick("%##### kWh", "%######,# m³", "%## bar", "%### U/min"),
        "BADIBAN": pick("DE## #### #### #### #### ##", "DE####################"),
    }  # fmt: skip


SENTENCES = (
    # with personal data
    "Bitte {NAME} unter {phone} zurückrufen, Pumpe {PART} steht.",
    "Ansprechpartner {NAME}, {phone}, {email}.",
    "Kontakt: {email} oder {phone}",
    "{NAME} ({phone}) meldet Leckage am Ventil {PART}.",
    "Tel.: {phone}, Fax: {phone}",
    "Störung gemeldet von {NAME}, Rückruf erbeten: {phone}",
    "Mobil {phone}; Auftrag {ORDER} vom {DATE}",
    "Lieferant hat am {DATE} angerufen, {phone}, Teil {PART} kommt am {DATE}.",
    "Notdienst {phone} / {phone}",
    "{NAME}\n{PLACE}\n{phone}\n{email}",
    "Bankverbindung: {iban}, Betrag {AMOUNT}, Rechnung {ORDER}.",
    "Überweisung an {NAME}, IBAN {iban} über {AMOUNT}.",
    "Gehalt bitte auf {iban} statt bisher {BADIBAN}.",
    "Die Steuer-ID von {NAME} lautet {de_tax_id}.",
    "IdNr. {de_tax_id}, Personalnummer {ORDER}, Eintritt {DATE}",
    "{NAME}; {de_tax_id}; {de_pension_id}; {DATE}",
    "SV-Nummer {de_pension_id} für {NAME} nachgetragen.",
    "Bezahlt mit Kreditkarte {card_number}, gültig bis 12/27.",
    "Tankkarte {card_number} gesperrt, Ersatz beantragt am {DATE}.",
    "Hotelbuchung {NAME}, Karte {card_number}, {AMOUNT}",
    "SPS unter {ip_address} nicht erreichbar, Firmware {VERSION}.",
    "Switch {mac_address} getauscht, neue Adresse {ip_address}.",
    "Login von {ip_address} durch {email} am {DATE}",
    "HMI {mac_address} an Port 12, Seriennummer {SERIAL}.",
    "Bitte Angebot an {email} senden (Anfrage {ORDER}).",
    # without
    "Ersatzteil {PART} bestellt, Auftrag {ORDER}, Lieferung {DATE}.",
    "{PART} getauscht, {PART} nachbestellt, {METER}",
    "Lager: {PART}, 3 Stück; {PART}, 12 Stück; {PART}",
    "Artikel {PART} ersetzt {PART}, Zeichnung {SERIAL}",
    "Schrauben nach {NORM}, Toleranz {TOLERANCE}.",
    "Prüfung nach {NORM} am {DATE}, Prüfer-Nr. {ORDER}, nächste am {DATE}",
    "Update von {VERSION} auf {VERSION}, Gerät {SERIAL}",
    "Standort {COORDINATE}, Anlage {PART}",
    "Handbuch ISBN {BOOK}, Abschnitt 4.2.1.7",
    "EAN {BOOK} gescannt, {AMOUNT}",
    "{BOOK} nicht im Bestand, Menge 4",
    "Maß {TOLERANCE} statt {TOLERANCE}; {METER}",
    "Seriennummer {SERIAL}, Baujahr 2017, {NORM}",
    "{SERIAL} und {SERIAL} ausgebaut, Zählerstand {METER}",
    "Rechnung {ORDER} über {AMOUNT}, fällig {DATE}",
    "Messwerte 12 14 15 17 18 21 24 am {DATE}: {TOLERANCE}",
    "Tabelle {ORDER} {ORDER} {ORDER} {PART}",
    "Kundennummer {ORDER}, Lieferschein {SERIAL}, Charge {PART}",
    "{PLACE}: Tor 3, Schließanlage {PART}",
)


def german_set(sentences: int, seed: int) -> list[Labelled]:
    """So many texts of one to three sentences, the same for the same seed."""
    fake, draw = Faker("de_DE"), random.Random(seed)
    fake.seed_instance(seed)
    fillers = makers(fake, draw)
    found: list[Labelled] = []
    while len(found) < sentences:
        text, spans = "", []
        for sentence in draw.sample(SENTENCES, draw.randrange(1, 4)):
            text += "\n" if text else ""
            for piece in re.split(r"(\{\w+\})", sentence):
                filled = fillers[piece[1:-1]]() if piece.startswith("{") else piece
                if piece.startswith("{") and piece[1:-1].islower():
                    spans.append((piece[1:-1], len(text), len(text) + len(filled)))
                text += filled
        found.append(Labelled(text, tuple(spans)))
    return found
