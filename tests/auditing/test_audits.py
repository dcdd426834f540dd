"""Each audit finds the fault that was planted, and nothing where none was."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermasense.auditing.counts import Counts
from dermasense.auditing.duplicates import Duplicates, joined_groups
from dermasense.auditing.label_errors import LabelErrors, ranked_labels
from dermasense.auditing.leak import Leak
from dermasense.auditing.overlap import Overlap
from dermasense.auditing.shortcuts import Shortcuts
from dermasense.auditing.slices import Slices, _described
from dermasense.auditing.unreadable import Unreadable
from dermasense.errors import DermaSenseError
from tests.auditing.planted import clouds, dots, scene, subject


def jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


def test_counts_are_of_images_groups_and_values(tmp_path):
    pictures = [scene(i) for i in range(6)]
    sex = ["m", "f", None, "f", "f", "m"]
    found = Counts()(subject(tmp_path, pictures, list("aaaabb"), list("112345"), sex=sex))
    assert found.information["images"] == 6 and found.information["groups"] == 5
    assert found.information["classes"] == {"a": 4, "b": 2}
    assert found.tables["Classes."][0] == {"label": "a", "images": 4, "groups": 3, "share": 0.6667}
    by_sex = {row["sex"]: row["images"] for row in found.tables["Attribute sex."]}
    assert by_sex == {"f": 3, "m": 2, "not known": 1}
    assert found.tables["Sizes in pixels."][0]["size"] == "160 x 120"
    assert found.tables["Formats."][0]["format"] == "JPEG, RGB"
    assert not found.alarm


def test_of_classes_of_one_size_none_is_called_the_largest(tmp_path):
    said = Counts()(subject(tmp_path, [scene(i) for i in range(4)], list("abab"))).summary[2]
    assert said == "All classes have 2 images: who always answers a is right on 50.0%."
    said = Counts()(subject(tmp_path, [scene(i) for i in range(4)], list("aaab"))).summary[2]
    assert said.startswith("The largest class is a (75.0%), the smallest b (1 images)")


def test_counts_raise_an_alarm_where_the_table_is_wrong(tmp_path):
    what = subject(tmp_path, [scene(0), scene(1)], ["a", "b"])
    what.frame.loc[1, "label"] = "zz"
    found = Counts()(what)
    assert found.alarm and "unknown label 'zz'" in found.information["problems"][0]


def test_broken_files_are_named_with_their_reason(tmp_path):
    whole = jpeg(scene(0))
    png = io.BytesIO()
    scene(1).save(png, "PNG")
    flat = Image.new("RGB", (64, 48), (200, 150, 140))
    cut = whole[: len(whole) * 6 // 10]
    pictures = [whole, cut, b"", b"not a picture", None, png.getvalue(), flat]
    found = Unreadable()(subject(tmp_path, pictures))
    assert [row["image_id"] for row in found.rows] == ["p1", "p2", "p3", "p4"]
    assert found.rows[3]["reason"] == "no such file"
    assert found.rows[0]["origin"] == "table row 3"
    assert found.information == {
        "unreadable": 4, "absent": 1, "misnamed": ["p5"], "one_colour": ["p6"]
    }  # fmt: skip
    assert found.alarm


def test_a_phones_jpeg_of_two_pictures_is_no_misnamed_file(tmp_path):
    phone = io.BytesIO()
    scene(0).save(phone, "MPO", save_all=True, append_images=[scene(1)])
    what = subject(tmp_path, [phone.getvalue(), scene(2)])
    assert what.facts["format"].tolist() == ["MPO", "JPEG"]
    assert Unreadable()(what).information["misnamed"] == []


def test_broken_rows_do_not_stop_the_other_audits(tmp_path):
    what = subject(tmp_path, [*map(scene, range(8)), None, b"", None], list("ab" * 5 + "a"))
    assert len(what.usable) == 8 and len(what.probed) == 8
    assert LabelErrors()(what).information["n"] == 8
    assert Duplicates()(what).rows == []


def test_copies_that_cross_come_first_and_join_groups(tmp_path):
    one, two, three = scene(0), scene(1), scene(2)
    mirrored = two.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    shrunk = three.resize((100, 75))
    pictures = [jpeg(one), two, three, jpeg(one), mirrored, shrunk, *map(scene, range(3, 9))]
    labels, groups = list("abaaba" + "ab" * 3), ["x", "y", "z", "x", "w", "v", *"123456"]
    labels[4] = "a"  # the mirrored copy of a "b"
    what = subject(tmp_path, pictures, labels, groups)
    found = Duplicates()(what)
    pairs = {(row["image_id"], row["other"]): row for row in found.rows}
    assert set(pairs) == {("p0", "p3"), ("p1", "p4"), ("p2", "p5")}
    assert pairs["p0", "p3"]["kind"] == "equal file" and pairs["p0", "p3"]["crosses"] == ""
    assert pairs["p1", "p4"]["crosses"].startswith("group, label")
    assert found.rows[0]["other"] == "p4" and found.rows[0]["labels"] == "b | a"
    assert found.information["crossing"]["group"] == 2 and found.alarm
    assert joined_groups(what).tolist()[:6] == ["x", "w", "v", "x", "w", "v"]


def test_pictures_of_one_colour_are_no_copies_and_are_told_of(tmp_path):
    blank = Image.new("RGB", (160, 120), (200, 150, 140))
    what = subject(tmp_path, [blank, scene(0), blank, scene(1), scene(0)])
    found = Duplicates()(what)
    assert [(row["image_id"], row["other"]) for row in found.rows] == [("p1", "p4")]
    assert joined_groups(what).tolist() == ["g0", "g1", "g2", "g3", "g1"]
    assert found.information["not_compared"] == 2
    assert "Pictures of planted that were not compared: 2 of one colour." in found.summary
    assert Unreadable()(what).information["one_colour"] == ["p0", "p2"]


def test_copies_across_a_given_split_are_counted(tmp_path):
    one = scene(0)
    what = subject(tmp_path, [one, one, scene(1), scene(2)], list("abab"), list("1123"))
    what.given_split = what.frame.set_index("image_id")["path"].map(lambda _: "train").copy()
    assert Duplicates()(what).information["crossing"]["split"] == 0
    what = subject(tmp_path, [one, one, scene(1), scene(2)], list("abab"), list("1123"))
    what.given_split = what.frame.set_index("image_id")["path"].map(lambda _: "train").copy()
    what.given_split["p1"] = "test"
    assert Duplicates()(what).rows[0]["splits"] == "train | test"


def test_flipped_labels_rank_first(tmp_path):
    vectors, labels = clouds(240, spread=0.7)
    flipped = [7, 50, 101, 160, 222]
    for row in flipped:
        labels[row] = {"a": "b", "b": "c", "c": "a"}[labels[row]]
    what = subject(tmp_path, dots(240), labels, vectors=vectors)
    order, _, candidates = ranked_labels(what)
    assert set(order[:5]) == set(flipped) and 4 <= candidates <= 12
    found = LabelErrors()(what)
    assert {row["image_id"] for row in found.rows[:4]} < {f"p{row}" for row in flipped}
    assert found.rows[0]["rank"] == 1 and found.rows[0]["probe_says"] != found.rows[0]["label"]


def test_an_attribute_that_is_the_label_is_called_a_leak(tmp_path):
    vectors, labels = clouds(150, spread=2.0)
    rng = np.random.default_rng(0)
    what = subject(
        tmp_path, dots(150), labels, vectors=vectors,
        ward=[{"a": 1, "b": 2, "c": 3}[label] for label in labels],
        dice=rng.integers(0, 6, 150), age=rng.normal(50, 10, 150), same=["x"] * 150,
    )  # fmt: skip
    rows = {row["attribute"]: row for row in Shortcuts()(what).rows}
    assert rows["ward"]["balanced_accuracy"] == 1.0 and rows["ward"]["verdict"] == "like a leak"
    assert rows["dice"]["verdict"] == rows["age"]["verdict"] == "nothing shown"
    assert rows["ward"]["low"] > 0.85 and rows["ward"]["high"] == 1.0
    assert "same" not in rows and "image size" not in rows  # one value throughout


def test_the_size_of_the_files_can_be_a_leak(tmp_path):
    vectors, labels = clouds(60, classes=2)
    sides = [12 if label == "a" else 8 for label in labels]
    pictures = [p.resize((side, side)) for p, side in zip(dots(60), sides, strict=True)]
    found = Shortcuts()(subject(tmp_path, pictures, labels, vectors=vectors))
    rows = {row["attribute"]: row for row in found.rows}
    assert rows["image size"]["verdict"] == "like a leak" and found.alarm


def test_siblings_on_both_sides_raise_the_score(tmp_path):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(50), 2)
    vectors = rng.normal(0, 1, (50, 12))[groups] + rng.normal(0, 0.05, (100, 12))
    labels = [("a", "b")[g % 2] for g in groups]
    what = subject(
        tmp_path, dots(100), labels, [f"g{g}" for g in groups], vectors.astype(np.float32)
    )
    found = Leak()(what)
    memory = next(row for row in found.rows if row["model"] == "nearest neighbour")
    assert memory["leaky"] == 1.0 and memory["grouped"] < 0.75
    assert memory["gain"] == pytest.approx(memory["leaky"] - memory["grouped"], abs=1e-3)
    assert memory["low"] > 0 and found.alarm and memory["n"] == 100 and memory["n_groups"] == 50


def test_without_siblings_there_is_nothing_to_leak(tmp_path):
    vectors, labels = clouds(30)
    with pytest.raises(DermaSenseError, match="every image is a group of its own"):
        Leak()(subject(tmp_path, dots(30), labels, vectors=vectors))


def test_a_slice_of_spoilt_labels_is_found_without_a_name(tmp_path):
    vectors, labels = clouds(300, classes=2, spread=0.7)
    rng = np.random.default_rng(0)
    spoilt = np.arange(300) % 5 == 0
    vectors[spoilt, 4] += 6  # another clinic, say
    for row in np.flatnonzero(spoilt):
        labels[row] = rng.choice(["a", "b"])
    site = np.where(spoilt, "east", "west")
    what = subject(tmp_path, dots(300), labels, vectors=vectors, site=site)
    found = Slices(images_a_slice=60)(what)
    assert found.alarm
    worse = [row for row in found.rows if row["high"] is not None and row["high"] < 0]
    members = {name for row in worse for name in row["members"]}
    planted = {f"p{row}" for row in np.flatnonzero(spoilt)}
    assert len(members & planted) > 0.5 * len(planted) and len(members - planted) < 10
    assert "site east" in worse[0]["what"] and worse[0]["score"] < 1


def test_without_weak_slices_none_is_found(tmp_path):
    vectors, labels = clouds(300, spread=1.5)
    found = Slices(images_a_slice=50)(subject(tmp_path, dots(300), labels, vectors=vectors))
    assert found.information["worse"] == 0 and not found.alarm
    assert found.rows and all(row["image_id"] != row["other"] for row in found.rows)


def test_a_share_of_a_slice_is_of_all_its_images_not_of_those_with_a_value():
    frame = pd.DataFrame({"label": ["a"] * 1000, "skin": pd.Series([None] * 1000, dtype=object)})
    frame.loc[:9, "skin"], frame.loc[900, "skin"] = "I", "VI"
    assert _described(frame, np.arange(880, 930), ("skin",)) == "100% a"
    frame.loc[900:919, "skin"] = "VI"
    said = _described(frame, np.arange(880, 930), ("skin",))
    assert said == "100% a, 40% skin VI (2% of all)"


def test_overlap_of_two_sets(tmp_path):
    here = subject(tmp_path / "one", [scene(i) for i in range(6)])
    turned = scene(2).transpose(Image.Transpose.ROTATE_180)
    there = subject(tmp_path / "two", [scene(10), turned, jpeg(scene(0)), None, scene(11)])
    (tmp_path / "one" / "0000.jpg").write_bytes(jpeg(scene(0)))
    found = Overlap(there)(here)
    pairs = {(row["image_id"], row["other"]): row["kind"] for row in found.rows}
    assert pairs == {("p2", "p1"): "near copy", ("p0", "p2"): "equal file"}
    assert found.information["images_of_other"] == 2 and found.information["n_other"] == 4
    assert found.information["not_compared_other"] == 1 and found.information["not_compared"] == 0
    assert found.summary[1:] == ["Pictures of planted that were not compared: 1 unreadable."]


def test_pictures_of_one_colour_in_two_sets_are_no_overlap(tmp_path):
    blank = Image.new("RGB", (160, 120), (200, 150, 140))
    one = subject(tmp_path / "one", [blank, scene(0)])
    assert Overlap(subject(tmp_path / "two", [blank, scene(1)]))(one).rows == []


def test_a_slice_whose_answers_are_less_true_is_found_among_rare_labels(tmp_path):
    """Labels at random are mostly of rare classes, whose low recall elsewhere would excuse them."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(0, 1, (600, 8)).astype(np.float32)
    labels = rng.choice(["a", "b", "c"], 600, p=[0.9, 0.05, 0.05])
    spoilt = np.arange(600) % 6 == 0
    vectors[spoilt, 4] += 8
    labels[spoilt] = rng.choice(["a", "a", "a", "b", "c"], spoilt.sum())
    found = Slices(images_a_slice=100)(
        subject(tmp_path, dots(600), labels.tolist(), vectors=vectors)
    )
    worse = [row for row in found.rows if row["high"] is not None and row["high"] < 0]
    assert worse and {row["by_its"] for row in worse} == {"answers"}
    members = {name for row in worse for name in row["members"]}
    assert members <= {f"p{row}" for row in np.flatnonzero(spoilt)}


# Looked at: one lesion each, published under two lesion ids.
TWO_IDS = [
    ("ISIC_0025387", "ISIC_0029880"),
    ("ISIC_0027027", "ISIC_0029036"),
    ("ISIC_0030074", "ISIC_0025226"),
    ("ISIC_0033631", "ISIC_0033490"),
]


def test_lesions_of_ham10000_under_two_ids_are_joined(tmp_path, real_data):
    images = real_data("ham10000") / "images"
    others = sorted(path.stem for path in images.iterdir())[:400:10]
    names = [name for pair in TWO_IDS for name in pair] + others
    pictures = [(images / f"{name}.jpg").read_bytes() for name in names]
    what = subject(tmp_path, pictures)
    rows = [(int(r["image_id"][1:]), int(r["other"][1:])) for r in Duplicates()(what).rows]
    found = {(names[i], names[j]) for i, j in rows}
    assert found == set(TWO_IDS)
