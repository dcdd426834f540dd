"""`python -m dermasense.stress`: spoilt pictures, and what a trained model still answers right.

Research software, not a medical device.
"""

import sys
from pathlib import Path

from dermasense.cli import tool_command
from dermasense.errors import check_choice
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
    from dermasense.inference.stress_study import study
    from dermasense.reporting.stress_page import write_stress

    words = str(settings["corruption"])
    names = () if words == "none" else corruption_names(words)
    asked = conditions(names, settings["occlusion"])
    _, home, predictor, unseen = open_unseen(settings, settings["part"])
    out = Path(settings["out"] or home / "stress")
    found = study(
        predictor, unseen, asked, out / "predictions", tell=_warn,
        skip=settings["data"]["on_error"] == "skip",
        **{name: settings[name] for name in ("limit", "resamples", "seed")},
    )  # fmt: skip
    stress = {"model": _named(settings["bundle"]), **found}
    write_json(out / "stress.json", stress)
    write_stress(out / "stress.html", stress)
    _show(stress)
    print(f"\n{out / 'stress.json'}\n{out / 'stress.html'}")


def _named(bundle: str) -> str:
    """What `bundle=` names, without the folders of a user."""
    from dermasense.models.hub_bundle import is_borrowed

    return bundle if is_borrowed(bundle) else "/".join(Path(bundle).absolute().parts[-2:])


def _warn(line: str) -> None:
    print(line, file=sys.stderr)


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
