"""Probes on frozen vectors, leak injection and label efficiency: known answers on drawn vectors."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from dermasense.data.catalog import Catalog

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ("a", "b", "c")


def drawn(lesions: int = 240, photographs: int = 2, twins: bool = False):
    """Vectors of lesions that are photographed several times, and their images."""
    from probes import Images

    random = np.random.default_rng(0)
    lesion = np.repeat(np.arange(lesions), photographs)
    label = random.choice(3, lesions, p=[0.5, 0.3, 0.2])[lesion]
    x = random.normal(size=(len(lesion), 6)).astype(np.float32)
    x[np.arange(len(label)), label] += 1.5
    if twins:
        x = x[::photographs].repeat(photographs, axis=0)
    names = [f"i{n}" for n in range(len(lesion))]
    frame = pd.DataFrame({"image_id": names, "path": names, "origin": names})
    frame["label"], frame["group"] = np.array(CLASSES)[label], [f"g{n}" for n in lesion]
    catalog = Catalog("drawn", frame, CLASSES, (), "none", "none")
    return x, Images(catalog, lesion % 5)


def test_every_view_of_every_picture_has_a_vector(tmp_path):
    from features import vectors

    random = np.random.default_rng(0)
    paths = [str(tmp_path / f"{name}.png") for name in "abc"]
    for path in paths:
        Image.fromarray(random.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    plain = vectors(paths, "lite0@32", "none", tmp_path / "cache")
    turned = vectors(paths, "lite0@32", "flips", tmp_path / "cache")
    assert plain.shape == (1, 3, 1280) and turned.shape == (4, 3, 1280)
    assert np.array_equal(turned[0], plain[0])
    assert all(np.abs(view - plain[0]).max() > 1e-3 for view in turned[1:])


def test_a_probe_is_the_logistic_regression_of_scikit_learn():
    from probe import fit_probe

    x, images = drawn()
    y = images.labels
    found = fit_probe(x, y, images.groups, 3, penalties=(0.01,))
    scaled = (x - x.mean(0)) / x.std(0)
    known = LogisticRegression(C=1 / (0.01 * len(y)), max_iter=1000, tol=1e-8).fit(scaled, y)
    odds = np.exp(found.logits(x))
    assert odds / odds.sum(1, keepdims=True) == pytest.approx(known.predict_proba(scaled), abs=2e-3)


def test_balanced_weights_are_those_of_scikit_learn():
    from probe import fit_probe

    x, images = drawn()
    y = images.labels
    found = fit_probe(x, y, images.groups, 3, balanced=True, penalties=(0.01,))
    scaled = (x - x.mean(0)) / x.std(0)
    known = LogisticRegression(C=1 / (0.01 * len(y)), class_weight="balanced", max_iter=1000).fit(
        scaled, y
    )
    assert (found.logits(x).argmax(1) == known.predict(scaled)).mean() > 0.99


def test_the_choice_of_the_penalty_parts_no_group():
    from probe import _held_out

    _, images = drawn()
    held = pd.Series(_held_out(images.labels, images.groups))
    assert held.groupby(images.groups).nunique().eq(1).all()
    assert 0.15 < held.mean() < 0.25


def test_the_answer_to_an_image_does_not_depend_on_labels_of_its_fold():
    from probes import answers, out_of_fold_probes

    x, images = drawn()
    frame = images.catalog.frame.copy()
    here = images.fold == 0
    frame.loc[here, "label"] = "a"
    other = type(images)(Catalog("drawn", frame, CLASSES, (), "", ""), images.fold)
    found = [answers(out_of_fold_probes(x, each), x[None], each.fold) for each in (images, other)]
    assert np.array_equal(found[0][here], found[1][here])
    assert not np.allclose(found[0][~here], found[1][~here])


def test_half_the_prior_favours_rare_classes_and_views_are_averaged():
    from probes import answers, out_of_fold_probes

    x, images = drawn()
    probes = out_of_fold_probes(x, images)
    plain, half = (answers(probes, x[None], images.fold, half_prior=h) for h in (False, True))
    assert (half.argmax(1) == 2).sum() > (plain.argmax(1) == 2).sum()
    assert np.allclose(answers(probes, np.stack([x, x]), images.fold), plain)
    assert np.exp(plain).sum(1) == pytest.approx(1.0)


def test_leak_injection_changes_nothing_but_whose_photographs_are_seen():
    from leak import drawn as draw

    _, images = drawn()
    y, groups = images.labels, images.groups
    rows = draw(y, groups, 0, test=40, base=200)
    assert np.array_equal(y[rows["siblings"]], y[rows["strangers"]])
    tested = set(groups[rows["test"]])
    assert set(groups[rows["siblings"]]) == tested
    assert not tested & set(groups[np.r_[rows["base"], rows["strangers"]]])
    assert not set(rows["siblings"]) & set(rows["test"])
    assert len(np.unique(np.r_[rows["base"], rows["strangers"]])) == 200 + 40


def test_twins_in_training_give_the_nearest_neighbour_the_answer():
    from leak import arms, compared

    x, images = drawn(twins=True)
    honest, leaky, size = arms(x, images, "nearest neighbour", 1.0, [0, 1], 40, 200)
    values = compared(honest, leaky, resamples=200)
    assert size == 240 and values["top1_leaky"] == 1.0 > values["top1_honest"]
    assert values["top1_gain_low"] > 0
    half = compared(*arms(x, images, "nearest neighbour", 0.5, [0, 1], 40, 200)[:2], 200)
    assert 0 < half["top1_gain"] < values["top1_gain"]


def test_smaller_shares_of_lesions_lie_inside_larger_ones_and_hold_every_class():
    from label_efficiency import kept

    _, images = drawn()
    y, groups = images.labels, images.groups
    rows = images.fold != 0
    parts = [kept(y, groups, rows, share) for share in (0.05, 0.3, 1.0)]
    assert (parts[0] <= parts[1]).all() and np.array_equal(parts[2], rows)
    assert all(len(np.unique(y[part])) == 3 for part in parts)
    assert pd.Series(parts[1][rows]).groupby(groups[rows]).nunique().eq(1).all()


def test_any_recipe_is_judged_on_all_images_at_every_share():
    from label_efficiency import drawing, rows

    x, images = drawn()
    seen = []

    def recipe(train, judged, name):
        seen.append((train.sum(), name))
        assert not set(images.groups[train]) & set(images.groups[judged])
        return x[judged][:, :3]

    found = rows(images, recipe, "mine", [0.1, 1.0], 100)
    assert [row["n"] for row in found] == [len(x)] * 2 and len(seen) == 10
    assert found[0]["train_lesions"] < found[1]["train_lesions"] == 192
    assert drawing(found, "mine").count("<polyline") >= 3
