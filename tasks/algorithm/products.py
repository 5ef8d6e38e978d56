"""fp32 matrix products on a CPU -> the library that uses its widest instructions.

PyTorch multiplies fp32 matrices with MKL, which uses half the width of AVX-512 on processors that are not Intel's.
oneDNN, the other library that PyTorch brings, asks what a processor can do, not who made it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

# fp32 keeps 1 + 2^-12; a product that rounds its inputs to fewer bits loses it.
_WITNESS = 1 + 2**-12
_WITNESS_SIZE = 256


@contextmanager
def widest_products() -> Iterator[None]:
    """Inside, fp32 products on a CPU are oneDNN's where these are the faster ones, and fp32 all the same.

    PyTorch hands fp32 products to oneDNN if told that bf16 would do. oneDNN takes that up where a processor has matrix
    units for bf16, and multiplies in fp32 elsewhere; a product whose result is known says which of both it is.
    """
    switch: Any = torch.backends.mkldnn
    before = switch.matmul.fp32_precision
    try:
        if _mkl_is_narrow():
            switch.matmul.fp32_precision = "bf16"
            if not _is_fp32():
                switch.matmul.fp32_precision = before
        yield
    finally:
        switch.matmul.fp32_precision = before


def has_kernels(t: torch.Tensor) -> bool:
    """Whether `kernels.py` has compiled passes for such numbers; PyTorch's own serve all others."""
    return t.device.type == "cpu" and t.dtype == torch.float32


def _mkl_is_narrow() -> bool:
    has = torch.cpu.get_capabilities()
    return torch.backends.mkldnn.is_available() and has.get("avx512_f", False) and "Intel" not in has["cpu_name"]


def _is_fp32() -> bool:
    witness, one = torch.full((_WITNESS_SIZE, _WITNESS_SIZE), _WITNESS), torch.eye(_WITNESS_SIZE)
    return torch.equal(witness @ one, witness)
