"""`python -m dermasense.decide`: sets, alarms, referral and answers by cost, for a trained model.

A command of its own beside calibrate: calibration is made once, decisions are several, each with
options of its own, and each stands on the probabilities that the calibration left.

Research software, not a medical device.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dermasense.cli import tool_command

# Typed short, since every set has one.
PLAIN = {"alpha": "decision.alpha"}


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    tool_command(start, "decide", texts=("run", "val", "test", "bundle", "out"), renamed=PLAIN)


def start(settings: dict) -> None:
    """Fits the method on validation, judges it on test, writes both and tells the bundle.

    Raises:
        DermaSenseError: tables that are missing or do not go together, what the method
            refuses, or a bundle that is not the user's to change.
    """
    # pandas and scikit-learn take seconds to import: --help need not wait for them.
    from dermasense.evaluation.pair import read_pair
    from dermasense.files import read_json, write_json
    from dermasense.inference.prediction import DISCLAIMER
    from dermasense.models.hub_bundle import locate
    from dermasense.models.settings import bundle_settings
    from dermasense.reporting.decision_table import text_table
    from dermasense.targets import build

    bundle = locate(settings["bundle"], write=settings["write"]) if settings["bundle"] else None
    pair = read_pair(settings["run"], settings["val"], settings["test"])
    bundle = bundle or pair.bundle
    known = bundle_settings(bundle) if bundle else {}
    calibrator, words = _calibrator(bundle, known, pair.validation)
    names = known.get("class_names") or pair.validation.class_names
    validation, test = (
        calibrator.apply(each).in_order(names) for each in (pair.validation, pair.test)
    )
    fitted = build(settings["decision"]).fit(validation)
    options = {"resamples": settings["resamples"], "seed": settings["seed"]}
    result = {
        "name": pair.name,
        "protocol": pair.protocol,
        "note": pair.note,
        "calibration": words,
        "calibration_numbers": calibrator.n_fitted,
        "n": len(test),
        "n_groups": test.n_groups,
        "fitted_on": {"n": len(validation), "n_groups": validation.n_groups},
        "kind": fitted.kind,
        "fitted": fitted.as_dict(),
        "judged": fitted.judge(test, **options),
    }
    out = Path(settings["out"]) if settings["out"] else pair.folder / "decisions"
    path = out / "decisions.json"
    tells = bundle is not None and settings["write"]
    kept = _kept(bundle, known, fitted.kind) if tells and _is_own(fitted) else {}
    before = read_json(path) if path.is_file() else {}
    write_json(path, {**before, fitted.name: result})
    told = "no bundle was told"
    if tells:
        told = _written(bundle, kept, fitted)
    print(text_table(result))
    print(f"\n{path}\n{told}")
    print(DISCLAIMER)


def _calibrator(bundle: Path | None, known: Mapping[str, Any], validation: Any) -> tuple[Any, str]:
    """The bundle's own calibration; without a bundle a temperature, fitted here."""
    from dermasense.evaluation.calibration import build_calibrator
    from dermasense.inference.decision import Decision

    if bundle is not None:
        # Its decisions may be what is to be replaced.
        own = Decision.of_bundle(bundle, known["class_names"], {**known, "decision": None})
        return own.calibrator, "that of the bundle"
    fitted = build_calibrator("temperature").fit(validation)
    return fitted, f"temperature {fitted.value:.3f}, fitted on the same validation table"


def _kept(bundle: Path, known: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The bundle's decisions of other kinds; what is replaced need not be readable."""
    from dermasense.inference.decision import Decision

    decision = known.get("decision")
    if isinstance(decision, Mapping):
        decision = {key: entry for key, entry in decision.items() if key != kind}
    former = Decision.of_bundle(bundle, known["class_names"], {**known, "decision": decision})
    return {each.kind: each.as_dict() for each in former.methods}


def _is_own(fitted: Any) -> bool:
    """Whether a bundle can restore it: it is no code from outside."""
    from dermasense.evaluation.decisions import method_names

    return type(fitted).__module__.startswith("dermasense.") and fitted.name in method_names()


def _written(bundle: Path, kept: Mapping[str, Any], fitted: Any) -> str:
    from dermasense.models.settings import write_settings
    from dermasense.reporting.decided import renew_card

    if not _is_own(fitted):
        return f"{fitted.name} is code from outside DermaSense, so no bundle was told"
    path = write_settings(bundle, {"decision": {**kept, fitted.kind: fitted.as_dict()}})
    renew_card(bundle)
    return f"{path}: {fitted.name} written as its {fitted.kind}"


if __name__ == "__main__":
    main()
