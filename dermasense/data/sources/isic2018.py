"""The ISIC 2018 Task 3 test set, 1,511 images: external to HAM10000, for evaluation only.

Class order: HAM10000's, akiec, bcc, bkl, df, mel, nv, vasc. The group is the lesion where the table
has a column lesion_id (the publisher's has); else every image is its own.
"""

from pathlib import Path

import pandas as pd

from dermasense.data.catalog import Catalog, read_table, row_origins
from dermasense.data.sources.ham10000 import CLASS_NAMES, LICENCE
from dermasense.errors import DermaSenseError

TABLE = "labels.csv"
CITATION = (
    "Codella et al.: Skin Lesion Analysis Toward Melanoma Detection 2018, arXiv:1902.03368; "
    "Tschandl et al. 2018, doi:10.7910/DVN/DBW86T."
)


def catalog(root: str) -> Catalog:
    """Read labels.csv (image_id, dx, perhaps lesion_id); images lie in images/<image_id>.jpg.

    Args:
        root: folder that holds labels.csv and images/.

    Raises:
        DermaSenseError: the folder or the table does not exist; the sentence says how to get it.
    """
    folder = Path(root)
    file = folder / TABLE
    if not file.is_file():
        raise DermaSenseError(
            f"data=isic2018: {file} does not exist; fetch it with `python -m dermasense.prepare "
            "data=isic2018` (or download the ISIC 2018 Task 3 test images from "
            "https://doi.org/10.7910/DVN/DBW86T and put labels.csv with the columns image_id, dx "
            "and images/<image_id>.jpg there), or type data.root=<folder> where it lies elsewhere."
        )
    table = read_table(file, ("image_id", "dx"))
    lesions = table["lesion_id"] if "lesion_id" in table else pd.Series(None, table.index)
    images = (folder / "images").absolute()
    frame = pd.DataFrame(
        {
            "image_id": table["image_id"],
            "path": [str(images / f"{i}.jpg") for i in table["image_id"]],
            "label": table["dx"],
            "group": lesions.where(lesions.notna(), table["image_id"]),
            "origin": row_origins(file, len(table)),
        }
    )
    return Catalog(
        name="isic2018",
        frame=frame,
        class_names=CLASS_NAMES,
        attributes=(),
        licence=LICENCE,
        citation=CITATION,
        evaluation_only=True,
        note="external test set: for evaluation only, never for training or for choosing",
    )
