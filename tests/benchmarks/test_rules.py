"""The comparison with datatrove: the damage is done, ours is asked, and differences are counted by reason."""

import random

import pytest

from benchmarks.rules import DAMAGES, FILTERS, Page, compare, in_normal_form, ours
from tasks.big_data.rules import RULES

TEXT = "\n".join(f"The line {n} of the page has as many pumps as it ought to have, to be sure." for n in range(40))


def test_each_filter_of_the_peer_has_rules_that_are_there():
    names = [rule for rules in FILTERS.values() for rule in rules]
    assert len(names) == len(set(names))
    assert set(names) <= {rule.__name__ for rule in RULES}


@pytest.mark.parametrize("kind", DAMAGES)
def test_every_damage_changes_a_text_and_the_same_way_again(kind):
    once, again = ([DAMAGES[kind](TEXT, random.Random(seed)) for seed in range(5)] for _ in range(2))
    assert once == again
    assert set(once) - {TEXT}


def test_differences_are_counted_by_filter_and_reason():
    corpus = in_normal_form([Page("good", "en", TEXT + "\r\n"), Page("bad", "en", "Too short.")])
    assert corpus[0].text == TEXT + "\n"
    mine, _ = ours(corpus)
    assert mine[1][:2] == ("few_words", "few_alphabetic_words")
    kept = dict.fromkeys(FILTERS, None)
    table, differences = compare(corpus, mine, [kept, {**kept, "GopherQualityFilter": "gopher_short_doc"}])
    assert table["GopherQualityFilter"]["same"] == 1.0
    assert table["C4QualityFilter"]["same"] == 0.5
    assert differences["C4QualityFilter"] == {"bad: theirs keeps, ours few_sentences": 1}
    assert table["all"]["groups"]["bad"] == 1.0
