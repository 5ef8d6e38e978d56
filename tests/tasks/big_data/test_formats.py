"""Each format's bytes become rows: what is text is kept in its order, what is none has a reason."""

import gzip
import io
import json
import sys
import tarfile

import pytest

from tasks.big_data.formats import FORMATS, named
from tasks.big_data.readers import NoTextColumnError, ReadOptions, Row, read_rows
from tasks.big_data.rows import read_options
from tasks.report import StepError
from tests import office


def read(data: bytes, name: str, options: ReadOptions | None = None) -> list[Row]:
    return list(read_rows(io.BytesIO(data), name=name, options=options or ReadOptions()))


def texts(data: bytes, name: str, options: ReadOptions | None = None) -> list[str]:
    return [row.text for row in read(data, name, options) if row.reason is None]


def reasons(data: bytes, name: str, options: ReadOptions | None = None) -> list[str | None]:
    return [row.reason for row in read(data, name, options)]


ORDERS = read_options("{title}: {description}", metadata=("id",))


@pytest.mark.parametrize(
    ("name", "ending", "expected"),
    [
        ("a.CPP", "", (".cpp", "code", "")),
        ("a.tar.gz", "", (".tar", "tar", ".gz")),
        ("a.tgz", "", (".tar", "tar", ".gz")),
        ("https://host/a.csv.gz?x=1", "", (".csv", "csv", ".gz")),
        ("export.dat.gz", "csv", (".csv", "csv", ".gz")),
        ("a.zip", "csv", (".zip", "zip", "")),
        ("a.exe", "", None),
        ("Makefile", "", None),
    ],
)
def test_names_say_the_format(name, ending, expected):
    assert named(name, ending) == expected


def test_csv_rows_are_joined_by_a_template():
    data = (
        'id;title;description\r\n1;Pumpe;läuft heiß\r\n\r\n2;"Ventil ""V2""";"klemmt,\nneu"\r\n'
        "3;;\r\n4;a;b;c\r\n5;kurz\r\n"
    )
    for encoded in (data.encode(), data.encode("cp1252"), b"\xef\xbb\xbf" + data.encode(), data.encode("utf-16")):
        rows = read(encoded, "orders.csv", ORDERS)
        assert [(row.row, row.text, row.reason) for row in rows] == [
            (1, "Pumpe: läuft heiß", None),
            (2, 'Ventil "V2": klemmt,\nneu', None),
            (3, "3\t\t", "no_text"),
            (4, "4\ta\tb\tc", "ragged_row"),
            (5, "kurz: ", None),
        ]
        assert rows[0].meta == {"id": "1"}


def test_csv_without_the_text_column_names_its_columns():
    with pytest.raises(NoTextColumnError) as error:
        read(b"id,title\n1,Pump\n", "orders.csv")
    assert error.value.columns == ["id", "title"]
    assert texts(b"id,title\n1,Pump\n", "orders.csv", read_options("title")) == ["Pump"]


def test_csv_with_a_row_in_another_encoding_keeps_the_others():
    data = "text\n" + "größer\n" * 50
    data = data.encode() + "größer\n".encode("cp1252") + b"fine\n\0\n"
    rows = read(data, "a.csv")
    assert [row.reason for row in rows[49:]] == [None, "mixed_encodings", None, "binary"]
    assert rows[50].text == "gr\\xf6\\xdfer"


def test_csv_with_a_quote_that_is_never_closed_is_said():
    options = ReadOptions(limits=office.limits(line_bytes=1 << 18))
    rows = read(b'text\nfine\n"' + b"open\n" * 100_000, "a.csv", options)
    assert rows[0].text == "fine"
    assert rows[1].reason == "broken_csv"
    assert all(row.reason in (None, "broken_csv") for row in rows)


def test_csv_torture_cases_are_read_as_their_truth_says(shared_data):
    """csv-spectrum: each case comes with the rows that it holds."""
    with tarfile.open(shared_data / "dirty.tar.gz") as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}
    cases = {name: data for name, data in files.items() if name.startswith("csv-spectrum/csvs/")}
    assert len(cases) == 12
    for name, data in cases.items():
        truth = json.loads(files[name.replace("/csvs/", "/json/").replace(".csv", ".json")])
        truth = truth if isinstance(truth, list) else [truth]
        columns = [column for column in truth[0] if column != "Contact Phone Number"]  # differs in the truth
        template = "|".join(f"{{{column}}}" for column in columns)
        read_as = [text.replace("\r\n", "\n") for text in texts(data, name, read_options(template))]
        assert read_as == ["|".join(row[column].replace("\r\n", "\n") for column in columns) for row in truth], name


def test_spreadsheet_rows_are_documents_and_sheets_have_names():
    data = office.xlsx(
        Orders=[["id", "title", "description"], [1, "Pump", "leaks"], [], [2.5, "Valve", 7]],
        More=[[], ["title", "description"], ["Belt", "torn"]],
    )
    assert read(data, "orders.xlsx", ORDERS) == [
        Row(1, "Pump: leaks", "utf-8", None, "", {"id": "1"}),
        Row(3, "Valve: 7", "utf-8", None, "", {"id": "2.5"}),
        Row(1, "Belt: torn", "utf-8", None, "More", None),
    ]


@pytest.mark.parametrize(
    ("name", "make"),
    [("a.xlsx", lambda: office.xlsx(A=[["text"], ["x"]])), ("a.docx", office.docx), ("a.pptx", office.pptx)],
)
def test_damaged_and_locked_office_files_are_rejected(name, make):
    kind = name[2:]
    data = make()
    assert reasons(data, name) == [None]
    for damaged in (b"", data[: len(data) // 2], b"not an archive", office.zipped({"x": b"y"})):
        assert reasons(damaged, name) == [f"corrupt_{kind}"], damaged[:9]
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)
    assert reasons(ole + "EncryptedPackage".encode("utf-16-le") + bytes(90), name) == ["locked"]
    assert reasons(ole, name) == [f"corrupt_{kind}"]


def test_documents_keep_headings_lists_and_tables_in_their_order():
    assert texts(office.docx(), "a.docx") == [
        "# Pump P-101\n\nClose the valve before the seal is changed.\n\n- drain\n- wait\n\npart | number\nDichtung | 12"
    ]
    assert texts(office.pptx(), "a.pptx") == ["Night shift\nPump three is hot\nask the foreman"]


def test_pdf_pages_without_text_are_counted_and_need_ocr_if_all_are():
    (row,) = read(office.pdf("First page", "", "Größe\nzwei"), "a.pdf")
    assert row.text == "First page\n\nGröße\nzwei"
    assert row.meta == {"pages": "3", "pages_without_text": "1"}
    assert reasons(office.pdf("", ""), "scan.pdf") == ["needs_ocr"]
    assert reasons(office.pdf("x")[:200], "a.pdf") == ["corrupt_pdf"]
    assert reasons(office.locked_pdf(), "a.pdf") == ["locked"]


def test_html_keeps_the_text_and_the_code_not_what_frames_them():
    page = """<html><head><meta charset="iso-8859-1"><title>x</title><style>p {}</style></head><body>
    <header>ACME</header><nav><ul><li><a href="/">Home</a></li></ul></nav><div class="cookie-banner">Accept?</div>
    <main><h1>Prüfung</h1><p>Close the <b>valve</b>&nbsp;first.</p>
    <pre><code>if hot:\n    stop()   # now</code></pre><ul><li>drain</li><li>wait</li></ul>
    <table><tr><td>seal</td><td>12</td></tr></table></main>
    <footer>Imprint</footer><script>var x</script></body></html>"""
    (row,) = read(page.encode("cp1252"), "a.html")
    assert row.encoding == "cp1252"
    for kept in ("Prüfung", "Close the valve first.", "if hot:\n    stop()   # now", "drain", "wait", "seal"):
        assert kept in row.text
    for dropped in ("ACME", "Home", "Accept", "var x", "p {}", "<"):
        assert dropped not in row.text
    assert reasons(b"<html><body><script>x</script></body></html>", "a.html") == ["no_text"]


def test_a_mail_is_a_document_and_so_is_each_attachment():
    inner = office.mail("Inner", "Deep", report_pdf=office.pdf("A report"))
    outer = office.mail("Störung", "Pumpe läuft heiß.\n", list_csv=b"text\nrow\n", tool_exe=b"MZ")
    outer.add_attachment(inner)
    assert read(bytes(outer), "a.eml", ReadOptions(metadata=("from",))) == [
        Row(None, "Störung\n\nPumpe läuft heiß.", "utf-8", None, "", {"from": "Anna <anna@example.com>"}),
        Row(1, "row", "utf-8", None, "list.csv"),
        Row(None, "", "", "unknown_format", "tool.exe"),
        Row(None, "Inner\n\nDeep", "utf-8", None, "3.eml", {"from": "Anna <anna@example.com>"}),
        Row(None, "A report", "utf-8", None, "3.eml!report.pdf"),
    ]


def test_a_mailbox_is_read_mail_by_mail():
    one = office.mail("One", "From here on\n", note_txt=b"note")
    two = office.mail("Two", "<p>Text</p>")
    two.replace_header("Content-Type", 'text/html; charset="utf-8"')
    box = b"From a Mon\n" + bytes(one).replace(b"\nFrom here", b"\n>From here") + b"\n\nFrom b Tue\n" + bytes(two)
    assert [(row.row, row.inner, row.text) for row in read(box, "a.mbox")] == [
        (1, "", "One\n\nFrom here on"),
        (None, "1/note.txt", "note"),
        (2, "", "Two\n\nText"),
    ]
    assert reasons(b"no mailbox", "a.mbox") == ["corrupt_mbox"]


def test_a_missing_library_is_said_with_its_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "docx", None)
    with pytest.raises(StepError, match=r"pip install -e '\.\[formats\]'"):
        read(b"", "a.docx")


def test_a_template_that_is_none_is_said():
    with pytest.raises(StepError, match="expected a template"):
        read(b'{"a": "x"}', "a.jsonl", read_options("{a"))


def test_json_lines_are_joined_by_a_template():
    data = b'{"t": "a", "n": 3}\n{"t": null, "n": 4.0}\n{"t": ""}\n{"x": 1}\n'
    rows = read(data, "a.jsonl", read_options("{t}-{n}", metadata=("n",)))
    assert [(row.text, row.reason, row.meta) for row in rows] == [
        ("a-3", None, {"n": "3"}),
        ("-4", None, {"n": "4"}),
        ('{"t": ""}', "no_text", None),
        ('{"x": 1}', "no_text_column", None),
    ]


def test_every_format_can_be_compressed():
    assert texts(gzip.compress(office.docx()), "a.docx.gz") == texts(office.docx(), "a.docx")
    assert texts(gzip.compress(office.pdf("x")), "a.pdf.gz") == ["x"]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("data", [b"", b"\0", b"\xff" * 100, b"\x80" + bytes(99), b"PK\x03\x04" + bytes(40), b"%PDF-"])
def test_rubbish_ends_in_a_row(suffix, data):
    assert read(data, f"a{suffix}")
