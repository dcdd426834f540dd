"""The one-hot ground truth of the ISIC challenges, and the lesions of their test set."""

import pytest

from dermasense.data.catalog import check
from dermasense.data.sources import isic2018, onehot
from dermasense.errors import DermaSenseError
from tests.data.own_images import write
from tests.fakes import noise


@pytest.fixture
def root(tmp_path):
    for name in ("i1.jpg", "i2.png", "i3.jpg"):
        noise(tmp_path / "images" / name, seed=1)
    truth = [["image", "NV", "MEL", "UNK"], ["i1", "1.0", "0.0", "0.0"], ["i2", "0", "1", "0"]]
    write(tmp_path / "GroundTruth.csv", [*truth, ["i3", "0.0", "1.0", "0.0"]])
    facts = [
        ["image", "lesion_id", "sex"],
        ["i3", "L", "male"],
        ["i2", "L", ""],
        ["x", "M", "male"],
    ]
    write(tmp_path / "facts.csv", facts)
    return tmp_path


def test_labels_classes_files_and_the_second_table(root):
    catalog = onehot.catalog(
        str(root), metadata="facts.csv", columns={"group": "lesion_id"}, attributes=["sex"]
    )
    frame = catalog.frame
    assert catalog.class_names == ("NV", "MEL")  # the order of the columns
    assert catalog.note == "no class, since no image is of it: UNK"
    assert frame["label"].tolist() == ["NV", "MEL", "MEL"]
    assert frame["group"].tolist() == ["image i1", "L", "L"]
    assert frame["sex"].isna().tolist() == [True, True, False]
    assert frame["path"].tolist() == [
        str(root / "images" / n) for n in ("i1.jpg", "i2.png", "i3.jpg")
    ]
    assert frame["origin"][0] == "GroundTruth.csv row 2" and check(catalog) == []


def test_a_row_of_no_class_is_reported(root):
    (root / "GroundTruth.csv").write_text("image,NV,MEL\ni1,1,0\ni2,0,0\ni3,0,1\n")
    assert check(onehot.catalog(str(root)))[0].startswith("GroundTruth.csv row 3: no label")


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("image,NV,MEL\ni1,1,1\n", {}, r"row 2: the image is of NV and MEL at once"),
        ("image,NV,w\ni1,1,0.4\n", {}, r"row 2: '0\.4' in column 'w' is neither 0 nor 1"),
        ("image\ni1\n", {}, "has no class columns"),
        ("id,NV\ni1,1\n", {}, "no column 'image'"),
        ("image,NV\ni1,1\n", {"columns": {"grup": "a"}}, "data.columns.grup is unknown"),
        ("image,NV\ni1,1\n", {"attributes": ["age"]}, "no column 'age'"),
        ("image,NV\ni1,1\n", {"metadata": "gone.csv"}, "no such file"),
        ("image,NV\ni1,1\n", {"class_names": ["MEL"]}, "no column 'MEL'"),
    ],
)
def test_mistakes_are_one_sentence(root, text, options, words):
    (root / "GroundTruth.csv").write_text(text)
    with pytest.raises(DermaSenseError, match=words):
        onehot.catalog(str(root), **options)


def test_isic2018_takes_the_lesions_of_the_publishers_table(tmp_path):
    rows = [["image_id", "dx", "lesion_id"], ["a", "nv", "L1"], ["b", "nv", "L1"], ["c", "mel", ""]]
    write(tmp_path / "labels.csv", rows)
    assert isic2018.catalog(str(tmp_path)).frame["group"].tolist() == ["L1", "L1", "c"]
