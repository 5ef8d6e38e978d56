"""A plan is the same for the same machine record, keeps within time and memory, and more budget is never worse."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import params
from tasks.algorithm.blueprint import Blueprint
from tasks.algorithm.machines import Machine, PlanError, published
from tasks.algorithm.plan import MIN_STEPS, Corpus, Planner, batch_for
from tasks.algorithm.scaling_law import Law

# A record as the probe makes it, of two cores.
CORES = Machine(
    name="two cores", device="cpu", workers=2, memory_bytes=24 << 30, program_bytes=400 << 20,
    products={16: 7e10, 64: 1e11, 256: 1.1e11, 1024: 1.1e11}, bytes_per_second=5e10, factor=1.2, call_seconds=0.003,
    exchange_bytes_per_second=7e8, peak_flops=1.1e11,
)  # fmt: skip
TEXT = Corpus(bytes=8_700_000, bytes_per_token=3.09, vocab_size=2048)
PLANNER = Planner(CORES, TEXT)


def test_the_same_record_gives_the_same_plan():
    assert Planner(CORES, TEXT).plan(300) == PLANNER.plan(300)


@settings(max_examples=20, deadline=None)
@given(st.floats(30, 5e5), st.floats(1, 8))
def test_more_budget_is_never_predicted_to_be_worse(seconds: float, times: float):
    less, more = PLANNER.best(seconds), PLANNER.best(seconds * times)
    assert less
    assert more
    assert more.bits_per_byte <= less.bits_per_byte + 1e-9


def test_a_plan_is_what_params_then_say_and_takes_no_longer_than_the_budget(tmp_path):
    plan = PLANNER.plan(300)
    option = plan.choice
    sections: dict = {}
    for dotted, value in option.assignments():
        section, _, key = dotted.partition(".")
        sections.setdefault(section, {})[key] = value
    blueprint = Blueprint.make(params.parse({**sections, "discover": {"sources": ["notes"]}}))
    assert blueprint.shape.model_dump(exclude={"vocab_size"}) == option.shape
    assert (blueprint.steps, blueprint.training.tokens) == (option.steps, option.tokens)
    assert (blueprint.total_parameters, blueprint.active_parameters) == (
        option.total_parameters, option.active_parameters,
    )  # fmt: skip
    assert 0.9 * 300 < CORES.seconds_per_step(blueprint) * blueprint.steps <= 300
    assert CORES.memory_needed(blueprint) == option.memory_bytes


def test_it_is_better_than_the_preset_or_the_same_and_than_the_other_kind():
    plan = PLANNER.plan(300, params=params.parse({"blueprint": {"preset": "nano"}, "discover": {"sources": ["x"]}}))
    assert len(plan.others) == 2
    assert all(plan.choice.bits_per_byte <= option.bits_per_byte for option in plan.others)
    assert {plan.choice.kind, plan.others[0].kind} == {"dense", "mixture of experts"}
    assert [rung.times for rung in plan.ladder] == [0.25, 0.5, 1.0, 2.0, 4.0]
    assert plan.ladder[2].option == plan.choice


def test_what_does_not_fit_into_memory_is_not_chosen():
    roomy = PLANNER.best(1e6)
    assert roomy
    small = CORES.model_copy(update={"memory_bytes": roomy.memory_bytes})
    fitting = Planner(small, TEXT).best(1e6)
    assert fitting
    assert fitting.memory_bytes <= 0.8 * small.memory_bytes < roomy.memory_bytes
    assert fitting.bits_per_byte >= roomy.bits_per_byte
    with pytest.raises(PlanError, match=r"no model fits: the smallest needs 0\.\d GiB, two cores has 0\.1 GiB"):
        Planner(CORES.model_copy(update={"memory_bytes": 1 << 27}), TEXT).best(300)


def test_a_budget_that_is_too_small_is_told_the_least_that_is_enough():
    with pytest.raises(PlanError, match=rf"too short for {MIN_STEPS} optimizer steps .* give 1 minutes at least"):
        PLANNER.plan(0.5)
    assert PLANNER.best(PLANNER.least_seconds() * 1.001)


def test_a_corpus_without_tokens_is_refused():
    with pytest.raises(PlanError, match="the corpus has no tokens; add text"):
        Planner(CORES, Corpus(bytes=0, bytes_per_token=3, vocab_size=2048))
    with pytest.raises(PlanError, match=r"too few tokens for one batch of 4,096; add text"):
        Planner(CORES, Corpus(bytes=5000, bytes_per_token=3, vocab_size=2048)).best(300)


def test_a_machine_that_nobody_knows_is_refused():
    with pytest.raises(PlanError, match=r"no machine 'abacus': known are l4, .*h100"):
        published("abacus")


def test_a_published_gpu_takes_as_long_as_its_stated_share_of_the_peak():
    machine = published("h100", workers=8, mfu=0.5)
    blueprint = Blueprint.make(params.parse({"blueprint": {"preset": "small"}, "discover": {"sources": ["x"]}}))
    flops = blueprint.flops_per_token * blueprint.training.batch_tokens
    assert machine.seconds_per_step(blueprint) == pytest.approx(flops / (8 * 989e12 * 0.5))
    option = Planner(machine, Corpus(bytes=10**11, bytes_per_token=3, vocab_size=2048), price=16.0).best(36_000)
    assert option
    assert option.mfu == pytest.approx(0.5)
    assert option.money == pytest.approx(option.seconds / 3600 * 16)
    assert option.preset in ("small", "medium")


def test_workers_are_those_that_train_would_have():
    three = CORES.model_copy(update={"workers": 3})
    assert [three.busy_workers(shards) for shards in (1, 2, 4)] == [1, 2, 2]


@pytest.mark.parametrize(("tokens", "batch"), [(1, 4096), (10**6, 4096), (16 * 10**6, 16_384), (10**10, 524_288)])
def test_a_batch_grows_as_the_root_of_the_tokens(tokens: int, batch: int):
    assert batch_for(tokens) == batch


def test_longer_tokens_of_larger_vocabularies():
    assert TEXT.bytes_a_token(2048) == 3.09
    assert TEXT.bytes_a_token(8192) > TEXT.bytes_a_token(4096) > 3.09
    assert TEXT.tokens(2048) == int(8_700_000 / 3.09)


def test_nats_are_bits_of_all_bytes_of_a_token():
    option = PLANNER.best(300)
    assert option
    assert option.nats_per_token == pytest.approx(option.bits_per_byte * 3.09 * math.log(2))


def test_what_is_far_from_the_runs_of_the_fit_is_said():
    law = Law.read()
    near, far = PLANNER.best(60), PLANNER.best(1e6)
    assert near
    assert far
    assert 1 <= near.beyond < far.beyond
    assert far.beyond >= far.tokens / law.tokens.high
