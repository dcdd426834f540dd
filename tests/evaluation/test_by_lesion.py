"""An answer for a lesion: known means, lesions as units, and sentences where there is no lesion."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from dermasense.errors import DermaSenseError
from dermasense.evaluation.by_lesion import by_lesion, gain, one_photo
from dermasense.evaluation.predictions import Predictions, read_predictions

NAMES = ("mel", "nv")


def table(logits, groups, labels):
    ids = [f"i{n:04d}" for n in range(len(groups))]
    frame = pd.DataFrame({"image_id": ids, "group": groups, "label": labels, "sex": "f"})
    return Predictions(frame, np.asarray(logits, float), NAMES)


def noisy(lesions=200, images=3, seed=0):
    """Images of a lesion that err on their own: joining them must help."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, lesions).repeat(images)
    logits = 2 * rng.normal(size=(len(labels), 2)) + np.eye(2)[labels]
    groups = [f"g{i}" for i in np.arange(lesions).repeat(images)]
    return table(logits, groups, [NAMES[c] for c in labels])


def test_a_lesion_is_the_geometric_mean_of_its_images():
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    joined = by_lesion(table(np.log(p) + 5, ["b", "b", "a"], ["mel", "mel", "nv"]))
    assert joined.frame["image_id"].tolist() == ["a", "b"]
    odds = np.sqrt(0.9 * 0.4), np.sqrt(0.1 * 0.6)
    expected = [[0.2, 0.8], [odds[0] / sum(odds), odds[1] / sum(odds)]]
    np.testing.assert_allclose(softmax(joined.logits, axis=1), expected, atol=1e-12)
    assert joined.frame["label"].tolist() == ["nv", "mel"]


def test_one_photo_is_the_first_or_a_drawn_one():
    whole = noisy(50)
    first = one_photo(whole, "first")
    assert len(first) == 50 and one_photo(whole, "random", 1).n_groups == 50
    own = {g: i for i, g in reversed(list(enumerate(whole.frame["group"])))}
    for row, group in enumerate(first.frame["group"]):
        np.testing.assert_allclose(
            softmax(first.logits[row]), softmax(whole.logits[own[group]]), atol=1e-12
        )
    draws = [one_photo(whole, "random", seed).logits for seed in (1, 1, 2)]
    assert np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[0], draws[2])
    with pytest.raises(DermaSenseError, match="random, first"):
        one_photo(whole, "last")


def test_the_gain_counts_lesions_with_more_than_one_image_only():
    whole, single = noisy(400), noisy(60, images=1, seed=1)
    frame = single.frame.assign(
        image_id="s" + single.frame["image_id"], group="s" + single.frame["group"]
    )
    both = Predictions(
        pd.concat([whole.frame, frame]), np.concatenate([whole.logits, single.logits]), NAMES
    )
    found = gain(both, resamples=200)
    assert (found["n_lesions"], found["n_images"], found["all_lesions"]) == (400, 1200, 460)
    assert found["differences"]["top1"].n_groups == 400
    assert found["differences"]["top1"].low > 0 > found["differences"]["nll"].high
    with pytest.raises(DermaSenseError, match="more than one image"):
        gain(single)


def test_a_lesion_has_one_label():
    with pytest.raises(DermaSenseError, match="The group b has images of several labels"):
        by_lesion(table(np.zeros((2, 2)), ["b", "b"], ["mel", "nv"]))


def test_ham10000_has_lesions_with_several_photographs():
    from pathlib import Path

    folder = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "predictions"
    test = read_predictions(folder / "ham_finetune_settled_group_b05928ec.parquet")
    found = gain(test, resamples=200)
    assert (found["n_lesions"], found["all_lesions"]) == (294, 1121)
    assert found["differences"]["top1"].low > 0
