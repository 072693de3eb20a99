"""Magenta's arbitrary_image_stylization as a .npz file that `brushwork stylize --weights` reads.

    python examples/magenta_npz.py arbitrary_style_transfer/model.ckpt -o magenta.npz      # needs tensorflow
    python examples/magenta_npz.py arbitrary-image-stylization-v1-256/ -o magenta.npz      # needs tensorflow
    python examples/magenta_npz.py saved_model_style_inception_js saved_model_transformer_js -o magenta.npz

A source is a checkpoint, a SavedModel's folder, or a TensorFlow.js model's folder, for which numpy is enough.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np


def tfjs(folder: Path) -> dict[str, Any]:
    """A TensorFlow.js model's weights: a list in model.json, their bytes one after the other in shards."""
    found: dict[str, Any] = {}
    for group in json.loads((folder / "model.json").read_text())["weightsManifest"]:
        data, place = b"".join((folder / name).read_bytes() for name in group["paths"]), 0
        for entry in group["weights"]:
            packed = entry.get("quantization", {})
            kind = np.dtype(packed.get("dtype", entry["dtype"])).newbyteorder("<")
            count = math.prod(entry["shape"])
            values = np.frombuffer(data, kind, count, place).reshape(entry["shape"])
            place += count * kind.itemsize
            if "scale" in packed:
                values = (values * packed["scale"] + packed["min"]).astype(np.float32)
            found[entry["name"]] = values
    return found


def saved_model(folder: Path) -> dict[str, Any]:
    """A SavedModel's variables."""
    import tensorflow as tf  # pyright: ignore[reportMissingImports]

    model: Any = tf.saved_model.load(str(folder))
    return {variable.name.split(":")[0]: variable.numpy() for variable in model.variables}


def checkpoint(prefix: Path) -> dict[str, Any]:
    """A checkpoint's variables."""
    import tensorflow as tf  # pyright: ignore[reportMissingImports]

    reader: Any = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def main() -> None:
    """Read the sources and write one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sources", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    variables: dict[str, Any] = {}
    for source in options.sources:
        if (source / "model.json").is_file():
            variables |= tfjs(source)
        else:
            variables |= saved_model(source) if (source / "saved_model.pb").is_file() else checkpoint(source)
    with options.output.open("xb") as file:
        np.savez(file, **variables)


if __name__ == "__main__":
    main()
