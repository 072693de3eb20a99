"""2×2 max pooling whose gradient all cores share.

Torch's backward pass of channels-last features gives each picture one thread. Bands of a picture's rows lie
in memory like the pictures of a batch: given as one they are pooled to the same bits, each on its own thread.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_SIDES = [2, 2]


def max_pool(x: Tensor) -> Tensor:
    """``F.max_pool2d(x, 2)`` of (N, C, H, W)."""
    is_rows = len(x) == 1 and x.is_contiguous(memory_format=torch.channels_last)
    if x.device.type == "cpu" and x.requires_grad and is_rows:
        return _MaxPool.apply(x)  # pyright: ignore[reportReturnType]
    return F.max_pool2d(x, 2)


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        height, width = x.shape[-2] // 2, x.shape[-1] // 2
        count = _count(height, torch.get_num_threads())
        pooled, places = torch.ops.aten.max_pool2d_with_indices(_bands(x, count, 2 * height), _SIDES, _SIDES)
        ctx.save_for_backward(x, places)
        return pooled.permute(0, 2, 3, 1).reshape(1, height, width, -1).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore
        x, places = ctx.saved_tensors
        height, count = gradient.shape[-2], len(places)
        found = torch.empty_like(x)
        found[:, :, 2 * height :].zero_()  # an odd last row
        torch.ops.aten.max_pool2d_with_indices_backward.grad_input(
            _bands(gradient.contiguous(memory_format=torch.channels_last), count, height),
            _bands(x, count, 2 * height),
            *(_SIDES, _SIDES, [0, 0], [1, 1], False, places),
            grad_input=_bands(found, count, 2 * height),
        )
        return found


def _bands(x: Tensor, count: int, height: int) -> Tensor:
    """The first ``height`` rows of (1, C, H, W) as (count, C, height / count, W); a view."""
    rows = x.permute(0, 2, 3, 1)[0, :height]
    return rows.view(count, height // count, *rows.shape[1:]).permute(0, 3, 1, 2)


def _count(height: int, threads: int) -> int:
    """How many bands of equal height: at least one a thread where there are so many rows."""
    return next(count for count in range(min(threads, height), height + 1) if height % count == 0)
