"""A release goes on with a text: from its own verified bytes, the same for the same seed."""

import pytest

from infra.releases import Registry, RegistryError
from tasks.distribution.release_model import load_release
from tasks.distribution.sample import sample_release


def write(settings, text, **changed):
    return sample_release(settings, "novels@v1", text, **{"tokens": 12, "temperature": 1.0, "seed": 3, **changed})


def test_the_same_seed_writes_the_same(gated, settings):
    gated.release()
    first = write(settings, "def ")
    assert first
    assert write(settings, "def ") == first
    assert write(settings, "def ", seed=4) != first
    assert write(settings, "def ", temperature=0, seed=3) == write(settings, "def ", temperature=0, seed=4)
    assert list((settings.cache / "sample").iterdir()) == []


def test_an_empty_text_can_be_gone_on_with(gated, settings):
    gated.release()
    assert write(settings, "")


def test_a_special_token_that_is_spelt_out_is_text(gated, settings):
    release = gated.release()
    _, tokenizer = load_release(Registry.of(settings), release.files, ref="novels@v1", scratch=settings.cache)
    assert len(tokenizer.encode("<|endoftext|>").ids) > 1


def test_a_changed_release_writes_nothing(gated, settings):
    release = gated.release()
    blob = settings.state / "registry" / release.files["tokenizer.json"].blob
    blob.write_text(blob.read_text() + " ")
    with pytest.raises(RegistryError, match=r"novels@v1 tokenizer\.json"):
        write(settings, "def ")


def test_a_release_that_is_not_there_is_said(settings):
    with pytest.raises(RegistryError, match="no model novels"):
        write(settings, "def ")
