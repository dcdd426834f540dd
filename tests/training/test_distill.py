"""Distillation: the loss's known values, a teacher asked once, and one that has seen too much."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dermasense.errors import DermaSenseError
from dermasense.evaluation.ensembling import mixed
from dermasense.inference import predictor
from dermasense.inference.ensemble_writing import save_ensemble
from dermasense.inference.predictor import Predictor
from dermasense.inference.teacher import teacher_logits
from dermasense.training.distill import Distillation, check_distillation
from tests.fakes import TINY, noise, stub_backbone
from tests.inference.test_ensemble import bundle
from tests.inference.tiny_bundle import NAMES, tiny_bundle

QUICK = [*TINY, "limit_epochs=1", "logger=none", "report.images=false"]


def batch(n=16, classes=5, seed=0):
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn((n, classes), generator=rng, requires_grad=True)
    return logits, torch.randint(classes, (n,), generator=rng), torch.randn((40, classes))


def test_the_loss_is_hintons():
    logits, target, teacher = batch()
    rows = torch.arange(16) * 2
    loss = Distillation(teacher.numpy(), temperature=3.0, weight=0.25)
    p = (teacher[rows] / 3).softmax(1)
    kl = (p * (p.log() - (logits / 3).log_softmax(1))).sum(1).mean()
    known = 0.25 * 9 * kl + 0.75 * F.cross_entropy(logits, target)
    torch.testing.assert_close(loss.of_rows(logits, target, rows), known)
    torch.testing.assert_close(loss(logits, target), F.cross_entropy(logits, target))


def test_its_ends_are_cross_entropy_and_the_teacher():
    logits, target, teacher = batch()
    rows = torch.arange(16)
    alone = Distillation(teacher.numpy(), temperature=4.0, weight=0.0)
    torch.testing.assert_close(alone.of_rows(logits, target, rows), F.cross_entropy(logits, target))
    copied = Distillation(teacher.numpy(), temperature=4.0, weight=1.0)
    (gradient,) = torch.autograd.grad(copied.of_rows(logits, target, rows), logits)
    assert gradient.abs().max() > 1e-4
    same = teacher[rows].clone().requires_grad_()
    value = copied.of_rows(same, target, rows)
    assert value.item() == pytest.approx(0, abs=1e-5)
    assert copied.state_dict() == {}  # no teacher in a checkpoint


@pytest.mark.parametrize(
    ("options", "balance", "words"),
    [
        ({}, "none", "needs loss.teacher="),
        ({"teacher": "x", "temperature": 0}, "none", "loss.temperature=0"),
        ({"teacher": "x", "weight": 1.5}, "none", "loss.weight=1.5"),
        ({"teacher": "x", "alpha": 1}, "none", "loss.alpha is no option; valid: teacher"),
        ({"teacher": "x"}, "mixup", "balance=mixup blends images"),
        ({"teacher": "x"}, "smote", "balance=smote blends images"),
    ],
)
def test_a_mistake_is_named(options, balance, words):
    with pytest.raises(DermaSenseError, match=words):
        check_distillation(options, balance)


def test_the_teacher_is_asked_once_in_the_students_order(tmp_path, monkeypatch):
    monkeypatch.setattr("timm.create_model", stub_backbone)
    folder = tiny_bundle(tmp_path / "bundle", tta={"views": "flips", "average": "log"})
    paths = [str(tmp_path / f"{n}.png") for n in range(7)]
    for n in range(7):
        noise(tmp_path / f"{n}.png", n)
    rows, order = np.array([5, 0, 3]), NAMES[::-1]
    found = teacher_logits(folder, paths, rows, order, cache_dir=tmp_path / "c")
    known = Predictor.of(folder, views="none")
    logits = known.logits([known.pixels(paths[row]) for row in rows])[:, ::-1]
    np.testing.assert_allclose(found, F.log_softmax(torch.tensor(logits.copy()), 1), atol=1e-5)

    def never(*_, **__):
        raise AssertionError("asked twice")

    monkeypatch.setattr(predictor.Predictor, "logits", never)
    again = teacher_logits(folder, paths, rows, order, cache_dir=tmp_path / "c")
    np.testing.assert_array_equal(again, found)
    with pytest.raises(DermaSenseError, match="take a teacher of the same classes"):
        teacher_logits(folder, paths, rows, ("a", "b"), cache_dir=tmp_path / "c")


@pytest.mark.parametrize("damage", [lambda data: data[:40], lambda data: data[:-1] + b"x"])
def test_damaged_answers_are_asked_for_anew(tmp_path, monkeypatch, caplog, damage):
    monkeypatch.setattr("timm.create_model", stub_backbone)
    folder, paths = tiny_bundle(tmp_path / "bundle"), [str(tmp_path / f"{n}.png") for n in range(3)]
    for number, path in enumerate(paths):
        noise(Path(path), number)

    def ask():
        return teacher_logits(folder, paths, np.arange(3), NAMES, cache_dir=tmp_path / "c")

    found = ask()
    (kept,) = (tmp_path / "c").glob("teacher-*.npy")
    kept.write_bytes(damage(kept.read_bytes()))
    np.testing.assert_array_equal(ask(), found)
    assert f"Building {kept.name} anew, answers of a teacher" in caplog.text


def test_other_rows_another_order_and_another_teacher_are_asked_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("timm.create_model", stub_backbone)
    monkeypatch.setattr("dermasense.inference.teacher.CHUNK", 2)
    paths = [str(tmp_path / f"{n}.png") for n in range(5)]
    for n in range(5):
        noise(tmp_path / f"{n}.png", n)

    def ask(folder, rows=(0, 1, 2, 3, 4), names=NAMES):
        return teacher_logits(folder, paths, np.array(rows), names, cache_dir=tmp_path / "c")

    one, two = bundle(tmp_path / "one", seed=0), bundle(tmp_path / "two", seed=1)
    whole, other = ask(one), ask(two)
    order = [4, 1, 3, 0, 2]
    np.testing.assert_allclose(ask(one, order), whole[order], atol=1e-5)
    np.testing.assert_allclose(ask(one, names=NAMES[::-1]), whole[:, ::-1], atol=1e-5)
    assert not np.allclose(other, whole, atol=1e-3)
    parts = [("one", one, 0.7), ("two", two, 0.3)]
    both = save_ensemble(tmp_path / "both", parts, average="probability")
    np.testing.assert_allclose(ask(both), mixed(np.stack([whole, other]), [0.7, 0.3]), atol=1e-5)


def test_a_student_is_trained_from_a_run(command, tmp_path):
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    assert command(*QUICK, "phases=frozen", f"hydra.run.dir={teacher}")[0] == 0
    words = [*QUICK, "loss=distill", f"loss.teacher={teacher}", "phases=frozen"]
    code, _, err = command(*words, "cache=boundary", f"hydra.run.dir={student}")
    assert code == 0, err
    assert json.loads((student / "metrics.json").read_text())["test"]["n"] > 0
    code, _, err = command(*words, "seed=1", f"hydra.run.dir={tmp_path / 'other'}")
    assert code == 2 and f"loss.teacher={teacher}: trained or was chosen on" in err
    assert not (tmp_path / "other" / "config.yaml").exists()  # the folder can be named again
