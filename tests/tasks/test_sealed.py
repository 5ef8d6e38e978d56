"""What a cache remembers is whole, or as if it were not there."""

import pytest

from tasks.sealed import read_sealed, write_sealed

DATA = b"line\n\x00binary\n"


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "cache" / "file"
    write_sealed(path, DATA)
    assert read_sealed(path) == DATA
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_nothing_is_nothing(tmp_path):
    assert read_sealed(tmp_path / "file") is None


def test_every_flipped_bit_and_every_cut_is_noticed_and_said(tmp_path, caplog):
    path = tmp_path / "file"
    write_sealed(path, DATA)
    whole = path.read_bytes()
    damaged = [whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1 :] for n in range(len(whole))]
    for content in [*damaged, *(whole[:n] for n in range(len(whole)))]:
        path.write_bytes(content)
        assert read_sealed(path) is None
        assert not path.exists()
    assert "made again" in caplog.text


@pytest.mark.parametrize("data", [b"", b"\n"])
def test_short_contents_are_sealed_too(tmp_path, data):
    write_sealed(tmp_path / "file", data)
    assert read_sealed(tmp_path / "file") == data
