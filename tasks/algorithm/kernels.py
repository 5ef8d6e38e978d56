"""Elementwise parts of a training step on a CPU in fp32: each one pass over memory that is compiled for the processor.

`fastmath` lets additions and maxima of a row be made in vectors. Their order is fixed when a function is compiled, so
the same machine makes the same bits each time; a number that is none stays one (tested).
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

_f = np.float32
_FAST = {"contract", "reassoc", "nsz", "nnan"}
_compiled: Any = njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
# Adding this rounds a number of at most 2^22 to a whole one, which then stands in its lowest bits.
_ROUND = _f(1.5 * 2**23)
_LOG2_E = _f(np.log2(np.e))
# ln 2 in two parts, the first short enough that its product with a whole number is exact (Cody and Waite 1980).
_LN2_HIGH = _f(0.693145751953125)
_LN2_LOW = _f(np.log(2) - 0.693145751953125)
_LOWEST, _HIGHEST = _f(-87.0), _f(88.0)
_1, _2, _3, _4, _5, _6, _7 = (_f(1 / n) for n in (1, 2, 6, 24, 120, 720, 5040))


# Not reassociated, which would undo the rounding.
@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _exp(x: np.float32) -> np.float32:
    """e^x to the last bit or the one before it: 2^n times a Taylor polynomial of what is left."""
    x = min(max(x, _LOWEST), _HIGHEST)
    shifted = x * _LOG2_E + _ROUND
    n = shifted - _ROUND
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = ((((((_7 * r + _6) * r + _5) * r + _4) * r + _3) * r + _2) * r + _1) * r + _1
    exponent = np.int32(_f(shifted).view(np.int32) << np.int32(23))
    return np.int32(_f(p).view(np.int32) + exponent).view(np.float32)


@_compiled
def swiglu(h_NF: Floats, weights_N: Floats, out_NI: Floats) -> None:
    """silu(gate) * up * weight."""
    width = out_NI.shape[1]
    for n in range(len(h_NF)):
        gate, up, out, weight = h_NF[n, :width], h_NF[n, width:], out_NI[n], weights_N[n]
        for i in range(width):
            out[i] = gate[i] / (_1 + _exp(-gate[i])) * up[i] * weight


@_compiled
def swiglu_backward(
    h_NF: Floats, weights_N: Floats, grad_NI: Floats, product_NI: Floats, gh_NF: Floats, gweights_N: Floats
) -> None:
    """`swiglu`'s product again, and its gradients."""
    width = product_NI.shape[1]
    for n in range(len(h_NF)):
        gate, up, grad, weight = h_NF[n, :width], h_NF[n, width:], grad_NI[n], weights_N[n]
        ggate, gup, product = gh_NF[n, :width], gh_NF[n, width:], product_NI[n]
        for i in range(width):
            product[i] = _1 / (_1 + _exp(-gate[i]))
        for i in range(width):
            silu = gate[i] * product[i]
            g = grad[i] * weight
            gup[i] = g * silu
            ggate[i] = g * up[i] * (product[i] + silu * (_1 - product[i]))
        total = _f(0)
        for i in range(width):
            unweighted = gate[i] * product[i] * up[i]
            total += unweighted * grad[i]
            product[i] = unweighted * weight
        gweights_N[n] = total


@_compiled
def softmax(scores_HXY: Floats, begins_X: Integers, ends_X: Integers, scale: float) -> None:
    """Softmax in place over `scale` > 0 times a row's numbers from its begin to its end; the others become zero."""
    factor = _f(scale)
    for h in range(scores_HXY.shape[0]):
        for x in range(scores_HXY.shape[1]):
            row, begin, end = scores_HXY[h, x], begins_X[x], ends_X[x]
            row[:begin] = 0
            row[end:] = 0
            seen = row[begin:end]
            highest = seen[0]
            for y in range(len(seen)):
                highest = max(highest, seen[y])
            total = _f(0)
            for y in range(len(seen)):
                seen[y] = _exp((seen[y] - highest) * factor)
                total += seen[y]
            share = _1 / total
            for y in range(len(seen)):
                seen[y] *= share


@_compiled
def softmax_backward(weights_HXY: Floats, grad_HXY: Floats, scale: float) -> None:
    """Gradient of `softmax` before `scale`, in place of the gradient of its result: w * (g - sum(w * g))."""
    factor = _f(scale)
    for h in range(weights_HXY.shape[0]):
        for x in range(weights_HXY.shape[1]):
            weights, grad = weights_HXY[h, x], grad_HXY[h, x]
            total = _f(0)
            for y in range(len(weights)):
                total += weights[y] * grad[y]
            for y in range(len(weights)):
                grad[y] = weights[y] * (grad[y] - total) * factor


@_compiled
def cross_entropy(logits_CV: Floats, targets_C1: Integers, losses_C: Floats) -> None:
    """-log softmax of each row's target; in place of the logits, their softmax."""
    for c in range(len(logits_CV)):
        row = logits_CV[c]
        highest = row[0]
        for v in range(len(row)):
            highest = max(highest, row[v])
        margin = highest - row[targets_C1[c, 0]]
        total = _f(0)
        for v in range(len(row)):
            row[v] = _exp(row[v] - highest)
            total += row[v]
        losses_C[c] = margin + np.log(total)
        share = _1 / total
        for v in range(len(row)):
            row[v] *= share


@_compiled
def norm(x_ND: Floats, weight_D: Floats, eps: float, out_ND: Floats, scale_N: Floats) -> None:
    """x / rms(x) * weight, and the reciprocals of the rms."""
    width, floor = x_ND.shape[1], _f(eps)
    for n in range(len(x_ND)):
        x, out = x_ND[n], out_ND[n]
        total = _f(0)
        for d in range(width):
            total += x[d] * x[d]
        scale = _1 / np.sqrt(total / _f(width) + floor)
        scale_N[n] = scale
        for d in range(width):
            out[d] = x[d] * scale * weight_D[d]


@_compiled
def norm_backward(
    x_ND: Floats, weight_D: Floats, scale_N: Floats, grad_ND: Floats, gx_ND: Floats, gweight_D: Floats
) -> None:
    """Gradients of `norm`; that of its weight is added up.

    With u = x * scale: dx = scale * (g * w - u * mean(g * w * u)), dw = sum(g * u).
    """
    width = x_ND.shape[1]
    for n in range(len(x_ND)):
        x, grad, gx, scale = x_ND[n], grad_ND[n], gx_ND[n], scale_N[n]
        total = _f(0)
        for d in range(width):
            total += grad[d] * weight_D[d] * x[d]
        mean = total * scale * scale / _f(width)
        for d in range(width):
            gweight_D[d] += grad[d] * x[d] * scale
        for d in range(width):
            gx[d] = scale * (grad[d] * weight_D[d] - x[d] * mean)
