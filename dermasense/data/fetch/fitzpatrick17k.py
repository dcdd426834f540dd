"""Fitzpatrick17k: the authors give a table of addresses, and the images on request."""

from dermasense.data.fetch.dataset import DataSet, Layout, Remote
from dermasense.data.fetch.layout import items, known
from dermasense.data.fetch.source import Source
from dermasense.data.fetch.tables import need_table
from dermasense.data.sources.fitzpatrick21 import CITATION, LICENCE

# The commit names the bytes, as a checksum would.
TABLE = Remote(
    "fitzpatrick17k.csv",
    (
        "https://raw.githubusercontent.com/mattgroh/fitzpatrick17k/"
        "9865ce95b4b2035a1b311644ca00e028d1c4e74c/fitzpatrick17k.csv",
    ),
)
NEEDED = ("md5hash", "fitzpatrick_scale", "fitzpatrick_centaur", "label", "qc")
COLUMNS = (
    "path",
    "label",
    "image_id",
    "skin_type",
    "skin_type_centaur",
    "nine_partition_label",
    "three_partition_label",
    "qc",
)
BY_HAND = (
    "ask the authors for the images with the form at https://forms.gle/4fS35Kg8x9pkG2Bn9 (named "
    "on https://github.com/mattgroh/fitzpatrick17k; many addresses in their table are dead), take "
    "them as <md5hash>.jpg with fitzpatrick17k.csv"
)
HINT = f"name them <md5hash>.jpg; {BY_HAND}"


def arrange(source: Source) -> Layout:
    """Images under their md5 names, and labels.csv."""
    table = need_table(source, ("fitzpatrick17k*.csv", "*.csv"), NEEDED, "fitzpatrick17k.csv")
    rows = [
        {
            "path": "",
            "label": row["label"],
            "image_id": row["md5hash"],
            "skin_type": known(row["fitzpatrick_scale"]),
            "skin_type_centaur": known(row["fitzpatrick_centaur"]),
            "nine_partition_label": row.get("nine_partition_label", ""),
            "three_partition_label": row.get("three_partition_label", ""),
            "qc": row["qc"],
        }
        for row in table.rows
    ]
    found, left_out = items(
        source,
        rows,
        [row["md5hash"] for row in table.rows],
        lambda _, file: f"images/{file}",
        lenient=True,
        hint=HINT,
    )
    return Layout("labels.csv", COLUMNS, "label", None, found, left_out, lenient=True)


SET = DataSet(
    name="fitzpatrick17k",
    title="Fitzpatrick17k: 16,577 clinical photographs, 114 conditions, skin types",
    licence=LICENCE,
    citation=CITATION,
    page="https://github.com/mattgroh/fitzpatrick17k",
    by_hand=BY_HAND,
    arrange=arrange,
    words="data=csv data.attributes=[skin_type,skin_type_centaur,qc]",
    images=16_577,
    note="No lesion ids are published and it holds near-duplicates: expect leaks across a split.",
    remotes=(TABLE,),
)
