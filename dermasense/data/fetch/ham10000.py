"""HAM10000 from Harvard Dataverse, Kaggle or the ISIC 2018 challenge (Task 3, training)."""

from collections.abc import Mapping, Sequence

from dermasense.data.fetch.dataset import DataSet, Layout, Remote
from dermasense.data.fetch.layout import items
from dermasense.data.fetch.source import Source
from dermasense.data.fetch.tables import check_labels, find_table, need_table, one_hot
from dermasense.data.sources.ham10000 import CITATION, CLASS_NAMES, LICENCE, TABLE

DATAVERSE = "https://dataverse.harvard.edu/api/access/datafile"
CODES = {name.upper(): name for name in CLASS_NAMES}  # as the challenge writes them
COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")


def arrange(source: Source) -> Layout:
    """Images and HAM10000_metadata.csv, whichever of the three layouts they come in."""
    table = find_table(source, ("ham10000_metadata*",), [c for c in COLUMNS if c != "dx_type"])
    if table is None:
        rows: Sequence[Mapping[str, str]] = _challenge_rows(source)
    else:
        check_labels(table, "dx", CLASS_NAMES)
        rows = [{c: row.get(c, "") for c in COLUMNS} for row in table.rows]
    found, left_out = items(
        source,
        rows,
        [row["image_id"] for row in rows],
        lambda _, file: f"images/{file}",
        hint="HAM10000 comes in two parts of images, give a folder that holds both",
    )
    return Layout(TABLE, COLUMNS, "dx", "lesion_id", found, left_out)


def _challenge_rows(source: Source) -> list[dict[str, str]]:
    """From the ground truth and the lesion groupings; the challenge has no age, sex or site."""
    columns = ("image", *CODES)
    truth = find_table(source, ("*task3_training_groundtruth*",), columns)
    if truth is None:
        raise source.refuse(
            f"holds neither HAM10000_metadata (columns {', '.join(COLUMNS[:3])}, ...) nor the "
            "challenge's ISIC2018_Task3_Training_GroundTruth.csv"
        )
    groupings = need_table(
        source,
        ("*task3_training_lesiongroupings*",),
        ("image", "lesion_id"),
        "ISIC2018_Task3_Training_LesionGroupings.csv, without which images of one lesion would "
        "stand on both sides of a split,",
    )
    lesions = {row["image"]: row for row in groupings.rows}
    rows = []
    for row, code in zip(truth.rows, one_hot(truth, CODES), strict=True):
        lesion = lesions.get(row["image"])
        if lesion is None:
            raise source.refuse(f"{groupings.name} has no row for {row['image']}")
        known = {"image_id": row["image"], "lesion_id": lesion["lesion_id"], "dx": CODES[code]}
        kind = {"dx_type": lesion.get("diagnosis_confirm_type", "")}
        rows.append({**dict.fromkeys(COLUMNS, ""), **known, **kind})
    return rows


SET = DataSet(
    name="ham10000",
    title="HAM10000: 10,015 dermatoscopic images of 7,470 lesions, 7 classes (2.8 GB)",
    licence=LICENCE,
    citation=CITATION,
    page="https://doi.org/10.7910/DVN/DBW86T",
    by_hand=(
        "download HAM10000_images_part_1.zip, HAM10000_images_part_2.zip and HAM10000_metadata "
        "from https://doi.org/10.7910/DVN/DBW86T"
    ),
    arrange=arrange,
    words="data=ham10000",
    images=10_015,
    # File ids and MD5s of version 4.0 of the data set, as Dataverse shows them; seen alike in
    # several independent public records of 2026. The table is asked for as it was uploaded: what
    # Dataverse makes of it by default has other bytes than its checksum is of.
    remotes=(
        Remote(
            "HAM10000_metadata.csv",
            (f"{DATAVERSE}/4338392?format=original",),
            "md5:8f85fb1aa29d80a2797247e434deb79d",
        ),
        Remote(
            "HAM10000_images_part_1.zip",
            (f"{DATAVERSE}/3172585",),
            "md5:4639bfa73ab251610530a97c898e6e46",
        ),
        Remote(
            "HAM10000_images_part_2.zip",
            (f"{DATAVERSE}/3172584",),
            "md5:da43d6cc50f6613013be07e8986b384b",
        ),
    ),
)
