"""How often a model read how much text becomes advice for one that learned too little."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

# Muennighoff and others 2023 (https://arxiv.org/abs/2305.16264): read up to 4 times, a text teaches almost as much as
# new text would; what a further reading teaches decays with a constant of about 15 readings.
FRESH_EPOCHS, WORN_EPOCHS = 4, 16


class Training(BaseModel):
    """What a model was trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: int = Field(ge=1, description="read in all, repeats counted")
    text_tokens: int = Field(ge=1, description="of the text, each document once")
    text_bytes: int = Field(ge=1, description="of the text, each document once")

    @property
    def epochs(self) -> float:
        """How often the text was read."""
        return self.tokens / self.text_tokens


def training_of(tokens: int, packed: Mapping[str, Any]) -> Training:
    """What a model that read so many tokens was trained on, from what `pack` counted of the training stream."""
    return Training(tokens=tokens, text_tokens=packed["distinct_tokens"], text_bytes=packed["distinct_bytes"])


def advice(training: Training) -> str:
    """What was read, and whether reading more often or more text would help."""
    if training.epochs <= FRESH_EPOCHS:
        longer = f"{max(training.text_tokens, 2 * training.tokens):,}"
        return f"{_read(training)}: raise train.tokens in params.yaml, at first to {longer}"
    enough_bytes = training.text_bytes * training.epochs / FRESH_EPOCHS
    more = f"add text to discover.sources, {enough_bytes:,.0f} bytes in all to be read {FRESH_EPOCHS} times"
    return f"{_read(training)}, and reading it more often teaches ever less: {more}" + _try_fewer(training)


def warning(training: Training) -> list[str]:
    """That a model, though good enough, would be better had it read its text less often; nothing if not so."""
    if training.epochs <= WORN_EPOCHS:
        return []
    return [f"{_read(training)}, which is learning by heart: more text would make it better" + _try_fewer(training)]


def _read(training: Training) -> str:
    return (
        f"it read {training.tokens:,} tokens, which is {training.epochs:,.1f} times "
        f"the text's {training.text_tokens:,} ({training.text_bytes:,} bytes)"
    )


def _try_fewer(training: Training) -> str:
    """Measured on MaintNorm with nano: read 16 times 2.07 bits per byte, read 4 times 1.65."""
    if training.epochs <= WORN_EPOCHS:
        return ""
    return f"; without more, try train.tokens={FRESH_EPOCHS * training.text_tokens}"
