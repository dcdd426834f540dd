"""What the external command writes: metrics.json and report.html, the internal row beside them."""

from collections.abc import Mapping
from pathlib import Path

from dermasense.errors import DermaSenseError
from dermasense.evaluation.independent import independent_differences
from dermasense.evaluation.judge import COMPARED, RESAMPLES, judge
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.scores import MEANS_OVER_CLASSES
from dermasense.files import write_json
from dermasense.reporting.parts.drop import drop
from dermasense.reporting.report import write_report
from dermasense.reporting.subject import Subject


def report_external(
    out: Path,
    predictions: Predictions,
    internal: Predictions | None,
    *,
    name: str,
    about: str,
    calibrated: bool = False,
    protocol: str,
    note: str = "",
    internal_protocol: str = "",
    pictures: Mapping[str, str] | None = None,
    no_pictures: str = "",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict:
    """Judge the external table, and the internal one where it is known, and write both.

    Args:
        out: folder for metrics.json, report.html and figures/.
        predictions: of the external images.
        internal: of the internal test, made by the same model in the same way; None where there
            is none.
        name: of the external set.
        about: a sentence on the model.
        calibrated: whether the logits of both tables are what the bundle's calibration makes of
            the network's.
        protocol, internal_protocol: how the images were kept apart from training.
        note: what must be said wherever the numbers are shown.
        pictures: path by image_id, for thumbnails. no_pictures: why there are none.
        resamples, seed: of the bootstrap.

    Returns:
        What metrics.json holds: the metrics of the external table, and with an internal one
        `internal` (its metrics) and `change` (external minus internal, or `not_compared`);
        `calibrated` says which probabilities were judged.
    """
    options = {"resamples": resamples, "seed": seed}
    metrics = judge(predictions, protocol=protocol, note=note, **options)
    shown = {**metrics, "calibrated": calibrated}
    first = []
    if calibrated:
        both = ", and the internal table by the same calibration" if internal is not None else ""
        about += f" Judged as its bundle calibrates it{both}."
    if internal is not None:
        inside = judge(internal, protocol=internal_protocol, **options)
        shown["internal"] = inside
        try:
            found = independent_differences(internal, predictions, **options)
        except DermaSenseError as error:
            shown["not_compared"] = str(error)
        else:
            keys = [*COMPARED, *(f"recall/{each}" for each in predictions.class_names)]
            if not _same_classes(internal, predictions):
                keys = [key for key in keys if key not in MEANS_OVER_CLASSES]
            shown["change"] = {key: found[key].as_dict() for key in keys if key in found}
            rows = ({**metrics, "name": name}, {**inside, "name": "internal test"})
            first.append(drop(*rows, shown["change"]))
    write_json(out / "metrics.json", shown)
    subject = Subject(
        name, predictions, metrics, None, pictures or {}, no_pictures, part=None, about=about
    )
    write_report(out / "report.html", [subject], figures=out / "figures", extra=first)
    return shown


def _same_classes(first: Predictions, second: Predictions) -> bool:
    """Whether images of the same classes are there: means over other classes are other metrics."""
    present = [set(frame["label"]) for frame in (first.frame, second.frame)]
    return present[0] == present[1]
