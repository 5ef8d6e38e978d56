"""How far two sets of documents are apart."""

import pytest

from tasks.compute.profile import Profile, length_distance, text_divergence

ENGLISH = [f"the night watch number {n} saw nothing new on the road to the harbour".encode() for n in range(40)]
GERMAN = [f"die Nachtwache Nummer {n} sah nichts Neues auf der Straße zum Hafen".encode() for n in range(40)]


def test_the_same_documents_are_no_distance_apart():
    assert text_divergence(Profile.of(ENGLISH), Profile.of(reversed(ENGLISH))) == 0
    assert length_distance(Profile.of(ENGLISH), Profile.of(ENGLISH)) == 0


def test_texts_with_nothing_in_common_are_one_bit_apart():
    assert text_divergence(Profile.of([b"aaaa"]), Profile.of([b"bbbb"])) == pytest.approx(1)


def test_another_language_is_further_away_than_more_of_the_same():
    whole = Profile.of(ENGLISH[:20])
    same, other = (text_divergence(Profile.of(texts), whole) for texts in (ENGLISH[20:], GERMAN))
    assert same < 0.05
    assert other > 0.3


def test_lengths_are_apart_by_the_largest_difference_of_their_shares():
    short, long = [b"x" * 3] * 3, [b"x" * 1000]
    # A quarter of the one is long and all of the other are: three quarters are shorter than any.
    assert length_distance(Profile.of([*short, *long]), Profile.of(long)) == pytest.approx(0.75)


def test_profiles_add_up():
    assert Profile.of(ENGLISH) + Profile.of(GERMAN) == Profile.of([*ENGLISH, *GERMAN])


@pytest.mark.parametrize("texts", [[], [b""], [b"ab"]])
def test_nothing_is_a_profile_too(texts):
    profile = Profile.of(texts)
    assert sum(profile.trigrams) == 0
    assert text_divergence(profile, profile) == 0
