"""Memory asked before the work: what is refused, and that what is offered instead fits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brushwork.context import Context, _group_memory  # pyright: ignore[reportPrivateUsage]
from brushwork.errors import InputError
from brushwork.jobs import Settings
from brushwork.optimize.memory import check_memory, needed
from brushwork.optimize.scales import Scale


@given(st.integers(1000, 60000), st.floats(0.05, 1), st.integers(1_000_000_000, 100_000_000_000))
def test_the_size_that_is_offered_fits(long_side: int, aspect: float, free: int) -> None:
    scale, settings = Scale(round(long_side * aspect), long_side, 1), Settings()
    if needed(settings, scale.height * scale.width) <= free:
        check_memory(settings, scale, free)
        return
    with pytest.raises(InputError, match=r"GB of memory and .* GB are free: give --size \d+ or") as caught:
        check_memory(settings, scale, free)
    found = re.search(r"--size (\d+)", str(caught.value))
    assert found
    smaller = int(found[1])
    assert needed(settings, round(smaller * aspect) * smaller) <= free * 1.01  # the short side is rounded


def test_unknown_free_memory_refuses_nothing() -> None:
    check_memory(Settings(), Scale(60000, 60000, 1), None)


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
