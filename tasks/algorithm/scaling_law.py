"""Shape, tokens and different tokens -> bits per byte that a model will reach: a law fitted on our own small runs.

loss = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022, https://arxiv.org/abs/2203.15556, equation 2), where N and D
are what parameters and tokens are worth:

- N = active^(1 - g) * total^g: idle experts count, but less than those that a token meets (Clark et al. 2022,
  https://arxiv.org/abs/2202.01169, give routed models an effective number of parameters). Parameters are those that
  are multiplied: the embedding, which is looked up, is left out. The more tokens, the more idle experts are worth
  (Krajewski et al. 2024, https://arxiv.org/abs/2402.07871; Tian et al. 2025, https://arxiv.org/abs/2507.17702): g is
  fitted on our runs, and grows with the logarithm of tokens to what Tian et al. show at 10^12, where 0.85 of 17.5
  billion parameters are worth 6.1.
- D = seen / (1 + (seen / most)^2)^(1/2): tokens that are read again teach less, and a corpus no more than `most`, which
  is its different tokens U times (U / U_0)^q. Muennighoff et al. 2023 (https://arxiv.org/abs/2305.16264) find that a
  token is worth 16 at most, where U is billions; a few hundred thousand tokens, which are a few documents, are worth
  less than themselves in our runs. One power of U goes through both.
"""

import json
import math
from functools import cache
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from tasks.algorithm.cost import active_parameters, total_parameters
from tasks.algorithm.shape import Shape

# g and tokens of Tian et al., as above; tokens at which ours is stated.
_IDLE_FAR = math.log(6.1 / 0.85) / math.log(17.5 / 0.85)
_IDLE_TOKENS, _IDLE_FAR_TOKENS = 5e5, 1e12

LAW_FILE = Path(__file__).with_name("scaling_law.json")


class Span(BaseModel):
    """Where the runs were that a law was fitted on, the smallest and the largest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float
    high: float

    def beyond(self, value: float) -> float:
        """How many times further out a value is than any run; 1 within."""
        return max(1.0, value / self.high, self.low / value)


class Law(BaseModel):
    """Constants of the law, and where they come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    floor: float = Field(gt=0, description="E: bits per byte that no model gets below")
    parameter_factor: float = Field(gt=0, description="A")
    parameter_exponent: float = Field(gt=0, description="alpha")
    token_factor: float = Field(gt=0, description="B")
    token_exponent: float = Field(gt=0, description="beta")
    idle_exponent: float = Field(ge=0, le=1, description="g at half a million tokens: what idle experts count")
    unique_exponent: float = Field(ge=0, description="q: the larger a corpus, the more often it can be read again")
    unique_at: float = Field(gt=0, description="U_0: different tokens that are worth as many at most")
    spread: float = Field(ge=0, description="standard deviation of the fit's residuals, of the logarithm")
    parameters: Span = Field(description="N of the runs")
    tokens: Span = Field(description="tokens of the runs, repeats counted")
    runs: int = Field(description="how many runs it was fitted on")
    corpus: str = Field(description="what the runs were trained on")

    @classmethod
    @cache
    def read(cls) -> Self:
        """The law that `python -m benchmarks.scaling fit` wrote."""
        return cls.model_validate(json.loads(LAW_FILE.read_text(encoding="utf-8")))

    def bits_per_byte(self, shape: Shape, *, tokens: float, unique: float) -> float:
        """Of held-out text.

        Args:
            shape: of the model.
            tokens: that it is trained on, repeats counted.
            unique: different tokens of the corpus.
        """
        most = unique * (unique / self.unique_at) ** self.unique_exponent
        worth = worth_of_tokens(tokens, most=most)
        lack = self.parameter_factor / self.worth_of(shape, tokens) ** self.parameter_exponent
        return self.floor + lack + self.token_factor / worth**self.token_exponent

    def worth_of(self, shape: Shape, tokens: float) -> float:
        """N: what a shape's parameters are worth after so many tokens, in parameters of a dense model."""
        active, total = multiplied(shape)
        return float(active * (total / active) ** idle_exponent(self.idle_exponent, tokens))

    def beyond(self, shape: Shape, tokens: float) -> float:
        """How many times further out than any run of the fit this is, in parameters or tokens."""
        return max(self.parameters.beyond(self.worth_of(shape, tokens)), self.tokens.beyond(tokens))


def multiplied(shape: Shape) -> tuple[int, int]:
    """Active and total parameters without the embedding."""
    embedding = shape.vocab_size * shape.width
    return active_parameters(shape) - embedding, total_parameters(shape) - embedding


def idle_exponent(near: float, tokens: float) -> float:
    """g after so many tokens, `near` at half a million; it never falls."""
    part = math.log(tokens / _IDLE_TOKENS) / math.log(_IDLE_FAR_TOKENS / _IDLE_TOKENS)
    return near + max(0.0, _IDLE_FAR - near) * min(max(part, 0.0), 1.0)


def worth_of_tokens(tokens: float, *, most: float) -> float:
    """D, as above."""
    return tokens / math.hypot(1.0, tokens / most)
