"""The counterfactual command on a run of synthetic pictures."""

import functools
import shutil
from dataclasses import replace

import pandas as pd
import pytest

from dermasense import counterfactual
from dermasense.data.sources import synthetic
from dermasense.errors import DermaSenseError
from dermasense.inference.counterfactual import study
from tests.fakes import stub_backbone, untrained_run


@pytest.fixture
def command(run_command):
    return functools.partial(run_command, counterfactual)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return tmp_path_factory.mktemp("drawn")


@pytest.fixture
def run(tmp_path, drawn, monkeypatch):
    """A run folder with an untrained bundle and a split."""
    monkeypatch.setattr("timm.create_model", stub_backbone)
    folder = tmp_path / "run"
    found = untrained_run(folder, drawn, n_lesions=150, image_size=48)
    place = ["train"] * (len(found.frame) - 40) + ["test"] * 40
    found.frame[["image_id"]].assign(split=place).to_csv(folder / "splits.csv", index=False)
    return folder


def words(run, drawn, *more):
    return ["data=synthetic", f"data.root={drawn}", "data.n_lesions=150", "data.image_px=48",
            f"bundle={run}", "resamples=100", *more]  # fmt: skip


@pytest.mark.parametrize("region", ["skin", "picture"])
def test_numbers_and_tones_are_written(command, run, drawn, region):
    code, printed, error = command(*words(run, drawn, f"region={region}"))
    assert code == 0, error
    rows = pd.read_csv(run / "counterfactual.csv")
    assert rows["region"].unique().tolist() == [region]
    whole = rows.iloc[0]
    assert (whole["origin"], whole["target"]) == ("all", "all") and 20 < whole["n"] <= 40
    assert whole["changed_low"] <= whole["changed"] <= whole["changed_high"]
    tones = pd.read_csv(run / "tones.csv")
    assert len(tones) == len(pd.read_csv(run / "splits.csv"))
    medians = tones.groupby("skin_type")["ita"].median()
    assert medians.loc[1] > medians.loc[3] > medians.loc[6]
    assert "Research software, not a medical device" in printed


def test_mistakes_are_a_sentence(command, run, drawn):
    assert "bundle= is needed" in command()[2]
    assert "region=skn is unknown; did you mean" in command(*words(run, drawn, "region=skn"))[2]
    assert "no attribute 'skin'" in command(*words(run, drawn, "attribute=skin"))[2]
    alone = run.parent / "alone"
    shutil.copytree(run / "bundle", alone)
    code, _, error = command(*words(alone, drawn))
    assert code == 2 and "no splits.csv" in error
    other = pd.read_csv(run / "splits.csv").assign(image_id="x")
    other.to_csv(run / "splits.csv", index=False)
    assert "none of its test images is in data=synthetic" in command(*words(run, drawn))[2]


def test_a_tables_own_split_is_neither_taken_nor_offered(run, drawn):
    catalog = synthetic.catalog(root=str(drawn), n_lesions=150, image_px=48)
    own = replace(catalog, frame=catalog.frame.assign(split="x", fold="y"))
    with pytest.raises(DermaSenseError, match="no attribute 'pth'; valid: ") as error:
        study(run, own, attribute="pth")
    offered = str(error.value).partition("valid: ")[2].split(", ")
    assert offered == sorted(catalog.attributes)


def test_the_model_in_the_package_is_found_and_its_missing_split_said(command, drawn):
    code, _, err = command(*words("shipped", drawn))
    assert code == 2 and "shipped: no splits.csv in it or above it" in err
