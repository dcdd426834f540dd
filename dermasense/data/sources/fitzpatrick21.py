"""2,860 clinical photographs in 21 conditions: the public subset of Fitzpatrick17k of the
"Equitable AI for Dermatology" challenge (Groh et al. 2021).

Class order: alphabetical by label, acne, acne-vulgaris, actinic-keratosis, ... (CLASS_NAMES).

The set has no lesion id but holds several shots of one scene; `group` is a near-duplicate cluster
(`dermasense.data.duplicates`), named after its first image_id.
"""

from pathlib import Path

import pandas as pd

from dermasense.data.catalog import NEAR_DUPLICATES, Catalog, read_table, row_origins
from dermasense.data.duplicates import near_duplicates
from dermasense.errors import DermaSenseError

CLASS_NAMES = (
    "acne",
    "acne-vulgaris",
    "actinic-keratosis",
    "basal-cell-carcinoma",
    "basal-cell-carcinoma-morpheiform",
    "dermatofibroma",
    "dermatomyositis",
    "dyshidrotic-eczema",
    "eczema",
    "epidermal-nevus",
    "folliculitis",
    "kaposi-sarcoma",
    "keloid",
    "malignant-melanoma",
    "melanoma",
    "mycosis-fungoides",
    "prurigo-nodularis",
    "pyogenic-granuloma",
    "seborrheic-keratosis",
    "squamous-cell-carcinoma",
    "superficial-spreading-melanoma-ssm",
)
TABLE = "train.csv"
LICENCE = "CC BY-NC-SA 3.0"
CITATION = (
    "Groh et al.: Evaluating Deep Neural Networks Trained on Clinical Images in Dermatology with "
    "the Fitzpatrick 17k Dataset. CVPR Workshops (2021)."
)


def catalog(root: str, cache_dir: str | None = None) -> Catalog:
    """Read the challenge's table; images lie in images/<label>/<md5hash>.jpg.

    Args:
        root: folder that holds train.csv and images/.
        cache_dir: where the near-duplicate clusters are kept (they take about a minute).

    Raises:
        DermaSenseError: the folder or the table does not exist; the sentence says how to get it.
    """
    folder = Path(root)
    file = folder / TABLE
    if not file.is_file():
        raise DermaSenseError(
            f"data=fitzpatrick21: {file} does not exist; fetch it with `python -m "
            "dermasense.prepare data=fitzpatrick21` (or download the data of "
            "https://www.kaggle.com/competitions/bttai-ajl-2025 and put train.csv and "
            "images/<label>/<md5hash>.jpg there), or type data.root=<folder> where it lies "
            "elsewhere."
        )
    columns = ("md5hash", "fitzpatrick_scale", "fitzpatrick_centaur", "label", "qc")
    table = read_table(file, columns)
    places = zip(table["label"].fillna(""), table["md5hash"].fillna(""), strict=True)
    paths = [str((folder / "images" / label / f"{name}.jpg").absolute()) for label, name in places]
    first = near_duplicates(paths, cache_dir)
    ids = table["md5hash"]
    smallest = ids.groupby(first).transform("min")  # the same name whatever the order of the rows
    frame = pd.DataFrame(
        {
            "image_id": ids,
            "path": paths,
            "label": table["label"],
            "group": smallest,
            "origin": row_origins(file, len(table)),
            "skin_type": _skin_type(table["fitzpatrick_scale"]),
            "skin_type_centaur": _skin_type(table["fitzpatrick_centaur"]),
            "qc": table["qc"],
        }
    )
    return Catalog(
        name="fitzpatrick21",
        frame=frame,
        class_names=CLASS_NAMES,
        attributes=("skin_type", "skin_type_centaur", "qc"),
        licence=LICENCE,
        citation=CITATION,
        groups_are=NEAR_DUPLICATES,
    )


def _skin_type(column: pd.Series) -> pd.Series:
    """Fitzpatrick type 1 to 6 as float; -1 (and anything else) means missing, never a group."""
    values = pd.to_numeric(column, errors="coerce")
    return values.where(values.between(1, 6)).astype("float64")
