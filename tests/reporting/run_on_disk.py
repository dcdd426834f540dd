"""A run folder as training leaves it, written by hand: no network is trained for it."""

from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from dermasense.evaluation.metrics import summarise
from dermasense.evaluation.predictions import Predictions, write_predictions
from dermasense.files import write_csv, write_json
from dermasense.run_folder import RunFolder
from tests.fakes import HAM_CLASSES


def table(n_lesions: int = 60, seed: int = 0, gain: float = 2.0) -> Predictions:
    """Two images a lesion in HAM10000's classes; `gain` says how good the model is."""
    rng = np.random.default_rng(seed)
    lesion = np.arange(n_lesions).repeat(2)
    codes = rng.permutation(np.arange(n_lesions) % 7)[lesion]
    names = [f"{HAM_CLASSES[code]}_{i}" for i, code in enumerate(codes)]
    frame = pd.DataFrame(
        {
            "image_id": names,
            "group": [f"L{i}" for i in lesion],
            "label": [HAM_CLASSES[code] for code in codes],
            "sex": np.where(lesion % 2, "male", "female"),
        }
    )
    logits = rng.normal(size=(len(frame), 7))
    logits[np.arange(len(frame)), codes] += gain
    return Predictions(frame, logits, HAM_CLASSES)


def run_folder(
    path: Path,
    *,
    dataset: str = "ham10000",
    protocol: str = "grouped",
    note: str = "",
    groups_are: str = "lesion",
    root: str = "/nowhere",
    predictions: Predictions | None = None,
    gain: float = 2.0,
) -> RunFolder:
    """Everything that a report reads, with 70 training images."""
    run = RunFolder(path)
    test = predictions or table(gain=gain)
    source = {"_target_": "dermasense.data.sources.ham10000.catalog", "root": root}
    settings = {
        "name": "my_run",
        "data": {"name": dataset, "source": source},
        "model": {"backbone": "tf_efficientnet_lite0", "image_size": 144},
        "head": {"name": "linear"},
        "monitor": "balanced_accuracy",
    }
    path.mkdir(parents=True)
    run.config.write_text(yaml.safe_dump(settings))
    write_json(run.environment, {"command": "python -m dermasense.train", "overrides": []})
    rows = [
        {"image_id": f"t{i}", "group": f"T{i // 2}", "label": HAM_CLASSES[i % 7], "split": "train"}
        for i in range(70)
    ]
    write_csv(run.splits, rows, list(rows[0]))
    epochs = [
        {"phase": phase, "epoch": 1, "train_loss": 1.0, "val_loss": 1.1, "val_top1": 0.5}
        for phase in ("frozen", "finetune")
    ]
    write_csv(run.history, epochs, list(epochs[0]))
    metrics = {"protocol": protocol, "note": note, "groups_are": groups_are}
    for split, each in (("val", table(seed=1, gain=gain)), ("test", test)):
        write_predictions(run.predictions(split), each.frame, each.logits, each.class_names)
        metrics[split] = summarise(each, split_protocol=protocol)
    write_json(run.metrics, metrics)
    bundle = {
        "class_names": list(HAM_CLASSES),
        "weights_provenance": {"source": "some weights", "licence": "Apache-2.0"},
        "licence": "CC BY-NC 4.0",
        "citation": "Somebody (2018)",
        "note": note,
        "sha256": "abc",
    }
    write_json(run.bundle / "model.json", bundle)
    return run
