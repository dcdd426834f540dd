"""The split that an audit looks at is the one that training would make, leaks and all."""

import pytest

from dermasense.auditing.counts import Counts
from dermasense.auditing.duplicates import Duplicates
from tests.auditing.planted import dots, scene, subject

GIVEN = {"by": "column", "seed": 0, "val_share": 0.2}


def test_a_fold_can_be_looked_at(tmp_path):
    what = subject(tmp_path, dots(20))
    what.split_options = {"by": "fold", "seed": 0, "folds": 5, "fold": 0, "val_fraction": 0.2}
    assert what.split.value_counts().to_dict() == {"train": 12, "test": 4, "val": 4}


@pytest.mark.parametrize("by", ["column", "image"])
def test_groups_in_several_parts_are_counted_with_an_alarm(tmp_path, by):
    groups = [f"g{i // 2 % 4}" for i in range(16)]
    part = ["train", "train", "val", "val", "train", "train", "train", "test"] * 2
    what = subject(tmp_path, [scene(0), *dots(6), scene(0), *dots(8)], list("ab" * 8), groups)
    what.frame["split"] = part
    what.split_options = GIVEN if by == "column" else {"by": "image", "seed": 0}
    found = Counts()(what)
    assert found.alarm and found.information["groups_in_several_parts"] >= 1
    if by == "column":
        assert found.information["groups_in_several_parts"] == 1
        assert what.split.tolist() == part
        assert Duplicates()(what).information["crossing"]["split"] >= 1


def test_a_whole_split_raises_no_alarm(tmp_path):
    found = Counts()(subject(tmp_path, dots(16), groups=[f"g{i % 8}" for i in range(16)]))
    assert not found.alarm and found.information["groups_in_several_parts"] == 0


@pytest.mark.parametrize("audit", [Counts(), Duplicates()])
def test_the_finding_says_why_there_is_no_split(tmp_path, audit):
    what = subject(tmp_path, dots(12))
    what.split_options = GIVEN
    assert "no split to look at: split=column: the data has no column" in audit(what).summary[-1]
