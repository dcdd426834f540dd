"""The actor of a bulk prediction, here without Ray: its parts are those of the plain path."""

import zipfile
from pathlib import Path

import pandas as pd
import pytest

from dermasense import load
from dermasense.cluster.bulk import Answerer, _table
from dermasense.cluster.ray_jobs import Surroundings
from dermasense.inference.bulk import answer_parts
from dermasense.inference.image_sources import open_images
from tests.fakes import noise, stub_backbone
from tests.inference.tiny_bundle import tiny_bundle

OPTIONS = {"engine": "torch", "batch_size": 2}


@pytest.fixture
def bundle(tmp_path, monkeypatch) -> str:
    monkeypatch.setattr("timm.create_model", stub_backbone)
    return str(tiny_bundle(tmp_path / "bundle"))


def place_of(kind: str, folder: Path) -> Path:
    """Five pictures, the fourth of them broken."""
    for number in range(5):
        noise(folder / "in" / f"{number}.png", seed=number)
    (folder / "in" / "3.png").write_bytes(b"no picture")
    files = sorted((folder / "in").iterdir())
    if kind == "parquet":
        table = pd.DataFrame({"path": [str(path) for path in files], "image_id": list("vwxyz")})
        table.to_parquet(folder / "t.parquet")
        return folder / "t.parquet"
    if kind == "zip":
        with zipfile.ZipFile(folder / "z.zip", "w") as archive:
            for path in reversed(files):
                archive.write(path, path.name)
        return folder / "z.zip"
    return folder / "in"


@pytest.mark.parametrize("kind", ["folder", "parquet", "zip"])
def test_its_parts_are_those_of_the_plain_path(bundle, tmp_path, kind):
    place = place_of(kind, tmp_path)
    images, model = open_images(place), load(bundle, **OPTIONS)
    plain = [tmp_path / f"plain{number}" for number in range(2)]
    answer_parts(model, images, plain, 3, None)
    sha256 = model.info.get("sha256")
    actor = Answerer(Surroundings.here(), bundle, OPTIONS, str(place), sha256)
    actors = [tmp_path / f"actor{number}" for number in range(2)]
    for number in (1, 0):  # in whatever order they are given out
        told = actor(_table(images, actors, number, 3)).to_pylist()
        assert told == [{"pictures": 3 - number, "fault": ""}]
    assert [path.read_bytes() for path in actors] == [path.read_bytes() for path in plain]
    before = actors[0].stat().st_mtime_ns
    actor(_table(images, actors, 0, 3))
    assert actors[0].stat().st_mtime_ns == before  # a part that is there is not answered again


@pytest.mark.parametrize(
    ("folder", "sha256", "said"),
    [("nowhere", None, "nowhere"), (None, "other", "another bundle here than where")],
)
def test_a_bundle_that_is_not_the_commands_is_told_and_answers_nothing(
    bundle, tmp_path, folder, sha256, said
):
    place = place_of("folder", tmp_path)
    images, part = open_images(place), tmp_path / "part"
    bundle = str(tmp_path / folder) if folder else bundle
    actor = Answerer(Surroundings.here(), bundle, OPTIONS, str(place), sha256)
    told = actor(_table(images, [part], 0, 9)).to_pylist()
    assert said in told[0]["fault"] and not part.exists()
