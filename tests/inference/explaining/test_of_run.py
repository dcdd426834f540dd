"""What a training leaves for its report: overlays of chosen test pictures."""

import numpy as np
import pytest
from PIL import Image

from dermasense.errors import DermaSenseError
from dermasense.evaluation.predictions import Predictions, write_predictions
from dermasense.files import read_json
from dermasense.inference.explaining.of_run import chosen, look_into_run
from dermasense.run_folder import RunFolder
from tests.inference.explaining.coloured import NAMES, backbone, bundle, picture


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr("timm.create_model", backbone)
    bundle(tmp_path / "run" / "bundle")
    return RunFolder(tmp_path / "run")


def table(tmp_path) -> Predictions:
    import pandas as pd

    labels = ["red", "red", "green", "green", "green", "red"]
    frame = pd.DataFrame({"image_id": [f"i{n}" for n in range(6)], "label": labels})
    frame["group"] = ["a", "a", "b", "c", "c", "d"]
    frame["path"] = [str(tmp_path / f"i{n}.png") for n in range(6)]
    for path in frame["path"]:
        Image.fromarray(picture()).save(path)
    # Right: 0 (sure), 1 (surer), 2. Wrong: 3 and 4 of one group, 5 least sure.
    logits = np.array([[3, 0, 0], [4, 0, 0], [0, 2, 0], [5, 0, 0], [4, 0, 0], [0, 1, 0]], float)
    return Predictions(frame, logits, NAMES)


def test_the_surest_right_one_a_class_then_the_surest_wrong_one_a_group(tmp_path):
    assert chosen(table(tmp_path)) == [1, 2, 3, 5]


def test_overlays_and_what_they_are_lie_in_the_run(run, tmp_path):
    found = table(tmp_path)
    write_predictions(run.predictions("test"), found.frame, found.logits, NAMES)
    look_into_run(run, found.frame)
    rows = read_json(run.explained / "explained.json")
    assert [row["image_id"] for row in rows] == ["i1", "i2", "i3", "i5"]
    assert [row["label"] for row in rows] == ["red", "green", "green", "red"]
    for row in rows:
        with Image.open(run.explained / row["file"]) as overlay:
            assert overlay.size == (96, 72)


def test_a_network_too_coarse_for_a_map_is_told_in_a_sentence(run, tmp_path, monkeypatch, caplog):
    def coarse(*_, **__):
        raise DermaSenseError("1 x 1 places")

    found = table(tmp_path)
    write_predictions(run.predictions("test"), found.frame, found.logits, NAMES)
    monkeypatch.setattr("dermasense.inference.explaining.explainer.attribution", coarse)
    look_into_run(run, found.frame)
    assert "the run itself is whole: 1 x 1 places" in caplog.text
    assert "Traceback" not in caplog.text and not (run.explained / "explained.json").exists()


def test_a_fault_there_does_not_end_a_run(run, tmp_path, caplog):
    look_into_run(run, table(tmp_path).frame)  # no predictions lie there
    assert "the run itself is whole" in caplog.text
    assert not (run.explained / "explained.json").exists()
