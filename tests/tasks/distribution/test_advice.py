"""What helps a model that learned too little depends on how often it read its text."""

import pytest

from tasks.distribution.advice import Training, advice


@pytest.mark.parametrize(
    ("epochs", "longer", "more"),
    [(0.1, True, False), (4, True, False), (5, True, True), (16, True, True), (17, False, True), (100, False, True)],
)
def test_few_readings_ask_for_more_training_and_many_for_more_text(epochs, longer, more):
    said = advice(Training(tokens=int(epochs * 1000), text_tokens=1000, text_bytes=3000))
    assert ("train.tokens" in said) == longer
    assert ("discover.sources" in said) == more


def test_the_advice_names_figures_that_would_do():
    few = advice(Training(tokens=1_000_000, text_tokens=4_000_000, text_bytes=12_000_000))
    assert "0.2 times" in few
    assert "at first to 4,000,000" in few
    # 20 readings of 3,000 bytes are 60,000 bytes, 4 readings of 15,000.
    assert "15,000 bytes in all" in advice(Training(tokens=20_000, text_tokens=1000, text_bytes=3000))
