"""Modules of multi-token prediction are equations 21 to 25, and see and predict their own document alone."""

import pytest
import torch
import torch.nn.functional as F

from tasks.algorithm.layer import Pass
from tasks.algorithm.mtp import predicts_own_document, tokens_ahead
from tasks.params import parse


def training(**values):
    return parse({"blueprint": {"preset": "nano"}, "discover": {"sources": ["x"]}, "train": values}).train


def test_tokens_ahead_by_hand():
    targets = torch.tensor([[5, 6, 7, 8]])
    assert tokens_ahead(targets, 1).tolist() == [[5, 6, 7, 8]]
    assert tokens_ahead(targets, 3).tolist() == [[7, 8, 0, 0]]
    assert tokens_ahead(targets, 9).tolist() == [[0, 0, 0, 0]]


def test_what_may_be_predicted_by_hand():
    tokens = torch.tensor([[4, 5, 0, 6, 7]])
    starts = torch.tensor([[0, 0, 2, 2, 2]])
    # From 4, knowing 5: the end. From 5, knowing the end: the next document's first token, which is not its to predict.
    assert predicts_own_document(tokens, starts, 1).tolist() == [[True, False, True, True, False]]
    assert predicts_own_document(tokens, starts, 2).tolist() == [[False, False, True, False, False]]
    assert predicts_own_document(tokens, None, 2).tolist() == [[True, True, True, False, False]]


@pytest.mark.parametrize("values", [{}, {"n_dense_layers": 2}])
def test_the_loss_is_a_loop_over_positions(tiny, values):
    shape = tiny.shape(n_mtp_layers=2, **values)
    model = tiny.model(shape)
    stream = tiny.tokens(shape, 1, 13)[0]
    tokens, targets = stream[None, :12], stream[None, 1:]
    objective, nats, further = model.objective(tokens, targets, None, training(mtp_weight=0.5), recompute=False)
    view = Pass(model.rotations_SR[:12])
    hidden = model._hidden(tokens, view)[0]
    expected = []
    for depth in (1, 2):
        mtp = model.mtp[depth - 1]
        known = 12 - depth + 1  # positions i whose token i + depth exists
        embedded = model.model.embed_tokens(stream[depth : depth + known])[None]
        both = torch.cat((mtp.enorm(embedded), mtp.hnorm(hidden[:, :known])), dim=-1)
        hidden, _, _ = mtp.layer(mtp.eh_proj(both), Pass(model.rotations_SR[:known]))
        logits = model.lm_head(mtp.norm(hidden))[0]
        expected += [-F.log_softmax(logits[i], -1)[stream[i + depth + 1]] for i in range(12 - depth)]
    torch.testing.assert_close(further, torch.stack(expected).sum())
    torch.testing.assert_close(objective, nats + 0.5 / 2 * further)
    torch.testing.assert_close(nats, model.loss(tokens, targets))


def test_documents_in_a_window_cost_what_they_cost_alone(tiny):
    model = tiny.model(tiny.shape(n_mtp_layers=2))
    documents = [5, 9, 3, 7], [8], [11, 4, 4, 2, 6, 6, 1, 30]

    def objective(*parts: list[int]) -> torch.Tensor:
        stream = torch.tensor([token for part in parts for token in [0, *part]] + [0])
        places = torch.arange(len(stream) - 1)
        starts = torch.where(stream[:-1] == 0, places, 0).cummax(0).values
        return model.objective(stream[None, :-1], stream[None, 1:], starts[None], training(), recompute=False)[0]

    torch.testing.assert_close(objective(*documents), torch.stack([objective(part) for part in documents]).sum())


def test_experts_of_modules_are_counted_and_balanced(tiny):
    shape = tiny.shape(n_mtp_layers=1)
    model, tokens = tiny.model(shape), tiny.tokens(shape, 2, 8)
    model.objective(tokens, tokens, None, training(), recompute=False)
    counts_LE = model.take_expert_counts()
    assert counts_LE.sum(dim=1).tolist() == [2 * 8 * 2] * 2
    gate = model.mtp[0].layer.mlp.gate
    before = gate.e_score_correction_bias.clone()
    model.balance(torch.tensor([[3, 3, 3, 3], [5, 1, 3, 3]]), rate=0.25)
    assert (gate.e_score_correction_bias - before).tolist() == pytest.approx([-0.25, 0.25, 0.0, 0.0])


def test_windows_of_single_token_documents_predict_nothing_further(tiny):
    model = tiny.model(tiny.shape(n_mtp_layers=1))
    tokens, starts = torch.zeros(1, 8, dtype=torch.int64), torch.arange(8)[None]
    objective, nats, further = model.objective(tokens, tokens, starts, training(), recompute=False)
    assert further.item() == 0
    assert objective.item() == nats.item()
