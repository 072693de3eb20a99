"""Several devices at the tiles of one picture: what they find does not depend on who was faster."""

from __future__ import annotations

import gc
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from brushwork.context import Context, context_for
from brushwork.encoders import VGG19
from brushwork.errors import InputError
from brushwork.fields import build
from brushwork.jobs import Settings, Stylize
from brushwork.optimize.crew import Copies, Crew
from brushwork.optimize.plan import Hands, Plan, Sizes, make_plan
from brushwork.optimize.recorded import Recorded
from brushwork.optimize.scales import Scale
from brushwork.optimize.tiled import TiledObjective, make_tiled_target
from brushwork.optimize.vault import Vault
from brushwork.weights import Weights
from commands import Desk

CPU = torch.device("cpu")
JOB: dict[str, Any] = {"content": "photo.png", "styles": "painting.png"}
LOSSES = get_args(Settings.model_fields["style_loss"].annotation)
SHALLOW: dict[str, Any] = {
    "content_layers": {"block2_conv2": 1.0},
    "style_layers": {"block1_conv1": 1.0, "block2_conv1": 0.5},
    "tv_weight": 1.0,
    "style_unit": "photo",
}


@pytest.fixture(scope="module")
def encoder(weights: Weights) -> VGG19:
    return VGG19(weights)


@given(st.lists(st.floats(0, 0.004), max_size=12), st.integers(2, 4))
@settings(max_examples=15, deadline=None)
def test_results_come_in_order_whoever_is_faster(encoder: VGG19, naps: list[float], count: int) -> None:
    at_work: Counter[int] = Counter()

    def work(which: VGG19, item: tuple[int, float]) -> int:
        at_work[id(which)] += 1
        assert at_work[id(which)] == 1  # each encoder has one tile at a time
        time.sleep(item[1])
        at_work[id(which)] -= 1
        return item[0]

    copies = [encoder.on(torch.device("meta")) for _ in range(count)]
    assert list(Crew(copies).each(work, list(enumerate(naps)))) == list(range(len(naps)))


def test_all_of_a_crew_work_and_not_too_far_ahead(encoder: VGG19) -> None:
    crew, begun = Crew.of(encoder, [CPU, torch.device("meta")]), list[str]()

    def work(which: VGG19, item: int) -> str:
        begun.append(which.device.type)
        time.sleep(0.02)
        return which.device.type

    with closing(crew.each(work, range(40))) as results:
        found = [next(results), next(results)]
        assert set(found) == {"cpu", "meta"}
    assert len(begun) <= 7  # closed: those under way were finished, the others never begun
    assert crew.encoders[0] is encoder
    assert Crew.of(encoder, [CPU, CPU]).encoders[1] is encoder
    assert len(crew.of_size(3).encoders) == 3


def test_threads_are_divided_while_it_works_and_mistakes_come_out(encoder: VGG19) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        assert list(Crew([encoder] * 2).each(lambda *_: torch.get_num_threads(), range(3))) == [2, 2, 2]
        assert torch.get_num_threads() == 4

        def fail(which: VGG19, item: int) -> int:
            raise torch.OutOfMemoryError("out of memory")

        with pytest.raises(torch.OutOfMemoryError):
            list(Crew([encoder] * 2).each(fail, range(9)))
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


def test_a_tensor_is_moved_once() -> None:
    copies = Copies(torch.ones(3))
    there = copies.on(torch.device("meta"))
    assert there.device.type == "meta"
    assert copies.on(torch.device("meta")) is there
    assert copies.on(CPU) is copies.tensor


@pytest.mark.parametrize("loss", LOSSES)
def test_two_at_once_are_one_to_the_last_bit(
    encoder: VGG19, loss: Any, photo: Tensor, painting: Tensor
) -> None:
    """Each with as many threads as the one alone; target and evaluation."""
    before, chosen = torch.get_num_threads(), Settings(**SHALLOW, style_loss=loss)
    torch.set_num_threads(1)
    try:
        found = []
        for count in (1, 2, 3):
            crew, vault = Crew([encoder] * count), Vault(on_disk=count == 2)
            target, tiles = make_tiled_target(crew, chosen, photo, [painting, photo], [2.0, 1.0], 16, vault)
            assert len(tiles) == 12
            found.append(TiledObjective(crew, target, chosen, tiles, vault).evaluate(1 - photo))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert other.losses == found[0].losses
        assert torch.equal(other.gradient, found[0].gradient)


def test_on_the_command_line(desk: Desk) -> None:
    """All have one thread: the same file, byte by byte."""
    options: dict[str, Any] = {"size": 96, "steps": 4, "tile": 64, "threads": 1, "metadata": False}
    alone = desk.stylize(**options, device="cpu", output="alone.png").json
    assert (alone["device"], alone["plan"]) == ("cpu", "tiles of 64 px")
    found = desk.stylize(**options, device="cpu,cpu", output="both.png").json
    assert (found["device"], found["plan"]) == ("cpu,cpu", "tiles of 64 px, 2 at once")
    assert Path("alone.png").read_bytes() == Path("both.png").read_bytes()
    small = desk.stylize(device="cpu,cpu").json
    assert small["plan"] == "in one piece, since tiles would take longer"


@pytest.mark.parametrize(
    ("device", "parts"),
    [
        ("cpu,gpu", ["--device cpu,gpu", "cuda[:N][,...]"]),
        ("cpu,cuda:0", ["--device cpu,cuda:0", "cuda[:N][,...]"]),
        ("auto,cpu", ["--device auto,cpu"]),
        ("cuda:0,cuda:98", ["--device cuda:0,cuda:98", "use --device cpu"]),
    ],
)
def test_devices_that_cannot_be(desk: Desk, device: str, parts: list[str]) -> None:
    complaint = desk.stylize(device=device, json=None).complaint
    assert not [part for part in parts if part not in complaint], complaint


def test_a_pass_is_one_devices(desk: Desk) -> None:
    line = ["stylize", "photo.png", "--style", "painting.png", "--engine", "feedforward", "-o", "r.png"]
    assert "name one" in desk.call(*line, "--device", "cpu,cpu").complaint


def test_a_gpu_named_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for twice in ("cuda:1,cuda:1", "cuda,cuda:0"):
        with pytest.raises(
            InputError, match=rf"--device {twice}: cuda:[01] is named twice; name each GPU once"
        ):
            context_for(build(Stylize, JOB | {"device": twice, "precision": "float32"}))
    context = context_for(build(Stylize, JOB | {"device": "cuda:1,cuda", "precision": "float32"}))
    assert context.place == "cuda:1,cuda:0"


def test_free_memory_is_the_scarcest_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: ((7, 3)[device.index], 9))
    gpus = [torch.device("cuda", index) for index in (0, 1)]
    context = Context(gpus[0], torch.float32, (gpus[1],))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    assert context.memory_limit() == 3
    # What torch holds for this process can be had, though the driver counts it as taken.
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: (1, 6)[device.index])
    assert context.memory_limit() == 8


@pytest.mark.parametrize(("capability", "dtype"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16)])
def test_a_gpu_computes_in_bfloat16_when_it_multiplies_that(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert context_for(build(Stylize, JOB | {"device": "cuda", "precision": "auto"})).dtype == dtype
    asked = {"device": "cuda", "precision": "float32"}
    assert context_for(build(Stylize, JOB | asked)).dtype == torch.float32


def test_where_recording_fails_every_call_is_an_ordinary_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for want of memory; here for want of a GPU."""

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("operation failed due to a previous error during capture")

    found, restored = list[float](), list[str]()
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: None)
    monkeypatch.setattr(torch.cuda, "graph", fails)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "before")
    monkeypatch.setattr(torch.cuda, "set_stream", restored.append)
    recorded = Recorded()
    for value in (1.0, 2.0, 3.0, 4.0):
        first, second = recorded(lambda x: (2 * x, x + 1), torch.tensor(value))
        found += [float(first), float(second)]
    assert found == [2, 2, 4, 3, 6, 4, 8, 5]
    assert restored == ["before"]
    assert gc.isenabled()


# ------------------------------------------------------------------------------------------- the planner


def sizes(long_side: int, hands: Hands) -> Sizes:
    return Sizes(Scale(long_side * 3 // 4, long_side, 1), (600, 800), [(600, 800)], hands)


def test_a_processors_tiles_share_its_memory_and_gpus_have_their_own() -> None:
    job = build(Stylize, JOB | {"tile": 512})
    one, two, gpus = (
        make_plan(job, sizes(4096, hands), None) for hands in (Hands(), Hands(2), Hands(2, apart=True))
    )
    features = one.bytes - make_plan(build(Stylize, JOB | {"tile": 256}), sizes(4096, Hands()), None).bytes
    assert two.bytes > one.bytes + features
    assert gpus.bytes < 1.02 * one.bytes
    assert one.cost == two.cost > gpus.cost == pytest.approx(one.cost / 2)
    assert str(two) == str(gpus) == "tiles of 512 px, 2 at once"


def test_gpus_share_a_picture_that_is_large_enough() -> None:
    hands, job = Hands(4, apart=True), build(Stylize, JOB)
    assert make_plan(job, sizes(300, hands), None).tile is None
    large = make_plan(job, sizes(6000, hands), None)
    assert (large.at_once, large.tile is None) == (4, False)


@given(st.integers(1, 50), st.integers(1, 8))
def test_more_hands_take_no_longer(tiles: int, count: int) -> None:
    share = Hands(count, apart=True).share(tiles)
    assert 1 / count - 1e-9 <= share <= 1 + 1e-9
    assert Hands().share(tiles) == 1


def test_a_plan_tells_how_many() -> None:
    assert str(Plan(64, recompute=True, at_once=2)) == "tiles of 64 px, 2 at once, features computed twice"
