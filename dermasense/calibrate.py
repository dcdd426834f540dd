"""`python -m dermasense.calibrate`: make a model's confidence believable, and say what is left.

Research software, not a medical device.
"""

from pathlib import Path

from dermasense.cli import tool_command
from dermasense.errors import DermaSenseError

# Options of single methods; the others take none.
OWN = {"vector": ("ridge",), "prior_shift": ("strength",)}


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    tool_command(start, "calibrate", texts=("run", "val", "test", "bundle", "out"))


def start(settings: dict) -> None:
    """Fits on validation, judges on test, writes the page, and the fitted numbers into the bundle.

    Raises:
        DermaSenseError: tables that are missing or do not go together, an unknown method,
            or a bundle that is not the user's to change.
    """
    # pandas and scikit-learn take seconds to import: --help need not wait for them.
    from dermasense.evaluation.calibration import build_calibrator
    from dermasense.evaluation.calibration.effect import effect, left_over
    from dermasense.evaluation.pair import read_pair
    from dermasense.files import write_json
    from dermasense.inference.prediction import DISCLAIMER
    from dermasense.models.hub_bundle import locate
    from dermasense.reporting.calibration_page import text_table, write_page

    bundle = locate(settings["bundle"], write=settings["write"]) if settings["bundle"] else None
    pair = read_pair(settings["run"], settings["val"], settings["test"])
    method = settings["method"]
    options = {key: settings[key] for key in OWN.get(method, ())}
    fitted = build_calibrator(method, **options).fit(pair.validation)
    found = effect(fitted, pair.test, resamples=settings["resamples"], seed=settings["seed"])
    entry = fitted.as_dict()
    fitted_on = {"n": len(pair.validation), "n_groups": pair.validation.n_groups}
    result = {
        "name": pair.name,
        "protocol": pair.protocol,
        "note": pair.note,
        "n": len(pair.test),
        "n_groups": pair.test.n_groups,
        "fitted": entry,
        "fitted_on": fitted_on,
        **found,
        "left": left_over(found),
    }
    out = Path(settings["out"]) if settings["out"] else pair.folder / "calibration"
    write_json(out / "calibration.json", result)
    page = write_page(out, result, pair.test, fitted.apply(pair.test))
    bundle = bundle or pair.bundle
    told = "the bundle was left as it is"
    if bundle is not None and settings["write"]:
        told = _written(bundle, pair.test.class_names, entry, fitted_on)
    print(text_table(result))
    print(f"\n{out / 'calibration.json'}\n{page}\n{told}")
    print(DISCLAIMER)


def _written(bundle: Path, names: tuple[str, ...], entry: dict, fitted_on: dict) -> str:
    from dermasense.models.settings import bundle_settings, write_settings
    from dermasense.reporting.decided import renew_card

    before = bundle_settings(bundle)
    if sorted(before["class_names"]) != sorted(names):
        raise DermaSenseError(
            f"{bundle}: its classes are {', '.join(before['class_names'])}, those of the tables "
            f"{', '.join(names)}; name the bundle that made the tables."
        )
    changes = {
        "temperature": entry["value"] if entry["name"] == "temperature" else 1.0,
        "calibration": {**entry, "fitted_on": fitted_on},
        "decision": None,
    }
    path = write_settings(bundle, changes)
    renew_card(bundle)
    words = f"{path}: {entry['name']} written"
    if before.get("decision"):
        words += (
            "; its decisions were fitted on the former probabilities and are taken out: fit them "
            "again with python -m dermasense.decide"
        )
    return words


if __name__ == "__main__":
    main()
