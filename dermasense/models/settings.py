"""What a bundle is told after its training: calibration and decisions, plain keys of model.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dermasense.errors import DermaSenseError
from dermasense.files import write_json
from dermasense.models.bundle import CONTRACT, DESCRIPTION, OWN, read_description


def bundle_settings(folder: str | Path) -> dict[str, Any]:
    """model.json of a bundle.

    Raises:
        DermaSenseError: naming the file and what is wrong with it.
    """
    return read_description(Path(folder))


def write_settings(folder: str | Path, changes: Mapping[str, Any]) -> Path:
    """Changes keys of model.json in one step; the weights and their sha256 stay as they are.

    Args:
        folder: of a bundle of any format.
        changes: plain values; None takes a key away.

    Returns:
        model.json.

    Raises:
        DermaSenseError: a key that decides the logits, or a file that is no model.json.
    """
    folder = Path(folder)
    fixed = [key for key in changes if key in (*CONTRACT, *OWN)]
    if fixed:
        raise DermaSenseError(f"{folder}: {fixed[0]} belongs to the weights and cannot be changed.")
    description = {**bundle_settings(folder), **changes}
    kept = {k: v for k, v in description.items() if v is not None or k not in changes}
    write_json(folder / DESCRIPTION, kept)
    return folder / DESCRIPTION
