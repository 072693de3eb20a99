"""The training loop with a small task of its own: exact to resume, whatever the parts; and learners."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from brushwork.context import Context
from brushwork.errors import DivergedError, InputError
from brushwork.outputs import checkpoint
from brushwork.training.datasets import InMemory
from brushwork.training.events import Checkpoint, EpochDone, Event, Finished, Looked, Started, Stepped
from brushwork.training.learner import Learner, constant, cosine
from brushwork.training.loop import Plan, learn, train

CPU = Context(torch.device("cpu"), torch.float32)


class Denoise:
    """A task as a user writes one: take noise out of pictures."""

    name = "denoise"

    def __init__(self, rate: float = 1e-2, average: float = 0.0, noise: float = 0.3) -> None:
        self._noise = noise
        self.network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 1, 3, padding=1))
        optimizer = torch.optim.Adam(self.network.parameters(), rate)
        self.learners: Mapping[str, Learner] = {
            "network": Learner(self.network, optimizer, schedule=cosine(40, warmup=3), average=average)
        }
        self.steps = (self.step,)

    def step(self, batch: Tensor) -> Mapping[str, Tensor]:
        noisy = batch + self._noise * torch.randn_like(batch)
        loss = (self.network(noisy) - batch).square().mean()
        self.learners["network"].minimise(loss)
        return {"loss": loss.detach()}

    def look(self, *, epoch_end: bool) -> Mapping[str, Tensor]:
        return {"random": torch.rand(1, 1, 6, 6)}


def pictures(count: int = 22) -> Tensor:
    return torch.randint(0, 256, (count, 1, 6, 6), generator=torch.Generator().manual_seed(1)).byte()


def made(seed: int = 5, **options: Any) -> Denoise:
    torch.manual_seed(seed)
    return Denoise(**options)


def ran(task: Denoise, state: dict[str, Any] | None = None, *, epochs: int = 3) -> list[Event]:
    plan = Plan(epochs, seed=7, look_every=2)
    return list(train(task, InMemory(pictures(), 8, 7), plan, CPU, state))


def weights(task: Denoise) -> list[Tensor]:
    return [p.detach().clone() for p in task.network.parameters()]


def test_events_count_up_and_the_last_batch_is_small() -> None:
    events = ran(made())
    started, finished = events[0], events[-1]
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert (started.steps_per_epoch, started.pictures, started.step) == (3, 22, 0)
    assert [e.step for e in events if isinstance(e, Stepped)] == list(range(1, 10))
    assert [e.step for e in events if isinstance(e, Looked)] == [2, 3, 4, 6, 8, 9]
    assert [e.epoch for e in events if isinstance(e, EpochDone)] == [1, 2, 3]
    last = [e.losses["loss"] for e in events if isinstance(e, Stepped)][-3:]
    assert finished.means["loss"] == pytest.approx(sum(last) / 3)


def test_every_picture_is_seen_once_an_epoch_in_another_order() -> None:
    batches = InMemory(torch.arange(22).byte().view(22, 1, 1, 1), 8, 7)
    orders = [torch.cat(list(batches.epoch(n, 0))).mul(255).round().flatten().tolist() for n in range(2)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(22))
    assert orders[0] != orders[1]
    late = torch.cat(list(batches.epoch(1, 2))).mul(255).round().flatten().tolist()
    assert late == orders[1][16:]


@pytest.mark.parametrize("stop", [1, 3, 4, 8])
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_resuming_gives_the_same_bits(stop: int, average: float, tmp_path: Any) -> None:
    whole = made(average=average)
    losses = [e.losses for e in ran(whole) if isinstance(e, Stepped)]
    first = made(average=average)
    plan = Plan(3, seed=7, look_every=2)
    for event in train(first, InMemory(pictures(), 8, 7), plan, CPU):
        if isinstance(event, Checkpoint) and event.step == stop:
            checkpoint.save(tmp_path / "state", event.state())
            break
    torch.manual_seed(99)
    second = made(99, average=average)
    events = ran(second, checkpoint.load(tmp_path / "state"))
    assert [e.losses for e in events if isinstance(e, Stepped)] == losses[stop:]
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(second), strict=True))
    with whole.learners["network"].averaged(), second.learners["network"].averaged():
        assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(second), strict=True))


@pytest.mark.parametrize("count", [3, 8, 16, 22, 40])
@pytest.mark.parametrize("stop", [1, 2, 4])
def test_it_goes_on_with_more_or_fewer_pictures(count: int, stop: int) -> None:
    """From step ``stop`` of three epochs of three: the epoch that it is in ends, the others follow."""
    plan = Plan(3, seed=7)
    begun = train(made(), InMemory(pictures(), 8, 7), plan, CPU)
    state = next(e.state() for e in begun if isinstance(e, Checkpoint) and e.step == stop)
    batches = InMemory(pictures(count), 8, 7)
    events = list(train(made(), batches, plan, CPU, state))
    epochs, within = divmod(stop, 3)
    expected = max(0, batches.steps - within) + (2 - epochs) * batches.steps
    assert len([e for e in events if isinstance(e, Stepped)]) == expected
    assert isinstance(events[-1], Finished)
    by_steps = list(train(made(), batches, Plan(99, seed=7, steps=9), CPU, state))
    assert len([e for e in by_steps if isinstance(e, Stepped)]) == 9 - stop


def test_nothing_is_left_of_a_finished_training() -> None:
    task = made()
    states = [e.state() for e in ran(task, epochs=1) if isinstance(e, Checkpoint)]
    again = ran(made(), states[-1], epochs=1)
    assert [type(e) for e in again] == [Started, Finished]
    assert again[-1].means == ran(made(), epochs=1)[-1].means  # pyright: ignore[reportAttributeAccessIssue]


@given(st.integers(1, 9))
@settings(deadline=None, max_examples=10)
def test_a_batch_in_parts_gives_the_same_step(parts: int) -> None:
    whole, split = made(noise=0.0), made(noise=0.0)
    batch = pictures(9).float() / 255
    one, two = learn(whole, batch, 1, CPU), learn(split, batch, parts, CPU)
    assert one["loss"] == pytest.approx(two["loss"], rel=1e-5)
    assert split.learners["network"].steps == 1
    for a, b in zip(weights(whole), weights(split), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_the_running_mean_is_first_a_plain_mean() -> None:
    task = made(average=0.99)
    seen = [weights(task)]
    for _ in range(3):
        learn(task, pictures(8).float() / 255, 1, CPU)
        seen.append(weights(task))
    with task.learners["network"].averaged():
        for i, mean in enumerate(weights(task)):
            torch.testing.assert_close(mean, torch.stack([each[i] for each in seen]).mean(0))
    assert all(torch.equal(a, b) for a, b in zip(weights(task), seen[-1], strict=True))


def test_a_loss_is_minimised_for_its_own_network_only() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    learner = Learner(first, torch.optim.SGD(first.parameters(), 0.1))
    before = second.weight.detach().clone()
    learner.minimise(second(first(torch.ones(1, 2))).sum())
    assert torch.equal(second.weight, before)
    assert second.weight.grad is None


def test_schedules() -> None:
    factor = cosine(100, warmup=10)
    assert [round(factor(step), 3) for step in (0, 9, 10, 55, 100, 500)] == [0.1, 1.0, 1.0, 0.5, 0.0, 0.0]
    assert constant(10**6) == 1
    task = made()
    learn(task, pictures(8).float() / 255, 1, CPU)
    assert task.learners["network"].optimizer.param_groups[0]["lr"] == pytest.approx(1e-2 / 3)


def test_clipping_bounds_the_step() -> None:
    network = nn.Linear(2, 1)
    learner = Learner(network, torch.optim.SGD(network.parameters(), 1.0), clip=0.5)
    before = torch.cat([p.detach().flatten().clone() for p in network.parameters()])
    learner.minimise(1e3 * network(torch.ones(1, 2)).sum())
    after = torch.cat([p.detach().flatten() for p in network.parameters()])
    assert float((after - before).norm()) == pytest.approx(0.5, rel=1e-3)


def test_divergence_names_the_loss_and_the_step() -> None:
    task = made(noise=math.inf)
    with pytest.raises(DivergedError, match=r"step 1: loss became nan.*lower rate"):
        ran(task)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"task": "gan"}, "task 'gan'"), ({"version": 99}, "version 99"), ({"learners": {}}, "another network")],
)
def test_a_strange_checkpoint_is_refused(change: dict[str, Any], words: str) -> None:
    state = next(e for e in ran(made(), epochs=1) if isinstance(e, Checkpoint)).state()
    with pytest.raises(InputError, match=words):
        ran(made(), state | change)


def test_a_training_told_in_steps_ends_within_an_epoch_and_resumes() -> None:
    def stepped(state: dict[str, Any] | None = None) -> tuple[Denoise, list[Event], list[dict[str, Any]]]:
        task = made()
        plan = Plan(9, seed=7, steps=7, look_every=4, look_at_epochs=False)
        events, states = list[Event](), list[dict[str, Any]]()
        for event in train(task, InMemory(pictures(), 8, 7), plan, CPU, state):
            events.append(event)
            if isinstance(event, Checkpoint) and event.step == 5:
                saved = event.state()
                states.append(checkpointed(saved))
        return task, events, states

    task, events, states = stepped()
    started, finished = events[0], events[-1]
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert (started.steps, started.is_in_epochs, finished.step) == (7, False, 7)
    assert [event.step for event in events if isinstance(event, Looked)] == [4, 7]
    assert [event.epoch for event in events if isinstance(event, EpochDone)] == [1, 2]
    again, resumed, _ = stepped(states[0])
    assert all(torch.equal(a, b) for a, b in zip(weights(task), weights(again), strict=True))
    last = resumed[-1]
    assert isinstance(last, Finished)
    assert last.means == finished.means


def checkpointed(state: dict[str, Any]) -> dict[str, Any]:
    """A state as a file keeps it."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Path(folder) / "state", state)
        return checkpoint.load(Path(folder) / "state")


class Rising(Denoise):
    """Its loss falls, then rises far."""

    done = 0

    def step(self, batch: Tensor) -> Mapping[str, Tensor]:
        self.done += 1
        return {"loss": torch.tensor(max(1.0, self.done - 120.0))}


def test_a_loss_that_runs_away_ends_the_training() -> None:
    torch.manual_seed(0)
    events = train(Rising(), InMemory(pictures(), 8, 7), Plan(200, runaway=3.0), CPU)
    with pytest.raises(DivergedError, match=r"loss has risen from 1 to 3.* does not come back"):
        list(events)
    patient = list(train(Rising(), InMemory(pictures(), 8, 7), Plan(60), CPU))
    assert isinstance(patient[-1], Finished)
