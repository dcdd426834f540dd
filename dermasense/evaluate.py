"""`python -m dermasense.evaluate`: judge predictions tables, compare several, write a report.

Research software, not a medical device.
"""

import sys
from pathlib import Path
from typing import Any

from dermasense.cli import hydra_command, one_sentence
from dermasense.errors import DermaSenseError

PATHS = ("predictions", "labels", "out")


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    sys.argv[1:] = [quoted(word) for word in sys.argv[1:]]
    with one_sentence():
        hydra_command(start, config_name="evaluate")


def start(config: Any, _: Path) -> None:
    """Reads the tables, judges them and says where everything lies."""
    from omegaconf import OmegaConf

    settings = OmegaConf.to_container(config, resolve=True)
    # pandas and scikit-learn take seconds to import: --help need not wait for them.
    from dermasense.evaluation.tables import read_tables
    from dermasense.reporting.writing import default_out, evaluate

    places = _places(settings["predictions"])
    tables = read_tables(places, labels=settings["labels"], protocol=settings["protocol"])
    out = Path(settings["out"]) if settings["out"] else default_out(tables)
    if settings["resamples"] < 100:
        raise DermaSenseError(f"resamples={settings['resamples']}: expected an integer >= 100.")
    options = {"resamples": settings["resamples"], "seed": settings["seed"]}
    written = evaluate(tables, out, images=settings["report"]["images"], **options)
    _show(written)


def quoted(word: str) -> str:
    """A word of the command line whose paths Hydra's grammar would not read, quoted for it.

    `predictions=a,b` becomes a list; commas alone would mean a sweep.
    """
    key, equals, value = word.partition("=")
    if not equals or key not in PATHS or value[:1] in ("", "[", '"', "'") or value == "null":
        return word
    if key != "predictions":
        return f"{key}={_string(value)}"
    return f"{key}=[{','.join(_string(each.strip()) for each in value.split(',') if each.strip())}]"


def _string(value: str) -> str:
    escaped = value.replace('\\"', '\\\\"').replace('"', '\\"')
    return f'"{escaped}"'


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
