"""Networks of one style in files: Brushwork's own, and PyTorch's example ``fast_neural_style``.

A file is told by its content. PyTorch's example (BSD) keeps a state dict of a network that takes and gives
0..255; its first and last convolutions absorb that, and biases that a normalisation subtracts are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from torch import Tensor

from brushwork.errors import WeightsError
from brushwork.feedforward.stylenet import (
    FORMAT,
    StyleNet,
    StyleNetSettings,
    read_header,
    read_stylenet,
    with_tensors,
)
from brushwork.weights import read_tensors

_REMEDY: Final = (
    f"give a network that `brushwork train stylenet` made ({FORMAT}), or a state dict of PyTorch's example "
    "fast_neural_style"
)


def read_network(path: Path) -> StyleNet:
    """A network of one style. Raises WeightsError, with the reason, for a file that holds none."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; {_REMEDY}")
    if read_header(path) is not None:
        return read_stylenet(path)[0]
    return from_example(read_tensors(path, remedy=_REMEDY), path)


# The example's modules in the order of StyleNet's stages.
_STAGES: Final = {
    "down.0": ("conv1", "in1"),
    "down.1": ("conv2", "in2"),
    "down.2": ("conv3", "in3"),
    "up.0": ("deconv1", "in4"),
    "up.1": ("deconv2", "in5"),
}
_FORGOTTEN: Final = re.compile(r"in\d+\.(running_mean|running_var|num_batches_tracked)$")


def from_example(tensors: Mapping[str, Tensor], path: Path) -> StyleNet:
    """A state dict of PyTorch's example as a ``StyleNet``. Raises WeightsError when it is another's."""
    # Files from before torch 0.4 also hold statistics that instance normalisation never used.
    given = {name: tensor for name, tensor in tensors.items() if not _FORGOTTEN.search(name)}
    blocks = max((int(found[1]) for name in given if (found := re.match(r"res(\d+)\.", name))), default=0)
    wanted = dict(_names(blocks))
    strange, missing = sorted(given.keys() - wanted.keys()), sorted(wanted.keys() - given.keys())
    if missing or strange:
        found = f"without {missing[0]}" if missing else f"with {strange[0]}"
        raise WeightsError(f"{path}: another network, {found}; {_REMEDY}")
    shapes = [
        given[f"{name}.conv2d.weight"].shape for name in ("conv1", "conv2", "conv3", "deconv1", "deconv2")
    ]
    try:
        settings = StyleNetSettings(
            down=(shapes[0][0], shapes[1][0], shapes[2][0]),
            blocks=blocks,
            up=(shapes[3][0], shapes[4][0]),
            kernel=shapes[0][-1],  # pyright: ignore[reportArgumentType]
            output="linear",
        )
    except ValueError as error:
        raise WeightsError(f"{path}: another network, conv1 of {tuple(shapes[0])}; {_REMEDY}") from error
    ours = {ours: given[theirs].float() for theirs, ours in wanted.items() if ours is not None}
    ours["down.0.conv.weight"] = ours["down.0.conv.weight"] * 255
    for name in ("last.conv.weight", "last.conv.bias"):
        ours[name] = ours[name] / 255
    return with_tensors(settings, ours, path)


def _names(blocks: int) -> list[tuple[str, str | None]]:
    """The example's names and StyleNet's, None for a bias that means nothing."""
    stages = dict(_STAGES)
    for index in range(blocks):
        for part, name in enumerate(("first", "second"), start=1):
            stages[f"blocks.{index}.{name}"] = (f"res{index + 1}.conv{part}", f"res{index + 1}.in{part}")
    pairs: list[tuple[str, str | None]] = []
    for ours, (conv, norm) in stages.items():
        pairs += [
            (f"{conv}.conv2d.weight", f"{ours}.conv.weight"),
            (f"{conv}.conv2d.bias", None),
            (f"{norm}.weight", f"{ours}.norm.gamma"),
            (f"{norm}.bias", f"{ours}.norm.beta"),
        ]
    return [
        *pairs,
        ("deconv3.conv2d.weight", "last.conv.weight"),
        ("deconv3.conv2d.bias", "last.conv.bias"),
    ]
