"""Jobs: to JSON and back, frozen, checked; recipes beneath explicit options."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from brushwork.encoders import LAYERS
from brushwork.errors import InputError
from brushwork.fields import build, flag
from brushwork.idle import OPTIMIZERS
from brushwork.jobs import Export, Settings, Stylize, merge
from brushwork.recipes import Recipe, names, read_recipe
from brushwork.styles import Style, is_network

OWN = ("default", "draft", "fine", "photo-safe")
PUBLISHED = ("course", "keras-example", "tf-blog", "tf-tutorial")


def job_of(**options: Any) -> Stylize:
    return build(Stylize, {"content": "photo.jpg", "styles": ["art.jpg"], **options})


def refused(**options: Any) -> str:
    """The one line that says why."""
    with pytest.raises(InputError) as caught:
        job_of(**options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def recipe_file(folder: Path, text: str, name: str = "mine.toml") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


# ------------------------------------------------------------------------------------ to JSON and back

positive = st.floats(1e-12, 1e12)
weights = st.floats(0, 1e12)
words = st.text(min_size=1)
paintings = words.filter(lambda word: not is_network(word))
layers = st.dictionaries(st.sampled_from(LAYERS), weights, min_size=1)


def choices(field: str) -> st.SearchStrategy[Any]:
    return st.sampled_from(get_args(Settings.model_fields[field].annotation))


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "size": st.integers(16, 65536) | st.just("original"),
    "rows": st.none() | st.integers(16, 65536),
    "strength": st.floats(0, 1),
    "stroke_size": st.floats(10, 1000),
    "style_scales": st.lists(st.floats(0.1, 10), min_size=1, max_size=3).map(tuple),
    "style_rotations": st.lists(st.floats(-360, 360), min_size=1, max_size=3).map(tuple),
    "color_amount": st.floats(0, 1),
    "content_weight": weights,
    "style_weight": weights,
    "tv_weight": weights,
    "content_layers": layers,
    "style_layers": layers,
    "learning_rate": positive,
    "decay_rate": st.floats(1e-9, 1),
    "decay_steps": st.integers(1, 10**9),
    "beta1": st.floats(0, 1, exclude_max=True),
    "beta2": st.floats(0, 1, exclude_max=True),
    "epsilon": positive,
    "history": st.integers(1, 200),
    "first_step": st.floats(1e-9, 1),
    "steps": st.integers(1, 10**6),
    "coarsest": st.integers(16, 65536),
    "scales": st.dictionaries(st.floats(1e-6, 1), positive, min_size=1),
    "init": words,
    "clip": st.booleans(),
    "style_enlarge": st.booleans(),
    "style_detail": st.booleans(),
    "tileable": st.booleans(),
    "snapshot_every": st.none() | st.integers(1, 10**6),
    "snapshot_offset": st.integers(0, 10**6),
    "snapshot_start": st.booleans(),
    "content": words,
    "styles": st.lists(st.builds(Style, path=paintings, weight=positive), min_size=1, max_size=4),
    "engine": st.just("optimize"),  # the other refuses most of the rest
    "backend": st.sampled_from(["auto", "torch", "onnxruntime"]),
    "recipe": st.sampled_from(names()),
    "device": st.sampled_from(["auto", "cpu", "cpu,cpu", "mps", "cuda", "cuda:7,cuda:0"]),
    "precision": st.sampled_from(["auto", "float32", "bfloat16"]),
    "init_noise": st.floats(0, 1),
    "seed": st.integers(0, 2**63 - 1),
    "memory": st.none() | st.integers(500_000_000, 10**15),
    "tile": st.none() | st.integers(64, 8192),
    "threads": st.none() | st.integers(1, 1024),
    "weights": st.none() | words,
    "max_pixels": st.integers(1, 10**12),
    **{
        name: choices(name)
        for name in (
            *("color", "content_loss", "style_loss", "style_unit", "tv_loss", "units", "optimizer"),
            *("adam", "padding", "pooling", "keep", "resize", "size_rounding", "style_shape", "style_margin"),
            "rounding",
        )
    },
}  # fmt: skip
EPOCHS = {"epochs": st.integers(1, 10**6), "steps_per_epoch": st.integers(1, 10**6)}


def test_one_pass_takes_what_it_looks_at() -> None:
    job = job_of(engine="feedforward", size=64, strength=0.3, color="lock", seed=3, recipe="draft")
    assert Stylize.from_json(job.to_json()) == job
    assert (job.strength, job_of(engine="feedforward").strength) == (0.3, 1)
    assert "--tv-weight says how pixels are optimised" in refused(engine="feedforward", tv_weight=1)
    palette = {"engine": "feedforward", "color": "palette"}
    assert "--color palette says how pixels are optimised" in refused(**palette)
    assert job_of(styles=["builtin:7", "builtin:3:2"], engine="feedforward").styles == (
        Style(path="builtin:7"),
        Style(path="builtin:3", weight=2),
    )


def test_every_field_is_drawn() -> None:
    assert FIELDS.keys() | EPOCHS.keys() == set(Stylize.model_fields)


@given(st.fixed_dictionaries({}, optional=FIELDS), st.none() | st.fixed_dictionaries(EPOCHS))
@settings(deadline=None, max_examples=100)
def test_a_job_goes_to_json_and_back(options: dict[str, Any], epochs: dict[str, Any] | None) -> None:
    mover = job_of(**{name: options[name] for name in ("recipe", "optimizer") if name in options}).optimizer
    options = {name: value for name, value in options.items() if mover in OPTIMIZERS.get(name, (mover,))}
    if options.get("init", "content") != "content":
        options.pop("init_noise", None)
    job = job_of(**options, **(epochs or {}))
    text = job.to_json()
    again = Stylize.from_json(text)
    assert again == job
    assert again.to_json() == text
    assert set(json.loads(text)) == set(Stylize.model_fields)  # every setting is stated
    for name, value in options.items():
        assert getattr(job, name) == (tuple(value) if name == "styles" else value)


def test_a_whole_job_needs_no_recipe_file(tmp_path: Path) -> None:
    file = recipe_file(tmp_path, "size = 99")
    job = job_of(recipe=file)
    Path(file).unlink()
    assert Stylize.from_json(job.to_json()) == job


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", '{"content": "a"}', '"job"'])
def test_what_is_no_job_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Stylize.from_json(text)


def test_a_job_cannot_change() -> None:
    job = job_of()
    for owner, name in ((job, "size"), (job, "more"), (job.styles[0], "weight")):
        with pytest.raises(ValidationError):
            setattr(owner, name, 5)
    assert job == job_of()
    assert job != job_of(size=64)


# --------------------------------------------------------------------------------------------- refusals


def test_an_unknown_key_is_refused() -> None:
    assert "there is no setting 'colour'" in refused(colour="red")
    assert "there is no setting 'mask'" in refused(styles=[{"path": "a.jpg", "mask": "b.png"}])
    assert "there is no setting 'metrics'" in refused(**json.loads(job_of().to_json()), metrics=1)


BOUNDS: list[tuple[str, Any, str]] = [
    ("size", 15, "16"),
    ("size", 65537, "65536"),
    ("size", "huge", "'original'"),
    ("rows", 15, "16"),
    ("rows", 65537, "65536"),
    ("strength", -0.1, "0"),
    ("strength", 1.1, "1"),
    ("strength", float("nan"), "1"),
    ("stroke_size", 9, "10"),
    ("stroke_size", 1001, "1000"),
    ("color", "sepia", "'style', 'palette', 'content', 'luminance', 'match', 'histogram' or 'lock'"),
    ("color_amount", 1.1, "1"),
    ("color_amount", -0.1, "0"),
    ("content_weight", -1, "0"),
    ("content_weight", float("inf"), "finite"),
    ("style_weight", -1, "0"),
    ("style_weight", float("nan"), "finite"),
    ("tv_weight", -1, "0"),
    ("content_loss", "max", "'mean', 'sum', 'half-sum' or 'relative'"),
    ("style_loss", "w9", "'sliced' or 'nearest'"),
    ("tv_loss", "l3", "'l1', 'keras' or 'mean'"),
    ("units", 100, "1 or 255"),
    ("optimizer", "adagrad", "'lbfgs', 'adam' or 'sgd'"),
    ("learning_rate", 0, "0"),
    ("learning_rate", float("inf"), "finite"),
    ("decay_rate", 0, "0"),
    ("decay_rate", 1.1, "1"),
    ("decay_steps", 0, "1"),
    ("beta1", -0.1, "0"),
    ("beta1", 1, "1"),
    ("beta2", 1, "1"),
    ("epsilon", 0, "0"),
    ("epsilon", float("inf"), "finite"),
    ("adam", "keras", "'torch' or 'tensorflow'"),
    ("history", 0, "1"),
    ("history", 201, "200"),
    ("first_step", 0, "0"),
    ("first_step", 1.1, "1"),
    ("steps", 0, "1"),
    ("steps", 1_000_001, "1000000"),
    ("steps", 1.5, "integer"),
    ("epochs", 0, "1"),
    ("steps_per_epoch", 0, "1"),
    ("init", "", "is empty"),
    ("pooling", "sum", "'max' or 'avg'"),
    ("clip", "perhaps", "boolean"),
    ("style_enlarge", "often", "boolean"),
    ("style_detail", "much", "boolean"),
    ("keep", "worst", "'last', 'best' or 'after-best'"),
    ("resize", "cubic", "'nearest', 'bilinear', 'bicubic', 'lanczos', 'lanczos8' or 'area'"),
    ("size_rounding", "ceil", "'round' or 'floor'"),
    ("style_shape", "square", "'own' or 'photo'"),
    ("style_margin", "cut", "'keep' or 'crop'"),
    ("rounding", "up", "'round' or 'truncate'"),
    ("snapshot_every", 0, "1"),
    ("snapshot_offset", -1, "0"),
    ("content", "", "is empty"),
    ("recipe", 5, "string"),
    ("device", "gpu", "cuda"),
    ("precision", "float16", "'auto', 'float32' or 'bfloat16'"),
    ("seed", -1, "0"),
    ("memory", 1000, "500000000"),
    ("memory", "4XB", "4GB"),
    ("tile", 8, "64"),
    ("threads", 0, "1"),
    ("threads", 1025, "1024"),
    ("max_pixels", 0, "1"),
]


@pytest.mark.parametrize(("field", "value", "limit"), BOUNDS)
def test_a_value_out_of_bounds_is_refused(field: str, value: Any, limit: str) -> None:
    """The message names the flag, the value and the limit."""
    message = refused(**{field: value})
    assert f"{flag(field)} {value}".strip() + ": " in message
    assert limit in message.partition(": ")[2]


def test_a_wrong_item_is_told_and_not_that_the_rest_is_empty() -> None:
    assert refused(style_scales=["0"]) == "--style-scales 0: should be greater than or equal to 0.1"


def test_bounds_themselves_are_allowed() -> None:
    for field, value in {
        "size": 16, "rows": 65536, "strength": 0, "stroke_size": 1000, "tv_weight": 0, "beta1": 0,
        "decay_rate": 1, "history": 200, "first_step": 1, "steps": 1_000_000, "seed": 2**63 - 1,
    }.items():  # fmt: skip
        mover = {"optimizer": OPTIMIZERS[field][0]} if field in OPTIMIZERS else {}
        assert getattr(job_of(**{field: value}, **mover), field) == value


@pytest.mark.parametrize("field", OPTIMIZERS)
def test_an_option_that_the_optimizer_does_not_look_at_is_refused(field: str) -> None:
    whole = {"adam": "torch", "decay_steps": 1, "history": 1}
    value: Any = whole.get(field, 0.5)
    for mover in ("lbfgs", "adam", "sgd"):
        if mover in OPTIMIZERS[field]:
            assert getattr(job_of(optimizer=mover, **{field: value}), field) == value
        else:
            complaint = refused(optimizer=mover, **{field: value})
            assert complaint.startswith(f"{flag(field)} is for {OPTIMIZERS[field][0]}")
            assert f"{mover} moves these pixels" in complaint


def test_a_recipe_may_name_what_its_optimizer_does_without(tmp_path: Path) -> None:
    assert job_of(recipe=recipe_file(tmp_path, "learning_rate = 0.5")).optimizer == "lbfgs"
    assert "--learning-rate is for adam" in refused(recipe="default", learning_rate=0.5)
    assert job_of(recipe="tf-blog", learning_rate=0.5).learning_rate == 0.5


def test_noise_is_for_starts_from_the_photo(tmp_path: Path) -> None:
    own = recipe_file(tmp_path, 'init = "noise"')
    assert "not from noise: leave it out" in refused(recipe=own, init_noise=0.1)
    for init in ("noise", "style", "mine.png"):
        assert f"not from {init}: leave it out" in refused(init=init, init_noise=0.1)
        assert job_of(init=init, init_noise=0).init == init
        assert job_of(init=init).init_noise == 0.01  # the recipe's, which such a start does without
    assert job_of(init="content", init_noise=0.1).init_noise == 0.1


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InputError, match="--content: Field required"):
        build(Stylize, {"styles": ["a.jpg"]})
    with pytest.raises(InputError, match="--style: Field required"):
        build(Stylize, {"content": "a.jpg"})
    assert refused(styles=[]).startswith("--style ")


def test_epochs_and_their_steps_go_together() -> None:
    for options in ({"epochs": 2}, {"steps_per_epoch": 2}):
        assert "epochs and steps_per_epoch go together" in refused(**options)
    assert job_of(epochs=3, steps_per_epoch=7).evaluations == 21
    assert job_of(steps=5).evaluations == 5


def test_several_problems_are_told_at_once() -> None:
    message = refused(steps=0, strength=7)
    assert "--steps 0: " in message
    assert "--strength 7: " in message


# ----------------------------------------------------------------------------------------------- recipes


def test_the_built_in_recipes() -> None:
    assert names() == sorted([*OWN, *PUBLISHED], key=lambda name: (name != "default", name))


@pytest.mark.parametrize("name", [*OWN, *PUBLISHED])
def test_a_built_in_recipe_builds(name: str) -> None:
    recipe, job = read_recipe(name), job_of(recipe=name)
    assert recipe.name == name
    assert recipe.description
    assert recipe.source or name in OWN[1:]
    assert set(recipe.settings) <= set(Settings.model_fields)
    for setting, value in recipe.settings.items():
        if setting != "scales":
            assert getattr(job, setting) == value, setting
    assert tomllib.loads(recipe.text)["description"] == recipe.description


def test_the_published_numbers() -> None:
    keras, blog, tutorial, course = (
        job_of(recipe=name) for name in ("keras-example", "tf-blog", "tf-tutorial", "course")
    )
    assert (keras.rows, keras.evaluations, keras.clip, keras.optimizer) == (400, 4000, False, "sgd")
    assert (blog.evaluations, blog.clip, blog.keep, blog.learning_rate) == (1000, True, "after-best", 5)
    assert (tutorial.evaluations, tutorial.clip, tutorial.units, tutorial.tv_weight) == (1000, True, 1, 30)
    assert (course.evaluations, course.clip, course.units, course.tv_weight) == (1000, True, 255, 0)
    for job in (keras, blog, tutorial, course):
        assert job.content_layers == {"block5_conv2": 1}
        assert job.style_layers == {f"block{block}_conv1": 0.2 for block in range(1, 6)}
        assert (job.pooling, job.init, job.rounding) == ("max", "content", "truncate")
        assert (job.padding, job.init_noise) == ("zeros", 0)


def test_the_numbers_of_brushworks_own_recipes() -> None:
    """What was found by experiment: a change of one is a change of every picture."""
    default, draft, fine, safe = (job_of(recipe=name) for name in OWN)
    first_of_each = {f"block{block}_conv1": 0.2 for block in range(1, 6)}
    for job in (default, draft, fine, safe):
        assert (job.size, job.optimizer, job.pooling, job.padding) == (512, "lbfgs", "max", "repeat")
        assert (job.style_margin, job.style_enlarge, job.style_detail) == ("crop", False, True)
        assert (job.content_loss, job.style_loss, job.style_unit) == ("relative", "covariance", "photo")
        assert (job.content_layers, job.style_weight) == ({"block4_conv2": 1}, 1)
        assert (job.tv_loss, job.tv_weight, job.coarsest, job.clip) == ("mean", 1, 128, False)
        assert job.snapshot_every == 10
    assert (default.init, default.color, default.content_weight) == ("recolored", "palette", 0.5)
    assert (default.init_noise, draft.init_noise, fine.init_noise, safe.init_noise) == (0.01, 0.005, 0.01, 0)
    assert (default.keep, default.steps, default.history) == ("best", 36, 20)
    assert default.style_layers == first_of_each
    assert default.scales == {1 / 32: 10, 1 / 16: 10, 1 / 8: 10, 1 / 4: 10, 1 / 2: 12, 1: 14}
    assert (draft.keep, draft.steps) == ("after-best", 10)
    assert draft.scales == {1 / 32: 4, 1 / 16: 4, 1 / 8: 4, 1 / 4: 4, 1 / 2: 4, 1: 2}
    assert (fine.keep, fine.steps, fine.history) == ("best", 234, 40)
    assert fine.scales == {1 / 32: 40, 1 / 16: 40, 1 / 8: 40, 1 / 4: 40, 1 / 2: 70, 1: 124}
    twice = ("1_conv1", "1_conv2", "2_conv1", "2_conv2", "3_conv1", "3_conv4", "4_conv1", "4_conv4")
    assert fine.style_layers == {f"block{name}": 0.1 for name in twice} | {"block5_conv1": 0.2}
    assert (safe.init, safe.color, safe.content_weight) == ("content", "content", 2)
    for job, own in (
        (draft, {"keep", "steps", "scales", "init_noise"}),
        (fine, {"style_layers", "history", "steps", "scales"}),
        (safe, {"content_weight", "color", "init", "init_noise"}),
    ):
        same = Settings.model_fields.keys() - own
        assert job.model_dump(include=same) == default.model_dump(include=same)


def test_explicit_options_lie_over_the_recipe_and_that_over_the_defaults() -> None:
    plain = Settings()
    recipe = job_of(recipe="tf-blog")
    assert (plain.beta1, recipe.beta1, job_of(recipe="tf-blog", beta1=0.5).beta1) == (0.9, 0.99, 0.5)
    assert recipe.history == plain.history  # which the recipe does not mention
    own = job_of(recipe="tf-blog", style_layers={"block1_conv1": 2.0})
    assert own.style_layers == {"block1_conv1": 2.0}  # replaced, not mixed
    assert job_of() == job_of(recipe="default")


def test_an_explicit_size_unsets_the_recipes_rows() -> None:
    assert job_of(recipe="keras-example").rows == 400
    job = job_of(recipe="keras-example", size=300)
    assert (job.size, job.rows) == (300, None)
    assert job_of(recipe="keras-example", size=300, rows=200).rows == 200
    assert job_of(recipe="keras-example", steps=3).rows == 400


def test_explicit_steps_unset_the_recipes_epochs() -> None:
    assert job_of(recipe="course").epochs == 10
    job = job_of(recipe="course", steps=7)
    assert (job.epochs, job.steps_per_epoch, job.evaluations) == (None, None, 7)
    assert job_of(recipe="course", epochs=2).evaluations == 200
    assert job_of(recipe="course", size=64).evaluations == 1000


def test_merge_leaves_its_inputs_alone() -> None:
    recipe, explicit = {"rows": 400, "clip": True}, {"size": 64}
    assert merge(recipe, explicit) == {"clip": True, "size": 64}
    assert (recipe, explicit) == ({"rows": 400, "clip": True}, {"size": 64})


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    text = 'description = "Bold — très gras"\nsteps = 7\nscales = { "0.5" = 1, "1" = 3 }\n'
    file = recipe_file(tmp_path, text)
    job = job_of(recipe=file)
    assert (job.steps, job.scales, job.recipe) == (7, {0.5: 1.0, 1.0: 3.0}, file)
    assert job.strength == Settings().strength
    assert job_of(recipe=file, steps=9).steps == 9
    assert read_recipe(file) == Recipe(
        "mine", "Bold — très gras", "", {"steps": 7, "scales": {"0.5": 1, "1": 3}}, text
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_printed_recipe_is_a_recipe_of_ones_own(name: str, tmp_path: Path) -> None:
    file = recipe_file(tmp_path, read_recipe(name).text)
    built_in, own = job_of(recipe=name), job_of(recipe=file)
    assert own.model_copy(update={"recipe": name}) == built_in


def test_a_recipe_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.toml")
    assert refused(recipe=missing).startswith(f"{missing}: No such file")
    (tmp_path / "folder.toml").mkdir()
    assert "folder.toml: Is a directory" in refused(recipe=str(tmp_path / "folder.toml"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    assert "bytes.toml: not text" in refused(recipe=str(tmp_path / "bytes.toml"))
    assert "recipe mine: " in refused(recipe=recipe_file(tmp_path, "steps == 7"))
    assert "there is no setting 'stepz': is steps meant?" in refused(
        recipe=recipe_file(tmp_path, "stepz = 7")
    )
    assert "--steps 0: " in refused(recipe=recipe_file(tmp_path, "steps = 0"))
    assert "--steps many: " in refused(recipe=recipe_file(tmp_path, 'steps = "many"'))
    named = refused(recipe="tf-blogg")
    assert "no recipe 'tf-blogg': choose from default, course, " in named
    assert ".toml" in named


# ------------------------------------------------------------------------------------ styles and layers


@pytest.mark.parametrize(
    ("text", "path", "weight"),
    [
        ("art.jpg", "art.jpg", 1),
        ("art.jpg:2", "art.jpg", 2),
        ("art.jpg:0.25", "art.jpg", 0.25),
        ("art.jpg:1e3", "art.jpg", 1000),
        (r"C:\art.jpg", r"C:\art.jpg", 1),
        (r"C:\art.jpg:3", r"C:\art.jpg", 3),
        ("a:b.jpg", "a:b.jpg", 1),
        ("a:b.jpg:4", "a:b.jpg", 4),
        ("10:30.jpg", "10:30.jpg", 1),
        ("noon 12:30", "noon 12", 30),  # a name that ends so is given with its weight:
        ("noon 12:30:1", "noon 12:30", 1),
        ("https://host/art.jpg", "https://host/art.jpg", 1),
        ("art.jpg:", "art.jpg:", 1),
        (":2", ":2", 1),
    ],
)
def test_a_style_is_a_path_and_perhaps_a_weight(text: str, path: str, weight: float) -> None:
    assert job_of(styles=[text]).styles == (Style(path=path, weight=weight),)
    assert job_of(styles=text).styles == job_of(styles=[text]).styles


def test_styles_keep_their_order() -> None:
    styles = job_of(styles=["b.jpg:2", Style(path="a.jpg"), {"path": "c.jpg", "weight": 3}]).styles
    assert [(style.path, style.weight) for style in styles] == [("b.jpg", 2), ("a.jpg", 1), ("c.jpg", 3)]


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf"])
def test_a_style_weight_is_above_0(weight: str) -> None:
    message = refused(styles=[f"art.jpg:{weight}"])
    assert f"style weight '{weight}' of 'art.jpg:{weight}' is not above 0" in message


@pytest.mark.parametrize("styles", [[""], "", 5, [5], [None], [{"weight": 2}], [{"path": ""}]])
def test_what_is_no_style_is_refused(styles: Any) -> None:
    assert "style" in refused(styles=styles)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["block1_conv1"], {"block1_conv1": 1}),
        ("block4_pool", {"block4_pool": 1}),
        (["block1_conv1:2", "block5_conv4:0.5"], {"block1_conv1": 2, "block5_conv4": 0.5}),
        (("block1_conv2:1e-3",), {"block1_conv2": 1e-3}),
        ({"block3_conv4": 7}, {"block3_conv4": 7}),
        (["block1_conv1:0"], {"block1_conv1": 0}),
    ],
)
@pytest.mark.parametrize("field", ["content_layers", "style_layers"])
def test_layers_are_names_and_perhaps_weights(field: str, value: Any, expected: dict[str, float]) -> None:
    assert getattr(job_of(**{field: value}), field) == expected


def test_every_layer_of_the_network_can_be_named_and_no_other() -> None:
    assert job_of(style_layers=list(LAYERS)).style_layers == dict.fromkeys(LAYERS, 1.0)
    for name in ("block0_conv1", "block1_conv3", "block2_conv4", "block3_conv5", "block6_pool", "relu4_2"):
        message = refused(style_layers=[name])
        assert message.startswith(f"--style-layer {name}")
        assert "no layer of VGG19" in message


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (["block1_conv1:-1"], "0"),
        (["block1_conv1:inf"], "finite"),
        (["block1_conv1:heavy"], "number"),
        ([], "1"),
        (7, "dictionary"),
    ],
)
def test_layers_that_cannot_be_used_are_refused(value: Any, part: str) -> None:
    message = refused(content_layers=value)
    assert message.startswith("--content-layer ")
    assert part in message


@pytest.mark.parametrize("value", [["0:1"], ["1.5"], ["0.5:0"], ["0.5:inf"], ["half"], []])
def test_scales_that_cannot_be_used_are_refused(value: Any) -> None:
    assert refused(scales=value).startswith("--scales ")
    assert job_of(scales=["0.5:2", "1"]).scales == {0.5: 2.0, 1.0: 1.0}


def test_flags_are_singular_where_they_are_repeated() -> None:
    assert [flag(name) for name in ("styles", "style_layers", "content_layers", "tv_weight")] == [
        *("--style", "--style-layer", "--content-layer", "--tv-weight")
    ]


def test_settings_that_go_with_an_optimizer(tmp_path: Path) -> None:
    """They count when the user asks for it, below what else is typed."""
    file = recipe_file(tmp_path, 'optimizer = "sgd"\nsteps = 9\n[with.lbfgs]\nsteps = 5\nhistory = 3')
    assert (job_of(recipe=file).steps, job_of(recipe=file).history) == (9, 20)
    assert job_of(recipe=file, optimizer="adam").steps == 9
    assert (job_of(recipe=file, optimizer="lbfgs").steps, job_of(recipe=file, optimizer="lbfgs").history) == (
        5,
        3,
    )
    assert job_of(recipe=file, optimizer="lbfgs", steps=7).steps == 7
    assert "[with.lbfgs]" in refused(recipe=recipe_file(tmp_path, "with = 3", "bad.toml"))


def test_a_recipe_on_top_of_another(tmp_path: Path) -> None:
    """``base`` names a built-in recipe whose settings hold where the file says nothing."""
    job = job_of(recipe=recipe_file(tmp_path, 'base = "tf-blog"\nsteps = 3'))
    assert (job.steps, job.optimizer, job.learning_rate) == (3, "adam", 5.0)
    assert "'nope' is none of default, course" in refused(
        recipe=recipe_file(tmp_path, 'base = "nope"', "bad.toml")
    )
    assert job_of(recipe="draft").content_weight == job_of().content_weight


def test_a_recipe_on_top_of_another_overrides_as_options_do(tmp_path: Path) -> None:
    def on_top(base: str, text: str, **options: Any) -> Stylize:
        return job_of(recipe=recipe_file(tmp_path, f'base = "{base}"\n{text}'), **options)

    assert job_of(recipe="keras-example").rows and on_top("keras-example", "size = 600").rows is None
    assert on_top("tf-tutorial", "steps = 50").evaluations == 50
    usual = job_of(recipe="keras-example", optimizer="lbfgs")
    inherited = on_top("keras-example", "tv_weight = 2.0", optimizer="lbfgs")
    assert inherited == usual.model_copy(update={"tv_weight": 2.0, "recipe": inherited.recipe})
    assert on_top("keras-example", "steps = 7", optimizer="lbfgs").steps == 7
    assert on_top("keras-example", "[with.lbfgs]\nsteps = 9", optimizer="lbfgs").steps == 9
    itself = on_top("keras-example", 'optimizer = "lbfgs"')
    assert itself == usual.model_copy(update={"recipe": itself.recipe})


def test_weights_are_for_paintings() -> None:
    message = "--weights is for paintings, and net.safetensors is a network of its own"
    assert message in refused(styles=["x/net.safetensors"], engine="feedforward", weights="w.npz")
    with pytest.raises(InputError, match="is a network of its own: leave it out"):
        build(Export, {"styles": ["net.safetensors"], "weights": "w.npz"})
    with pytest.raises(InputError, match=r"net.safetensors cannot be blended"):
        build(Export, {"styles": ["net.safetensors", "art.png"]})
