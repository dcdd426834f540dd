"""Five grouped, stratified folds of the two real data sets, for others to compare on: no pixels.

    python benchmarks/folds.py DATA      (holds ham10000/ and fitzpatrick21/)

They are the folds of `python -m dermasense.cross_validate ... seed=0`, and of any other tool that
reads benchmarks/folds/*.csv: image_id, group (lesion, or cluster of near-duplicates), fold.
"""

import argparse
from pathlib import Path

from dermasense.data.catalog import Catalog
from dermasense.data.sources import fitzpatrick21, ham10000
from dermasense.data.splits import assign_folds
from dermasense.files import write_csv

COLUMNS = ["image_id", "group", "fold"]
FOLDER = Path(__file__).resolve().parent / "folds"


def rows(catalog: Catalog, folds: int = 5, seed: int = 0) -> list[dict]:
    """A row an image, by image_id."""
    fold = assign_folds(catalog.frame, catalog.class_names, folds=folds, seed=seed)
    frame = catalog.frame.assign(fold=fold).sort_values("image_id")
    return frame[COLUMNS].to_dict("records")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    for source in (ham10000, fitzpatrick21):
        name = source.__name__.rpartition(".")[2]
        write_csv(FOLDER / f"{name}.csv", rows(source.catalog(str(data / name))), COLUMNS)
        print(FOLDER / f"{name}.csv")


if __name__ == "__main__":
    main()
