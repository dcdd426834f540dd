"""Which labelled images a trained model may be judged by, and which it has learnt from."""

import pandas as pd
import pytest

from dermasense.data.catalog import Catalog
from dermasense.errors import DermaSenseError
from dermasense.inference.unseen import unseen_images

NAMES = ("nv", "mel")


def catalog(name="ham10000", labels=("mel", "nv", "mel", "nv"), prefix="i"):
    n = len(labels)
    frame = pd.DataFrame(
        {
            "image_id": [f"{prefix}{i}" for i in range(n)],
            "path": "x",
            "label": labels,
            "group": [f"{prefix}g{i // 2}" for i in range(n)],
            "origin": "here",
        }
    )
    return Catalog(name, frame, tuple(sorted(set(labels))), (), "", "")


@pytest.fixture
def run(tmp_path):
    def write(parts, groups=("ig0", "ig0", "ig1", "ig1")):
        rows = {"image_id": ["i0", "i1", "i2", "i3"], "group": groups, "split": parts}
        pd.DataFrame(rows).to_csv(tmp_path / "splits.csv", index=False)
        (tmp_path / "bundle").mkdir(exist_ok=True)
        return tmp_path

    return write


@pytest.mark.parametrize("inside", ["", "bundle"])
def test_its_own_data_gives_the_test_part(run, inside):
    folder = run(["train", "train", "test", "test"]) / inside
    found = unseen_images(folder, "ham10000", NAMES, catalog())
    assert (found.part, found.protocol) == ("test", "grouped")
    assert found.catalog.frame["image_id"].tolist() == ["i2", "i3"]
    assert found.catalog.class_names == NAMES and found.catalog.evaluation_only


def test_an_image_level_split_is_called_leaky(run):
    folder = run(["train", "test", "train", "test"])
    assert unseen_images(folder, "ham10000", NAMES, catalog()).protocol.startswith("leaky")


def test_another_set_is_taken_whole_with_the_models_class_order(run):
    found = unseen_images(run(["train"] * 4), "ham10000", NAMES, catalog("isic2018", prefix="x"))
    assert found.part is None and len(found.catalog.frame) == 4
    assert found.protocol == "external (isic2018), none of it seen in training"


def test_a_set_without_one_of_the_classes_passes(run):
    found = unseen_images(run(["train"] * 4), "h", NAMES, catalog("x", ("nv",) * 4, "x"))
    assert found.catalog.class_names == NAMES


def test_what_was_learnt_from_is_refused_unless_only_names_agree(run):
    folder = run(["train", "val", "test", "test"])
    with pytest.raises(DermaSenseError, match=r"data=csv: 2 images \(i0, \.\.\.\) were in the"):
        unseen_images(folder, "ham10000", NAMES, catalog("csv"))
    assert unseen_images(folder, "ham10000", NAMES, catalog("csv"), same_names=True).part is None


def test_own_data_without_a_split_or_of_another_place_is_refused(run, tmp_path):
    with pytest.raises(DermaSenseError, match=r"has no splits\.csv"):
        unseen_images(tmp_path / "alone", "ham10000", NAMES, catalog())
    with pytest.raises(DermaSenseError, match="no image of it is in"):
        unseen_images(run(["train"] * 4), "ham10000", NAMES, catalog(prefix="x"))


def test_a_class_that_the_model_does_not_know_is_one_sentence(run):
    strange = catalog("isic2018", ("mel", "scc", "scc", "nv"), "x")
    with pytest.raises(DermaSenseError, match=r"'scc' \(2 images\) is none of the classes nv, mel"):
        unseen_images(run(["train"] * 4), "ham10000", NAMES, strange)
