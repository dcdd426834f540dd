"""The 21 conditions of the bttai-ajl-2025 challenge, from Kaggle or cut from Fitzpatrick17k."""

from dermasense.data.fetch.dataset import DataSet, Layout
from dermasense.data.fetch.fitzpatrick17k import HINT, NEEDED
from dermasense.data.fetch.layout import items
from dermasense.data.fetch.source import Source
from dermasense.data.fetch.tables import check_labels, find_table, need_table
from dermasense.data.sources.fitzpatrick21 import CITATION, CLASS_NAMES, LICENCE, TABLE

PARTITIONS = ("nine_partition_label", "three_partition_label")
COLUMNS = (*NEEDED[:4], *PARTITIONS, "qc", "ddi_scale")


def arrange(source: Source) -> Layout:
    """train.csv and images/<label>/<md5hash>.jpg."""
    table = find_table(source, (TABLE,), NEEDED)
    of_challenge = table is not None
    if table is None:
        table = need_table(
            source, ("fitzpatrick17k*.csv",), NEEDED, f"{TABLE} or fitzpatrick17k.csv"
        )
    else:
        check_labels(table, "label", CLASS_NAMES)
    rows = []
    for row in table.rows:
        # The challenge writes names with hyphens: basal-cell-carcinoma, malignant-epidermal.
        words = {c: row.get(c, "").replace(" ", "-") for c in ("label", *PARTITIONS)}
        if words["label"] in CLASS_NAMES:
            rows.append({**{c: row.get(c, "") for c in COLUMNS}, **words})
    found, left_out = items(
        source,
        rows,
        [row["md5hash"] for row in rows],
        lambda row, _: f"images/{row['label']}/{row['md5hash']}.jpg",
        suffixes=(".jpg", ".jpeg"),
        lenient=not of_challenge,
        hint="give the whole download of the challenge" if of_challenge else HINT,
    )
    if not of_challenge:
        left_out += (
            "cut from fitzpatrick17k.csv: it holds images of the challenge's hidden test set too, "
            "so these are not the 2,860 images of the challenge",
        )
    return Layout(TABLE, COLUMNS, "label", None, found, left_out, lenient=not of_challenge)


SET = DataSet(
    name="fitzpatrick21",
    title="2,860 clinical photographs in 21 conditions, a part of Fitzpatrick17k",
    licence=LICENCE,
    citation=CITATION,
    page="https://www.kaggle.com/competitions/bttai-ajl-2025",
    by_hand=(
        "Kaggle asks for an account and the rules to be accepted, so download all of "
        "https://www.kaggle.com/competitions/bttai-ajl-2025/data"
    ),
    arrange=arrange,
    words="data=fitzpatrick21",
    images=2_860,
    note="Training groups its near-duplicates, found once (about a minute).",
)
