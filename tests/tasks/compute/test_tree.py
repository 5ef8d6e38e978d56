"""The sum of gradients has the same bits for any number of workers."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import Tensor, nn

from tasks.compute.tree import GradientTree


def tree_sum(leaves: list[Tensor]) -> Tensor:
    """The sum that the tree stands for, written down plainly."""
    if len(leaves) == 1:
        return leaves[0]
    half = len(leaves) // 2
    return tree_sum(leaves[:half]) + tree_sum(leaves[half:])


def leaf(tree: GradientTree, weight: nn.Parameter, gradient: Tensor) -> None:
    tree.start()
    (weight * gradient).sum().backward()
    tree.finish()


def test_three_numbers_whose_sum_depends_on_the_brackets():
    # ((1 + 2**-24) + (2**-24 + 0)): each pair alone; in a row from the left, both small numbers vanish in the 1.
    small = 2.0**-24
    weight = nn.Parameter(torch.zeros(1))
    tree = GradientTree([weight])
    for gradient in (1.0, 0.0, small, small):
        leaf(tree, weight, torch.tensor([gradient]))
    assert tree.total().item() == 1.0 + 2 * small
    assert ((1.0 + torch.tensor(small)) + small).item() == 1.0


@pytest.mark.parametrize("n", [1, 2, 8, 16])
def test_partial_sums_have_the_trees_bits(n: int):
    gradients = list(torch.randn(n, 5, generator=torch.Generator().manual_seed(n)))
    weight = nn.Parameter(torch.zeros(5))
    tree = GradientTree([weight])
    for _ in range(2):  # buffers are used again
        for gradient in gradients:
            leaf(tree, weight, gradient)
        assert torch.equal(tree.total(), tree_sum(gradients))
        assert torch.equal(weight.grad, tree_sum(gradients))


def test_memory_grows_with_the_trees_height():
    weight = nn.Parameter(torch.zeros(3))
    tree = GradientTree([weight])
    for _ in range(64):
        leaf(tree, weight, torch.ones(3))
    tree.total()
    assert len(tree._free) == 7  # log2(64) + 1


def test_a_number_of_the_callers_is_summed_with_the_gradients():
    weight = nn.Parameter(torch.zeros(2))
    tree = GradientTree([weight], extra=1)
    for loss in (1.5, 2.5):
        extra = tree.start()
        extra += loss
        tree.finish()
    assert tree.total()[-1].item() == 4.0


def test_leaves_that_form_no_tree_are_refused():
    weight = nn.Parameter(torch.zeros(1))
    tree = GradientTree([weight])
    for _ in range(3):
        leaf(tree, weight, torch.ones(1))
    with pytest.raises(ValueError, match="2"):
        tree.total()


def test_workers_add_to_the_same_bits(tmp_path):
    """Four processes over gloo; 7 numbers do not divide evenly among them."""
    script = textwrap.dedent("""
        import sys, torch, torch.distributed as dist
        from torch import nn
        from tasks.compute.tree import GradientTree
        torch.set_num_threads(1)
        store, rank, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
        dist.init_process_group("gloo", store=dist.FileStore(store, workers), rank=rank, world_size=workers)
        gradients = torch.randn(8, 7, generator=torch.Generator().manual_seed(3))
        weight = nn.Parameter(torch.zeros(7))
        tree = GradientTree([weight])
        for gradient in gradients[rank * 8 // workers : (rank + 1) * 8 // workers]:
            tree.start()
            (weight * gradient).sum().backward()
            tree.finish()
        print(tree.total().numpy().tobytes().hex())
        dist.destroy_process_group()
    """)
    expected = tree_sum(list(torch.randn(8, 7, generator=torch.Generator().manual_seed(3)))).numpy().tobytes().hex()
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "store"), str(rank), "4"],
            stdout=subprocess.PIPE, text=True, env=environment,
        )
        for rank in range(4)
    ]  # fmt: skip
    assert {process.communicate()[0].strip() for process in processes} == {expected}
