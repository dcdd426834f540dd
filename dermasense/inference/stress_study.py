"""A model's answers to spoilt pictures, judged beside those to the clean ones."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dermasense.data.catalog import fail_on, missing_files, table_problems
from dermasense.data.corruptions import CORRUPTIONS
from dermasense.errors import DermaSenseError
from dermasense.evaluation.conditions import judge_conditions
from dermasense.evaluation.predictions import Predictions, write_predictions
from dermasense.inference.mask_quality import mask_quality
from dermasense.inference.predictor import Predictor, input_sides
from dermasense.inference.stress import CLEAN, Condition, answer
from dermasense.inference.unseen import Unseen
from dermasense.terminal import counter


def study(
    predictor: Predictor,
    unseen: Unseen,
    asked: Sequence[Condition],
    tables: Path,
    *,
    skip: bool = False,
    limit: int | None = None,
    resamples: int = 2000,
    seed: int = 0,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """What stress.json holds of the model's answers, judged condition by condition.

    Args:
        predictor: the model.
        unseen: images that it has not learnt from.
        asked: of `conditions`, clean among them.
        tables: folder that gets a predictions table a condition.
        skip: leave out pictures that are missing or cannot be read.
        limit: most images, drawn by whole groups; None takes all.
        resamples, seed: of the intervals; the seed also of what spoils and of the limit.
        tell: gets a sentence on pictures that are left out.

    Raises:
        DermaSenseError: pictures that are missing or cannot be read, or none that can.
    """
    catalog = unseen.catalog
    frame = _limited(catalog.frame, limit, seed)
    kinds = table_problems(catalog)
    if not skip:
        kinds = {"missing file": list(missing_files(frame).values()), **kinds}
    fail_on(catalog.name, kinds)
    found = answer(
        predictor, frame, asked, seed=seed, skip=skip, progress=counter("spoiling and asking")
    )
    if not found.kept.any():
        raise DermaSenseError(f"data={catalog.name}: none of its images can be read.")
    if found.unreadable:
        tell(f"{len(found.unreadable)} unreadable images left out")
    frame = frame[found.kept].reset_index(drop=True)
    for key, logits in found.logits.items():
        write_predictions(tables / f"{key}.parquet", frame, logits, predictor.class_names)
    clean = Predictions(frame, found.logits[CLEAN], predictor.class_names)
    judged = judge_conditions(clean, found.logits, resamples=resamples, seed=seed)
    counts = np.bincount(clean.labels)
    hidden = [each for each in asked if each.kind == "occlusion"]
    return {
        "about": _about(predictor),
        "data": catalog.name,
        "protocol": unseen.protocol,
        "note": catalog.note,
        "n": len(clean),
        "n_groups": clean.n_groups,
        "conditions": len(asked),
        "baseline": {
            "answer": predictor.class_names[int(counts.argmax())],
            "top1": float(counts.max() / counts.sum()),
            "balanced_accuracy": 1 / int((counts > 0).sum()),
        },
        "clean": judged[CLEAN],
        "corruptions": _corruptions(asked, judged),
        "occlusions": {each.name: judged[each.key] for each in hidden},
        "segmentation": {"synthetic": mask_quality(), "found": float(found.found.mean())}
        if hidden
        else None,
        "seed": seed,
        "intervals": {
            "level": 0.95,
            "method": "bootstrap over groups, BCa; changes by Student's t",
            "resamples": resamples,
            "seed": seed,
        },
    }


def _corruptions(asked: Sequence[Condition], judged: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in asked:
        if each.kind == "corruption":
            does = CORRUPTIONS[each.name].__doc__
            entry = found.setdefault(each.name, {"does": does, "rows": []})
            entry["rows"].append({"strength": each.strength, **judged[each.key]})
    return found


def _limited(frame: pd.DataFrame, limit: int | None, seed: int) -> pd.DataFrame:
    """At most so many rows, drawn by groups so that lesions stay whole, in their order."""
    if limit is None or len(frame) <= limit:
        return frame
    groups = np.random.default_rng(seed).permutation(sorted(frame["group"].astype(str).unique()))
    sizes = frame["group"].astype(str).value_counts().loc[groups].cumsum()
    chosen = set(sizes.index[sizes <= limit]) or {groups[0]}
    return frame[frame["group"].astype(str).isin(chosen)].reset_index(drop=True)


def _about(predictor: Predictor) -> str:
    trained = predictor.bundle.info.get("training_data") or "data not named"
    return f"A model at {input_sides(predictor.specs)} px, trained on {trained}."
