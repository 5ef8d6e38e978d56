"""What helps a model that learned too little depends on how often it read its text."""

import pytest

from tasks.distribution.advice import Training, advice, warning


@pytest.mark.parametrize(
    ("epochs", "raised", "text", "lowered"),
    [(0.1, True, False, False), (4, True, False, False), (5, False, True, False), (16, False, True, False),
     (17, False, True, True), (100, False, True, True)],
)  # fmt: skip
def test_few_readings_ask_for_more_training_and_many_for_more_text(epochs, raised, text, lowered):
    training = Training(tokens=int(epochs * 1000), text_tokens=1000, text_bytes=3000)
    said = advice(training)
    assert ("raise train.tokens" in said) == raised
    assert ("discover.sources" in said) == text
    assert ("try train.tokens=4000" in said) == lowered
    assert bool(warning(training)) == lowered


def test_the_advice_names_figures_that_would_do():
    few = advice(Training(tokens=1_000_000, text_tokens=4_000_000, text_bytes=12_000_000))
    assert "0.2 times" in few
    assert "at first to 4,000,000" in few
    # 20 readings of 3,000 bytes are 60,000 bytes, 4 readings of 15,000.
    assert "15,000 bytes in all" in advice(Training(tokens=20_000, text_tokens=1000, text_bytes=3000))
