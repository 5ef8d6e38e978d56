"""The law falls with parameters, experts and tokens, and a token read again teaches less."""

import math

import pytest

from tasks.algorithm.scaling_law import Law, Span, idle_exponent, multiplied, worth_of_tokens

LAW = Law(
    floor=0.5, parameter_factor=10.0, parameter_exponent=0.3, token_factor=20.0, token_exponent=0.25, idle_exponent=0.2,
    unique_exponent=0.25, unique_at=1e6, spread=0.01, parameters=Span(low=1e5, high=1e6),
    tokens=Span(low=1e5, high=1e6), runs=9, corpus="x",
)  # fmt: skip


def test_by_hand(tiny):
    shape = tiny.shape(n_experts=4, top_k=2)
    active, total = multiplied(shape)
    assert total - active == 1 * (4 - 2) * 3 * 16 * 8
    n = active**0.8 * total**0.2  # below half a million tokens
    said = LAW.bits_per_byte(shape, tokens=1e5, unique=1e6)
    worth = 1e5 / math.sqrt(1 + 0.1**2)
    assert said == pytest.approx(0.5 + 10 / n**0.3 + 20 / worth**0.25)


def test_more_of_anything_is_better(tiny):
    base = LAW.bits_per_byte(tiny.shape(), tokens=1e5, unique=1e6)
    assert LAW.bits_per_byte(tiny.shape(width=32), tokens=1e5, unique=1e6) < base
    assert LAW.bits_per_byte(tiny.shape(n_experts=16), tokens=1e5, unique=1e6) < base
    assert LAW.bits_per_byte(tiny.shape(), tokens=2e5, unique=1e6) < base
    assert LAW.bits_per_byte(tiny.shape(), tokens=1e5, unique=5e4) > base


def test_idle_experts_are_worth_more_the_more_tokens_there_are(tiny):
    assert idle_exponent(0.2, 1e5) == idle_exponent(0.2, 5e5) == 0.2
    # At 10^12 what 0.85 of 17.5 billion parameters do is what 6.1 billion of a dense model do.
    assert 0.85 * (17.5 / 0.85) ** idle_exponent(0.2, 1e12) == pytest.approx(6.1)
    assert 0.2 < idle_exponent(0.2, 1e9) < idle_exponent(0.2, 1e10) < idle_exponent(0.2, 1e13) < 1
    dense, mixture = tiny.shape(n_dense_layers=2), tiny.shape(n_experts=64)
    assert LAW.worth_of(dense, 1e12) == pytest.approx(multiplied(dense)[0])
    assert LAW.worth_of(mixture, 1e12) > LAW.worth_of(mixture, 1e5) > multiplied(mixture)[0]


def test_tokens_read_again_teach_less_and_a_corpus_no_more_than_its_most():
    assert worth_of_tokens(1, most=1e6) == pytest.approx(1)
    assert worth_of_tokens(1e6, most=1e6) == pytest.approx(1e6 / math.sqrt(2))
    assert worth_of_tokens(1e12, most=1e6) == pytest.approx(1e6)


def test_a_larger_corpus_can_be_read_more_often(tiny):
    def lost(unique: float) -> float:
        four_times = LAW.bits_per_byte(tiny.shape(), tokens=4 * unique, unique=unique)
        return four_times - LAW.bits_per_byte(tiny.shape(), tokens=4 * unique, unique=1e15)

    assert lost(1e5) > lost(1e6) > lost(1e9) > 0


def test_beyond_says_how_far_out():
    span = Span(low=100.0, high=1000.0)
    assert [span.beyond(value) for value in (50, 100, 500, 3000)] == [2, 1, 1, 3]


def test_the_law_that_is_kept_can_be_read():
    law = Law.read()
    assert law.runs > 0
    assert 0 < law.floor < 1.2
