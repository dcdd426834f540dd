"""`python -m dermasense.metadata_head`: what age, sex and site add to the picture.

Research software, not a medical device.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from dermasense.cli import tool_command
from dermasense.errors import DermaSenseError

NAMES = ("image_alone", "image_and_metadata")


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    tool_command(start, "metadata_head", texts=("run", "out"), lists=("attributes",))


def start(settings: dict) -> None:
    """Fits on validation, writes both tables of the judged images, and compares them."""
    # pandas and scipy take seconds to import: --help need not wait for them.
    from dermasense.evaluation.tables import read_tables
    from dermasense.reporting.tables import aligned, interval_table, number
    from dermasense.reporting.writing import evaluate

    if settings["run"] is None:
        raise DermaSenseError(
            "run= is needed: a finished run, or the folder of a cross-validation."
        )
    folder = Path(settings["run"])
    out = Path(settings["out"]) if settings["out"] else folder / "metadata_head"
    files = _write(folder, out, [str(name) for name in settings["attributes"] or []])
    said = _said(folder)
    tables = read_tables([str(file) for file in files], protocol=said.get("protocol"))
    tables = [replace(each, note=said.get("note") or "") for each in tables]
    options = {"resamples": settings["resamples"], "seed": settings["seed"]}
    written = evaluate(tables, out, images=False, **options)
    print(interval_table({each.name: each.metrics for each in written.subjects}))
    (pair,) = written.pairs
    rows = [
        [key, *[number(value[end]) for end in ("value", "low", "high")], str(value["n"])]
        for key, value in pair["differences"].items()
    ]
    print(f"\n{pair['second']} minus {pair['first']}:")
    print(aligned(["", "value", "low", "high", "n"], rows))
    print(f"\n{out / 'metadata_head.json'}\n{written.metrics}\n{written.report}")


def _write(folder: Path, out: Path, attributes: list[str]) -> list[Path]:
    """The judged tables with and without the attributes, each run's head fitted on its own."""
    from dermasense.evaluation.metadata_head import MetadataHead
    from dermasense.evaluation.out_of_fold import out_of_fold
    from dermasense.evaluation.predictions import read_predictions, write_predictions
    from dermasense.files import write_json

    if not attributes:
        raise DermaSenseError("attributes= names none; give columns such as age,sex,localization.")
    runs = _runs(folder)
    judged: dict[str, list[Any]] = {name: [] for name in NAMES}
    heads = []
    taken: dict[str, list[str]] = {}  # what an attribute was taken as -> the runs
    for run in runs:
        test = read_predictions(run.predictions("test"))
        val = read_predictions(run.predictions("val"), test.class_names)
        fitted = [MetadataHead.fit(val, some) for some in ((), attributes)]
        for name, head in zip(NAMES, fitted, strict=True):
            judged[name].append(head.apply(test))
        heads.append(fitted[1])
        for line in fitted[1].encoding.told(val.frame):
            taken.setdefault(line, []).append(run.path.name)
    for line in sorted(taken):
        print(line if len(taken[line]) == len(runs) else f"{line}; in {', '.join(taken[line])}")
    print()
    for name in attributes:
        if all(head.encoding.lacks(name) for head in heads):
            raise DermaSenseError(
                f"attributes={name}: nothing is left of it, as is said above; mend the column and "
                "train again, or leave it out."
            )
    described = [head.as_dict() for head in heads]
    write_json(out / "metadata_head.json", {"attributes": attributes, "heads": described})
    files = []
    for name, parts in judged.items():
        table = out_of_fold(parts) if len(parts) > 1 else parts[0]
        file = out / f"{name}.parquet"
        files.append(write_predictions(file, table.frame, table.logits, table.class_names))
    return files


def _runs(folder: Path) -> list[Any]:
    from dermasense.cross_validation import found_folds
    from dermasense.run_folder import PLAN, RunFolder

    if (folder / PLAN).is_file():
        return [each.run for each in found_folds(folder) if each.repeat == 0]
    run = RunFolder(folder)
    if not run.predictions("test").is_file() or not run.predictions("val").is_file():
        raise DermaSenseError(
            f"{folder}: holds no finished run and no cross-validation; name one of the two."
        )
    return [run]


def _said(folder: Path) -> dict:
    """The metrics of the run, whose protocol and note hold here too."""
    from dermasense.files import read_json

    metrics = folder / "metrics.json"
    return read_json(metrics) if metrics.is_file() else {}


if __name__ == "__main__":
    main()
