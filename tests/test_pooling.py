"""Max pooling whose gradient all cores share: torch's own values and gradients, to the bit."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from brushwork.encoders import pooling
from brushwork.encoders.pooling import max_pool

LAYOUTS = [torch.channels_last, torch.contiguous_format]


def features(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """After a ReLU, so with many equal maxima; channels last."""
    noise = torch.randn(*shape, generator=torch.Generator().manual_seed(0)).relu()
    return noise.round(decimals=1).to(dtype, memory_format=torch.channels_last)


def pooled_and_gradient(pool: object, x: Tensor, layout: torch.memory_format) -> tuple[Tensor, Tensor]:
    leaf = x.detach().requires_grad_()
    pooled = pool(leaf)  # pyright: ignore
    asked = features(*pooled.shape, dtype=x.dtype).contiguous(memory_format=layout)
    return pooled.detach(), torch.autograd.grad(pooled, leaf, asked)[0]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize(
    "shape", [(1, 3, 2, 2), (1, 8, 12, 7), (1, 64, 47, 32), (1, 16, 170, 9), (2, 4, 8, 8)]
)
@pytest.mark.parametrize("threads", [1, 2, 16])
def test_it_is_torchs(
    monkeypatch: pytest.MonkeyPatch,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    layout: torch.memory_format,
    threads: int,
) -> None:
    monkeypatch.setattr(pooling.torch, "get_num_threads", lambda: threads)
    x = features(*shape, dtype=dtype)
    mine = pooled_and_gradient(max_pool, x, layout)
    torchs = pooled_and_gradient(lambda leaf: F.max_pool2d(leaf, 2), x, layout)
    for found, expected in zip(mine, torchs, strict=True):
        assert torch.equal(found, expected)
        assert found.stride() == expected.stride()


@given(st.integers(1, 500), st.integers(1, 64))
def test_each_thread_has_a_band(height: int, threads: int) -> None:
    count = pooling._count(height, threads)  # pyright: ignore[reportPrivateUsage]
    assert height % count == 0
    assert count >= min(threads, height)


def test_torchs_backward_gets_a_band_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooling.torch, "get_num_threads", lambda: 4)
    with torch.profiler.profile(record_shapes=True) as profile:
        pooled_and_gradient(max_pool, features(1, 8, 16, 6), torch.channels_last)
    seen = [
        e.input_shapes for e in profile.events() or () if e.name == "aten::max_pool2d_with_indices_backward"
    ]
    assert [shapes[0] for shapes in seen] == [[4, 8, 2, 3]]
