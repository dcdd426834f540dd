"""`python -m dermasense.external`: a trained model on a labelled data set that it has not seen.

Research software, not a medical device.
"""

import sys
from pathlib import Path
from typing import Any

from dermasense.cli import tool_command
from dermasense.errors import DermaSenseError
from dermasense.unseen_model import check_bundle_named, open_unseen


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    texts = ("bundle", "out", "internal", "data.root", "cache_dir")
    tool_command(start, "external", texts=texts)


def start(settings: dict) -> None:
    """Predicts, judges, and says how much was lost against the internal test.

    Raises:
        DermaSenseError: no bundle, data that the model knows or does not understand.
    """
    check_bundle_named(settings)
    # torch and pandas take seconds to import: --help need not wait for them.
    from dermasense.evaluation.isic_submission import (
        challenge_scores,
        is_isic,
        write_submission,
    )
    from dermasense.evaluation.predictions import read_predictions, write_predictions
    from dermasense.files import refuse_to_write_over, write_json
    from dermasense.reporting.external import report_external
    from dermasense.run_folder import RunFolder

    folder, home, predictor, unseen = open_unseen(settings)
    info = predictor.bundle.info
    if unseen.part:
        raise DermaSenseError(
            f"data={unseen.catalog.name} is what the model was trained on; judge its own test by "
            f"python -m dermasense.evaluate predictions={home}, or name another data set."
        )
    internal = _internal(settings["internal"], home, predictor)
    decision = _decision(settings, folder, predictor)
    ending = "_calibrated" if decision else ""
    out = Path(settings["out"] or home / f"external_{unseen.catalog.name}{ending}")
    RunFolder(out).refuse_a_run(goes_on=False)
    refuse_to_write_over([internal], [out / "predictions.parquet"])
    frame, stores = _prepared(unseen.catalog, predictor, settings)
    written = write_predictions(
        out / "predictions.parquet",
        frame.drop(columns="split", errors="ignore"),
        _logits(predictor, stores),
        predictor.class_names,
    )
    table = _judged(read_predictions(written), decision)
    if is_isic(table.class_names):
        write_submission(out / "isic_submission.csv", table)
        write_json(out / "isic_scores.json", challenge_scores(table).as_dict())
    found = report_external(
        out,
        table,
        None
        if internal is None
        else _judged(read_predictions(internal, predictor.class_names), decision),
        name=unseen.catalog.name,
        about=_about(predictor, info),
        calibrated=decision is not None,
        protocol=unseen.protocol,
        note=unseen.catalog.note,
        internal_protocol=str(info.get("protocol", "not stated")),
        pictures=dict(zip(frame["image_id"].astype(str), frame["path"], strict=True))
        if settings["report"]["images"]
        else {},
        no_pictures="" if settings["report"]["images"] else "report.images=false",
        resamples=settings["resamples"],
        seed=settings["seed"],
    )
    _show(found, unseen.catalog.name)
    print(f"\n{written}\n{out / 'metrics.json'}\n{out / 'report.html'}")


def _internal(named: str | None, home: Path, predictor: Any) -> Path | None:
    """The internal test table: the one that is named, or the run's; None where views differ."""
    if named:
        return Path(named)
    own = home / "predictions_test.parquet"
    if not own.is_file():
        return None
    from dermasense.files import read_json

    metrics = home / "metrics.json"
    made = read_json(metrics) if metrics.is_file() else {}
    views = made.get("test_time_augmentation", "none")
    if views != predictor.views:
        print(
            f"{own} was made with tta.views={views}, not {predictor.views}: left out; name a table "
            "made alike by internal=.",
            file=sys.stderr,
        )
        return None
    return own


def _decision(settings: dict, folder: Path, predictor: Any) -> Any:
    """What the bundle's calibration is applied by; None where it is not asked for."""
    if not settings["calibrated"]:
        return None
    from dermasense.inference.decision import Decision

    made = Decision.of_bundle(folder, predictor.class_names, predictor.bundle.info)
    if not made.is_calibrated:
        raise DermaSenseError(
            f"calibrated=true: {folder} has no calibration; fit one with python -m "
            "dermasense.calibrate, or leave the option out."
        )
    return made


def _judged(table: Any, decision: Any) -> Any:
    """A table as it is judged: predictions.parquet keeps the network's own logits."""
    return table if decision is None else table.with_logits(decision.logits(table.logits))


def _prepared(catalog: Any, predictor: Any, settings: dict) -> tuple[Any, list]:
    """Checked rows, and their pixels in every input that the model has."""
    from dermasense.data.prepared import prepare_data

    data = settings["data"]
    found = [
        prepare_data(
            catalog,
            spec,
            cache_dir=settings["cache_dir"],
            on_error=data["on_error"],
            split={},
            max_pixels=data["max_pixels"],
        )
        for spec in predictor.specs
    ]
    prepared = found[0]
    if any(len(each.skipped) != len(prepared.skipped) for each in found):
        raise DermaSenseError(
            f"{settings['bundle']}: its members' max_pixels differ, so they would leave out other "
            "images; type data.max_pixels=50000000."
        )
    if prepared.skipped:
        print(f"{len(prepared.skipped)} unreadable images left out", file=sys.stderr)
    return prepared.catalog.frame, [_Rows(each.store.images, each.rows) for each in found]


def _logits(predictor: Any, stores: list) -> Any:
    """Of all pictures; those of several inputs some at a time, since they are copied."""
    if len(stores) == 1:
        return predictor.logits(stores[0])
    import numpy as np

    step = 16 * predictor.batch_size
    pieces = [slice(start, start + step) for start in range(0, len(stores[0]), step)]
    some = ([store[piece] for store in stores] for piece in pieces)
    return np.concatenate([predictor.logits(predictor.together(each)) for each in some])


class _Rows:
    """Some rows of a store, read as they are asked for."""

    def __init__(self, images: Any, rows: Any) -> None:
        self._images, self._rows = images, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, which: slice) -> Any:
        return self._images[self._rows[which]]


def _about(predictor: Any, info: dict) -> str:
    from dermasense.inference.predictor import input_sides

    trained, sides = info.get("training_data", "data not named"), input_sides(predictor.specs)
    return f"{predictor.bundle.backbone} at {sides} px, trained on {trained}."


def _show(found: dict, name: str) -> None:
    from dermasense.evaluation.judge import COMPARED
    from dermasense.inference.prediction import DISCLAIMER
    from dermasense.reporting.tables import aligned, with_ends

    inside, change = found.get("internal"), found.get("change", {})
    head = ["", f"{name} (n {found['n']:,})"]
    head += [f"internal (n {inside['n']:,})", "difference"] if inside else []
    rows = []
    for key in COMPARED:
        row = [key, with_ends(found[key])]
        rows.append([*row, with_ends(inside[key]), with_ends(change.get(key))] if inside else row)
    print(aligned(head, rows))
    if "not_compared" in found:
        print(f"not compared: {found['not_compared']}")
    if found["note"]:
        print(f"\n{found['note']}")
    print(f"\n95 % intervals over groups. {DISCLAIMER}")


if __name__ == "__main__":
    main()
