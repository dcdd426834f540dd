"""Group DRO: the published update, missing groups, and a cut that changes nothing."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dermasense.errors import DermaSenseError
from dermasense.training.group_dro import GroupDRO, build_group_dro
from dermasense.training.keeper import PhaseKeeper
from dermasense.training.phases import fit_phases
from tests.training.tiny import PHASES, tiny_classifier, tiny_data, tiny_recipe

GROUPS = np.array([0, 0, 1, 1, 2, -1])


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 3, generator=generator), torch.tensor([0, 1, 2, 0, 1, 2])


def test_a_step_is_that_of_algorithm_1(batch):
    logits, target = batch
    loss = GroupDRO(GROUPS, step=0.5)
    found = loss.of_rows(logits, target, torch.arange(6))
    each = F.cross_entropy(logits, target, reduction="none").numpy()
    means = np.array([each[:2].mean(), each[2:4].mean(), each[4]])
    q = np.exp(0.5 * means) / np.exp(0.5 * means).sum()
    assert loss.q.numpy() == pytest.approx(q, abs=1e-6)
    assert found.item() == pytest.approx((q * means).sum() * 5 / 6 + each[5] / 6, abs=1e-6)
    assert loss(logits, target).item() == pytest.approx(each.mean(), abs=1e-6)


def test_a_group_outside_the_batch_keeps_its_weight_against_others(batch):
    logits, target = batch
    loss = GroupDRO(GROUPS, step=0.5)
    loss.of_rows(logits[:2], target[:2], torch.arange(2))
    assert loss.q[1] == loss.q[2] < loss.q[0]
    loss.begin_phase()
    assert loss.q.tolist() == pytest.approx([1 / 3] * 3)


def test_an_adjustment_lifts_the_small_group(batch):
    logits, target = torch.zeros(6, 3), batch[1]  # all groups have the same loss
    loss = GroupDRO(GROUPS, step=0.5, adjustment=1.0)
    loss.of_rows(logits, target, torch.arange(6))
    assert loss.q[2] > loss.q[0] == loss.q[1]


def test_images_without_a_group_alone_train_by_cross_entropy(batch):
    logits, target = batch[0][5:].requires_grad_(), batch[1][5:]
    loss = GroupDRO(GROUPS, step=0.01)
    found = loss.of_rows(logits, target, torch.tensor([5]))
    assert found.item() == pytest.approx(F.cross_entropy(logits, target).item(), abs=1e-6)
    found.backward()
    assert torch.isfinite(logits.grad).all()


def test_the_worst_group_gains_the_most():
    loss = GroupDRO(np.array([0, 1]), step=0.1)
    logits, target = torch.tensor([[4.0, 0.0], [0.0, 4.0]]), torch.tensor([0, 0])
    for _ in range(50):
        loss.of_rows(logits, target, torch.arange(2))
    assert loss.q[1] > 0.99


class Cut(Exception):
    """Stands in for a kill."""


def trained(folder, monkeypatch, cut_after: int | None = None):
    calls = 0
    original = PhaseKeeper.on_train_batch_end

    def counted(self, *args, **kwargs):
        nonlocal calls
        original(self, *args, **kwargs)
        calls += 1
        if calls == cut_after:
            raise Cut

    monkeypatch.setattr(PhaseKeeper, "on_train_batch_end", counted)
    model, loss = tiny_classifier(), GroupDRO(np.resize([0, 1, 1, -1, 2], 42), step=0.3)
    try:
        fit_phases(model, loss, tiny_data(), PHASES, tiny_recipe(), folder=folder, loggers=[])
    except Cut:
        return None
    finally:
        monkeypatch.setattr(PhaseKeeper, "on_train_batch_end", original)
    return model, loss, calls


def test_a_run_cut_anywhere_ends_bit_equal(tmp_path, monkeypatch):
    model, loss, calls = trained(tmp_path / "whole", monkeypatch)
    assert loss.q.max() > 0.34  # the weights moved
    for cut_after in (3, calls // 2, calls - 2):
        folder = tmp_path / str(cut_after)
        assert trained(folder, monkeypatch, cut_after) is None
        again, loss_again, _ = trained(folder, monkeypatch)
        assert torch.equal(loss.q, loss_again.q)
        for one, other in zip(
            model.state_dict().values(), again.state_dict().values(), strict=True
        ):
            assert torch.equal(one, other)


def test_groups_count_alike_when_a_phase_begins(tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(
        PhaseKeeper, "on_train_start", lambda self, _, module: begun.append(module.loss.q.tolist())
    )
    trained(tmp_path, monkeypatch)
    assert begun == 3 * [pytest.approx([1 / 3] * 3)]


def test_a_loss_that_asks_for_rows_is_told_those_of_the_batch(tmp_path):
    seen = []

    class Watching(nn.Module):
        def forward(self, logits, target):
            return F.cross_entropy(logits, target)

        def of_rows(self, logits, target, rows):
            seen.append((rows, target))
            return self(logits, target)

    data, options = tiny_data(), {"folder": tmp_path, "loggers": []}
    fit_phases(tiny_classifier(), Watching(), data, PHASES[:1], tiny_recipe(), **options)
    rows, target = (torch.cat(each).numpy() for each in zip(*seen, strict=True))
    assert sorted(rows) == sorted(2 * list(range(42)))
    assert np.array_equal(target, data.labels("train")[rows])


def test_every_option_reaches_the_loss(batch):
    logits, target = batch
    frame = pd.DataFrame({"skin_type": [1.0, 2.0, 3.0, 3.0, 5.0, np.nan]})
    options = {"step": 0.5, "adjustment": 0.6, "label_smoothing": 0.1}
    loss = build_group_dro(options, frame, "sampler")
    found = loss.of_rows(logits, target, torch.arange(6)).item()
    each = F.cross_entropy(logits, target, label_smoothing=0.1, reduction="none").numpy()
    means = np.array([each[:2].mean(), each[2:4].mean(), each[4]]) + 0.6 / np.sqrt([2, 2, 1])
    q = np.exp(0.5 * means) / np.exp(0.5 * means).sum()
    assert loss.q.numpy() == pytest.approx(q, abs=1e-6)
    assert found == pytest.approx((q * means).sum() * 5 / 6 + each[5] / 6, abs=1e-6)
    assert loss(logits, target).item() == pytest.approx(each.mean(), abs=1e-6)


@pytest.mark.parametrize(
    ("options", "balance", "words"),
    [
        ({"adjustment": -1}, "none", "loss.adjustment=-1: expected"),
        ({"label_smoothing": 1}, "none", "loss.label_smoothing=1: expected"),
        ({"step": 0}, "none", "loss.step=0: expected a number above 0"),
        ({"stepp": 1}, "none", "loss.stepp is no option; did you mean 'step'"),
        ({"frame": 1}, "none", "loss.frame is no option"),
        ({"attribute": "sex"}, "none", "no attribute 'sex'"),
        ({}, "class_weights", "balance=class_weights may blend .* or weigh another loss"),
        ({}, "smote", "balance=smote may blend images of two groups"),
        ({}, "smote_features", "balance=smote_features may blend images of two groups"),
        ({}, "from_outside", "use one of none, sampler, group_sampler"),
    ],
)
def test_mistakes_are_a_sentence(options, balance, words):
    frame = pd.DataFrame({"skin_type": [1.0, 2.0, 5.0, np.nan]})
    with pytest.raises(DermaSenseError, match=words):
        build_group_dro(options, frame, balance)
