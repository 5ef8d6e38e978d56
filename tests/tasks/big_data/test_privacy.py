"""Personal data and secrets: what is replaced, what is not, and that no value is left anywhere."""

from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.big_data import documents, personal
from tasks.big_data.buffers import text_buffers
from tasks.big_data.personal import redact
from tasks.big_data.personal_marks import marks
from tasks.params import Privacy
from tests.tables import write_all

KINDS = Privacy().kinds
KEY = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEowIBAAKCAQEA0Z3VS5JJcds3xfn\n" * 5 + "-----END RSA PRIVATE KEY-----"
# In two parts, so that scanners of this repository do not take them for real.
AWS, GITHUB, GOOGLE = "AKIA" + "IOSFODNN7EXAMPLQ", "ghp_" + "a1B2" * 9, "AIza" + "Sy" * 17 + "9"


def redacted(text: str) -> str:
    return redact(text, KINDS, Counter())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ask jane.doe+x@corp.co.uk.", "Ask <EMAIL>."),
        ("<jane@corp.de>, JOHN_D@Corp.DE", "<<EMAIL>>, <EMAIL>"),
        ("mailto:jane@corp.de?subject=x", "mailto:<EMAIL>?subject=x"),
        ("from 10.1.2.30 to 93.184.216.34:80", "from <IP_ADDRESS> to <IP_ADDRESS>:80"),
        ("host=172.16.254.1;", "host=<IP_ADDRESS>;"),
        ("at 2a00:1450:4001:81b::200e now", "at <IP_ADDRESS> now"),
        ("postgresql://app:s3cret@db.corp.de/x", "postgresql://<URL_CREDENTIALS>@db.corp.de/x"),
        ("https://jane:p%40ss@[2001:db8::1]/", "https://<URL_CREDENTIALS>@[2001:db8::1]/"),
        (f"key:\n{KEY}\nend", "key:\n<PRIVATE_KEY>\nend"),
        (f'id = "{AWS}"', 'id = "<API_KEY>"'),
        (f"token {GITHUB}, key {GOOGLE}", "token <API_KEY>, key <API_KEY>"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVP-mB92K27u", "<API_KEY>"),
        ("'jörg@müller-bau.de', ...jane@corp.de", "'<EMAIL>', ...<EMAIL>"),
        (f"{KEY[:-30]}", "<PRIVATE_KEY>"),
        ("IBAN DE89 3704 0044 0532 0130 00, gb82west12345698765432!", "IBAN <IBAN>, <IBAN>!"),
        ("52:54:00:9d:0e:67 or 52-54-00-9D-0E-67 or 5254.009d.0e67", "<MAC_ADDRESS> or <MAC_ADDRESS> or <MAC_ADDRESS>"),
        ("4111 1111 1111 1111, 5500-0000-0000-0004, 378282246310005", "<CARD_NUMBER>, <CARD_NUMBER>, <CARD_NUMBER>"),
        ("paid with 4111 1111 1111 1111 12/27", "paid with <CARD_NUMBER> 12/27"),
        ("SSN 536-90-4399, itin: 912-70-1234, ssn 536904399", "SSN <US_SSN>, itin: <US_ITIN>, ssn <US_SSN>"),
        ("IdNr. 86095742719 und 47 036 892 816", "IdNr. <DE_TAX_ID> und <DE_TAX_ID>"),
        ("RV-Nr. 15070649C103, 15 070649 C 103", "RV-Nr. <DE_PENSION_ID>, <DE_PENSION_ID>"),
        ("IMEI: 490154203237518", "IMEI: <IMEI>"),
    ],
)
def test_what_surely_is_one_is_replaced_by_its_kind(text, expected):
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "write to someone@example.com or me@localhost",
        "git clone git@github.com:org/repo.git",
        "icon@2x.png and a @decorator.name and x@y",
        "version 3.11.7.2 and section 8.2.4.44",
        "requests==12.31.10.12",
        "1.2.3.4 is a version",
        "17.4.1.6. Developer Options; nicht von Nummer 7.1.11.1 erfasst, Nr. 10.2.3.1",
        "listen on 127.0.0.1 and 0.0.0.0 and ::1, not 300.1.2.3 or 01.22.33.44",
        "192.0.2.17, 198.51.100.4, 203.0.113.9, 2001:db8::8:800:200c:417a",
        "255.255.255.0 masks 10.0.0.0/8",
        "1.3.6.1.4.1.311 is an OID",
        "a[1:2], x[::2], 12:30:45",
        "https://{user}:{password}@host/ and http://%s:%s@%s/",
        "-----BEGIN PRIVATE KEY----- is how it starts",
        "sk-learn and sk-short, AKIA and hf_hub",
        "DE88 3704 0044 0532 0130 00 and DE89 3704 0044",
        "SM2291 Investigate plugged eng oil, CR871 FAB BRAKE LINE COVER",
        "01:00:5e:00:00:01, ff:ff:ff:ff:ff:ff, 00:00:00:00:00:00, 00-00-5E-00-53-AF, a1:b2:c3:d4:e5:f6:a7:b8",
        "4111 1111 1111 1112, part 4111111111111111-7, x4111111111111111, 0.4111111111111111",
        "EAN 4006381333931, ISBN 978-3-16-148410-0, 1234 4111 1111 1111 1111",
        "000-12-3456, 666-12-3456, 900-12-3456, 123-00-4567, 123-45-0000, 078-05-1120",
        "912-70-1234 without a label, 86095742718, 02476291358, 11111111111",
        "15070649C102, 490154203237518 without a label",
    ],
)
def test_what_cannot_be_told_or_points_to_nobody_stays(text):
    assert redacted(text) == text


@pytest.mark.parametrize(
    "number",
    [
        "+49 30 1234567", "+49 (0)30 / 12 34 56-78", "+49(30)1234567", "+4917612345678", "+1-212-555-0187",
        "+41 44 668 18 00",
        "0049 30 1234567", "00493012345678", "030 1234567", "030/1234567", "(030) 123 45 67", "030 - 12345-67",
        "089/12345-678", "0171-1234567", "0171/12 34 567", "017612345678", "06123 45678", "0800 1234567",
        "030\u00a01234567", "(212) 555-0187", "212-555-0187", "1-800-555-0187", "212.555.0187", "01.84.17.61.18",
        "(0 30) 12 34 56", "0 30/12 34 56 7",
    ],
)  # fmt: skip
def test_a_phone_number_is_told_by_its_form(number):
    assert redacted(f"Pumpe defekt, {number}.") == "Pumpe defekt, <PHONE>."
    assert redacted(f"{number}\n") == "<PHONE>\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tel.: 1234567", "Tel.: <PHONE>"),
        ("Phone:\n60-56-85-91", "Phone:\n<PHONE>"),
        ("Telefonnummer 4711 0815", "Telefonnummer <PHONE>"),
        ("call me at 9472 7916.", "call me at <PHONE>."),
        ("416 60 039 office", "<PHONE> office"),
        ("Fax 259.735.7502x459", "Fax <PHONE>"),
        ("030 1234567 / 0171 1234567", "<PHONE> / <PHONE>"),
        ("069 92 71 87 01 / 0049 151 20659388", "<PHONE> / <PHONE>"),
        ("Paul ((07731) 240322) und (+49 30 123456)", "Paul (<PHONE>) und (<PHONE>)"),
        ("Tel. 030 1234567, Auftrag 0445 110 183", "Tel. <PHONE>, Auftrag 0445 110 183"),
    ],
)
def test_a_phone_number_is_told_by_the_words_around(text, expected):
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Teilenummer 0445 110183, Bestell-Nr. 0171-1234567, Art.-Nr. 030 1234567, part no. 212-555-0187",
        "Bosch 0 986 494 123 und 6ES7 214-1AG40-0XB0, SAP 000000000010023456, VW 06A 115 561 B",
        "DIN EN 10025-2, DIN 912-8.8, ISO 9001:2015, 2024-12-31 12:30, 31.12.2024, 12/31/2024",
        "48.137430, 11.575490 und +48.1374301, 0.05-0.10, +0,0125 mm, 12 345 678 901",
        "1.2345E+12345680, U+30000020, +10011010010, <fraction> 0031 2044 0034, Firmware 3.5.24.665 nicht erreichbar",
        "am 19770525 angerufen, SN 029-374-632, 0901 8326 8117, 0070.767.292",
        "1234567 rows, (key=5440001, size=4011376640), J2451187 04:05-08:001999-01-08",
        "Telefon oder Bestell-Nr. 4711 0815, call #1233329, 1,234,567.00, 0815 4711, 03012345678",
        "BGBl. I S. 1234, 5678, Az. 12 O 3456/20, § 1234 567",
    ],
)
def test_what_only_looks_like_a_phone_number_stays(text):
    assert redacted(text) == text


PIECES = st.sampled_from(
    [*"@:/.-+()_ \n\u00a0\u2013xéA🙂", "jane", "@corp.de", "://a:b@h", AWS, GITHUB, KEY, "sk-", "eyJ", "0171",
     "1234567", "12", "+49", "030", "DE89", "3704", "0044", "0532", "0130", "00", "4111", "1111", "52", "9d", "0e",
     "2a00", "1450",
     "Tel", "Fax: ", "Nr. ", "SSN ", "536-90-4399", "86095742719", "15070649C103", "10.1.2.30", "2024-12-31",
     "12.34.5678", "192"]
)  # fmt: skip
TEXTS = st.lists(st.lists(PIECES, max_size=24).map("".join), max_size=6)


@settings(max_examples=300, deadline=None)
@given(texts=TEXTS)
def test_only_marked_places_are_looked_at_and_nothing_is_missed(texts):
    rows, places, families = marks(*text_buffers(pl.Series(texts, dtype=pl.String)))
    for row, text in enumerate(texts):
        marked = list(zip(places[rows == row].tolist(), families[rows == row].tolist(), strict=True))
        assert personal.find(text, marked, set(KINDS)) == personal.find(text, personal.everywhere(text), set(KINDS))


def test_metadata_is_redacted_and_stays_json(workspace):
    workspace.put("clean", {"docs/a": "one", "docs/b": "two"})
    table = documents.read(workspace.out("clean"))
    meta = ['{"by": "jane@corp.de", "n": 5, "more": ["x", 4111111111111111]}', '{"site": "Köln"}']
    write_all(workspace.out("clean"), table.with_columns(meta=pl.Series(meta)), documents.REJECTED_SCHEMA.to_frame())
    report = workspace.run("privacy")
    got = documents.read(workspace.out("privacy"))["meta"].to_list()
    assert got == ['{"by": "<EMAIL>", "n": 5, "more": ["x", "<CARD_NUMBER>"]}', meta[1]]
    assert report.facts["documents_changed"] == 1


def test_a_kind_that_is_not_asked_for_stays():
    counts: Counter[str] = Counter()
    assert redact("jane@corp.de at 10.1.2.30", ["ip_address"], counts) == "jane@corp.de at <IP_ADDRESS>"
    assert counts == {"ip_address": 1}


def test_every_kind_that_params_know_has_a_form():
    assert personal.KINDS == KINDS


def test_the_report_counts_by_kind_and_source_and_no_output_has_a_value(workspace):
    secrets = ["jane@corp.de", "10.1.2.30", "app:s3cret", AWS, "MIIEowIBAAKCAQEA0Z3VS5JJcds3xfn"]
    text = f"Jane jane@corp.de, 10.1.2.30, ftp://app:s3cret@host, {AWS}\n{KEY}\nand jane@corp.de again\n"
    workspace.put("clean", {"docs/a": text, "docs/b": "nothing here"})
    report = workspace.run("privacy")

    assert set(report.facts["replaced"]) == set(KINDS)
    assert {kind: counts for kind, counts in report.facts["replaced"].items() if counts} == {
        "api_key": {"docs": 1},
        "email": {"docs": 2},
        "ip_address": {"docs": 1},
        "private_key": {"docs": 1},
        "url_credentials": {"docs": 1},
    }
    assert report.facts["documents_changed"] == 1
    assert (report.rows_in, report.rows_out) == (2, 2)
    text_out = " ".join(workspace.texts("privacy").values()) + report.model_dump_json()
    assert not [secret for secret in secrets if secret in text_out]
    assert workspace.texts("privacy")["docs/b"] == "nothing here"


def test_redacting_takes_time_in_proportion_to_the_text():
    """Patterns that start over at each character would take minutes here."""
    begin = "-----BEGIN PRIVATE KEY-----"
    for text in (
        begin * 10_000,
        f"{begin}\n" + "a" * 300_000,
        "a" * 300_000,
        "1." * 150_000,
        "a@" * 150_000,
        "a:" * 150_000,
        "://" * 100_000,
        "a.b-" * 80_000 + "@",
    ):
        assert redacted(text) == text


def test_redacting_twice_changes_nothing():
    once = redacted(f"jane@corp.de {AWS} https://a:b@c.de/ {KEY}")
    assert redacted(once) == once
