"""Personal data and secrets: what is replaced, what is not, and that no value is left anywhere."""

from collections import Counter

import pytest

from tasks.big_data.personal import FORMS, redact
from tasks.params import Privacy

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
        "a[1:2], x[::2], 12:30:45, 52:54:00:9d:0e:67",
        "https://{user}:{password}@host/ and http://%s:%s@%s/",
        "-----BEGIN PRIVATE KEY----- is how it starts",
        "sk-learn and sk-short, AKIA and hf_hub",
    ],
)
def test_what_cannot_be_told_or_points_to_nobody_stays(text):
    assert redacted(text) == text


def test_a_kind_that_is_not_asked_for_stays():
    counts: Counter[str] = Counter()
    assert redact("jane@corp.de at 10.1.2.30", ["ip_address"], counts) == "jane@corp.de at <IP_ADDRESS>"
    assert counts == {"ip_address": 1}


def test_every_kind_that_params_know_has_a_form():
    assert {form.kind for form in FORMS} == set(KINDS)


def test_the_report_counts_by_kind_and_source_and_no_output_has_a_value(workspace):
    secrets = ["jane@corp.de", "10.1.2.30", "app:s3cret", AWS, "MIIEowIBAAKCAQEA0Z3VS5JJcds3xfn"]
    text = f"Jane jane@corp.de, 10.1.2.30, ftp://app:s3cret@host, {AWS}\n{KEY}\nand jane@corp.de again\n"
    workspace.put("clean", {"docs/a": text, "docs/b": "nothing here"})
    report = workspace.run("privacy")

    assert report.facts["replaced"] == {
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
