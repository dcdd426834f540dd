"""What a model answers where skin has another tone: tones measured, shifted, asked and counted."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dermasense.data.catalog import Catalog
from dermasense.errors import DermaSenseError, check_choice
from dermasense.evaluation.fairness.bands import attribute_codes
from dermasense.evaluation.fairness.counterfactual import changes, medians, plan_shifts, summary
from dermasense.inference.predictor import Predictor
from dermasense.inference.tone_shift import REGIONS, measure, shifted_logits
from dermasense.inference.unseen import splits_file
from dermasense.terminal import counter

PARTS = ("test", "val")


def study(
    folder: Path,
    catalog: Catalog,
    *,
    part: str = "test",
    attribute: str = "skin_type",
    region: str = "skin",
    cache_dir: str = "outputs/cache",
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """The rows of counterfactual.csv, and tones.csv as a frame.

    Args:
        folder: run folder or bundle.
        catalog: the images that the run was made of; those that its splits.csv does not name are
            left out.
        part, attribute, region, cache_dir, resamples, seed: see conf/counterfactual.yaml.

    Raises:
        DermaSenseError: no splits.csv, an unknown option, no such attribute, or too few tones.
    """
    check_choice("part", part, PARTS)
    check_choice("region", region, REGIONS)
    splits = pd.read_csv(splits_of(folder), dtype=str, keep_default_na=False)
    splits = splits[["image_id", "split"]]
    predictor = Predictor.of(folder)
    given = [name for name in ("split", "fold") if name in catalog.frame]  # a table's own
    frame = catalog.frame.drop(columns=given).merge(
        splits[splits["split"].isin(["train", part])], on="image_id"
    )
    if not (frame["split"] == part).any():
        raise DermaSenseError(
            f"{splits_of(folder)}: none of its {part} images is in data={catalog.name}; name the "
            "data that the model was trained on."
        )
    attribute_codes(frame, attribute, f"attribute={attribute}")
    store = predictor.stored(frame["path"].tolist(), cache_dir, counter("decoding images once"))
    images = store.images
    values = measure(images)
    values[list(store.unreadable), :3] = np.nan
    types = pd.to_numeric(frame[attribute], errors="coerce").to_numpy(float)
    train, known = (frame["split"] == "train").to_numpy(), np.isfinite(values[:, 0])

    tone, tone_type = values[train, :2], types[train]
    asked = np.where(known & ~train, types, np.nan)
    plan = plan_shifts(asked, medians(tone, tone_type), tone, tone_type, seed)
    if len(plan.row) == 0:
        raise DermaSenseError(
            f"data={catalog.name}: no image of part={part} has both a skin type and enough "
            "skin in it; there is nothing to shift."
        )
    shown, place = np.unique(plan.row, return_inverse=True)
    before = predictor.logits([images[row] for row in shown])[place]
    table = frame.loc[plan.row, ["image_id", "group"]].reset_index(drop=True)
    table = table.assign(skin_type=types[plan.row], target=plan.target)
    table["length"] = np.linalg.norm(plan.vector, axis=1)
    for name, vectors in (("", plan.vector), ("_control", plan.control)):
        say = counter(f"answering shifted pictures{name.replace('_', ', ')}")
        after = shifted_logits(predictor, images, plan.row, vectors, region, say)
        table[f"changed{name}"], table[f"moved{name}"] = changes(before, after)
    little = int((~known & ~train & np.isfinite(types)).sum())
    about = {"region": region, "split": part, "attribute": attribute, "too_little_skin": little}
    rows = [about | _flat(row) for row in summary(table, resamples=resamples, seed=seed)]
    tones = pd.DataFrame(values.round(2), columns=["lightness", "yellowness", "ita", "skin_share"])
    return rows, pd.concat([frame[["image_id", "split"]].assign(skin_type=types), tones], axis=1)


def splits_of(folder: Path) -> Path:
    """The splits.csv of a run or of the run that a bundle lies in.

    Raises:
        DermaSenseError: there is none.
    """
    if file := splits_file(folder):
        return file
    raise DermaSenseError(
        f"{folder}: no splits.csv in it or above it; tones are measured on the training rows of "
        "the model's own split, so give a run folder of `python -m dermasense.train`."
    )


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """Intervals as three columns each."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if not hasattr(value, "low"):
            flat[name] = round(value, 2) if isinstance(value, float) else value
            continue
        for end, number in (("", value.value), ("_low", value.low), ("_high", value.high)):
            flat[f"{name}{end}"] = "" if number is None else round(number, 4)
    return flat
