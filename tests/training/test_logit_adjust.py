"""Logit adjustment: equation 10, and what it does to a prior."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dermasense.errors import DermaSenseError
from dermasense.training.logit_adjust import adjust_logits
from dermasense.training.losses import build_loss

COUNTS = [60, 30, 10]


def made(name="ce", **options):
    return adjust_logits(build_loss(name, class_counts=COUNTS), COUNTS, **options)


def test_it_is_equation_10():
    logits, target = torch.randn(5, 3), torch.tensor([0, 1, 2, 2, 0])
    prior, tau = np.array(COUNTS) / 100, 0.7
    top = np.exp(logits.numpy()) * prior**tau  # e^(f + tau log pi)
    expected = -np.log(top[range(5), target] / top.sum(1)).mean()
    assert made(tau=tau)(logits, target).item() == pytest.approx(expected, abs=1e-5)


def test_tau_0_is_the_loss_itself_and_soft_targets_pass():
    logits, target = torch.randn(5, 3), torch.tensor([0, 1, 2, 2, 0])
    assert made(tau=0)(logits, target).item() == pytest.approx(F.cross_entropy(logits, target))
    hard = F.one_hot(target, 3).float()
    for name in ("ce", "focal"):
        loss = made(name)
        assert loss(logits, hard).item() == pytest.approx(loss(logits, target).item(), abs=1e-6)


def test_where_pictures_say_nothing_the_answer_is_uniform_not_the_prior():
    logits = torch.zeros(1, 3, requires_grad=True)
    target = torch.tensor(np.repeat([0, 1, 2], COUNTS))
    loss = made()
    for _ in range(2000):
        (gradient,) = torch.autograd.grad(loss(logits.expand(100, 3), target), logits)
        logits = (logits - gradient).detach().requires_grad_()
    assert logits.softmax(1).detach().numpy() == pytest.approx(np.full((1, 3), 1 / 3), abs=1e-3)


@pytest.mark.parametrize(
    ("counts", "tau", "words"),
    [([5, 0, 2], 1.0, "'b'"), (COUNTS, -1, "balance.tau=-1"), (COUNTS, "x", "balance.tau=x")],
)
def test_a_mistake_is_one_sentence(counts, tau, words):
    with pytest.raises(DermaSenseError, match=words):
        adjust_logits(build_loss("ce", class_counts=COUNTS), counts, tau, ["a", "b", "c"])
