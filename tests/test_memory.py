"""Memory asked before the work: what is refused, and that what is offered instead fits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from brushwork.context import Context, _group_memory  # pyright: ignore[reportPrivateUsage]
from brushwork.errors import InputError
from brushwork.jobs import Stylize
from brushwork.optimize.plan import Plan, Sizes, make_plan
from brushwork.optimize.scales import Scale

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
    assert _group_memory(tmp_path) == 100
    (limit.parent / "memory.stat").write_text(inactive)
    assert _group_memory(tmp_path) == 400
    limit.write_text("max\n")
    assert _group_memory(tmp_path) is None
