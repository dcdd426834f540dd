"""Synthetic lesions: the embedded default, drawn by a program so that everything runs without data.

Class order: as in `lesion_population.CLASS_NAMES`; no class is a diagnosis. A number measured on
these images shows that the machinery works and says nothing about skin.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from PIL import Image

from dermasense.data.catalog import LESIONS, Catalog, row_origins
from dermasense.data.lesion_painter import paint
from dermasense.data.lesion_population import Person, draw_population, lesion_counts
from dermasense.errors import DermaSenseError
from dermasense.files import remove_abandoned

VERSION = 1  # raise it when the same options would draw other pictures
TABLE = "lesions.csv"
ATTRIBUTES = ("skin_type", "localization", "hairs", "ruler")
NOTE = (
    "synthetic images drawn by a program: these numbers show that the code runs and learns; "
    "they say nothing about skin or about real lesions."
)
_DRAWN = re.compile("[0-9a-f]{16}")

log = logging.getLogger(__name__)


def catalog(
    root: str,
    n_lesions: int = 430,
    image_px: int = 160,
    seed: int = 0,
    difficulty: float = 1.0,
    class_weights: Mapping[str, float] | None = None,
    masks: bool = False,
) -> Catalog:
    """Draws the images once under `root`, in a folder named after the options, and lists them.

    Args:
        root: folder for the drawn images; may be deleted at any time, it is drawn again.
        n_lesions: lesions to draw; there are about 1.9 images a lesion.
        image_px: width in pixels, 32 to 2048; the height is three quarters of it.
        seed: the same options and seed give the same files, byte for byte, on one machine.
        difficulty: 0 (every lesion typical of its class) to about 2 (classes hard to tell apart).
        class_weights: relative frequency by class name; 0 or absent leaves a class out.
        masks: also write where each lesion is, see `mask_path`.

    Raises:
        DermaSenseError: an option out of range, or `root` holds other files or cannot be written.
    """
    _check_options(n_lesions, image_px, seed, difficulty)
    counts = lesion_counts(n_lesions, class_weights)
    weights = None if class_weights is None else {k: float(v) for k, v in class_weights.items()}
    options = {"version": VERSION, "n_lesions": n_lesions, "image_px": image_px, "seed": seed,
               "difficulty": float(difficulty), "counts": counts, "masks": bool(masks)}  # fmt: skip
    key = hashlib.blake2b(json.dumps(options).encode(), digest_size=8).hexdigest()
    _check_root(Path(root))
    folder = Path(root).absolute() / key
    table = _read(folder, masks)
    if table is None:
        people = draw_population(
            seed=seed, n_lesions=n_lesions, difficulty=difficulty, class_weights=weights
        )
        try:
            _build(folder, people, image_px, masks, options)
        except OSError as error:
            raise DermaSenseError(
                f"data=synthetic: cannot write under {root} ({error.strerror or error}); "
                "choose another folder with data.root=<folder>"
            ) from None
        table = _read(folder, masks)
        if table is None:
            raise DermaSenseError(
                f"data=synthetic: {folder} changed while it was read; delete it and run again"
            )
    frame = pd.DataFrame(
        {
            "image_id": table["image_id"],
            "path": [str(folder / "images" / name) for name in table["file"]],
            "label": table["label"],
            "group": table["lesion_id"],
            "origin": row_origins(folder / TABLE, len(table)),
            **{name: table[name] for name in ATTRIBUTES},
        }
    )
    return Catalog(
        name="synthetic",
        frame=frame,
        class_names=tuple(counts),
        attributes=ATTRIBUTES,
        licence="drawn by a program; no restriction",
        citation="DermaSense synthetic lesions (dermasense.data.lesion_painter)",
        note=NOTE,
        groups_are=LESIONS,
    )


def mask_path(image_path: str | Path) -> Path:
    """Where the mask of a synthetic image lies if `masks` was asked for: PNG, 255 on the lesion."""
    image_path = Path(image_path)
    return image_path.parent.parent / "masks" / f"{image_path.stem}.png"


def _check_options(n_lesions: int, image_px: int, seed: int, difficulty: float) -> None:
    for name, value, low, high in (
        ("n_lesions", n_lesions, 2, 1_000_000),
        ("image_px", image_px, 32, 2048),
        ("draw_seed", seed, 0, 2**63),
        ("difficulty", difficulty, 0, 3),
    ):
        wanted = int | float if name == "difficulty" else int
        if isinstance(value, bool) or not isinstance(value, wanted) or not low <= value <= high:
            kind = "a number" if name == "difficulty" else "a whole number"
            raise DermaSenseError(
                f"data.{name}: expected {kind} from {low} to {high}, got {value!r}"
            )


def _check_root(root: Path) -> None:
    """A folder of real images is named in `data.root` and `data=` is forgotten: that is told."""
    if not root.is_dir():
        return
    names = (name for name in sorted(os.listdir(root)) if not name.startswith("."))
    if other := next((name for name in names if not _DRAWN.fullmatch(name)), None):
        raise DermaSenseError(
            f"data.root={root} holds {other}, and data=synthetic, the default, draws its own "
            "pictures there: say which data these are (data=ham10000, data=csv, ...), or give "
            "data.root=<a folder of its own>"
        )


def _read(folder: Path, masks: bool) -> pd.DataFrame | None:
    """The table of a drawn folder; None where a file is absent or an image has another size."""
    try:
        table = pd.read_csv(folder / TABLE)
        sizes = {entry.name: entry.stat().st_size for entry in os.scandir(folder / "images")}
    except (OSError, ValueError):
        return None
    columns = {"image_id", "lesion_id", "file", "bytes", "label", *ATTRIBUTES}
    if not columns <= set(table.columns):
        return None
    if masks and not all(mask_path(folder / "images" / name).is_file() for name in table["file"]):
        return None
    whole = all(
        sizes.get(name) == size for name, size in zip(table["file"], table["bytes"], strict=True)
    )
    return table if whole else None


def _build(
    folder: Path, people: list[Person], image_px: int, masks: bool, options: Mapping[str, object]
) -> None:
    """Draws into a temporary folder and renames it, so that `folder` is whole or absent."""
    n_images = sum(len(person.views) for person in people)
    log.info("drawing %d synthetic images of %d lesions, once", n_images, len(people))
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder.parent, f".{folder.name}.*.tmp")
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    try:
        (temporary / "images").mkdir(parents=True)
        if masks:
            (temporary / "masks").mkdir()
        rows = [
            row
            for position, person in enumerate(people)
            for row in _draw(temporary, position, person, image_px, masks)
        ]
        pd.DataFrame(rows).to_csv(temporary / TABLE, index=False)
        (temporary / "options.json").write_text(json.dumps(options, indent=1), encoding="utf-8")
        if folder.exists() and _read(folder, masks) is None:
            os.replace(folder, temporary / "damaged")
            shutil.rmtree(temporary / "damaged")
        try:
            os.replace(temporary, folder)
        except OSError:
            if _read(folder, masks) is None:  # else: another process drew the same pictures first
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _draw(
    folder: Path, position: int, person: Person, image_px: int, masks: bool
) -> list[dict[str, object]]:
    """Writes the images of one lesion and returns their rows of the table."""
    rows = []
    lesion = {k: v for k, v in asdict(person.lesion).items() if k != "seed"}
    for number, view in enumerate(person.views):
        image_id = f"syn_{position:05d}_{number}"
        image, mask = paint(person.lesion, view, image_px)
        file = folder / "images" / f"{image_id}.jpg"
        Image.fromarray(image).save(file, quality=95, subsampling=0)
        if masks:
            Image.fromarray(mask).convert("L").save(mask_path(file))
        rows.append(
            {
                "image_id": image_id,
                "lesion_id": f"syn_{position:05d}",
                "file": file.name,
                "bytes": file.stat().st_size,
                "label": person.label,
                "skin_type": person.skin_type,
                "localization": person.site,
                "hairs": view.hairs > 0,
                "ruler": view.ruler,
                **{name: round(value, 4) for name, value in lesion.items()},
            }
        )
    return rows
