"""Which kept documents a stricter limit would drop, and what stricter is."""

import polars as pl

from tasks.big_data.nearly import nearly_dropped, stricter
from tasks.thresholds import Clean

LETTERS = "The pump of the plant was stopped as the seal ran hot and had to be greased again today. " * 3


def test_each_limit_moves_towards_dropping_more_and_what_is_off_stays():
    said = Clean(min_characters=64, max_replacement_share=0.001, max_top_ngram_shares=(0.2, 0.18, 1.0))
    given = said.thresholds("code")
    moved = stricter(given)
    assert (moved.min_characters, moved.max_mean_line_characters, moved.max_characters) == (77, 80, 800_000)
    assert (moved.min_alphanumeric_share, moved.max_replacement_share) == (0.3, 0.0008)
    assert moved.max_top_ngram_shares[:2] == (0.2 * 0.8, 0.18 * 0.8)
    assert (moved.min_words, moved.max_bullet_line_share, moved.max_words) == (0, 1.0, given.max_words)
    assert not moved.drop_lorem_ipsum


def test_documents_are_judged_by_the_limits_of_their_source():
    rows = [("3", "a", 70), ("1", "a", 66), ("2", "a", 90), ("4", "b", 70), ("5", "b", 9)]
    frame = pl.DataFrame(
        [(id_, source, "en", LETTERS[:length]) for id_, source, length in rows],
        schema=["id", "source", "language", "text"], orient="row",
    )  # fmt: skip
    presets = {"a": "prose: median length at least 1000 characters", "b": "notes: as the source says"}
    found = nearly_dropped(frame, Clean(), presets, 10)
    assert found["too_short"] == ["1", "3", "5"]
    assert nearly_dropped(frame, Clean(), presets, 1)["too_short"] == ["1"]
    assert nearly_dropped(frame.clear(), Clean(), presets, 1) == {}
