"""How the loss bent along L-BFGS's last steps, and what that makes of a gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from brushwork.optimize.vault import Vault

Pair = tuple[Tensor, Tensor]
"""A step s and the change y of the gradient along it, of the picture's shape."""

AT_ONCE = 4_000_000
"""Numbers of a picture up to which a GPU takes all pairs at once: an H200 took 1.2 ms a step and not 4.2.

Most of that goes into starting 160 kernels. Above, reading the pairs takes as long.
"""


def inverse_hessian_times(gradient: Tensor, pairs: Sequence[Pair], vault: Vault) -> Tensor:
    """A step uphill of the gradient's shape, (1, 3, H, W) for a picture, of what ``vault`` keeps.

    ``pairs`` are at least one, oldest first (Nocedal & Wright, algorithm 7.4).
    """
    if gradient.is_cuda and gradient.numel() <= AT_ONCE:
        return at_once(gradient, pairs)
    return one_by_one(gradient, pairs, vault)


def one_by_one(gradient: Tensor, pairs: Sequence[Pair], vault: Vault) -> Tensor:
    """The two-loop recursion, with one pair in use at a time."""
    q = gradient.ravel().clone()
    curvatures: list[Tensor] = []
    alphas: list[Tensor] = []
    for pair in reversed(pairs):
        s, y = (each.to(q.device).ravel() for each in pair)  # what waits on disk is a processor's
        curvatures.append(s @ y)
        alphas.append((s @ q) / curvatures[-1])
        q.addcmul_(y, alphas[-1], value=-1)  # no number leaves the device: a GPU would wait for it
        vault.release(*pair)
    last = pairs[-1][1].to(q.device).ravel()
    q.mul_(curvatures[0] / (last @ last))
    precondition(q.view_as(gradient))
    for pair, curvature, alpha in zip(pairs, reversed(curvatures), reversed(alphas), strict=True):
        s, y = (each.to(q.device).ravel() for each in pair)
        q.addcmul_(s, alpha - (y @ q) / curvature)
        vault.release(*pair)
    return q.view_as(gradient)


def at_once(gradient: Tensor, pairs: Sequence[Pair]) -> Tensor:
    """The same with all pairs in each product.

    With pairs as rows of S and Y and R the upper triangle of S·Yᵀ, the first loop solves R·α = S·g for
    q = g − Yᵀ·α, and the second, with r made of q, Rᵀ·δ = diag(R)·α − Y·r for the result r + Sᵀ·δ.
    """
    g = gradient.flatten()
    s, y = (torch.stack(each).to(g.device).flatten(1) for each in zip(*pairs, strict=True))
    upper = (s @ y.mT).triu()
    curvatures = upper.diagonal()
    alphas = torch.linalg.solve_triangular(upper, (s @ g)[:, None], upper=True)[:, 0]
    r = (g - alphas @ y).mul_(curvatures[-1] / (y[-1] @ y[-1]))
    precondition(r.view_as(gradient))
    right = (curvatures * alphas - y @ r)[:, None]
    deltas = torch.linalg.solve_triangular(upper.mT, right, upper=False)[:, 0]
    return (r + deltas @ s).view_as(gradient)


def precondition(direction: Tensor) -> None:
    """Lengthen in place what a gradient (1, 3, H, W) says of areas of 8 pixels, and of colour.

    The loss bends least there, whatever the recipe. L-BFGS's usual guess of the inverse Hessian is one number
    for all; with this beside it "keras-example" takes 49 evaluations, not 55 (200 rows, half of them first).
    Whatever is no picture is left as it is.
    """
    if direction.ndim != 4:
        return
    height, width = direction.shape[-2:]
    coarse = F.interpolate(direction, (math.ceil(height / 8), math.ceil(width / 8)), mode="area")
    direction += F.interpolate(coarse, (height, width), mode="bilinear")
    grey = direction.mean(1, keepdim=True)
    direction.mul_(1.5).sub_(grey, alpha=0.5)
