"""Balance: what an epoch shows, and in which order."""

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from dermasense.data.balance import BALANCES, Draws, blend, build_rows, stacked_balancing
from dermasense.errors import DermaSenseError

NAMES = ("common", "rare", "rarest")
LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [300, 60, 12]))
TYPES = pd.DataFrame({"skin_type": np.resize([1.0, 2.0, 5.0, np.nan], len(LABELS))})
IMAGES = np.random.default_rng(1).integers(0, 256, (len(LABELS), 4, 4, 3), dtype=np.uint8)


def rows_of(name: str, **options):
    return build_rows(name, LABELS, IMAGES, NAMES, seed=3, frame=TYPES, **options)


def epoch(rows, *place: int) -> Draws:
    return rows.draws[rows.order(np.random.default_rng([3, *place]))]


@pytest.mark.parametrize("name", ["none", "class_weights", "focal_alpha"])
def test_every_image_once_an_epoch_where_the_loss_balances(name):
    draws = epoch(rows_of(name), 0)
    assert sorted(draws.first) == list(range(len(LABELS)))
    assert np.array_equal(draws.second, draws.first) and not draws.weight.any()


@pytest.mark.parametrize("name", BALANCES)
def test_epochs_differ_and_repeat(name):
    first, second = epoch(rows_of(name), 0, 0), epoch(rows_of(name), 0, 1)
    assert not np.array_equal(first.first, second.first)
    again = epoch(rows_of(name), 0, 0)
    for field in ("first", "second", "weight"):
        assert np.array_equal(getattr(first, field), getattr(again, field))


@pytest.mark.parametrize("name", BALANCES)
def test_length_and_types(name):
    rows = rows_of(name)
    draws = epoch(rows, 0)
    assert len(rows) == len(draws) == (900 if name == "smote" else len(LABELS))
    assert draws.first.dtype == draws.second.dtype == np.int64
    assert np.array_equal(LABELS[draws.first], LABELS[draws.second])  # blends stay in a class


def test_sampler_draws_each_class_equally_and_its_images_equally():
    rows = rows_of("sampler")
    drawn = np.concatenate([epoch(rows, 0, e).first for e in range(60)])
    shares = np.bincount(LABELS[drawn]) / len(drawn)
    assert shares == pytest.approx([1 / 3] * 3, abs=0.01)
    rarest = np.bincount(drawn, minlength=len(LABELS))[LABELS == 2]
    assert (rarest > 0).all() and rarest.std() / rarest.mean() < 0.1


def test_smote_shows_every_real_image_once_and_fills_each_class():
    draws = epoch(rows_of("smote"), 0)
    real = draws.weight == 0
    assert sorted(draws.first[real]) == list(range(len(LABELS)))
    assert np.bincount(LABELS[draws.first]).tolist() == [300, 300, 300]
    assert (draws.first[~real] != draws.second[~real]).all()
    # real and synthetic ones are mixed, not one after the other
    assert 0.3 < real[: len(draws) // 2].sum() / real.sum() < 0.7


def test_blend_stays_between_its_images():
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert blend(black, white, 0.25) == pytest.approx(63.75)
    assert blend(white, black, 0.25) == pytest.approx(191.25)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("smoat", {}, "did you mean 'smote'"),
        ("smote", {"k_neighbours": 3}, "did you mean 'k_neighbors'"),
        ("sampler", {"k_neighbors": 3}, "takes no options"),
    ],
)
def test_a_mistake_is_one_sentence(name, options, sentence):
    with pytest.raises(DermaSenseError) as error:
        rows_of(name, **options)
    assert sentence in str(error.value)


@pytest.mark.parametrize("name", ["sampler", "smote"])
def test_a_class_without_training_images_is_named(name):
    with pytest.raises(DermaSenseError, match="'absent'"):
        build_rows(name, LABELS, IMAGES, (*NAMES, "absent"), seed=0)


def test_without_balancing_an_absent_class_is_allowed():
    assert len(build_rows("none", LABELS, IMAGES, (*NAMES, "absent"), seed=0)) == len(LABELS)


class TestStacking:
    @pytest.mark.parametrize("balance", BALANCES)
    @pytest.mark.parametrize("loss", [{"name": "ce"}, {"name": "focal", "alpha": 0.25}])
    def test_one_balancing_alone_is_fine(self, balance, loss):
        assert stacked_balancing(balance, loss) == []

    @pytest.mark.parametrize("balance", ["sampler", "smote"])
    @pytest.mark.parametrize(
        "loss", [{"name": "weighted_ce", "weighting": "sqrt"}, {"name": "focal", "alpha": [1, 2]}]
    )
    def test_two_are_named(self, balance, loss):
        first, second = stacked_balancing(balance, loss)
        assert f"balance={balance}" in first
        assert "weighted_ce" in second or "loss.alpha" in second

    def test_class_weights_and_weighted_ce_are_one(self):
        assert stacked_balancing("class_weights", {"name": "weighted_ce"}) == []


@pytest.mark.parametrize("name", BALANCES)
def test_every_yaml_builds(name, request):
    config = OmegaConf.load(request.config.rootpath / "conf" / "balance" / f"{name}.yaml")
    assert len(rows_of(**OmegaConf.to_container(config))) >= len(LABELS)
