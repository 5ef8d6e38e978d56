"""Secrets of every kind, planted in real files: where `privacy` has run, no output has one of them."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import polars as pl
from tokenizers import Tokenizer

from tasks.params import Privacy

KEY_LINE = "MIIEowIBAAKCAQEA0Z3VS5JJcds3xfnq"
# In parts, so that scanners of this repository do not take them for real; by kind, with what must not be left of each.
PLANTED = {
    "private_key": (f"-----BEGIN RSA PRIVATE KEY-----\n{KEY_LINE}\n-----END RSA PRIVATE KEY-----", KEY_LINE),
    "url_credentials": ("ftp://pumpe:gehe1mnis@host.corp.de/x", "gehe1mnis"),
    "api_key": ("AKIA" + "QZ7RTT4XNB2MVK3L", "QZ7RTT4XNB2MVK3L"),
    "email": ("renate.quittenbaum@corp.de", "quittenbaum"),
    "iban": ("DE89 3704 0044 0532 0130 00", "0532 0130"),
    "ip_address": ("93.184.216.34", "184.216"),
    "mac_address": ("52:54:00:9d:0e:67", "9d:0e"),
    "card_number": ("4111 1111 1111 1111", "1111 1111"),
    "us_ssn": ("SSN 536-90-4399", "536-90"),
    "us_itin": ("ITIN 912-70-1234", "912-70"),
    "de_tax_id": ("86095742719", "8609574"),
    "de_pension_id": ("15070649C103", "070649C"),
    "imei": ("IMEI 490154203237518", "4901542"),
    "phone": ("+49 6123 7654321", "7654321"),
    "person": ("Xaver Pimpelmoser", "pimpelmoser"),
    "machine": ("QX-99-ALPHA", "qx-99"),
}


def everything_in(folder: Path) -> str:
    """All files as text: tables decoded, the tokens too."""
    found = []
    tokenizer = Tokenizer.from_file(str(folder.parent / "tokenizer" / "tokenizer.json"))
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        found.append(str(path))
        if path.suffix == ".parquet":
            found.append(json.dumps(pl.read_parquet(path, glob=False).to_dicts(), ensure_ascii=False, default=str))
        elif path.suffix == ".npy":
            tokens = np.load(path)
            if tokens.ndim == 1 and tokens.dtype.kind == "u":
                found.append(tokenizer.decode(tokens.tolist(), skip_special_tokens=False))
        else:
            found.append(path.read_text(encoding="utf-8", errors="replace"))
    return "\n".join(found).lower()


def test_no_output_after_privacy_and_no_report_or_log_has_a_planted_secret(workspace, corpus, caplog):
    caplog.set_level(logging.DEBUG)
    shutil.copytree(corpus, workspace.root / "docs")
    files = sorted((workspace.root / "docs").iterdir())
    for number, (written, _) in enumerate(PLANTED.values()):
        file = files[number]
        file.write_text(file.read_text() + "\n# Seen in the plant:\n# " + written + "\n")
    shutil.copy(files[0], workspace.root / "docs" / "copy.py")  # rejected by dedup, with its text
    everything = "".join(f"# {written}\n" for written, _ in PLANTED.values())
    (workspace.root / "docs" / "all.py").write_text(files[20].read_text() + everything)
    (workspace.root / "docs" / "all_again.py").write_text(files[20].read_text() + everything)
    workspace.file("names.csv", "text,kind\nXaver Pimpelmoser,person\nQX-99-ALPHA,machine\n")
    workspace.set(privacy={"names_file": "names.csv"}, tokenizer={"vocab_size": 600}, clean={"preset": "code"})
    after = ("privacy", "dedup", "validate", "tokenizer", "pack")
    workspace.run("discover", "ingest", "clean", *after)

    assert set(PLANTED) == {*Privacy().kinds, "person", "machine"}
    replaced = json.loads((workspace.out("privacy") / "report.json").read_text())["facts"]["replaced"]
    assert [kind for kind in PLANTED if not replaced[kind]] == []
    assert workspace.reasons("dedup")  # so that rejected rows are among what is searched
    before = everything_in(workspace.out("clean"))
    assert [kind for kind, (_, secret) in PLANTED.items() if secret.lower() not in before] == []
    for step in after:
        text = everything_in(workspace.out(step))
        assert step == "tokenizer" or "import sys" in text  # it is read as it should be
        assert [(step, kind) for kind, (_, secret) in PLANTED.items() if secret.lower() in text] == []
    reports = "".join(path.read_text() for path in (workspace.root / "artifacts").glob("*/*.json"))
    said = (reports + caplog.text).lower()
    assert [kind for kind, (_, secret) in PLANTED.items() if secret.lower() in said] == []
