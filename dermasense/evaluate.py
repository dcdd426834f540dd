"""`python -m dermasense.evaluate`: judge predictions tables, compare several, write a report.

Research software, not a medical device.
"""

from pathlib import Path
from typing import Any

from dermasense.cli import tool_command
from dermasense.errors import DermaSenseError
from dermasense.run_folder import RunFolder


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    tool_command(start, "evaluate", texts=("labels", "out", "protocol"), lists=("predictions",))


def start(settings: dict) -> None:
    """Reads the tables, judges them and says where everything lies."""
    # pandas and scikit-learn take seconds to import: --help need not wait for them.
    from dermasense.evaluation.tables import read_tables
    from dermasense.reporting.writing import default_out, evaluate

    places = _places(settings["predictions"])
    tables = read_tables(places, labels=settings["labels"], protocol=settings["protocol"])
    out = Path(settings["out"] or default_out(tables))
    if settings["out"] and out.resolve() != tables[0].file.parent.resolve():
        RunFolder(out).refuse_a_run(goes_on=False)  # whose metrics these are not
    options = {"resamples": settings["resamples"], "seed": settings["seed"]}
    written = evaluate(tables, out, images=settings["report"]["images"], **options)
    _show(written)


def _places(predictions: Any) -> list[str]:
    if predictions is None:
        raise DermaSenseError(
            "predictions= is needed: a Parquet table, a run folder, or a CSV with labels=, for "
            "example predictions=outputs/quickstart/<run>."
        )
    return [str(each) for each in (predictions if isinstance(predictions, list) else [predictions])]


def _show(written: Any) -> None:
    from dermasense.reporting.tables import interval_table

    print(interval_table({each.name: each.metrics for each in written.subjects}))
    for pair in written.pairs:
        if "not_compared" in pair:
            print(f"{pair['first']} and {pair['second']}: {pair['not_compared']}")
    print(f"\n{written.metrics}\n{written.report}")


if __name__ == "__main__":
    main()
