"""Kernels rewritten for pictures whose 2×2 pixels are laid side by side as channels.

Each function takes a kernel (O, I, k, k) and gives one whose dimensions say what they are: of a pixel within
its square the row a and the column b, before the channel that they go with. A backend flattens them in the
order that its layout has.
"""

from __future__ import annotations

from itertools import product

from torch import Tensor

from brushwork.feedforward.stylenet import Stage


def kernel_of(stage: Stage) -> tuple[Tensor, Tensor | None]:
    """A stage's kernel and bias; of a depthwise and a pointwise convolution the one that is both."""
    if stage.mix is None:
        return stage.conv.weight, stage.conv.bias
    return stage.mix.weight * stage.conv.weight.movedim(0, 1), stage.mix.bias


def folding(kernel: Tensor) -> Tensor:
    """From a folded picture to folded features, (2, 2, O, 2, 2, I, s, s), with s = k // 2 + 1.

    The picture has a margin of k // 2 before it is folded.
    """
    outputs, inputs, size, _ = kernel.shape
    side = size // 2 + 1
    made = kernel.new_zeros(2, 2, outputs, 2, 2, inputs, side, side)
    for a, b, u, v in product(range(2), range(2), range(size), range(size)):
        (row, p), (column, q) = divmod(a + u, 2), divmod(b + v, 2)
        made[a, b, :, p, q, :, row, column] = kernel[:, :, u, v]
    return made


def halving(kernel: Tensor) -> Tensor:
    """3×3 with stride 2 on folded features, (O, 2, 2, I, 2, 2): a square, those above and left."""
    outputs, inputs, _, _ = kernel.shape
    made = kernel.new_zeros(outputs, 2, 2, inputs, 2, 2)
    for u, v in product(range(3), range(3)):
        (row, p), (column, q) = divmod(u + 1, 2), divmod(v + 1, 2)
        made[:, p, q, :, row, column] = kernel[:, :, u, v]
    return made


def doubling(kernel: Tensor) -> Tensor:
    """Nearest-neighbour doubling and then 3×3, (2, 2, O, I, 3, 3), to folded features."""
    outputs, inputs, _, _ = kernel.shape
    made = kernel.new_zeros(2, 2, outputs, inputs, 3, 3)
    for a, b, u, v in product(range(2), range(2), range(3), range(3)):
        made[a, b, :, :, 1 + (a + u - 1) // 2, 1 + (b + v - 1) // 2] += kernel[:, :, u, v]
    return made


def staying(kernel: Tensor) -> Tensor:
    """From folded features to folded ones, (2, 2, O, 2, 2, I, s, s), with a margin of s // 2 squares."""
    outputs, inputs, size, _ = kernel.shape
    reach = size // 2
    margin = (reach + 1) // 2
    side = 2 * margin + 1
    made = kernel.new_zeros(2, 2, outputs, 2, 2, inputs, side, side)
    for a, b, u, v in product(range(2), range(2), range(size), range(size)):
        (row, p), (column, q) = divmod(a + u - reach, 2), divmod(b + v - reach, 2)
        made[a, b, :, p, q, :, margin + row, margin + column] = kernel[:, :, u, v]
    return made
