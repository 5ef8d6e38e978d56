"""Files of an office, made small: PDF, DOCX, PPTX, XLSX, mails and archives of them."""

import ctypes
import io
import tarfile
import zipfile
from dataclasses import replace
from email.message import EmailMessage
from typing import Any

from tasks.big_data.rows import Limits


def pdf(*pages: str) -> bytes:
    """A page for each text; one without text is blank, as a scanned page is to us."""
    import pypdfium2 as pdfium
    from pypdfium2 import raw

    document = pdfium.PdfDocument.new()
    for text in pages:
        page = document.new_page(400, 400)
        for place, line in enumerate(text.split("\n") if text else []):
            shown = raw.FPDFPageObj_NewTextObj(document, b"Helvetica", 12.0)
            letters = f"{line}\0".encode("utf-16-le")
            raw.FPDFText_SetText(shown, ctypes.cast(ctypes.c_char_p(letters), ctypes.POINTER(ctypes.c_ushort)))
            raw.FPDFPageObj_Transform(shown, 1, 0, 0, 1, 20, 300 - 20 * place)
            raw.FPDFPage_InsertObject(page, shown)
        raw.FPDFPage_GenerateContent(page)
    file = io.BytesIO()
    document.save(file)
    document.close()
    return file.getvalue()


def locked_pdf() -> bytes:
    """A PDF that asks for a password: only its encryption dictionary is real (ISO 32000-1, 7.6.3)."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [] /Count 0 >>",
        b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <" + b"41" * 32 + b"> /U <" + b"42" * 32 + b"> >>",
    ]
    data, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"<< /Size 4 /Root 1 0 R /Encrypt 3 0 R /ID [<00112233><00112233>] >>"
    return data + b"xref\n0 4\n0000000000 65535 f \n%strailer\n%s\nstartxref\n%d\n%%%%EOF\n" % (
        table,
        trailer,
        len(data),
    )


def docx() -> bytes:
    import docx

    document = docx.Document()
    document.add_heading("Pump P-101", 1)
    document.add_paragraph("Close the valve before the seal is changed.")
    document.add_paragraph("drain", style="List Bullet")
    document.add_paragraph("wait", style="List Bullet")
    table = document.add_table(2, 2)
    for row, texts in enumerate((("part", "number"), ("Dichtung", "12"))):
        for column, text in enumerate(texts):
            table.cell(row, column).text = text
    return _saved(document)


def pptx() -> bytes:
    import pptx

    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = "Night shift"
    slide.placeholders[1].text = "Pump three is hot"
    slide.notes_slide.notes_text_frame.text = "ask the foreman"
    return _saved(show)


def _saved(document: Any) -> bytes:
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def xlsx(**sheets: list[list[Any]]) -> bytes:
    import xlsxwriter

    file = io.BytesIO()
    book = xlsxwriter.Workbook(file)
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        for place, row in enumerate(rows):
            sheet.write_row(place, 0, row)
    book.close()
    return file.getvalue()


def mail(subject: str, text: str, **attachments: bytes) -> EmailMessage:
    """A mail; an attachment `a_pdf` is called `a.pdf`."""
    made = EmailMessage()
    made["Subject"], made["From"] = subject, "Anna <anna@example.com>"
    made.set_content(text)
    for name, content in attachments.items():
        made.add_attachment(content, maintype="application", subtype="octet-stream", filename=name.replace("_", "."))
    return made


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def limits(**changed: int) -> Limits:
    """Limits, some of them other than usual."""
    return replace(Limits(), **changed)
