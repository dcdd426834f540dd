"""HAM10000: 10,015 dermatoscopic images of 7,470 lesions, 7 classes (Tschandl et al. 2018).

Class order: alphabetical, akiec, bcc, bkl, df, mel, nv, vasc.

The column dx_type (how the diagnosis was made) is left out on purpose: a lesion is biopsied
because it already looks malignant, so it would leak the label into any model that sees it.
"""

import os
from pathlib import Path

import pandas as pd

from dermasense.data.catalog import LESIONS, Catalog, own_groups, read_table, row_origins
from dermasense.errors import DermaSenseError

CLASS_NAMES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
TABLE = "HAM10000_metadata.csv"
FOLDERS = ("images", "HAM10000_images_part_1", "HAM10000_images_part_2")
LICENCE = "CC BY-NC 4.0"
CITATION = (
    "Tschandl, Rosendahl, Kittler: The HAM10000 dataset, a large collection of multi-source "
    "dermatoscopic images of common pigmented skin lesions. Sci Data 5, 180161 (2018)."
)


def catalog(root: str) -> Catalog:
    """Read the publisher's table; images lie in images/ or in the two part folders of Kaggle.

    Args:
        root: folder that holds HAM10000_metadata.csv and the image folders.

    Raises:
        DermaSenseError: the folder or the table does not exist; the sentence says how to get it.
    """
    folder = Path(root)
    file = folder / TABLE
    if not file.is_file():
        raise DermaSenseError(
            f"data=ham10000: {file} does not exist; fetch it with `python -m dermasense.prepare "
            "data=ham10000` (or download HAM10000 from https://doi.org/10.7910/DVN/DBW86T and put "
            f"{TABLE} and images/<image_id>.jpg there), or type data.root=<folder> where it lies "
            "elsewhere."
        )
    table = read_table(file, ("lesion_id", "image_id", "dx", "age", "sex", "localization"))
    images = _files(folder)
    fallback = folder / FOLDERS[0]
    paths = [images.get(i, str((fallback / f"{i}.jpg").absolute())) for i in table["image_id"]]
    frame = pd.DataFrame(
        {
            "image_id": table["image_id"],
            "path": paths,
            "label": table["dx"],
            "group": own_groups(table["lesion_id"], table["image_id"]),
            "origin": row_origins(file, len(table)),
            "sex": table["sex"].mask(table["sex"] == "unknown"),
            "age": pd.to_numeric(table["age"], errors="coerce"),
            "localization": table["localization"].mask(table["localization"] == "unknown"),
        }
    )
    return Catalog(
        name="ham10000",
        frame=frame,
        class_names=CLASS_NAMES,
        attributes=("sex", "age", "localization"),
        licence=LICENCE,
        citation=CITATION,
        groups_are=LESIONS,
    )


def _files(folder: Path) -> dict[str, str]:
    """Path by image_id: listing three folders is faster than 10,015 questions on a network disk."""
    found: dict[str, str] = {}
    for name in reversed(FOLDERS):
        part = folder / name
        if part.is_dir():
            found.update((Path(f).stem, str((part / f).absolute())) for f in os.listdir(part))
    return found
