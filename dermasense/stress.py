"""`python -m dermasense.stress`: spoilt pictures, and what a trained model still answers right.

Research software, not a medical device.
"""

import sys
from pathlib import Path
from typing import Any

from dermasense.cli import tool_command
from dermasense.errors import DermaSenseError, check_choice
from dermasense.terminal import counter
from dermasense.unseen_model import check_bundle_named, open_unseen

PARTS = ("test", "val")


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    texts = ("bundle", "out", "data.root", "corruption", "cache_dir")
    tool_command(start, "stress", texts=texts)


def start(settings: dict) -> None:
    """Spoils, asks, judges and writes.

    Raises:
        DermaSenseError: no bundle, an unknown option, data that the model has learnt from.
    """
    check_bundle_named(settings)
    check_choice("part", settings["part"], PARTS)
    # torch and pandas take seconds to import: --help need not wait for them.
    from dermasense.data.corruptions import corruption_names
    from dermasense.files import write_json
    from dermasense.inference.stress import conditions
    from dermasense.reporting.stress_page import write_stress

    words = str(settings["corruption"])
    names = () if words == "none" else corruption_names(words)
    asked = conditions(names, settings["occlusion"])
    _, home, predictor, unseen = open_unseen(settings, settings["part"])
    out = Path(settings["out"] or home / "stress")
    stress = study(predictor, unseen, asked, settings, out)
    write_json(out / "stress.json", stress)
    write_stress(out / "stress.html", stress)
    _show(stress)
    print(f"\n{out / 'stress.json'}\n{out / 'stress.html'}")


def study(predictor: Any, unseen: Any, asked: Any, settings: dict, out: Path) -> dict:
    """What stress.json holds; a predictions table a condition goes into out/predictions.

    Args:
        predictor: the model.
        unseen: of `unseen_images`.
        asked: of `conditions`.
        settings: seed, limit, resamples, data.on_error.
        out: the folder.
    """
    import numpy as np

    from dermasense.data.catalog import fail_on, missing_files, table_problems
    from dermasense.evaluation.conditions import judge_conditions
    from dermasense.evaluation.predictions import Predictions, write_predictions
    from dermasense.inference.mask_quality import mask_quality
    from dermasense.inference.stress import CLEAN, answer

    catalog, seed = unseen.catalog, settings["seed"]
    frame, skip = _limited(catalog.frame, settings["limit"], seed), False
    kinds = table_problems(catalog)
    if settings["data"]["on_error"] == "skip":
        skip = True
    else:
        kinds = {"missing file": list(missing_files(frame).values()), **kinds}
    fail_on(catalog.name, kinds)
    found = answer(
        predictor, frame, asked, seed=seed, skip=skip, progress=counter("spoiling and asking")
    )
    if not found.kept.any():
        raise DermaSenseError(f"data={catalog.name}: none of its images can be read.")
    if found.unreadable:
        print(f"{len(found.unreadable)} unreadable images left out", file=sys.stderr)
    frame = frame[found.kept].reset_index(drop=True)
    for key, logits in found.logits.items():
        place = out / "predictions" / f"{key}.parquet"
        write_predictions(place, frame, logits, predictor.class_names)
    clean = Predictions(frame, found.logits[CLEAN], predictor.class_names)
    judged = judge_conditions(clean, found.logits, resamples=settings["resamples"], seed=seed)
    counts = np.bincount(clean.labels)
    hidden = [each for each in asked if each.kind == "occlusion"]
    return {
        "model": "/".join(Path(settings["bundle"]).absolute().parts[-2:]),  # no folders of a user
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
            "method": "bootstrap over groups, BCa",
            "resamples": settings["resamples"],
            "seed": seed,
        },
    }


def _corruptions(asked: Any, judged: dict) -> dict:
    from dermasense.data.corruptions import CORRUPTIONS

    found: dict = {}
    for each in asked:
        if each.kind == "corruption":
            does = CORRUPTIONS[each.name].__doc__
            entry = found.setdefault(each.name, {"does": does, "rows": []})
            entry["rows"].append({"strength": each.strength, **judged[each.key]})
    return found


def _limited(frame: Any, limit: int | None, seed: int) -> Any:
    """At most so many rows, drawn by groups so that lesions stay whole, in their order."""
    if limit is None or len(frame) <= limit:
        return frame
    import numpy as np

    groups = np.random.default_rng(seed).permutation(sorted(frame["group"].astype(str).unique()))
    sizes = frame["group"].astype(str).value_counts().loc[groups].cumsum()
    chosen = set(sizes.index[sizes <= limit]) or {groups[0]}
    return frame[frame["group"].astype(str).isin(chosen)].reset_index(drop=True)


def _about(predictor: Any) -> str:
    from dermasense.inference.predictor import input_sides

    trained = predictor.bundle.info.get("training_data") or "data not named"
    return f"A model at {input_sides(predictor.specs)} px, trained on {trained}."


def _show(stress: dict) -> None:
    from dermasense.inference.prediction import DISCLAIMER
    from dermasense.reporting.tables import aligned, number, with_ends

    def cells(row: dict) -> list[str]:
        return [with_ends(row["top1"]), with_ends(row["balanced_accuracy"])]

    rows = [["clean", "", *cells(stress["clean"])]]
    for name, each in stress["corruptions"].items():
        rows += [[name, str(row["strength"]), *cells(row)] for row in each["rows"]]
    rows += [[name, "", *cells(row)] for name, row in stress["occlusions"].items()]
    base = stress["baseline"]
    blind = [number(base[key]) for key in ("top1", "balanced_accuracy")]
    rows.append([f"always {base['answer']}", "", *blind])
    print(f"n {stress['n']:,}, groups {stress['n_groups']:,} ({stress['protocol']})\n")
    print(aligned(["", "strength", "top-1", "balanced accuracy"], rows))
    if stress["note"]:
        print(f"\n{stress['note']}")
    print(f"\n95 % intervals over groups. {DISCLAIMER}")


if __name__ == "__main__":
    main()
