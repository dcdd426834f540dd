"""One call from a catalog to checked rows, pixels and a split."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from dermasense.data.catalog import NONE_KNOWN, Catalog
from dermasense.data.prepared import make_split, prepare_data
from dermasense.data.preprocess import InputSpec
from dermasense.data.splits import leaking_groups
from dermasense.errors import DermaSenseError

SPEC = InputSpec(8, "squash", (0.5,) * 3, (0.5,) * 3)
SPLIT = {"by": "group", "seed": 0, "fractions": (0.7, 0.15, 0.15)}


@pytest.fixture
def catalog(tmp_path):
    """Two classes, ten lesions each of two photographs; image i is of the colour (i, i, i)."""
    rows = []
    for i in range(40):
        path = tmp_path / f"{i}.png"
        Image.new("RGB", (10, 10), (i, i, i)).save(path)
        label = "mel" if i < 20 else "nv"
        rows.append((f"id{i}", str(path), label, f"lesion{i // 2}", f"table.csv row {i + 2}"))
    frame = pd.DataFrame(rows, columns=["image_id", "path", "label", "group", "origin"])
    return Catalog("test", frame, ("mel", "nv"), (), "none", "none")


def prepare(catalog, tmp_path, **options):
    options = {"split": SPLIT} | options
    return prepare_data(catalog, SPEC, cache_dir=tmp_path / "cache", **options)


def damage(catalog, row, content=None):
    path = Path(catalog.frame["path"].iloc[row])
    path.unlink() if content is None else path.write_bytes(content)


def test_rows_pixels_and_split_are_aligned(catalog, tmp_path):
    prepared = prepare(catalog, tmp_path)
    assert prepared.store.images[prepared.rows][:, 0, 0, 0].tolist() == list(range(40))
    assert prepared.split.index.equals(prepared.catalog.frame.index)
    assert leaking_groups(prepared.catalog.frame, prepared.split) == 0
    assert (prepared.leaky, prepared.protocol, prepared.skipped) == (False, "grouped", [])


def test_the_image_level_split_is_called_leaky(catalog, tmp_path):
    prepared = prepare(catalog, tmp_path, split=SPLIT | {"by": "image"})
    assert prepared.leaky and prepared.protocol == "leaky (image-level split)"
    assert leaking_groups(prepared.catalog.frame, prepared.split) > 0


@pytest.mark.parametrize(
    ("split", "says"),
    [
        ({"by": "group", "seed": 0, "fraction": [1]}, "split.fraction is no option; did you mean"),
        ({"fold": 1, "seed": 0}, "split.fold is no option; "),
        ({"by": "fold", "seed": 0}, "split.folds is missing: set it"),
        ({"by": "column", "seed": 0, "val_share": 0.2, "val_fol": 1}, "did you mean 'val_fold'"),
        ({"by": "fald"}, "split.by=fald is unknown; did you mean 'fold'"),
    ],
)
def test_an_odd_split_is_known_before_a_picture_is_decoded(catalog, tmp_path, split, says):
    with pytest.raises(DermaSenseError, match=says):
        prepare(catalog, tmp_path, split=split)
    assert not (tmp_path / "cache").exists()
    with pytest.raises(DermaSenseError, match=says):
        make_split(catalog, split)


def test_a_split_of_images_without_groups_is_not_called_grouped(catalog, tmp_path):
    alone = replace(catalog, groups_are=NONE_KNOWN)
    for by in ({}, {"by": "fold", "folds": 4, "fold": 0, "seed": 0, "val_fraction": 0.2}):
        prepared = prepare(alone, tmp_path, split=by or SPLIT)
        assert not prepared.leaky and prepared.protocol == "by image (no lesion groups known)"
    assert prepare(alone, tmp_path, split=SPLIT | {"by": "image"}).protocol.startswith("leaky")


def test_all_bad_rows_end_in_one_message(catalog, tmp_path):
    damage(catalog, 3)
    damage(catalog, 7, b"not a picture")
    frame = catalog.frame.copy()
    frame.loc[11, "label"] = "mell"
    frame.loc[12, "image_id"] = "id9"
    bad = replace(catalog, frame=frame, class_names=("df", "mel", "nv"))
    with pytest.raises(DermaSenseError) as caught:
        prepare(bad, tmp_path)
    text = str(caught.value)
    for words in (
        "5 problems found before training",
        "table.csv row 5: no such file",
        "table.csv row 9: ",
        "not a picture of a known format",
        "table.csv row 13: unknown label 'mell'",
        "table.csv row 14: duplicate image_id 'id9'",
        "class 'df': no images",
        "data.on_error=skip",
    ):
        assert words in text


def test_skip_leaves_bad_images_out_and_lists_them(catalog, tmp_path):
    damage(catalog, 3)
    damage(catalog, 7, b"not a picture")
    prepared = prepare(catalog, tmp_path, on_error="skip")
    assert [s["origin"] for s in prepared.skipped] == ["table.csv row 5", "table.csv row 9"]
    assert prepared.skipped[0]["reason"] == "no such file"
    assert "not a picture" in prepared.skipped[1]["reason"]
    assert len(prepared.catalog.frame) == len(prepared.rows) == len(prepared.split) == 38
    left = [i for i in range(40) if i not in (3, 7)]
    assert prepared.store.images[prepared.rows][:, 0, 0, 0].tolist() == left
    assert prepared.catalog.frame["image_id"].tolist() == [f"id{i}" for i in left]
    assert prepared.catalog.frame.index.tolist() == list(range(38))


def test_skip_does_not_hide_other_problems_nor_a_class_that_became_too_small(catalog, tmp_path):
    for row in range(4, 20):
        damage(catalog, row)
    with pytest.raises(DermaSenseError, match=r"class 'mel': 2 groups \(4 images\)"):
        prepare(catalog, tmp_path, on_error="skip")


def test_where_all_were_left_out_the_first_reason_is_told(catalog, tmp_path):
    for row in range(40):
        damage(catalog, row, b"not a picture")
    words = r"left out 40 images, the first is table\.csv row 2: .*0\.png not a picture"
    with pytest.raises(DermaSenseError, match=words):
        prepare(catalog, tmp_path, on_error="skip")


def test_a_wrong_root_where_every_file_is_missing_is_one_message(catalog, tmp_path):
    frame = catalog.frame.assign(path="/nowhere/" + catalog.frame["image_id"])
    for on_error in ("raise", "skip"):
        with pytest.raises(DermaSenseError, match="40 missing file"):
            prepare(replace(catalog, frame=frame), tmp_path, on_error=on_error)


def test_the_pixel_limit_of_the_data_is_used(catalog, tmp_path):
    Image.new("RGB", (30, 30)).save(catalog.frame["path"].iloc[0])
    with pytest.raises(
        DermaSenseError, match=r"30 x 30 .* limit of 400; shrink it or raise data\.max_pixels"
    ):
        prepare(catalog, tmp_path, max_pixels=400)


def test_an_evaluation_set_is_all_test(catalog, tmp_path):
    prepared = prepare(replace(catalog, evaluation_only=True), tmp_path)
    assert set(prepared.split) == {"test"} and not prepared.leaky


def test_unknown_on_error_is_named(catalog, tmp_path):
    with pytest.raises(DermaSenseError, match="did you mean 'skip'"):
        prepare(catalog, tmp_path, on_error="skipp")
