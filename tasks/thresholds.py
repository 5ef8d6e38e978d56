"""The section `clean` of `params.yaml`: thresholds of the cleaning rules, boilerplate, languages."""

from typing import Annotated, Literal

from pydantic import Field

from tasks.presets import CLEAN_PRESETS, TextKind
from tasks.section import Section, optional

_Share = Annotated[float, Field(ge=0, le=1)]


class Thresholds(Section):
    """Thresholds of the cleaning rules, all of them; each rule's source is named in `tasks/big_data/rules*.py`."""

    min_characters: int = Field(ge=1, description="shorter documents are dropped")
    max_characters: int = Field(ge=1, description="longer documents are dropped")
    max_line_characters: int = Field(ge=1, description="documents with a longer line are dropped")
    max_mean_line_characters: int = Field(ge=1, description="mean line length above which to drop")
    min_alphanumeric_share: float = Field(ge=0, le=1, description="share of letters and digits below which to drop")
    max_replacement_share: float = Field(ge=0, le=1, description="share of U+FFFD above which to drop")
    min_words: int = Field(ge=0, description="documents of fewer words are dropped")
    max_words: int = Field(ge=1, description="documents of more words are dropped")
    min_mean_word_characters: float = Field(ge=0, description="mean word length below which to drop")
    max_mean_word_characters: float = Field(ge=1, description="mean word length above which to drop")
    max_symbol_word_ratio: float = Field(ge=0, description="hash signs or ellipses a word above which to drop")
    max_bullet_line_share: float = Field(
        ge=0, le=1, description="share of lines that begin with a bullet above which to drop"
    )
    max_ellipsis_line_share: float = Field(
        ge=0, le=1, description="share of lines that end in an ellipsis above which to drop"
    )
    min_alphabetic_word_share: float = Field(ge=0, le=1, description="share of words with a letter below which to drop")
    min_stop_words: int = Field(ge=0, description="stop words of the language that must occur")
    max_repeated_line_share: float = Field(
        ge=0, le=1, description="share of lines that occurred before above which to drop"
    )
    max_repeated_line_character_share: float = Field(
        ge=0, le=1, description="share of characters in such lines above which to drop"
    )
    max_repeated_paragraph_share: float = Field(
        ge=0, le=1, description="share of paragraphs that occurred before above which to drop"
    )
    max_repeated_paragraph_character_share: float = Field(
        ge=0, le=1, description="share of characters in such paragraphs above which to drop"
    )
    max_top_ngram_shares: tuple[_Share, _Share, _Share] = Field(
        description="share of characters in the most frequent 2-, 3-, 4-gram of words above which to drop"
    )
    max_repeated_ngram_shares: tuple[_Share, _Share, _Share, _Share, _Share, _Share] = Field(
        description="share of characters in 5- to 10-grams that occurred before above which to drop"
    )
    min_sentences: int = Field(ge=0, description="sentences that C4 keeps below which to drop")
    drop_lorem_ipsum: bool = Field(description="drop documents with the placeholder text lorem ipsum")
    drop_curly_brackets: bool = Field(description="drop documents with a curly bracket in a sentence")
    min_ended_line_share: float = Field(
        ge=0, le=1, description="share of lines that end as a sentence does below which to drop"
    )
    max_short_line_share: float = Field(
        ge=0, le=1, description="share of lines of 30 characters or fewer above which to drop"
    )
    max_repeated_text_share: float = Field(
        ge=0,
        le=1,
        description="share of characters in lines that occurred before above which to drop, line feeds apart",
    )
    max_line_feed_word_ratio: float = Field(ge=0, description="line feeds a word above which to drop")
    c4_line_rules: bool = Field(description="take out single lines as C4 does, before all other rules")


class Boilerplate(Section):
    """Lines at the beginning or end of documents that are removed; not from code and notes."""

    remove: bool = Field(default=True, description="whether lines that many documents begin or end with are removed")
    min_documents: int = Field(default=20, ge=2, description="documents of a source that have the line, at least")
    min_share: float = Field(default=0.1, ge=0, le=1, description="share of its documents that have it, at least")
    min_characters: int = Field(default=20, ge=1, description="shorter lines stay")


class Clean(optional(Thresholds, "ThresholdsGiven")):  # type: ignore[misc]  # one list of fields
    """Which documents are worth learning from. Absent or null thresholds are the preset's."""

    preset: Literal["auto", "prose", "code", "notes", "web"] = Field(
        default="auto", description="kind of text the rules are for; auto: chosen for each source from its documents"
    )
    languages: tuple[Annotated[str, Field(pattern="^[a-z]{2}$")], ...] = Field(
        default=(), description="ISO 639-1 codes; documents in other languages are dropped; none: all are kept"
    )
    repair_mojibake: bool = Field(default=True, description="whether UTF-8 that was read as cp1252 is decoded again")
    boilerplate: Boilerplate = Field(default=Boilerplate(), description="lines that many documents begin or end with")

    def thresholds(self, kind: TextKind) -> Thresholds:
        """All thresholds for a kind of text: those given, else its preset's."""
        given = self.model_dump(include=set(Thresholds.model_fields), exclude_none=True)
        return Thresholds.model_validate({**CLEAN_PRESETS[kind], **given})
