"""Which labelled images a trained model may be judged by, and which it has learnt from."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from dermasense.data.catalog import NONE_KNOWN, Catalog
from dermasense.errors import DermaSenseError
from dermasense.evaluation.protocol import BY_IMAGE
from dermasense.inference.unseen import check_unseen, unseen_images

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


def test_its_own_data_without_groups_is_not_called_grouped(run):
    folder = run(["train", "train", "test", "test"], groups=("a", "b", "c", "d"))
    alone = replace(catalog(), groups_are=NONE_KNOWN)
    assert unseen_images(folder, "ham10000", NAMES, alone).protocol == BY_IMAGE


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


@pytest.mark.parametrize("name", ["csv", "folder", "onehot", "csv+folder"])
def test_other_images_of_a_persons_own_by_the_same_source_are_another_set(run, name):
    others = catalog(name, prefix="x")
    found = unseen_images(run(["train"] * 4), name, NAMES, others, ancestors=[name])
    assert found.part is None and len(found.catalog.frame) == 4


def test_a_set_that_is_public_in_part_is_one_set(run):
    others = catalog("ham10000+csv", prefix="x")
    with pytest.raises(DermaSenseError, match="no image of it is in"):
        unseen_images(run(["train"] * 4), others.name, NAMES, others)


def test_a_class_that_the_model_does_not_know_is_one_sentence(run):
    strange = catalog("isic2018", ("mel", "scc", "scc", "nv"), "x")
    with pytest.raises(DermaSenseError, match=r"'scc' \(2 images\) is none of the classes nv, mel"):
        unseen_images(run(["train"] * 4), "ham10000", NAMES, strange)


def prepared(parts=("train", "train", "val", "test"), leaky=False, **which):
    """Of a run that wants to begin with the model: its images are i0 to i3, two of a group."""
    of = catalog(**which)
    of.frame["group"] = ["ig0", "ig0", "ig1", "ig2"]
    return SimpleNamespace(catalog=of, split=pd.Series(parts), leaky=leaky)


@pytest.mark.parametrize("inside", ["", "bundle", "bundle/model.safetensors"])
@pytest.mark.parametrize(
    ("seen", "refused"),
    [
        (("train", "train", "val", "test"), None),
        (("train", "train", "train", "test"), r"on 1 groups of this run's val images \(first: ig1"),
        (("test", "test", "val", "val"), r"on 1 groups of this run's test images \(first: ig2"),
        (("val", "val", "test", "train"), "groups of this run's test images"),
    ],
)
def test_a_model_that_has_seen_what_a_run_is_judged_by_is_refused(run, seen, refused, inside):
    folder = run(seen, groups=("ig0", "ig0", "ig1", "ig2"))
    (folder / "bundle" / "model.safetensors").touch()
    if refused is None:
        assert check_unseen("weights", folder / inside, prepared()) == ""
    else:
        with pytest.raises(DermaSenseError, match=refused) as caught:
            check_unseen("weights", folder / inside, prepared())
        assert f"split.file={folder / 'splits.csv'}" in str(caught.value)


def test_groups_of_another_data_set_may_bear_the_same_names(run):
    folder = run(["train"] * 4, groups=("ig0", "ig0", "ig1", "ig2"))
    (folder / "bundle" / "model.json").write_text(json.dumps({"training_data": "clinic"}))
    others = prepared(prefix="x")
    assert check_unseen("weights", folder, others) == ""
    with pytest.raises(DermaSenseError, match="trained or was chosen on 1 image_ids"):
        check_unseen("weights", folder, prepared())  # the very images
    (folder / "bundle" / "model.json").write_text(json.dumps({"training_data": "ham10000"}))
    with pytest.raises(DermaSenseError, match="trained or was chosen on 1 groups"):
        check_unseen("weights", folder, others)


def test_two_tables_of_the_user_are_one_where_they_share_an_image(run):
    folder = run(["train"] * 4, groups=("ig0", "ig0", "ig1", "ig2"))
    (folder / "bundle" / "model.json").write_text(json.dumps({"training_data": "csv"}))
    others = prepared(name="csv", prefix="x")
    assert check_unseen("weights", folder, others) == ""
    others.catalog.frame.loc[0, "image_id"] = "i0"
    with pytest.raises(DermaSenseError, match="trained or was chosen on 1 groups"):
        check_unseen("weights", folder, others)


def test_a_leaky_run_is_held_to_single_images(run):
    folder = run(["train", "test", "val", "val"], groups=("ig2", "ig2", "ig2", "ig2"))
    parts = ("train", "test", "val", "val")
    assert check_unseen("weights", folder, prepared(parts, leaky=True)) == ""
    with pytest.raises(DermaSenseError, match="groups of this run's val images"):
        check_unseen("weights", folder, prepared(parts))


@pytest.mark.parametrize("rows", [None, "photo,part\ni0,train\n"])
def test_what_cannot_be_known_is_said(tmp_path, rows):
    if rows:  # a table of the user's own beside a file of weights
        (tmp_path / "splits.csv").write_text(rows)
    (tmp_path / "w.pth").touch()
    said = check_unseen("weights", tmp_path / "w.pth", prepared())
    assert said.startswith(f"It is not known what weights={tmp_path / 'w.pth'} was trained on")


def test_a_data_set_that_the_weights_have_seen_is_refused(run):
    folder = run(["train"] * 4)
    isic = catalog("isic2018", prefix="x")
    with pytest.raises(DermaSenseError, match="data=isic2018: the model began with weights"):
        unseen_images(folder, "clinic", NAMES, isic, ancestors=["isic2018"])
    found = unseen_images(folder, "clinic", NAMES, isic, ancestors=["ham10000"])
    assert found.part is None
    mine = catalog("csv", prefix="x")  # two tables of that name may hold other images
    assert unseen_images(folder, "clinic", NAMES, mine, ancestors=["csv"]).part is None


def test_what_the_weights_of_a_model_have_seen_counts_a_generation_on(run):
    folder = run(["train"] * 4)
    known = {"training_data": "clinic", "weights_provenance": {"trained_on": ["ham10000"]}}
    (folder / "bundle" / "model.json").write_text(json.dumps(known))
    with pytest.raises(DermaSenseError, match="it began with weights that were trained on ham1"):
        check_unseen("weights", folder, prepared(prefix="x"))
    assert check_unseen("weights", folder, prepared(name="isic2018", prefix="x")) == ""


def test_the_same_images_under_another_group_are_found(run):
    folder = run(["train"] * 4, groups=("p", "p", "q", "q"))
    with pytest.raises(DermaSenseError, match="on 1 image_ids of this run's test images"):
        check_unseen("weights", folder, prepared())


def test_a_copied_bundle_still_tells_what_its_weights_have_seen(tmp_path):
    known = {"training_data": "clinic", "weights_provenance": {"trained_on": ["ham10000"]}}
    (tmp_path / "model.json").write_text(json.dumps(known))
    with pytest.raises(DermaSenseError, match="it began with weights that were trained on ham1"):
        check_unseen("weights", tmp_path, prepared())
    (tmp_path / "model.json").write_text(json.dumps(known | {"weights_provenance": None}))
    assert check_unseen("weights", tmp_path, prepared()).startswith("It is not known")


def test_a_relative_and_a_linked_path_are_those_of_the_run(run, monkeypatch):
    folder = run(["train"] * 4, groups=("ig0", "ig0", "ig1", "ig2"))
    monkeypatch.chdir(folder / "bundle")
    (folder.parent / "link").symlink_to(folder / "bundle")
    for place in (".", folder.parent / "link"):
        with pytest.raises(DermaSenseError, match="trained or was chosen on"):
            check_unseen("weights", place, prepared())
