"""Splits: whole groups, every class in every part, a pure function of seed and content."""

import numpy as np
import pandas as pd
import pytest

from dermasense.data.sources import ham10000
from dermasense.data.splits import (
    SPLITS,
    assert_no_leak,
    assign_folds,
    assign_splits,
    leaking_groups,
)
from dermasense.errors import DermaSenseError


def frame_of(groups_per_class, seed=0, most=6):
    """Groups of 1 to `most` images, a class each."""
    rng = np.random.default_rng(seed)
    rows = []
    for label, groups in groups_per_class.items():
        for g in range(groups):
            rows += [(label, f"{label}-{g}")] * int(rng.integers(1, most + 1))
    frame = pd.DataFrame(rows, columns=["label", "group"])
    frame["image_id"] = [f"image-{i}" for i in range(len(frame))]
    return frame


@pytest.mark.parametrize("seed", range(12))
def test_no_group_crosses_and_every_class_is_in_every_split(seed):
    counts = np.random.default_rng(seed).integers(3, 80, 5)
    frame = frame_of({f"c{i}": int(n) for i, n in enumerate(counts)}, seed)
    names = tuple(f"c{i}" for i in range(5))
    split = assign_splits(frame, names, seed=seed)
    assert leaking_groups(frame, split) == 0
    assert_no_leak(frame, split)
    table = pd.crosstab(frame["label"], split)
    assert table.shape == (5, 3) and table.to_numpy().min() >= 1


def test_each_class_keeps_its_fractions_within_a_group():
    frame = frame_of({"a": 400, "b": 100})
    share = pd.crosstab(frame["label"], assign_splits(frame, ("a", "b"), seed=1), normalize="index")
    assert np.abs(share[list(SPLITS)].to_numpy() - [0.7, 0.15, 0.15]).max() < 0.02


def test_lesions_with_many_photographs_spread_like_the_others():
    frame = frame_of({"a": 600})
    split = assign_splits(frame, ("a",), seed=0)
    sizes = frame.groupby("group").size()
    part = split.groupby(frame["group"]).first()
    for size in range(1, 7):
        share = part[sizes == size].value_counts(normalize=True)
        assert abs(share["train"] - 0.7) < 0.06


def test_shuffled_rows_change_nothing():
    frame = frame_of({"a": 40, "b": 9})
    shuffled = frame.sample(frac=1, random_state=3)
    for by in ("group", "image"):
        first = assign_splits(frame, ("a", "b"), seed=5, by=by)
        second = assign_splits(shuffled, ("a", "b"), seed=5, by=by)
        assert first.equals(second.sort_index())


def test_the_seed_decides():
    frame = frame_of({"a": 60})
    splits = [assign_splits(frame, ("a",), seed=s) for s in (0, 0, 1)]
    assert splits[0].equals(splits[1]) and not splits[0].equals(splits[2])


def test_images_added_to_one_class_leave_the_others_where_they_were():
    frame = frame_of({"a": 30, "b": 30})
    more = frame_of({"c": 10}, seed=2)
    more["image_id"] = "new-" + more["image_id"]
    grown = pd.concat([frame, more.assign(label="b", group="b-" + more["group"])])
    before = assign_splits(frame, ("a", "b"), seed=0)[frame["label"] == "a"]
    after = assign_splits(grown.reset_index(drop=True), ("a", "b"), seed=0)
    assert before.equals(after.iloc[: len(frame)][frame["label"] == "a"])


def test_three_groups_fill_three_splits_even_when_one_is_huge():
    groups = ["x"] * 20 + ["y", "z"]
    frame = pd.DataFrame({"label": "a", "group": groups, "image_id": range(22)})
    split = assign_splits(frame, ("a",), seed=0)
    assert set(split[:20]) == {"train"} and set(split[20:]) == {"val", "test"}


def test_class_with_too_few_groups_is_one_sentence_with_its_counts():
    frame = frame_of({"nv": 20}).assign()
    few = pd.DataFrame({"label": "df", "group": ["x", "x", "y"], "image_id": ["1", "2", "3"]})
    frame = pd.concat([frame, few], ignore_index=True)
    with pytest.raises(DermaSenseError, match=r"class 'df' has 2 groups \(3 images\)"):
        assign_splits(frame, ("df", "nv"), seed=0)
    assign_splits(frame, ("df", "nv"), seed=0, by="image")  # three images do reach three splits


def test_cluster_with_two_labels_counts_for_the_rarer_and_stays_whole():
    frame = frame_of({"common": 50, "rare": 2}, most=1)
    mixed = pd.DataFrame({"label": ["common", "rare"], "group": "mixed", "image_id": ["m1", "m2"]})
    frame = pd.concat([frame, mixed], ignore_index=True)
    split = assign_splits(frame, ("common", "rare"), seed=0)
    assert leaking_groups(frame, split) == 0
    assert set(split[frame["label"] == "rare"]) == set(SPLITS)


def test_image_level_split_leaks_and_is_caught():
    frame = frame_of({"a": 100})
    split = assign_splits(frame, ("a",), seed=0, by="image")
    assert leaking_groups(frame, split) > 20
    with pytest.raises(DermaSenseError, match="groups stand in more than one split"):
        assert_no_leak(frame, split)


@pytest.mark.parametrize("folds", [2, 5])
def test_folds_are_grouped_even_and_hold_every_class(folds):
    frame = frame_of({"a": 90, "b": 5})
    fold = assign_folds(frame, ("a", "b"), folds=folds, seed=0)
    assert sorted(fold.unique()) == list(range(folds))
    assert leaking_groups(frame, fold) == 0
    table = pd.crosstab(frame["label"], fold)
    assert table.to_numpy().min() >= 1
    assert table.loc["a"].max() - table.loc["a"].min() <= 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fractions": (0.7, 0.2, 0.2)}, "sum to 1"),
        ({"fractions": (0.8, 0.2, 0.0)}, "three positive numbers"),
        ({"by": "grup"}, "did you mean 'group'"),
    ],
)
def test_bad_options_are_named(options, words):
    with pytest.raises(DermaSenseError, match=words):
        assign_splits(frame_of({"a": 9}), ("a",), seed=0, **options)


def test_one_fold_is_refused():
    with pytest.raises(DermaSenseError, match="folds=1"):
        assign_folds(frame_of({"a": 9}), ("a",), folds=1, seed=0)


def test_ham10000_as_the_original_was_divided_but_without_leak(real_data):
    catalog = ham10000.catalog(str(real_data("ham10000")))
    frame, names = catalog.frame, catalog.class_names
    split = assign_splits(frame, names, seed=0)
    assert_no_leak(frame, split)
    # The originals' 1,503 validation images are .15 of 10,015.
    assert split.value_counts().to_dict() == {"train": 7011, "val": 1502, "test": 1502}
    assert (split[frame["label"] == "df"] == "test").sum() == 17
    leaky = assign_splits(frame, names, seed=0, by="image")
    assert leaking_groups(frame, leaky) > 1000
