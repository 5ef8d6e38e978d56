"""A full disk is told as one, whoever found it full; no other error is."""

import errno
import os

import pytest

from infra.disk import full_disk


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_the_systems_own_error_names_the_file(number):
    said = full_disk(OSError(number, os.strerror(number), "/data/part-0.parquet"))
    assert "/data/part-0.parquet" in said
    assert "free some space" in said


def test_a_library_s_text_and_a_cause_are_seen_through():
    assert "os error 28" in full_disk(RuntimeError("I/O error: Os { code: 28 } No space left on device (os error 28)"))
    wrapped = ValueError("could not save")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert "No space left on device" in full_disk(wrapped)


def test_numpys_short_write_is_a_full_disk():
    assert "1472 written" in full_disk(OSError("71534 requested and 1472 written"))


def test_other_errors_are_none_of_its_business():
    assert full_disk(OSError(errno.ENOENT, "No such file or directory", "/data/x")) == ""
    assert full_disk(ValueError("28")) == ""
