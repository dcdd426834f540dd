"""Bulk prediction on two nodes ends with the files of the plain one, whatever is killed."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("ray", reason="Ray is not installed (extra scale)")

from dermasense import predict
from tests.fakes import untrained_run

pytestmark = pytest.mark.slow
FILES = ("predictions.parquet", "predictions.csv", "skipped.csv")


@pytest.fixture
def photos(tmp_path) -> Path:
    """Sixty pictures; two of them broken, one with a name that is no UTF-8."""
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for number in range(60):
        pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    for name in ("07.png", "31.png"):
        (folder / name).write_bytes(b"no picture")
    os.rename(folder / "59.png", bytes(folder) + b"/59\xff.png")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    return {name: (folder / name).read_bytes() for name in FILES}


def test_a_worker_and_a_node_are_killed_and_nothing_is_lost_or_doubled(
    cluster, run_command, documented, photos, tmp_path
):
    untrained_run(tmp_path / "run", tmp_path / "drawn", n_lesions=30, image_size=32)
    places = {"images=DIR": f"images={photos}", "bundle=RUN": f"bundle={tmp_path / 'run'}"}
    shown = [places.get(word, word) for word in documented("predict", "ray")]
    words = [word for word in shown if word not in ("launcher=ray", "out=answers")]
    assert len(words) == len(shown) - 2 and not {"images=DIR", "bundle=RUN"} & set(words)
    words += ["engine=torch", "batch_size=4", "part_size=5", "show=1"]
    assert run_command(predict, *words, f"out={tmp_path / 'plain'}")[0] == 3
    parts, stop = tmp_path / "ray" / ".parts", threading.Event()

    def kill() -> None:
        for least, how in ((1, lambda: cluster.kill_worker(0)), (4, lambda: cluster.kill_node(1))):
            while len(list(parts.glob("*/0*.parquet"))) < least or not cluster.workers(0):
                if stop.wait(0.02):
                    return
            how()

    killer = threading.Thread(target=kill)
    killer.start()
    ray = ["launcher=ray", f"launcher.address={cluster.address}"]
    code, printed, err = run_command(predict, *words, *ray, f"out={tmp_path / 'ray'}")
    stop.set()
    killer.join()
    assert code == 3, err
    assert "58 pictures answered" in printed and "are given out again" in err
    assert content(tmp_path / "ray") == content(tmp_path / "plain")
