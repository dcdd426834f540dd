"""Writes an ensemble: members, weights and what its model.json tells; see `ensemble`."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dermasense.files import safe_name, write_atomically, write_json
from dermasense.inference.ensemble import FILE, MEMBERS, check_content, open_member
from dermasense.models.bundle import DESCRIPTION, OWN, SCHEMA_VERSION, read_description
from dermasense.models.weight_files import sha256

FILES = ("model.json", "model.safetensors", "model.onnx")  # of a member


def save_ensemble(
    folder: str | Path,
    members: Sequence[tuple[str, Path, float]],
    *,
    average: str,
    info: Mapping[str, Any] | None = None,
) -> Path:
    """Write an ensemble; model.json comes last, so that a cut copy is no ensemble.

    Args:
        folder: made where it does not exist.
        members: name, bundle folder, weight; those of weight 0 are left out.
        average: "probability" or "log".
        info: plain values for model.json, as `save_bundle` takes them.

    Raises:
        DermaSenseError: a member that is no bundle, or members of different classes.
    """
    folder = Path(folder)
    used = [member for member in members if member[2] > 0]
    (folder / DESCRIPTION).unlink(missing_ok=True)
    shutil.rmtree(folder / MEMBERS, ignore_errors=True)
    rows = []
    for number, (name, source, weight) in enumerate(used):
        inside = f"{MEMBERS}/{number}_{safe_name(name) or 'member'}"
        for file in FILES:
            if (source / file).is_file():
                _copy(source / file, folder / inside / file)
        digest = read_description(folder / inside)["sha256"]
        rows.append({"folder": inside, "name": name, "weight": float(weight), "sha256": digest})
    first = read_description(folder / rows[0]["folder"])
    names = [str(name) for name in first["class_names"]]
    content = {"schema_version": SCHEMA_VERSION, "average": average, "members": rows}
    check_content(folder / FILE, content, names)
    for row in rows:
        open_member(folder, row, names, {})
    write_json(folder / FILE, content)
    description = {
        "schema_version": SCHEMA_VERSION,
        "backbone": f"ensemble of {len(rows)}",
        "head": {"name": "ensemble", "average": average},
        "num_classes": len(names),
        "class_names": names,
        "input": first["input"],
        "temperature": 1.0,
        **{k: v for k, v in (info or {}).items() if k not in OWN},
        "sha256": sha256(folder / FILE),
    }
    write_json(folder / DESCRIPTION, description)
    return folder


def _copy(source: Path, to: Path) -> None:
    write_atomically(to, lambda temporary: shutil.copyfile(source, temporary))
