"""The ISIC 2018 Task 3 test set from Harvard Dataverse or the challenge: for evaluation only."""

from dermasense.data.fetch.dataset import DataSet, Layout, Remote
from dermasense.data.fetch.ham10000 import CODES, DATAVERSE
from dermasense.data.fetch.layout import items
from dermasense.data.fetch.source import Source
from dermasense.data.fetch.tables import check_labels, find_table, need_table, one_hot
from dermasense.data.sources.ham10000 import CLASS_NAMES, LICENCE
from dermasense.data.sources.isic2018 import CITATION, TABLE

PATTERNS = ("*task3_test_groundtruth*", "labels.csv")
# A row of the ground truth that no release has an image for; the challenge's own scoring program
# (isic-challenge-scoring, load_csv.py) leaves it out too.
ABSENT = ("ISIC_0035068",)


def arrange(source: Source) -> Layout:
    """Images and labels.csv, from the table of Dataverse or the challenge's one-hot table."""
    truth = find_table(source, PATTERNS, ("image_id", "dx"))
    if truth is not None:
        check_labels(truth, "dx", CLASS_NAMES)
        names = ("image_id", "dx", "lesion_id") if "lesion_id" in truth.columns else None
        columns = names or ("image_id", "dx")
        rows = [{c: row[c] for c in columns} for row in truth.rows]
    else:
        name = "ISIC2018_Task3_Test_GroundTruth with the columns image_id, dx, or one"
        truth = need_table(source, PATTERNS, ("image", *CODES), name)
        columns = ("image_id", "dx")
        pairs = zip(truth.rows, one_hot(truth, CODES), strict=True)
        rows = [{"image_id": row["image"], "dx": CODES[code]} for row, code in pairs]
    found, left_out = items(
        source,
        rows,
        [row["image_id"] for row in rows],
        lambda row, _: f"images/{row['image_id']}.jpg",
        suffixes=(".jpg", ".jpeg"),
        absent=ABSENT,
        hint="get ISIC2018_Task3_Test_Images.zip (or ISIC2018_Task3_Test_Input.zip) again",
    )
    group = "lesion_id" if "lesion_id" in columns else None
    return Layout(TABLE, columns, "dx", group, found, left_out)


SET = DataSet(
    name="isic2018",
    title="ISIC 2018 Task 3 test set: 1,511 dermatoscopic images, 7 classes (0.4 GB)",
    licence=LICENCE,
    citation=CITATION,
    page="https://doi.org/10.7910/DVN/DBW86T",
    by_hand=(
        "download ISIC2018_Task3_Test_Images.zip and ISIC2018_Task3_Test_GroundTruth from "
        "https://doi.org/10.7910/DVN/DBW86T"
    ),
    arrange=arrange,
    words="data=isic2018",
    images=1_511,
    note="For evaluation only: training on it, or choosing anything by it, would spoil it.",
    # The MD5 of the images is Dataverse's; that of the table has not been seen in two places.
    remotes=(
        Remote("ISIC2018_Task3_Test_GroundTruth.csv", (f"{DATAVERSE}/6924466?format=original",)),
        Remote(
            "ISIC2018_Task3_Test_Images.zip",
            (f"{DATAVERSE}/3855824",),
            "md5:0488b6f65849e310857d9207daa55a21",
        ),
    ),
)
