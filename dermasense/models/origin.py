"""What a trained model says of where it comes from: its model.json, read before it is opened."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dermasense.files import read_json
from dermasense.run_folder import bundle_in


def described(folder: Path) -> dict[str, Any]:
    """model.json of a bundle or of a finished run, as it stands; {} where there is none.

    Raises:
        DermaSenseError: a model.json that is no JSON.
    """
    file = bundle_in(folder) / "model.json"
    told = read_json(file) if file.is_file() else {}
    return told if isinstance(told, dict) else {}


def began_with(info: Mapping[str, Any]) -> list[str]:
    """The data sets that the weights a model began with were trained on, all generations.

    Args:
        info: of model.json.
    """
    return (info.get("weights_provenance") or {}).get("trained_on") or []


def handed_on(info: Mapping[str, Any]) -> dict[str, Any]:
    """Of weights taken from a model: the licences and data sets behind them, and its own.

    Args:
        info: of model.json.
    """
    before = (info.get("weights_provenance") or {}).get("licence") or "unknown"
    licences = [*before.split("; "), info.get("licence") or "unknown"]
    trained_on = [*began_with(info), info.get("training_data")]
    return {
        "licence": "; ".join(dict.fromkeys(licences)),
        "trained_on": list(dict.fromkeys(each for each in trained_on if each)),
    }
