"""Diverse Dermatology Images (Stanford AIMI): behind a form and a research use agreement."""

from dermasense.data.fetch.dataset import DataSet, Layout
from dermasense.data.fetch.layout import items
from dermasense.data.fetch.source import Source
from dermasense.data.fetch.tables import need_table
from dermasense.errors import DermaSenseError

PAGE = "https://stanfordaimi.azurewebsites.net/datasets/35866158-8196-48d8-87bf-50dca81df965"
NEEDED = ("DDI_file", "skin_tone", "malignant", "disease")
COLUMNS = ("path", "label", "image_id", "skin_tone", "disease")
LABELS = {"true": "malignant", "1": "malignant", "false": "benign", "0": "benign"}


def arrange(source: Source) -> Layout:
    """Images and labels.csv; skin_tone is 12, 34 or 56 (Fitzpatrick I-II, III-IV, V-VI)."""
    table = need_table(source, ("ddi_metadata*.csv", "*.csv"), NEEDED, "ddi_metadata.csv")
    rows = []
    for position, row in enumerate(table.rows):
        label = LABELS.get(row["malignant"].lower())
        if label is None:
            raise DermaSenseError(
                f"{table.origin(position)}: malignant is '{row['malignant']}', expected True or "
                "False; get the file again."
            )
        rows.append(
            {
                "path": "",
                "label": label,
                "image_id": row["DDI_file"].rpartition(".")[0] or row["DDI_file"],
                "skin_tone": row["skin_tone"],
                "disease": row["disease"],
            }
        )
    found, left_out = items(
        source,
        rows,
        [row["DDI_file"] for row in table.rows],
        lambda _, file: f"images/{file}",
        hint="give the whole download",
    )
    return Layout("labels.csv", COLUMNS, "label", None, found, left_out)


SET = DataSet(
    name="ddi",
    title="Diverse Dermatology Images: 656 biopsied lesions over all skin tones",
    licence="Stanford AIMI research use agreement: personal, not commercial, not to be passed on",
    citation=(
        "Daneshjou et al.: Disparities in dermatology AI performance on a diverse, curated "
        "clinical image set. Science Advances 8, eabq6147 (2022)."
    ),
    page=PAGE,
    by_hand=f"Stanford asks for an account and an agreement, so download all of {PAGE}",
    arrange=arrange,
    words="data=csv data.attributes=[skin_tone,disease]",
    images=656,
    note=(
        "Made to evaluate on. No patient ids are published: 656 images are of 570 patients. "
        "data.columns.label=disease takes the diseases as classes."
    ),
)
