"""The studio's order of jobs, its controls and what it exports."""

from __future__ import annotations

import io
import time
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from brushwork.errors import InputError, OutputError
from brushwork.jobs import Settings, Stylize
from brushwork.studio import controls, lessons, orders
from brushwork.studio.desk import Desk
from brushwork.studio.folder import Folder, State, Ticket, draw_id
from brushwork.studio.options import Options
from brushwork.studio.painter import Painter
from brushwork.studio.queue import Going, Queue, next_turn
from brushwork.studio.sketch import Sketches
from brushwork.studio.thumbnails import shrink
from brushwork.training.jobs import StyleNetTrain

MACHINE = {"threads": 1, "max_pixels": 10**6}


def ticket(session: str, created: float, **more: Any) -> Ticket:
    return Ticket(
        id=draw_id(),
        owner="ada",
        session=session,
        created=created,
        options={"content": "", "styles": []},
        **more,
    )


def served(tickets: list[Ticket]) -> list[str]:
    """The sessions in the order in which they have their turns."""
    waiting, turns, order = list(tickets), dict[str, float](), list[str]()
    while waiting:
        chosen = next_turn(waiting, turns)
        waiting.remove(chosen)
        turns[chosen.session] = float(len(order) + 1)
        order.append(chosen.session)
    return order


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=20))
def test_nobody_waits_for_more_than_one_turn_of_each_other(sessions: list[str]) -> None:
    order = served([ticket(session, float(i)) for i, session in enumerate(sessions)])
    assert sorted(order) == sorted(sessions)
    # Between two turns of one session every other that still waits has had its own.
    for place, session in enumerate(order):
        later = order[place + 1 :]
        if session in later:
            between = later[: later.index(session)]
            assert set(later) - {session} <= set(between)


def test_a_browsers_own_jobs_keep_their_order_and_what_was_begun_comes_first(tmp_path: Path) -> None:
    first, second = ticket("a", 1.0), ticket("a", 2.0)
    begun = ticket("b", 9.0, state="painting")
    assert next_turn([second, first], {}) == first
    assert next_turn([second, first, begun], {"b": 5.0}) == begun


def test_the_queue_is_bounded_and_no_browser_has_more_than_half(tmp_path: Path) -> None:
    queue = Queue(Folder(tmp_path / "studio"), {}, places=6)
    own = [ticket("a", float(i)) for i in range(3)]
    for each in own:
        queue.add(each)
    with pytest.raises(InputError, match="too many"):
        queue.add(ticket("a", 4.0))
    for session in "bcd":
        queue.add(ticket(session, 5.0))
    with pytest.raises(InputError, match="too many"):
        queue.add(ticket("e", 6.0))
    assert [queue.ahead(each.id) for each in own] == [0, 4, 5]
    queue.stop(own[1])
    assert queue.folder.ticket(own[1].id, "ada").state == "stopped"
    queue.add(ticket("e", 6.0))


def test_what_was_accepted_is_there_after_a_restart(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "studio")
    queue = Queue(folder, {}, places=10)
    waiting = [ticket("a", float(i)) for i in range(3)]
    for each in waiting:
        queue.add(each)
    (folder.jobs / draw_id()).mkdir()  # what a power cut may leave
    (folder.job_folder(waiting[0].id) / "ticket.json").write_text("{", encoding="utf-8")
    again = Queue(Folder(tmp_path / "studio"), {}, places=10)
    assert [again.ahead(each.id) for each in waiting[1:]] == [0, 1]


def test_a_job_that_cannot_be_painted_is_told_and_the_next_one_painted(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "studio")
    queue = Queue(folder, {"picture": Painter(folder, MACHINE)}, places=10)
    jobs = [ticket("a", 1.0), ticket("a", 2.0)]
    for each in jobs:
        queue.add(each)
    queue.start()
    end = time.monotonic() + 30
    while any(queue.folder.ticket(each.id, "ada").state != "failed" for each in jobs):
        assert time.monotonic() < end
        time.sleep(0.05)
    queue.close()
    assert "not there any more" in queue.folder.ticket(jobs[1].id, "ada").message


def test_a_full_disk_does_not_end_the_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, done, full = Folder(tmp_path / "studio"), list[str](), Event()
    keep = folder.keep

    def kept(ticket: Ticket) -> None:
        if full.is_set():
            raise OutputError("No space left on device")
        keep(ticket)

    def paint(ticket: Ticket, going: Going) -> State:
        done.append(ticket.id)
        if len(done) == 1:
            full.set()
            raise OutputError("No space left on device")
        return "done"

    monkeypatch.setattr(folder, "keep", kept)
    queue = Queue(folder, {"picture": paint}, places=10)
    first, refused, second = (ticket("a", float(i)) for i in range(3))
    queue.add(first)
    queue.start()
    while len(done) < 1 or queue.going(first.id):
        time.sleep(0.01)
    with pytest.raises(OutputError):
        queue.add(refused)
    full.clear()
    queue.add(second)
    end = time.monotonic() + 30
    while folder.ticket(second.id, "ada").state != "done":
        assert time.monotonic() < end
        time.sleep(0.01)
    queue.close()
    assert done == [first.id, second.id]  # what was refused is not done


def test_a_training_leaves_its_turn_to_a_picture_and_goes_on_after_it(tmp_path: Path) -> None:
    turns = list[str]()

    def train(ticket: Ticket, going: Going) -> State:
        turns.append("network")
        return "waiting" if len(turns) == 1 and going.give_way.wait(timeout=30) else "done"

    def paint(ticket: Ticket, going: Going) -> State:
        turns.append("picture")
        return "done"

    queue = Queue(Folder(tmp_path / "studio"), {"network": train, "picture": paint}, places=10)
    training, picture = ticket("a", 1.0, kind="network"), ticket("b", 2.0)
    queue.add(training)
    queue.start()
    end = time.monotonic() + 30
    while not turns:
        assert time.monotonic() < end
    queue.add(picture)
    while any(queue.folder.ticket(each.id, "ada").state != "done" for each in (training, picture)):
        assert time.monotonic() < end
        time.sleep(0.05)
    queue.close()
    assert turns == ["network", "picture", "network"]


def test_a_training_that_is_stopped_while_it_leaves_its_turn_is_stopped(tmp_path: Path) -> None:
    def train(ticket: Ticket, going: Going) -> State:
        going.give_way.wait(timeout=30)
        queue.stop(ticket)
        return "waiting"

    queue = Queue(Folder(tmp_path / "studio"), {"network": train, "picture": lambda *_: "done"}, places=10)
    training, picture = ticket("a", 1.0, kind="network"), ticket("b", 2.0)
    queue.add(training)
    queue.start()
    end = time.monotonic() + 30
    while not queue.going(training.id):
        assert time.monotonic() < end
    queue.add(picture)
    while queue.folder.ticket(picture.id, "ada").state != "done":
        assert time.monotonic() < end
        time.sleep(0.05)
    queue.close()
    assert queue.folder.ticket(training.id, "ada").state == "stopped"


def test_a_first_impression_is_small_and_a_thumbnail_of_any_picture(
    tmp_path: Path, photo_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Stylize(content=str(photo_file), styles=["builtin:3"], engine="feedforward", size=1500)  # pyright: ignore
    sketches = Sketches()
    found = sketches.picture(sketches.draw(job))
    assert found
    with Image.open(io.BytesIO(found)) as picture:
        assert max(picture.size) == 512
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    shrink(photo_file, tmp_path / "small.webp")
    assert (tmp_path / "small.webp").exists()


# ------------------------------------------------------------------------------------ controls, exports


def test_a_message_names_controls_and_leaves_commands_alone() -> None:
    controls = pytest.importorskip("brushwork.studio.controls")
    said = "--stroke-size 0: too small; run `brushwork doctor --fetch` or raise --size"
    assert controls.plain(said) == "stroke size 0: too small; run `brushwork doctor --fetch` or raise size"


def test_every_setting_has_a_control_with_the_fields_help_and_bounds() -> None:
    controls = pytest.importorskip("brushwork.studio.controls")
    names = {*controls.MAIN, *controls.ADVANCED}
    assert names >= Settings.model_fields.keys() - controls.UNSEEN
    assert not names & orders.MACHINE
    for name in names:
        made = controls.control(name)
        assert made.label == controls.label(name)
        assert "--" not in (made.info or "")
    strength = controls.control("strength")
    assert (strength.minimum, strength.maximum, strength.value) == (0, 1, 0.5)
    assert controls.control("color").choices[0] == ("style", "style")


def test_every_setting_of_a_training_has_a_control() -> None:
    controls = pytest.importorskip("brushwork.studio.controls")
    school = pytest.importorskip("brushwork.studio.school")
    assert {*school.NAMES} == StyleNetTrain.model_fields.keys() - lessons.HOSTS - lessons.FILES
    values = {name: controls.lesson_control(name).value for name in school.NAMES}
    assert controls.asked_lesson(values) == {}
    assert controls.asked_lesson(values | {"crop": 192, "depthwise": True}) == {
        "crop": 192,
        "depthwise": True,
    }
    assert controls.lesson_control("crop").step == 16


def test_controls_that_nobody_touched_ask_for_nothing() -> None:
    controls = pytest.importorskip("brushwork.studio.controls")
    names = (*controls.MAIN, *controls.ADVANCED)
    for recipe in ("default", "keras-example", "tf-tutorial"):
        same = orders.usual(recipe)
        values = {name: controls.shown(name, same[name]) for name in names} | {"recipe": recipe}
        asked = controls.asked(values)
        assert asked == ({} if recipe == "default" else {"recipe": recipe})
        changed = controls.asked(values | {"strength": 0.7, "style_layers": "block1_conv1:2 block2_conv1"})
        assert changed == asked | {"strength": 0.7, "style_layers": ["block1_conv1:2", "block2_conv1"]}


def test_what_was_typed_is_shown_again() -> None:
    typed = {
        "style_layers": "block1_conv1:2 block2_conv1", "content_layers": "block3_conv1", "scales": "0.25:2 1",
        "style_scales": "0.5 1", "style_rotations": "0 90",
    }  # fmt: skip
    asked = controls.asked(dict(typed))
    assert {name: controls.shown(name, value) for name, value in asked.items()} == typed


def test_exports_of_odd_names_can_be_typed(tmp_path: Path, photo_file: Path, painting_file: Path) -> None:
    desk = Desk(Options(folder=str(tmp_path / "studio")))
    ids: list[str] = []
    for file, name in ((photo_file, "-a.png"), (painting_file, "-b c.png")):
        (copy := desk.folder.incoming / file.name).write_bytes(file.read_bytes())
        ids.append(desk.upload(copy, name, "ada").id)
    options = {"content_layers": {"block4_conv2": 1}, "size": None, "style_rotations": [-90]}
    made, _ = desk.ticket(ids[0], ids[1:], options, owner="ada", session="")
    command = orders.as_command(made, desk.folder)
    assert command == (
        "brushwork stylize ./-a.png '--style=-b c.png' --content-layer block4_conv2:1 --style-rotations=-90"
    )


def test_exports_are_the_job(tmp_path: Path, photo_file: Path, painting_file: Path) -> None:
    desk = Desk(Options(folder=str(tmp_path / "studio")))
    ids: list[str] = []
    for file in (photo_file, painting_file):
        (copy := desk.folder.incoming / file.name).write_bytes(file.read_bytes())
        ids.append(desk.upload(copy, file.name, "ada").id)
    options = {
        "size": 64,
        "style_layers": ["block1_conv1:2", "block2_conv1"],
        "clip": False,
        "tileable": True,
    }
    made, job = desk.ticket(ids[0], ids[1:], options, owner="ada", session="")
    assert isinstance(job, Stylize)
    assert (job.size, job.style_layers) == (64, {"block1_conv1": 2.0, "block2_conv1": 1.0})
    assert orders.as_command(made, desk.folder) == (
        "brushwork stylize photo.png --style painting.png --size 64 --style-layer block1_conv1:2 "
        "--style-layer block2_conv1 --no-clip --tileable"
    )
    program = orders.as_python(made, desk.folder)
    assert "bw.stylize('photo.png', 'painting.png', size=64, style_layers=['block1_conv1:2'" in program
    compile(program, "program", "exec")
