"""The training set of ISIC 2019 from the challenge's own storage."""

from dermasense.data.fetch.dataset import DataSet, Layout, Remote
from dermasense.data.fetch.layout import items, known
from dermasense.data.fetch.source import Source
from dermasense.data.fetch.tables import need_table, one_hot

# Linked from https://challenge.isic-archive.com/data/; the second is where they lay before.
PLACES = (
    "https://isic-archive.s3.amazonaws.com/challenges/2019",
    "https://isic-challenge-data.s3.amazonaws.com/2019",
)
CODES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")
METADATA = ("image", "age_approx", "anatom_site_general", "lesion_id", "sex")
ATTRIBUTES = ("sex", "age", "localization")
COLUMNS = ("path", "label", "group", "image_id", *ATTRIBUTES)


def arrange(source: Source) -> Layout:
    """Images and labels.csv; about a twelfth of the images have no lesion id and stand alone."""
    patterns = ("*2019_training_groundtruth*",)
    truth = need_table(source, patterns, ("image", *CODES), "ISIC_2019_Training_GroundTruth.csv")
    metadata = need_table(
        source, ("*2019_training_metadata*",), METADATA, "ISIC_2019_Training_Metadata.csv"
    )
    facts = {row["image"]: row for row in metadata.rows}
    rows = []
    for row, code in zip(truth.rows, one_hot(truth, CODES), strict=True):
        fact = facts.get(row["image"])
        if fact is None:
            raise source.refuse(f"{metadata.name} has no row for {row['image']}")
        rows.append(
            {
                "path": "",
                "label": code.lower(),
                "group": known(fact["lesion_id"]),
                "image_id": row["image"],
                "sex": known(fact["sex"]),
                "age": known(fact["age_approx"]),
                "localization": known(fact["anatom_site_general"]),
            }
        )
    found, left_out = items(
        source,
        rows,
        [row["image_id"] for row in rows],
        lambda _, file: f"images/{file}",
        hint="get ISIC_2019_Training_Input.zip again",
    )
    return Layout("labels.csv", COLUMNS, "label", "group", found, left_out)


def _remote(name: str) -> Remote:
    return Remote(name, tuple(f"{place}/{name}" for place in PLACES))


SET = DataSet(
    name="isic2019",
    title="ISIC 2019 training set: 25,331 dermatoscopic images, 8 classes (9.8 GB)",
    licence="CC BY-NC 4.0",
    citation=(
        "Tschandl et al., Sci Data 5, 180161 (2018); Codella et al., arXiv:1710.05006; Combalia et "
        "al., arXiv:1908.02288 (all three are asked for)."
    ),
    page="https://challenge.isic-archive.com/data/#2019",
    by_hand=(
        "download ISIC_2019_Training_Input.zip, ISIC_2019_Training_GroundTruth.csv and "
        "ISIC_2019_Training_Metadata.csv from https://challenge.isic-archive.com/data/#2019"
    ),
    arrange=arrange,
    words=f"data=csv data.attributes=[{','.join(ATTRIBUTES)}]",
    images=25_331,
    note="It contains HAM10000: never judge a model trained on the one by the other.",
    # The challenge publishes no checksums: length and the CRC of each image are checked.
    remotes=tuple(
        _remote(f"ISIC_2019_Training_{name}")
        for name in ("GroundTruth.csv", "Metadata.csv", "Input.zip")
    ),
)
