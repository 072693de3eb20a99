"""A network run by onnxruntime."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from brushwork.feedforward.graph import INPUT, affines, make_model
from brushwork.feedforward.stylenet import StyleNet


def session(model: bytes, threads: int) -> Any:
    """An onnxruntime session on the processor, quiet about itself."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that spin while they wait take the processor from whatever else runs: beside other work torch's
    # pass of two threads was 9 times slower than this one of two that sleep.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class RuntimeNet:
    """A network ready to paint pictures in one piece on the processor; its styles are inputs."""

    def __init__(self, network: StyleNet, threads: int) -> None:
        self._network = network
        self._session = session(make_model(network, fixed=False).SerializeToString(), threads)

    def paint(self, image: Tensor, condition: Tensor | None) -> Tensor:
        """A picture (1, 3, H, W), its sides multiples of 4, painted under conditions (n)."""
        styles = {name: values.numpy() for name, values in affines(self._network, condition).items()}
        (painted,) = self._session.run(None, {INPUT: image.contiguous().numpy(), **styles})
        return torch.from_numpy(painted)
