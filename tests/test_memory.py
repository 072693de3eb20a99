"""Memory asked before the work: what is refused, and that what is offered instead fits."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from brushwork import context
from brushwork.context import Context, _group_memory  # pyright: ignore[reportPrivateUsage]
from brushwork.encoders import VGG19
from brushwork.errors import InputError
from brushwork.events import Event, Finished, Replanned, Swept
from brushwork.fields import build
from brushwork.images import Picture, Sources
from brushwork.jobs import Stylize
from brushwork.losses.sliced import DIRECTIONS
from brushwork.optimize.engine import paint
from brushwork.optimize.fitted import Fitted, plans_of
from brushwork.optimize.plan import KEPT, VECTOR, WHOLE, Plan, Sizes, make_plan
from brushwork.optimize.scales import Scale
from brushwork.optimize.tiles import coverage
from brushwork.weights import Weights
from commands import Desk, environment

JOB = Stylize.model_validate({"content": "photo.png", "styles": "painting.png"})


def sizes(long_side: int, aspect: float) -> Sizes:
    return Sizes(Scale(max(16, round(long_side * aspect)), long_side, 1), (600, 800), [(600, 800)])


@settings(max_examples=10, deadline=None)
@given(st.integers(1000, 20000), st.floats(0.05, 1), st.integers(900_000_000, 30_000_000_000))
def test_a_plan_fits_or_the_size_that_is_offered_does(long_side: int, aspect: float, free: int) -> None:
    try:
        assert make_plan(JOB, sizes(long_side, aspect), free).bytes <= free
    except InputError as error:
        found = re.search(r"GB of memory and .* GB are free: give --size (\d+) or smaller", str(error))
        assert found
        assert make_plan(JOB, sizes(int(found[1]), aspect), round(free * 1.01)).bytes <= free * 1.01


def test_less_memory_means_smaller_tiles_and_more_time() -> None:
    wanted = sizes(2048, 0.75)
    plans = [make_plan(JOB, wanted, limit * 10**9) for limit in (20, 8, 3, 2)]
    assert plans[0].tile is None
    assert [plan.cost for plan in plans] == sorted(plan.cost for plan in plans)
    assert [plan.bytes for plan in plans] == sorted((plan.bytes for plan in plans), reverse=True)
    assert plans[-1].on_disk
    assert str(plans[-1]).endswith("the rest on disk")
    assert str(Plan(64, recompute=True)) == "tiles of 64 px, features computed twice"


def test_unknown_free_memory_refuses_nothing() -> None:
    assert make_plan(JOB, sizes(60000, 1), None).tile is None


# ----------------------------------------------------------------------------------- what a plan reckons with

PIXELS = 600 * 800


def planned(steps: int = 30, tile: int | None = None, **options: Any) -> Plan:
    """The plan for 600 × 800 pixels, photo and painting as large, in one piece or in tiles."""
    job = build(Stylize, {"content": "photo", "styles": "art", "tile": tile, **options})
    return make_plan(job, Sizes(Scale(600, 800, steps), (600, 800), [(600, 800)]), None)


@pytest.mark.parametrize("tile", [None, 256])
def test_what_the_optimizer_remembers_counts(tile: int | None) -> None:
    """Adam two pictures, L-BFGS two a pair and no more pairs than there are steps, SGD nothing."""
    least = planned(tile=tile, optimizer="sgd").bytes
    assert planned(tile=tile, optimizer="adam").bytes - least == 2 * VECTOR * PIXELS
    assert planned(tile=tile, optimizer="lbfgs", history=7).bytes - least == 14 * VECTOR * PIXELS
    assert planned(steps=5, tile=tile, optimizer="lbfgs", history=7).bytes - least == 10 * VECTOR * PIXELS


SHALLOW_FEATURES = 4 * 64 * (1 + 1 + 1 / 4) + 8 * 64 / 4 + 4 * 128 / 4
"""Bytes a pixel up to block2_conv1; a maximum comes with its place."""


def test_the_paintings_features_count_where_they_are_more_than_the_pictures() -> None:
    """All of them are measured; of the picture's there is a backward pass beside."""
    shallow: dict[str, Any] = {
        "content_layers": {"block2_conv1": 1.0},
        "style_layers": {"block2_conv1": 1.0},
        "optimizer": "sgd",
        "style_enlarge": True,
    }
    alone = planned(**shallow).bytes
    assert planned(style_scales=[1, 0.5], **shallow).bytes == alone  # 1.25 of the picture's and not 1.7
    twice = planned(style_scales=[2], **shallow).bytes
    assert twice - alone == pytest.approx(PIXELS * SHALLOW_FEATURES * (4 - WHOLE))
    both = planned(style_scales=[2, 1], **shallow).bytes
    assert both - twice == pytest.approx(PIXELS * SHALLOW_FEATURES)


def test_a_painting_larger_than_the_picture_fills_a_tile() -> None:
    """Its tiles have the same side, of which the picture itself may not need all."""
    shallow: dict[str, Any] = {
        "content_layers": {"block1_conv1": 1.0},
        "style_layers": {"block1_conv1": 1.0},
        "optimizer": "sgd",
        "style_enlarge": True,
        "tile": 1024,
    }
    more = planned(style_scales=[2], **shallow).bytes - planned(**shallow).bytes
    layers = ["block1_conv1"]
    seen = coverage(1200, 1600, 1024, layers)[1] - PIXELS
    assert seen > 0
    assert more == pytest.approx(seen * (4 * 64 + KEPT.transient))


def test_the_projections_of_sliced_count_in_tiles() -> None:
    """Of both pictures at each layer, a position of which is several pixels."""
    sliced, covariance = (planned(tile=256, style_loss=loss) for loss in ("sliced", "covariance"))
    positions = PIXELS * sum(4.0**-halvings for halvings in range(5))
    assert sliced.bytes - covariance.bytes == pytest.approx(4 * 2 * DIRECTIONS * positions)


def test_on_disk_is_what_the_optimizer_remembers_and_the_photos_features() -> None:
    """block4_conv2 has 512 channels at an eighth of each side."""
    job = build(Stylize, {"content": "photo", "styles": "art", "tile": 256, "history": 20})
    wanted = Sizes(Scale(600, 800, 30), (600, 800), [(600, 800)])
    kept = make_plan(job, wanted, None)
    on_disk = make_plan(job, wanted, kept.bytes - 1)
    assert (kept.on_disk, on_disk.on_disk, kept.freed) == (False, True, on_disk.freed)
    assert kept.bytes - on_disk.bytes == PIXELS * (20 * 2 * VECTOR + 4 * 512 / 64)


# ------------------------------------------------------------------------------------------ while it works

SHALLOW = {
    "content_layers": {"block2_conv1": 1.0},
    "style_layers": {"block1_conv1": 1.0, "block2_conv1": 1.0},
    "optimizer": "adam",
    "init": "content",
    "style_margin": "keep",
    "scales": {1.0: 1.0},
    "size": 160,
    "steps": 3,
}


def painted(context: Context, encoder: VGG19, photo: Tensor, painting: Tensor) -> tuple[list[Event], Tensor]:
    job = build(Stylize, {"content": "photo", "styles": "art", **SHALLOW})
    events = list(paint(job, Sources(Picture(photo), [Picture(painting)]), encoder, context))
    assert isinstance(events[-1], Finished)
    return events, events[-1].picture.pixels


class Shrinking(Context):
    """A machine on which others take most of the memory after a while."""

    def memory_limit(self) -> int | None:
        """Bytes that this process may take in all."""
        self.__dict__["asked"] = self.__dict__.get("asked", 0) + 1
        return 10**12 if self.__dict__["asked"] < 3 else 1


def test_less_memory_than_planned_makes_it_step_down(
    weights: Weights, photo: Tensor, painting: Tensor
) -> None:
    encoder = VGG19(weights)
    calm, expected = painted(Context(torch.device("cpu"), torch.float32), encoder, photo, painting)
    assert not [event for event in calm if isinstance(event, Replanned)]
    events, found = painted(Shrinking(torch.device("cpu"), torch.float32), encoder, photo, painting)
    plans = [event.plan for event in events if isinstance(event, Replanned)]
    assert plans and plans[0].startswith("tiles of")
    assert any(isinstance(event, Swept) for event in events)
    assert (found - expected).abs().max() < 1e-3


SHORT_OF_MEMORY = """
import resource, sys
import brushwork as bw
from brushwork.events import Finished, Progress, Replanned
job = bw.Stylize(content="photo.png", styles="painting.png", weights="network.safetensors", size=640, steps=3,
    scales={1.0: 1.0}, content_layers={"block2_conv1": 1.0}, style_margin="keep", threads=1, init="content",
    style_layers={"block1_conv1": 1.0, "block2_conv1": 1.0}, optimizer="sgd", learning_rate=1e-6)
for event in bw.run(job):
    if isinstance(event, Progress) and event.evaluation == 1:
        pages = int(open("/proc/self/statm").read().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 150_000_000,) * 2)
    if isinstance(event, (Replanned, Finished)):
        print(type(event).__name__, getattr(event, "plan", ""))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on memory")
def test_memory_that_runs_out_makes_it_step_down(desk: Desk) -> None:
    """A process of its own whose address space is closed after the first evaluation."""
    done = subprocess.run(
        [sys.executable, "-c", SHORT_OF_MEMORY],
        cwd=desk.folder,
        env=environment(OMP_NUM_THREADS="1"),
        timeout=120,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Replanned tiles of")
    assert lines[-1].startswith("Finished")


def test_memory_that_runs_out_for_good_leaves_the_best_picture(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept = Fitted._sweep  # pyright: ignore[reportPrivateUsage]

    def short(self: Fitted, image: Tensor, evaluation: int, begun: Any, gradient: bool) -> Any:
        if evaluation > 1:
            raise torch.OutOfMemoryError("no memory left")
        return swept(self, image, evaluation, begun, gradient)

    monkeypatch.setattr(Fitted, "_sweep", short)
    complaint = desk.stylize(json=None).complaint
    assert "memory ran out and there is no smaller way (no memory left): give a smaller --size" in complaint
    assert complaint.endswith("the best picture so far is in result.png")
    assert desk.picture("result.png").shape == (36, 48, 3)


def test_this_machine_knows_its_free_memory() -> None:
    free = Context(torch.device("cpu"), torch.float32).free_memory()
    assert free is None or 10_000_000 < free < 10**14


@pytest.mark.parametrize(
    ("names", "inactive"),
    [
        (("memory.max", "memory.current"), "anon 1\ninactive_file 300\n"),
        (("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"), "total_inactive_file 300\n"),
    ],
)
def test_a_containers_file_cache_counts_as_free(
    tmp_path: Path, names: tuple[str, str], inactive: str
) -> None:
    """The kernel counts files that were read as used, and gives them up when memory is asked for."""
    limit, used = (tmp_path / name for name in names)
    limit.parent.mkdir(exist_ok=True)
    limit.write_text("1000\n")
    used.write_text("900\n")
    nowhere = tmp_path / "nowhere"
    assert _group_memory(tmp_path, nowhere) == 100
    (limit.parent / "memory.stat").write_text(inactive)
    assert _group_memory(tmp_path, nowhere) == 400
    limit.write_text("max\n")
    assert _group_memory(tmp_path, nowhere) is None


@pytest.mark.parametrize(
    ("line", "base", "names"),
    [
        ("0::/system.slice/job:7.scope", "", ("memory.max", "memory.current")),
        (
            "4:cpu,memory:/slurm/job",
            "memory",
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ),
    ],
)
def test_the_tightest_group_on_the_way_counts(
    tmp_path: Path, line: str, base: str, names: tuple[str, str]
) -> None:
    """As a job under systemd or Slurm finds it: the limit is its own group's, or one's above."""
    membership, limits = tmp_path / "membership", (tmp_path / "groups" / base).resolve()
    membership.write_text(f"9:pids:/elsewhere\n{line}\n")
    own = limits / line.split(":", 2)[2].strip("/")
    own.mkdir(parents=True)

    def limit(group: Path, most: str, used: int) -> None:
        (group / names[0]).write_text(f"{most}\n")
        (group / names[1]).write_text(f"{used}\n")

    assert _group_memory(tmp_path / "groups", membership) is None
    limit(own, "1000", 400)
    assert _group_memory(tmp_path / "groups", membership) == 600
    limit(own.parent, "5000", 4900)  # shared with others
    assert _group_memory(tmp_path / "groups", membership) == 100
    limit(own, "max", 400)
    assert _group_memory(tmp_path / "groups", membership) == 100
    membership.write_text("0::/../../..\n")  # from beyond what is seen here
    assert _group_memory(tmp_path / "groups", membership) is None


def test_a_plan_keeps_under_a_containers_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's killer cannot be caught: what is planned must fit beforehand."""
    (tmp_path / "memory.max").write_text("3000000000\n")
    (tmp_path / "memory.current").write_text("400000000\n")
    monkeypatch.setattr(context, "_group_memory", partial(_group_memory, tmp_path, tmp_path / "nowhere"))
    cpu = Context(torch.device("cpu"), torch.float32)
    assert cpu.free_memory() == 2_600_000_000
    limit = cpu.memory_limit()
    assert limit is not None and limit > 2_600_000_000  # what this process has already is its own
    scale, blank = Scale(1536, 2048, 1), Picture(torch.zeros(1, 3, 16, 16))
    assert make_plan(JOB, sizes(2048, 0.75), None).bytes > limit
    (found,) = plans_of(JOB, Sources(blank, [blank]), [scale], cpu)
    assert found.tile and found.bytes <= limit
