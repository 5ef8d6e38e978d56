"""Old encodings are detected in real text; what is no text, or text in two encodings, is said."""

import gzip
import json

import pytest

from tasks.big_data.encodings import decoded, encoding_of
from tasks.big_data.rows import UnreadableError

POLISH = "Zażółć gęślą jaźń. Proszę sprawdzić, czy łożysko pompy nie jest zużyte, i wymienić uszczelkę.\n"
RUSSIAN = "Перед заменой уплотнения необходимо остановить насос и закрыть клапан.\n"
JAPANESE = "ポンプを停止してから、シールを交換してください。バルブを閉じること。\n"
CHINESE = "更换密封件之前，必须先停止水泵并关闭阀门。请检查温度是否正常。\n"
FRENCH = "Vérifiez d’abord que la vanne a été fermée ; le cœur de la pompe coûte 40 €.\n"
GERMAN = "Die Straße führt über die Brücke; früher hieß sie „Große Allee“ – Öl prüfen!\n"


@pytest.mark.parametrize(
    ("text", "encodings"),
    [
        (GERMAN, ("cp1252", "mac-roman", "cp1250", "utf-16-le", "utf-16-be", "utf-16", "utf-32")),
        ("Die Straße führt über die Brücke, früher hieß sie Große Allee.\n",
         ("latin-1", "iso8859-15", "cp850", "cp437")),
        (FRENCH, ("cp1252", "mac-roman")),
        (FRENCH.replace("’", "'"), ("iso8859-15",)),
        (POLISH, ("cp1250", "iso8859-2", "cp852")),
        (RUSSIAN, ("cp1251", "koi8-r", "cp866", "iso8859-5")),
        (JAPANESE, ("shift_jis", "euc-jp")),
        (CHINESE, ("gb18030",)),
    ],
)  # fmt: skip
def test_one_sentence_is_enough(text, encodings):
    for encoding in encodings:
        assert decoded(text.encode(encoding))[0] == text, encoding
        assert decoded((text * 3000).encode(encoding))[0] == text * 3000, encoding


def test_statutes_are_read_in_every_encoding_of_their_time(shared_data):
    with gzip.open(shared_data / "statutes_de.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"][:4000] for _, line in zip(range(60), lines, strict=False)]
    for encoding in ("cp1252", "latin-1", "iso8859-15", "cp850", "cp437", "mac-roman", "cp1250"):
        made = [text.encode(encoding, "ignore") for text in texts]
        made = [data for data in made if not data.isascii()]
        wrong = [data for data in made if decoded(data)[0] != data.decode(encoding)]
        assert len(made) > 50
        assert len(wrong) <= 0.05 * len(made), encoding


def test_two_encodings_in_one_file_are_said():
    for data in (GERMAN.encode() + GERMAN.encode("cp1252"), (GERMAN * 40).encode() + b"\xe4"):
        with pytest.raises(UnreadableError, match="mixed_encodings"):
            encoding_of(data)


@pytest.mark.parametrize("data", [b"\0" * 9, b"a\0\0b", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", bytes(range(256)) * 4])
def test_binary_is_no_encoding(data):
    with pytest.raises(UnreadableError, match="binary"):
        decoded(data)
