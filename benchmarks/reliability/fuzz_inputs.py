"""What `fuzz.py` feeds: pictures, tables, predictions, bundles, options that nobody should give.

A target takes what an input is drawn from and a folder of its own, and does with it what a user
would; what it raises is judged by the harness. Everything is drawn by a program.
"""

import functools
import io
import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

ODD = [
    "",
    " ",
    "nan",
    "inf",
    "-1",
    "0",
    "1e400",
    "true",
    "null",
    "é\u202e",
    "a" * 500,
    "../x",
    "\x00",
]
ODD += [
    "1.5",
    "[1,2]",
    "{a: 1}",
    "9" * 30,
    "=1+1",
    "None",
    "/dev/null",
    "'",
    '"',
    "${seed}",
    "$(x)",
]
WRONG = [None, "", "x", -1, 0, 1e308, 2**40, True, [], {}, ["a", "a"], float("nan"), "../../x"]


def spoilt(body: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, cut out, doubled or put in; often near the start, where headers lie."""
    changed = bytearray(body)
    for _ in range(rng.choice([1, 1, 2, 8, 40])):
        near = rng.choice([64, 512, len(changed) + 1])
        place = rng.randrange(min(near, len(changed) + 1))
        what = rng.randrange(5)
        if what == 0 and place < len(changed):
            changed[place] = rng.choice([0, 255, rng.randrange(256)])
        elif what == 1:
            del changed[place : place + rng.choice([1, 4, 1000])]
        elif what == 2:
            changed[place:place] = rng.randbytes(rng.choice([1, 4, 40]))
        elif what == 3:
            changed[place:place] = changed[max(0, place - 50) : place]
        elif place + 4 <= len(changed):
            changed[place : place + 4] = rng.choice([0, 1, 2**31 - 1, 2**32 - 1]).to_bytes(
                4, "little"
            )
    return bytes(changed)


def pictures(rng: random.Random, work: Path) -> None:
    """The bytes of a picture in one of the formats, spoilt, read as training and serving do."""
    from dermasense.data.preprocess import read_rgb

    size = rng.choice([(8, 8), (40, 30), (1, 1), (120, 90)])
    picture = Image.effect_noise(size, 60)
    picture = picture.convert(rng.choice(["RGB", "L", "P", "RGBA", "1", "I;16", "CMYK", "LA"]))
    formats = ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM"]
    buffer = io.BytesIO()
    try:
        picture.save(buffer, rng.choice(formats))
    except (OSError, ValueError):  # not every format takes every mode
        buffer = io.BytesIO()
        picture.convert("RGB").save(buffer, "PNG")
    read_rgb(spoilt(buffer.getvalue(), rng), max_pixels=1_000_000)


def _spoilt_cells(frame: pd.DataFrame, rng: random.Random) -> pd.DataFrame:
    frame = frame.astype(object)
    for _ in range(rng.choice([1, 1, 2, 5])):
        what, column = rng.randrange(6), rng.choice(list(frame.columns))
        place = frame.columns.get_loc(column) if list(frame.columns).count(column) == 1 else 0
        if what < 3 and len(frame):
            frame.iat[rng.randrange(len(frame)), place] = rng.choice(ODD)
        elif what == 3 and len(frame.columns) > 1:
            frame = frame.drop(columns=[column])
        elif what == 4:
            frame = frame.rename(columns={column: rng.choice([*ODD, *frame.columns])})
        else:
            rows = (
                [rng.randrange(len(frame)) for _ in range(rng.choice([0, 1, 30]))]
                if len(frame)
                else []
            )
            frame = frame.iloc[rows].reset_index(drop=True)
    return frame


def tables(rng: random.Random, work: Path) -> None:
    """A table of one's own pictures, spoilt by cells or bytes; read, checked and split."""
    from dermasense.data.catalog import check
    from dermasense.data.loading import load_catalog

    root = work / "catalog"
    if not root.exists():
        root.mkdir()
        for name in "abcdefghijkl":
            Image.new("RGB", (8, 8), (ord(name), 90, 90)).save(root / f"{name}.png")
    frame = pd.DataFrame({"path": [f"{name}.png" for name in "abcdefghijkl"]})
    frame["label"], frame["group"] = ["x", "y", "z"] * 4, list("aabbccddeeff")
    frame["split"] = rng.choice([["train", "val", "test"] * 4, ["train"] * 12])
    text = _spoilt_cells(frame, rng).to_csv(index=False).encode("utf-8", "surrogatepass")
    (root / "labels.csv").write_bytes(spoilt(text, rng) if rng.random() < 0.4 else text)
    source = {"_target_": "dermasense.data.sources.csv.catalog", "root": str(root)}
    check(load_catalog({"source": source}), splits=3)


def predictions(rng: random.Random, work: Path) -> None:
    """A predictions table, spoilt by cells or bytes; read and judged."""
    from dermasense.evaluation.bootstrap import intervals
    from dermasense.evaluation.predictions import read_predictions, write_predictions

    file = work / "predictions.parquet"
    draw = np.random.default_rng(rng.randrange(2**32))
    labels = np.resize(["a", "b", "c"], 12)
    frame = pd.DataFrame({"image_id": [f"i{n}" for n in range(12)], "label": labels})
    frame["group"] = [f"g{n // 2}" for n in range(12)]
    logits = draw.normal(size=(12, 3)).astype(np.float32)
    write_predictions(file, frame, logits, ("a", "b", "c"))
    if rng.random() < 0.5:
        file.write_bytes(spoilt(file.read_bytes(), rng))
    else:
        changed, columns = _spoilt_cells(pd.read_parquet(file), rng), []
        for place, name in enumerate(changed.columns):
            column = changed.iloc[:, place]
            if name.startswith("logit_") and rng.random() < 0.8:
                columns.append(pa.array(pd.to_numeric(column, errors="coerce"), pa.float32()))
            else:
                columns.append(pa.array(column.astype(str)))
        pq.write_table(pa.table(columns, names=[*changed.columns]), file)
    intervals(read_predictions(file), resamples=100)


def bundles(rng: random.Random, work: Path) -> None:
    """A bundle whose model.json or weights were changed; loaded and asked."""
    from dermasense import load

    whole, folder = work / "whole", work / "bundle"
    if not whole.exists():
        sys.path.insert(0, str(Path(__file__).parents[1]))
        from predict_rate import make_bundle

        make_bundle(whole, "tf_efficientnet_lite0", 32)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    if rng.random() < 0.8:
        told = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        for _ in range(rng.choice([1, 1, 3])):
            _spoil_tree(told, rng)
        text = json.dumps(told).encode()
        (folder / "model.json").write_bytes(spoilt(text, rng) if rng.random() < 0.2 else text)
    else:
        file = rng.choice([each for each in sorted(folder.iterdir()) if each.is_file()])
        file.write_bytes(spoilt(file.read_bytes()[: rng.choice([10, 10**9])], rng))
    model = load(folder, engine="torch")
    model.predict(Image.effect_noise((40, 30), 60).convert("RGB"))


def _spoil_tree(tree, rng: random.Random) -> None:
    places = []

    def walk(node) -> None:
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(tree)
    if not places:
        return
    node, key = rng.choice(places)
    if rng.random() < 0.2:
        del node[key]
    else:
        node[key] = rng.choice(WRONG)


# What is meant to cost hours when it is large, and places that a fuzz must not write to.
COSTLY = ("epochs", "n_lesions", "image_px", "image_size", "views", "num_workers", "resamples")
COSTLY += ("fit_batches", "limit", "accumulate")
PLACES = ("root", "dir", "cache_dir", "hydra", "out", "resume", "init", "teacher", "images", "file")
RUN = ["data.n_lesions=60", "data.image_px=32", "model.image_size=32", "weights=none"]
RUN += ["batch_size=16", "num_workers=0", "phases=frozen", "phases.frozen.epochs=1", "logger=none"]
RUN += ["trainer.accelerator=cpu", "report.images=false", "debug=limit"]


def options(rng: random.Random, work: Path) -> None:
    """One to three random options of the train command with odd values; the run is then made."""
    from hydra.core.global_hydra import GlobalHydra

    from dermasense import train

    words = []
    for _ in range(rng.choice([1, 1, 2, 3])):
        key = rng.choice(_known())
        value = rng.choice(
            [*ODD, "-0.5", "0.3", "2", "1e-9", "x", "[]", "{}", "nan", "-inf", "True"]
        )
        if any(name in key for name in COSTLY) and value.lstrip("-").isdigit() and len(value) > 2:
            value = "3"
        sign = rng.choice(["", "", "", "", "+", "++", "~"])
        words.append(f"{sign}{key}={value}" if sign != "~" else f"~{key}")
    if rng.random() < 0.2:
        words.append(rng.choice(ODD) or "=")
    run = work / "runs"
    shutil.rmtree(run, ignore_errors=True)
    GlobalHydra.instance().clear()
    sys.argv = ["train", *RUN, f"cache_dir={work / 'cache'}", f"hydra.run.dir={run}", *words]
    train.main()


@functools.cache
def _known() -> list[str]:
    from omegaconf import OmegaConf

    from dermasense.hydra_errors import compose_or_explain
    from dermasense.overrides import flatten

    told = OmegaConf.to_container(compose_or_explain("train", list(RUN)))
    groups = ["loss", "head", "balance", "augment", "optimizer", "scheduler", "split", "data"]
    keys = [key for key in flatten(told) if not key.startswith(PLACES)]
    keys = [key for key in keys if not set(key.split(".")) & set(PLACES)]
    return [*keys, *groups, "model", "cache", "trainer", "metrics", "experiment"]


TARGETS: dict[str, Callable[[random.Random, Path], None]] = {
    each.__name__: each for each in (pictures, tables, predictions, bundles, options)
}
