"""`python -m dermasense.metadata_head`: what age, sex and site add to the picture.

Research software, not a medical device.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from dermasense.cli import tool_command
from dermasense.errors import DermaSenseError


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
    """The judged tables with and without the attributes, and the heads that made them."""
    from dermasense.evaluation.metadata_tables import judged_tables
    from dermasense.evaluation.predictions import write_predictions
    from dermasense.files import write_json

    tables, heads = judged_tables(_runs(folder), attributes, tell=print)
    print()
    described = [head.as_dict() for head in heads]
    write_json(out / "metadata_head.json", {"attributes": attributes, "heads": described})
    return [
        write_predictions(out / f"{name}.parquet", table.frame, table.logits, table.class_names)
        for name, table in tables.items()
    ]


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
