"""Fingerprints: the same set in any order is the same file."""

import hashlib

import numpy as np

from tasks.fingerprints import fingerprints, read_fingerprints, write_fingerprints

DIGESTS = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(100)]


def test_they_are_the_first_64_bits():
    assert fingerprints(["00000000000000ff" + "e" * 48]).tolist() == [255]


def test_a_file_is_a_sorted_set(tmp_path):
    write_fingerprints(tmp_path / "a.npy", DIGESTS)
    write_fingerprints(tmp_path / "b.npy", [*reversed(DIGESTS), *DIGESTS])
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    assert np.isin(fingerprints(DIGESTS), read_fingerprints(tmp_path / "a.npy")).all()


def test_none_is_a_file_too(tmp_path):
    write_fingerprints(tmp_path / "a.npy", [])
    assert len(read_fingerprints(tmp_path / "a.npy")) == 0
