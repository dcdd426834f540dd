"""What the settings say reaches the objects that train."""

from types import SimpleNamespace

import numpy as np
import pytest

from dermasense import assembly
from dermasense.errors import DermaSenseError
from tests.training.tiny import tiny_data


def test_a_run_adjusts_by_its_own_training_split_and_tau():
    settings = {"loss": {"name": "ce"}, "balance": {"name": "logit_adjust", "tau": 0.5}}
    shift = assembly.make_loss(settings, tiny_data()).shift
    assert shift.numpy() == pytest.approx(0.5 * np.log(np.array([21, 14, 7]) / 42), abs=1e-6)


@pytest.mark.parametrize(
    ("names", "monitor", "says"),
    [(("mole",), "top1", r"data=mine has one class \(mole\)"), (("a", "b"), "top2", "use top1")],
)
def test_too_few_classes_are_known_before_a_picture_is_decoded(monkeypatch, names, monitor, says):
    catalog = SimpleNamespace(name="mine", evaluation_only=False, class_names=names)
    monkeypatch.setattr(assembly, "load_catalog", lambda data, split: catalog)
    settings = {"data": {}, "split": {}, "monitor": monitor}
    with pytest.raises(DermaSenseError, match=says):
        assembly.make_catalog(settings)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"name": "boundary", "view": 2}, "cache.view is no option; did you mean 'views'"),
        ({"name": "boundary", "device": "cpu"}, "cache.device is no option"),
        ({"views": 2}, "cache.name= is unknown; valid: boundary, none"),
    ],
)
def test_an_odd_cache_is_told(tmp_path, options, says):
    settings = {"cache": options, "cache_dir": str(tmp_path)}
    with pytest.raises(DermaSenseError, match=says):
        assembly.make_cache(settings, "cpu")


@pytest.mark.parametrize(
    ("tta", "says"),
    [
        ({"views": "flips"}, "tta.average is missing: set it"),
        ({"average": "log"}, "tta.views is missing: set it"),
        ({"views": "flips", "average": "log", "view": 1}, "tta.view is no option; did you mean"),
        ({"views": "flip", "average": "log"}, "did you mean"),
    ],
)
def test_odd_views_are_told(tta, says):
    with pytest.raises(DermaSenseError, match=says):
        assembly.tta_of({"tta": tta})


@pytest.mark.parametrize("option", assembly.TRAINER)
def test_a_trainer_of_ones_own_that_lacks_an_option_is_told(option):
    named = {group: {"name": "x"} for group in ("head", "loss", "balance")}
    trainer = dict.fromkeys(set(assembly.TRAINER) - {option})
    with pytest.raises(DermaSenseError, match=f"trainer.{option} is missing: set it"):
        assembly.make_recipe({**named, "trainer": trainer})


@pytest.mark.parametrize("option", ["class_counts", "class_names", "balance"])
def test_what_a_run_gives_a_loss_itself_is_no_option(option):
    settings = {"loss": {"name": "ce", option: 3}, "balance": {"name": "none"}}
    with pytest.raises(DermaSenseError, match=f"loss.{option} is no option; valid: label"):
        assembly.make_loss(settings, tiny_data())


@pytest.mark.parametrize(
    ("loss", "balance", "buffer"),
    [("ce", "class_weights", "weights"), ("focal", "focal_alpha", "alpha")],
)
def test_a_run_weighs_as_its_balance_says(loss, balance, buffer):
    made = assembly.make_loss({"loss": {"name": loss}, "balance": {"name": balance}}, tiny_data())
    expected = 42 / (3 * np.array([21, 14, 7]))
    assert made.get_buffer(buffer).numpy() == pytest.approx(expected, rel=1e-6)


def test_a_student_asks_for_its_training_images_and_weighs_as_it_is_told(monkeypatch, tmp_path):
    asked = []

    def answers(folder, paths, rows, names, **_):
        asked.append((folder, rows.tolist(), names))
        return np.zeros((len(rows), 3), "f4")

    monkeypatch.setattr(assembly, "teacher_logits", answers)
    monkeypatch.setattr(assembly, "check_unseen", lambda *_: "")
    data = tiny_data()
    data.prepared.split[:] = ["test"] * 12 + ["train"] * 42 + ["val"] * 12
    settings = {
        "loss": {"name": "distill", "teacher": "x", "temperature": 2.0, "weight": 0.25},
        "balance": {"name": "none"},
        "cache_dir": str(tmp_path),
        "trainer": {"accelerator": "cpu", "devices": 1},
    }
    loss = assembly.make_loss(settings, data)
    assert asked == [("x", list(range(12, 54)), ("a", "b", "c"))]
    assert (loss.temperature, loss.weight, len(loss.teacher)) == (2.0, 0.25, 42)
