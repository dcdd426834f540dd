"""Getting the public data sets: what to fetch, from whom, and the layout that the sources read.

One module a data set, each with a `SET`; this file names them without importing any.
"""

import importlib
from typing import TYPE_CHECKING

from dermasense.errors import DermaSenseError, nearest
from dermasense.hydra_words import conf_folder

if TYPE_CHECKING:
    from dermasense.data.fetch.dataset import DataSet

NAMES = (
    "ham10000",
    "isic2018",
    "fitzpatrick21",
    "fitzpatrick17k",
    "pad_ufes_20",
    "isic2019",
    "ddi",
)


def data_set(name: str) -> "DataSet":
    """The data set of that name.

    Raises:
        DermaSenseError: no such data set; the sentence names the nearest.
    """
    if name in NAMES:
        return importlib.import_module(f"dermasense.data.fetch.{name}").SET
    if name in {file.stem for file in (conf_folder() / "data").glob("*.yaml")}:
        raise DermaSenseError(
            f"data={name} needs no preparation: train with it as it is. Valid: {', '.join(NAMES)}."
        )
    raise DermaSenseError(f"data={name} is no data set to prepare; {nearest(name, NAMES)}")
