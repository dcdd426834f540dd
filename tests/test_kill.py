"""kill -9 at random moments, then resume: weights, predictions and metrics end bit-equal."""

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from dermasense.data.sources import synthetic
from tests.processes import train

OPTIONS = [
    "data.n_lesions=100",
    "data.image_px=48",
    "model.image_size=32",
    "weights=none",
    "batch_size=8",
    "ema_decay=0.9",
    "checkpoint.every_n_steps=2",
    "phases.frozen.epochs=1",
    "phases.finetune.epochs=2",
    "trainer.accelerator=cpu",
    "logger=none",
]
COMPARED = (
    "history.csv",
    "metrics.json",
    "predictions_val.parquet",
    "predictions_test.parquet",
    "bundle/model.safetensors",
)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists() and process.poll() is None:
        time.sleep(0.02)


def wait_for_training(checkpoint: Path, process: subprocess.Popen) -> None:
    """Until this process has written a checkpoint of its own: it is then inside a phase."""
    before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
    while process.poll() is None:
        if checkpoint.exists() and checkpoint.stat().st_mtime_ns != before:
            return
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_three_times_and_resumed_is_bit_equal(tmp_path, workers):
    cache, whole, cut = tmp_path / "cache", tmp_path / "whole", tmp_path / "cut"
    options = [*OPTIONS, f"num_workers={workers}"]
    process = train(cache, *options, f"hydra.run.dir={whole}")
    wait_for_training(whole / "checkpoints" / "last.ckpt", process)
    began = time.monotonic()
    assert process.wait(300) == 0, process.stderr.read()
    training = time.monotonic() - began

    draw = random.Random(time.time_ns())
    moments = []
    process = train(cache, *options, f"hydra.run.dir={cut}")
    for _ in range(3):
        wait_for_training(cut / "checkpoints" / "last.ckpt", process)
        moments.append(round(draw.uniform(0, training / 6), 3))
        time.sleep(moments[-1])
        assert process.poll() is None, f"it ended before the kill: {process.stderr.read()}"
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = train(cache, f"resume={cut}")
    assert process.wait(300) == 0, process.stderr.read()
    print(f"killed {moments} s after a checkpoint, in {training:.1f} s of training; resumed")
    for name in COMPARED:
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), f"{name}, {moments}"


@pytest.mark.slow
def test_killed_while_images_are_drawn_and_decoded(tmp_path):
    cache, cut = tmp_path / "cache", tmp_path / "cut"
    process = train(cache, *OPTIONS, "limit_epochs=1", f"hydra.run.dir={cut}")
    for delay in (0.0, 0.3):
        wait_for(cut / "config.yaml", process)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = train(cache, f"resume={cut}")
        time.sleep(5 * delay)
    assert process.wait(300) == 0, process.stderr.read()
    drawn = synthetic.catalog(str(cache / "synthetic"), n_lesions=100, image_px=48)
    assert len(drawn.frame) > 100
