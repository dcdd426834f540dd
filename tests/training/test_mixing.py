"""Mixup and CutMix: timm's blends, the same on every walk, and losses that take them."""

import numpy as np
import pytest
import torch
from timm.data import Mixup

from dermasense.errors import DermaSenseError
from dermasense.training.losses import build_loss
from dermasense.training.mixing import build_mixing
from tests.training.cuts import Cut, assert_same_weights, train
from tests.training.tiny import tiny_recipe

PLACE = (3, 0, 2, 5)
X = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
TARGET = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_it_is_what_timm_does_from_the_same_seed(name):
    x, soft = build_mixing(name, num_classes=3, alpha=0.8)(X, TARGET, PLACE)
    np.random.seed(np.random.SeedSequence([*PLACE, 1]).generate_state(1)[0])
    mixer = Mixup(**{f"{name}_alpha": 0.8}, **({"mixup_alpha": 0.0} if name == "cutmix" else {}),
                  label_smoothing=0.0, num_classes=3)  # fmt: skip
    expected = mixer(X.float(), TARGET)
    assert torch.equal(x, expected[0]) and torch.equal(soft, expected[1])
    assert soft.sum(1) == pytest.approx(np.ones(8)) and not torch.equal(x, X.float())


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_batch_is_blended_alike_on_every_walk_and_others_differ(name):
    mixing = build_mixing(name, num_classes=3)
    before, state = X.clone(), np.random.get_state()[1].copy()
    first, again = mixing(X, TARGET, PLACE), mixing(X, TARGET, PLACE)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert torch.equal(X, before)  # timm writes into its input
    assert np.array_equal(state, np.random.get_state()[1])  # nobody else's draws moved
    for other in [(4, 0, 2, 5), (3, 1, 2, 5), (3, 0, 3, 5), (3, 0, 2, 6)]:
        assert not torch.equal(mixing(X, TARGET, other)[0], first[0])


def test_shares_of_labels_are_shares_of_pixels():
    black, white = torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), 255.0)
    x, soft = build_mixing("cutmix", num_classes=2)(
        torch.cat([black, white]), torch.tensor([0, 1]), PLACE
    )
    assert (x / 255).mean((1, 2, 3)) == pytest.approx(soft[:, 1], abs=1e-6)
    x, soft = build_mixing("mixup", num_classes=2, alpha=1.0)(
        torch.cat([black, white]), torch.tensor([0, 1]), PLACE
    )
    assert (x / 255).mean((1, 2, 3)) == pytest.approx(soft[:, 1], abs=1e-6)
    assert 0 < soft[0, 1] < 1


def test_prob_is_the_share_of_batches_that_are_blended():
    mixing = build_mixing("mixup", num_classes=3, alpha=1.0, prob=0.3)
    places = [(3, 0, 0, batch) for batch in range(200)]
    blended = [not torch.equal(mixing(X, TARGET, place)[0], X.float()) for place in places]
    assert 0.15 < np.mean(blended) < 0.45


def test_activations_are_left_unchanged():
    x = torch.rand(8, 16)
    before = x.clone()
    mixed, _ = build_mixing("mixup", num_classes=3, alpha=1.0)(x, TARGET, PLACE)
    assert torch.equal(x, before) and not torch.equal(mixed, x)


@pytest.mark.parametrize("size", [1, 7])
def test_of_an_odd_batch_the_last_stays(size):
    x, soft = build_mixing("mixup", num_classes=3)(X[:size], TARGET[:size], PLACE)
    assert torch.equal(x[-1], X[size - 1].float())
    assert soft[-1].argmax() == TARGET[size - 1] and soft[-1].max() == 1


@pytest.mark.parametrize("name", ["ce", "weighted_ce", "focal"])
def test_losses_take_soft_targets(name):
    loss = build_loss(name, class_counts=[5, 3, 2])
    logits, hard = torch.randn(8, 3), torch.nn.functional.one_hot(TARGET, 3).float()
    assert loss(logits, hard).item() == pytest.approx(loss(logits, TARGET).item(), abs=1e-6)
    _, soft = build_mixing("mixup", num_classes=3, alpha=1.0)(X, TARGET, PLACE)
    assert torch.isfinite(loss(logits, soft))


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_run_cut_anywhere_ends_bit_equal(tmp_path, name):
    recipe = tiny_recipe(mix={"name": name})
    whole, progress, calls = train(tmp_path / "whole", recipe=recipe)
    plain, _, _ = train(tmp_path / "plain")
    assert any(
        not torch.equal(one, other)
        for one, other in zip(whole.state_dict().values(), plain.state_dict().values(), strict=True)
    )
    for moment in (3, calls // 2, calls - 3):
        folder = tmp_path / str(moment)
        with pytest.raises(Cut):
            train(folder, cut_after=moment, recipe=recipe)
        resumed, again, _ = train(folder, recipe=recipe)
        assert_same_weights(whole, resumed)
        assert again.history == progress.history


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": 0}, "balance.alpha=0: expected"),
        ({"alpha": "x"}, "balance.alpha=x: expected"),
        ({"alpha": [1, 2]}, r"balance.alpha=\[1, 2\]: expected"),
        ({"alpha": True}, "balance.alpha=True: expected"),
        ({"alpha": np.inf}, "balance.alpha=inf: expected"),
        ({"prob": 0}, "balance.prob=0: expected"),
        ({"prob": 1.5}, "balance.prob=1.5: expected"),
    ],
)
def test_a_value_out_of_range_is_named(options, words):
    with pytest.raises(DermaSenseError, match=words):
        build_mixing("mixup", num_classes=3, **options)


def test_cutmix_of_vectors_is_refused():
    with pytest.raises(DermaSenseError, match="pooled vectors; use cache=none or balance=mixup"):
        build_mixing("cutmix", num_classes=3)(torch.zeros(4, 8), TARGET[:4], PLACE)
