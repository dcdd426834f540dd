"""`python -m dermasense.counterfactual`: another skin tone, and the answers that it changes.

Research software, not a medical device.
"""

from pathlib import Path
from typing import Any

from dermasense.cli import tool_command
from dermasense.errors import DermaSenseError, check_choice
from dermasense.terminal import counter

PARTS = ("test", "val")


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

    options = ("part", "attribute", "region", "cache_dir", "resamples", "seed")
    folder = Path(settings["bundle"])
    rows, tones = study(
        folder, load_catalog(settings["data"]), **{name: settings[name] for name in options}
    )
    out = Path(settings["out"]) if settings["out"] else splits_of(folder).parent
    write_csv(out / "counterfactual.csv", rows, list(rows[0]))
    write_csv(out / "tones.csv", tones.to_dict("records"), list(tones.columns))
    _show(rows)
    print(f"\n{out / 'counterfactual.csv'}\n{out / 'tones.csv'}")


def study(
    folder: Path,
    catalog: Any,
    *,
    part: str = "test",
    attribute: str = "skin_type",
    region: str = "skin",
    cache_dir: str = "outputs/cache",
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[list[dict], Any]:
    """The rows of counterfactual.csv, and tones.csv as a frame.

    Args:
        folder: run folder or bundle.
        catalog: the images that the run was made of; those that its splits.csv does not name are
            left out.
        part, attribute, region, cache_dir, resamples, seed: see conf/counterfactual.yaml.

    Raises:
        DermaSenseError: no splits.csv, an unknown option, no such attribute, or too few tones.
    """
    import numpy as np
    import pandas as pd

    from dermasense.evaluation.fairness.bands import attribute_codes
    from dermasense.evaluation.fairness.counterfactual import changes, medians, plan_shifts, summary
    from dermasense.inference.predictor import Predictor
    from dermasense.inference.tone_shift import REGIONS, measure, shifted_logits

    check_choice("part", part, PARTS)
    check_choice("region", region, REGIONS)
    splits = pd.read_csv(splits_of(folder), dtype=str, keep_default_na=False)
    splits = splits[["image_id", "split"]]
    predictor = Predictor.of(folder)
    given = [name for name in ("split", "fold") if name in catalog.frame]  # a table's own
    frame = catalog.frame.drop(columns=given).merge(
        splits[splits["split"].isin(["train", part])], on="image_id"
    )
    if not (frame["split"] == part).any():
        raise DermaSenseError(
            f"{splits_of(folder)}: none of its {part} images is in data={catalog.name}; name the "
            "data that the model was trained on."
        )
    attribute_codes(frame, attribute, f"attribute={attribute}")
    store = predictor.stored(frame["path"].tolist(), cache_dir, counter("decoding images once"))
    images = store.images
    values = measure(images)
    values[list(store.unreadable), :3] = np.nan
    types = pd.to_numeric(frame[attribute], errors="coerce").to_numpy(float)
    train, known = (frame["split"] == "train").to_numpy(), np.isfinite(values[:, 0])

    tone, tone_type = values[train, :2], types[train]
    asked = np.where(known & ~train, types, np.nan)
    plan = plan_shifts(asked, medians(tone, tone_type), tone, tone_type, seed)
    if len(plan.row) == 0:
        raise DermaSenseError(
            f"data={catalog.name}: no image of part={part} has both a skin type and enough "
            "skin in it; there is nothing to shift."
        )
    shown, place = np.unique(plan.row, return_inverse=True)
    before = predictor.logits([images[row] for row in shown])[place]
    table = frame.loc[plan.row, ["image_id", "group"]].reset_index(drop=True)
    table = table.assign(skin_type=types[plan.row], target=plan.target)
    table["length"] = np.linalg.norm(plan.vector, axis=1)
    for name, vectors in (("", plan.vector), ("_control", plan.control)):
        say = counter(f"answering shifted pictures{name.replace('_', ', ')}")
        after = shifted_logits(predictor, images, plan.row, vectors, region, say)
        table[f"changed{name}"], table[f"moved{name}"] = changes(before, after)
    little = int((~known & ~train & np.isfinite(types)).sum())
    about = {"region": region, "split": part, "attribute": attribute, "too_little_skin": little}
    rows = [about | _flat(row) for row in summary(table, resamples=resamples, seed=seed)]
    tones = pd.DataFrame(values.round(2), columns=["lightness", "yellowness", "ita", "skin_share"])
    return rows, pd.concat([frame[["image_id", "split"]].assign(skin_type=types), tones], axis=1)


def splits_of(folder: Path) -> Path:
    """The splits.csv of a run or of the run that a bundle lies in.

    Raises:
        DermaSenseError: there is none.
    """
    from dermasense.inference.unseen import splits_file

    if file := splits_file(folder):
        return file
    raise DermaSenseError(
        f"{folder}: no splits.csv in it or above it; tones are measured on the training rows of "
        "the model's own split, so give a run folder of `python -m dermasense.train`."
    )


def _flat(row: dict) -> dict:
    """Intervals as three columns each."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if not hasattr(value, "low"):
            flat[name] = round(value, 2) if isinstance(value, float) else value
            continue
        for end, number in (("", value.value), ("_low", value.low), ("_high", value.high)):
            flat[f"{name}{end}"] = "" if number is None else round(number, 4)
    return flat


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
