"""PAD-UFES-20 from Mendeley Data: smartphone photographs with patients and skin types."""

from dermasense.data.fetch.dataset import DataSet, Layout, Remote
from dermasense.data.fetch.layout import items, known
from dermasense.data.fetch.source import Source
from dermasense.data.fetch.tables import need_table

FILES = "https://data.mendeley.com/public-files/datasets/zr7vgbcyr2/files"
NEEDED = ("patient_id", "lesion_id", "img_id", "diagnostic", "fitspatrick", "age", "gender")
ATTRIBUTES = ("skin_type", "sex", "age", "localization", "biopsied")
COLUMNS = ("path", "label", "group", "image_id", "lesion_id", *ATTRIBUTES)


def arrange(source: Source) -> Layout:
    """Images and labels.csv; the group is the patient, who may have several lesions."""
    table = need_table(source, ("*metadata*.csv", "*.csv"), NEEDED, "metadata.csv")
    rows = [
        {
            "path": "",
            "label": row["diagnostic"],
            "group": row["patient_id"],
            "image_id": row["img_id"].removesuffix(".png"),
            "lesion_id": row["lesion_id"],
            "skin_type": known(row["fitspatrick"]),
            "sex": known(row["gender"].lower()),
            "age": known(row["age"]),
            "localization": known(row.get("region", "").lower()),
            "biopsied": row.get("biopsed", "").lower(),
        }
        for row in table.rows
    ]
    found, left_out = items(
        source,
        rows,
        [row["img_id"] for row in table.rows],
        lambda _, file: f"images/{file}",
        hint="the images come in imgs_part_1.zip, _2 and _3, give a folder that holds all three",
    )
    return Layout("labels.csv", COLUMNS, "label", "group", found, left_out)


def _remote(name: str, file_id: str, sha256: str) -> Remote:
    return Remote(name, (f"{FILES}/{file_id}/file_downloaded",), f"sha256:{sha256}")


SET = DataSet(
    name="pad_ufes_20",
    title="PAD-UFES-20: 2,298 smartphone photographs of 1,373 patients, 6 classes (3.6 GB)",
    licence="CC BY 4.0",
    citation=(
        "Pacheco et al.: PAD-UFES-20: A skin lesion dataset composed of patient data and clinical "
        "images collected from smartphones. Data in Brief 32, 106221 (2020)."
    ),
    page="https://data.mendeley.com/datasets/zr7vgbcyr2/1",
    by_hand="download everything (zr7vgbcyr2-1.zip) of https://data.mendeley.com/datasets/zr7vgbcyr2/1",
    arrange=arrange,
    words=f"data=csv data.attributes=[{','.join(ATTRIBUTES[:4])}]",
    images=2_298,
    # File ids and SHA-256 of version 1, as Mendeley Data states them; seen alike in two or more
    # independent public records.
    remotes=(
        _remote(
            "metadata.csv",
            "fa850265-57da-48f0-ba3e-998b3e44b1f6",
            "14d145235cedb022548257acb0d84dcd949e2c916f65d2baa7c38ed5339e9527",
        ),
        _remote(
            "imgs_part_1.zip",
            "1cc2f71f-20a2-412d-b746-a9b9bc20c966",
            "0ab44f60938bf57445e12f518a8878954cc734e6b0aec6d01194e2d26b4b2dca",
        ),
        _remote(
            "imgs_part_2.zip",
            "559a60ed-5504-475d-996c-6a8bc253b5e7",
            "e2d9a3cbd58e823f5ae33163c48643e7d1b54ae3f9e145f01f8e9f16a363a60b",
        ),
        _remote(
            "imgs_part_3.zip",
            "34dcdf8e-e5f1-4b35-aa0b-5135051ff852",
            "ecc4ef10143a43e1d01cb736773148607a78b530417eb76f2c38ad24bf5d0d2c",
        ),
    ),
)
