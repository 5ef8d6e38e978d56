"""Products are fp32's whichever library makes them, and the choice is undone."""

import pytest
import torch

from tasks.algorithm import products


def precision() -> str:
    return torch.backends.mkldnn.matmul.fp32_precision


def test_products_inside_are_those_of_fp32_and_the_choice_ends():
    before = precision()
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(300, 300, generator=generator) for _ in range(2))
    with products.widest_products():
        found = a @ b
    assert precision() == before
    torch.testing.assert_close(found.double(), a.double() @ b.double(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("is_fp32", [True, False])
def test_a_library_that_would_round_is_not_taken(monkeypatch, is_fp32):
    before = precision()
    monkeypatch.setattr(products, "_mkl_is_narrow", lambda: True)
    monkeypatch.setattr(products, "_is_fp32", lambda: is_fp32)
    with products.widest_products():
        assert precision() == ("bf16" if is_fp32 else before)


def test_rounding_to_bf16_is_found(monkeypatch):
    assert products._is_fp32()
    rounds = torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: rounds(a.bfloat16(), b.bfloat16()).float())
    assert not products._is_fp32()
