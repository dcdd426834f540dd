"""Parts of a batch, as processes have them, add up to the whole: without any process."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from dermasense.data.shard import Shard
from dermasense.training import group_dro
from dermasense.training.group_dro import GroupDRO
from dermasense.training.module import LesionClassifier
from tests.training.tiny import tiny_classifier


def test_parts_count_as_they_do_in_the_whole():
    class WithoutTrainer(LesionClassifier):
        current_epoch = 0
        trainer = SimpleNamespace(datamodule=SimpleNamespace(samples_in=lambda batch: 5))

    model = tiny_classifier(dropout=0.0)
    model.freeze(0)
    x = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    label = torch.tensor([0, 1, 2, 0, 1])

    def step(shard):
        module = WithoutTrainer(
            model, nn.CrossEntropyLoss(), make_optimizer=None, make_schedule=None,
            seed=3, phase=0, shard=shard,
        )  # fmt: skip
        part = shard.of_batch(5)
        loss = module.training_step({"x": x[part], "label": label[part]}, 0)
        assert loss.requires_grad and not module.loss_sum.requires_grad
        return loss.item(), module.loss_sum.item(), module.loss_count.item()

    whole, parts = step(Shard()), [step(Shard(rank, 2)) for rank in range(2)]
    assert np.mean([part[0] for part in parts]) == pytest.approx(whole[0])
    assert sum(part[1] for part in parts) == pytest.approx(whole[1])
    assert [part[2] for part in parts] == [5, 5] and whole[2] == 5


def test_group_dro_of_parts_is_that_of_the_whole(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 3, generator=generator).requires_grad_()
    target, groups = torch.tensor([0, 1, 2, 0, 1, 2]), np.array([0, 0, 1, 1, 2, -1])

    def part_of(rows):
        loss = GroupDRO(groups, step=0.5, adjustment=0.5)
        return loss.of_rows(logits[rows], target[rows], rows) * len(rows) / 6, loss.q

    known, q = part_of(torch.arange(6))
    parts = [torch.arange(3), torch.arange(3, 6)]  # group 1 stands in both
    sent = []
    monkeypatch.setattr(group_dro, "world", lambda: 2)
    monkeypatch.setattr(group_dro, "all_sum", lambda own: sent.append(own) or own)
    for rows in parts:
        part_of(rows)
    monkeypatch.setattr(group_dro, "all_sum", lambda own: sent[0] + sent[1])
    found = [part_of(rows) for rows in parts]
    total = found[0][0] + found[1][0]
    torch.testing.assert_close(total, known)
    assert all(torch.allclose(each[1], q) for each in found)
    torch.testing.assert_close(
        torch.autograd.grad(total, logits), torch.autograd.grad(known, logits)
    )
