"""How often a model read how much text becomes advice for one that learned too little."""

from pydantic import BaseModel, ConfigDict, Field

# Muennighoff and others 2023 (https://arxiv.org/abs/2305.16264): read up to 4 times, a text teaches almost as much as
# new text would; what a further reading teaches decays with a constant of about 15 readings.
FRESH_EPOCHS, WORN_EPOCHS = 4, 16


class Training(BaseModel):
    """What a model was trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: int = Field(ge=1, description="read in all, repeats counted")
    text_tokens: int = Field(ge=1, description="of the text")
    text_bytes: int = Field(ge=1, description="of the text")

    @property
    def epochs(self) -> float:
        """How often the text was read."""
        return self.tokens / self.text_tokens


def advice(training: Training) -> str:
    """What was read, and whether reading more often or more text would help."""
    read = (
        f"it read {training.tokens:,} tokens, which is {training.epochs:,.1f} times "
        f"the text's {training.text_tokens:,} ({training.text_bytes:,} bytes)"
    )
    enough_bytes = training.text_bytes * training.epochs / FRESH_EPOCHS
    longer = f"raise train.tokens in params.yaml, at first to {max(training.text_tokens, 2 * training.tokens):,}"
    more = f"add text to discover.sources: {enough_bytes:,.0f} bytes in all, to be read {FRESH_EPOCHS} times"
    if training.epochs <= FRESH_EPOCHS:
        return f"{read}, and a text can be read {FRESH_EPOCHS} times at little loss: {longer}"
    if training.epochs <= WORN_EPOCHS:
        return f"{read}, and reading it more often teaches ever less: {more}; or {longer}"
    return f"{read}, and reading it more often would teach hardly anything: {more}"
