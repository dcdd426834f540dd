"""Splits: whole groups, every class in every part, a pure function of seed and content."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dermasense.data.sources import fitzpatrick21, ham10000
from dermasense.data.splits import (
    SHOWN,
    SPLITS,
    assert_no_leak,
    assign_fold,
    assign_folds,
    assign_splits,
    assign_validation,
    leaking_groups,
)
from dermasense.errors import DermaSenseError
from tests.long import LONG

COMMITTED = Path(__file__).resolve().parents[2] / "benchmarks" / "folds"


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


def test_three_single_images_fill_three_splits_of_very_unlike_shares():
    frame = frame_of({"a": 3}, most=1)
    split = assign_splits(frame, ("a",), seed=0, fractions=(0.9, 0.05, 0.05))
    assert sorted(split) == ["test", "train", "val"]


def test_each_way_of_splitting_gives_a_named_column():
    frame = frame_of({"a": 30, "b": 30})
    names = ("a", "b")
    assert assign_splits(frame, names, seed=0).name == "split"
    assert assign_folds(frame, names, folds=3, seed=0).name == "fold"
    assert one_fold(frame, names, 0).name == "split"


def test_a_validation_part_has_its_share_and_leaves_the_rest():
    frame = frame_of({"a": 100, "b": 100}, most=1)
    parts = assign_validation(frame, ("a", "b"), share=0.2, seed=0)
    assert parts.name == "split"
    assert parts.value_counts().to_dict() == {"train": 160, "val": 40}


@pytest.mark.parametrize("share", [0, 1, 1.5])
def test_a_validation_part_of_all_or_nothing_is_refused(share):
    with pytest.raises(DermaSenseError, match=f"split.val_share={share} must be above 0"):
        assign_validation(frame_of({"a": 9}), ("a",), share=share, seed=0)


def test_groups_that_cross_are_counted_and_the_first_are_named():
    for crossing, words in (
        (1, "1 group stands in more than one split (g0); do it."),
        (2, "2 groups stand in more than one split (g0, g1); do it."),
        (SHOWN, f"{SHOWN} groups stand in more than one split (g0, g1"),
        (SHOWN + 1, f"{SHOWN + 1} groups stand in more than one split (first: g0, g1"),
    ):
        frame = pd.DataFrame({"group": [f"g{i // 2}" for i in range(2 * crossing)]})
        split = pd.Series(["train", "test"] * crossing)
        with pytest.raises(DermaSenseError, match=re.escape(words)):
            assert_no_leak(frame, split, hint="do it")


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
        ({"fractions": 0.8}, r"split\.fractions=0\.8 must be three positive numbers"),
        ({"fractions": [0.7, 0.15, "x"]}, "0.15, 'x'. must be three positive numbers"),
        ({"fractions": [0.7, 0.15, float("nan")]}, "must be three positive numbers"),
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


def one_fold(frame, names, fold, **options):
    options = {"folds": 4, "seed": 3, "val_fraction": 0.2} | options
    return assign_fold(frame, names, fold=fold, **options)


def test_each_image_is_judged_in_one_fold_and_never_chosen_by_in_that_one():
    frame, names = frame_of({"a": 40, "b": 9, "c": 4}), ("a", "b", "c")
    parts = [one_fold(frame, names, fold) for fold in range(4)]
    judged = np.array([part == "test" for part in parts])
    assert (judged.sum(axis=0) == 1).all()
    for fold, part in enumerate(parts):
        assert_no_leak(frame, part)  # so validation is disjoint from the judged fold by group
        assert pd.crosstab(frame["label"], part).to_numpy().min() >= 1
        others = part[~judged[fold]]
        assert (others == "val").mean() == pytest.approx(0.2, abs=0.06)


def test_folds_are_the_same_whichever_is_judged_and_in_any_order_of_rows():
    frame, names = frame_of({"a": 40, "b": 9, "c": 5}), ("a", "b", "c")
    folds = assign_folds(frame, names, folds=4, seed=3)
    mixed = frame.sample(frac=1, random_state=0)
    for fold in range(4):
        part = one_fold(frame, names, fold)
        assert ((part == "test") == (folds == fold)).all()
        assert one_fold(mixed, names, fold).sort_index().equals(part)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fold": 4}, "split.fold=4: folds are counted from 0; expected 0 to 3"),
        ({"fold": -1}, "split.fold=-1"),
        ({"fold": 0, "folds": 1}, "split.folds=1: expected an integer >= 2"),
        ({"fold": 0, "val_fraction": 0.0}, "early stopping needs images that are not judged"),
        ({"fold": 0, "val_fraction": 1.0}, "early stopping needs images that are not judged"),
        ({"fold": 0, "val_fraction": 1.5}, "early stopping needs images that are not judged"),
        ({"fold": 0, "folds": 12}, "class 'b' has 9 groups"),
    ],
)
def test_a_fold_that_is_none_is_refused(options, words):
    frame = frame_of({"a": 40, "b": 9})
    with pytest.raises(DermaSenseError, match=re.escape(words)):
        one_fold(frame, ("a", "b"), **options)


def test_the_committed_folds_are_what_the_code_makes(real_data):
    catalog = ham10000.catalog(str(real_data("ham10000")))
    known = pd.read_csv(COMMITTED / "ham10000.csv").set_index("image_id")
    frame = catalog.frame
    folds = assign_folds(frame, catalog.class_names, folds=5, seed=0)
    assert known["fold"].loc[frame["image_id"]].tolist() == folds.tolist()
    assert known["group"].loc[frame["image_id"]].astype(str).tolist() == frame["group"].tolist()
    assert len(known) == len(frame)


@LONG
def test_no_more_than_three_of_todays_groups_cross_the_committed_folds(real_data):
    """The committed groups of fitzpatrick21 were drawn before RANSAC had a seed of its own."""
    frame = fitzpatrick21.catalog(str(real_data("fitzpatrick21"))).frame.set_index("image_id")
    known = pd.read_csv(COMMITTED / "fitzpatrick21.csv").set_index("image_id")
    assert len(known) == len(frame)
    folds = known["fold"].loc[frame.index].groupby(frame["group"]).nunique()
    assert (folds > 1).sum() <= 3


@pytest.mark.parametrize("name", ["ham10000", "fitzpatrick21"])
def test_no_group_crosses_the_committed_folds(name):
    known = pd.read_csv(COMMITTED / f"{name}.csv")
    assert known["image_id"].is_unique and sorted(known["fold"].unique()) == [0, 1, 2, 3, 4]
    assert (known.groupby("group")["fold"].nunique() == 1).all()
