"""`python -m dermasense.counterfactual`: another skin tone, and the answers that it changes.

Research software, not a medical device.
"""

from pathlib import Path

from dermasense.cli import tool_command
from dermasense.errors import DermaSenseError


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    tool_command(start, "counterfactual", texts=("bundle", "out", "data.root", "cache_dir"))


def start(settings: dict) -> None:
    """Measures tones, shifts them, asks the model and writes the numbers."""
    if settings["bundle"] is None:
        raise DermaSenseError("bundle= is needed: a run folder, or a bundle of a run.")
    # torch and pandas take seconds to import: --help need not wait for them.
    from dermasense.data.loading import load_catalog
    from dermasense.files import write_csv
    from dermasense.inference.counterfactual import splits_of, study
    from dermasense.models.hub_bundle import locate

    options = ("part", "attribute", "region", "cache_dir", "resamples", "seed")
    folder = locate(settings["bundle"])
    rows, tones = study(
        folder, load_catalog(settings["data"]), **{name: settings[name] for name in options}
    )
    out = Path(settings["out"]) if settings["out"] else splits_of(folder).parent
    write_csv(out / "counterfactual.csv", rows, list(rows[0]))
    write_csv(out / "tones.csv", tones.to_dict("records"), list(tones.columns))
    _show(rows)
    print(f"\n{out / 'counterfactual.csv'}\n{out / 'tones.csv'}")


def _show(rows: list[dict]) -> None:
    from dermasense.reporting.tables import with_ends

    def cell(row: dict, name: str) -> str:
        value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
        return with_ends({"value": value, "low": None if low == "" else low, "high": high})

    head = ("from", "to", "n", "changed", "control", "excess")
    print(("{:>8}{:>6}{:>6}" + "{:>26}" * 3).format(*head))
    for row in rows:
        cells = [cell(row, f"changed{name}") for name in ("", "_control", "_excess")]
        print(
            f"{row['origin']:>8}{row['target']:>6}{row['n']:>6}"
            + "".join(f"{c:>26}" for c in cells)
        )
    print(
        "\nchanged: share of images whose answer a shift between tones changes; control: the same "
        "length within the tone;\nexcess: their difference. 95 % intervals over lesions. Research "
        "software, not a medical device."
    )


if __name__ == "__main__":
    main()
