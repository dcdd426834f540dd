"""Explanations of a place's pictures as files: an overlay each, one contact sheet, a table."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dermasense.data.preprocess import PICTURES, UnreadableImage
from dermasense.data.table_file import read_table
from dermasense.files import (
    from_spreadsheet,
    refuse_to_write_over,
    safe_names,
    spreadsheet_row,
    write_atomically,
    write_csv,
)
from dermasense.inference.explaining.explainer import explained
from dermasense.inference.explaining.explanation import Explanation
from dermasense.inference.explaining.overlay import TILE, contact_sheet, fitted
from dermasense.inference.image_sources import SKIPPED, Images, UnreadableFile
from dermasense.inference.model import Model
from dermasense.inference.prediction import DISCLAIMER

COLUMNS = ["image_id", "image", "answer", "confidence", "target", "probability", "method"]
COLUMNS += ["says", "decision", "warnings", "overlay", "notice"]
SHEET = "contact_sheet.png"
TABLE, MAPS = "explanations.csv", "maps"


@dataclass
class Explained:
    """What was written.

    Attributes:
        out: the folder.
        explained: pictures with an overlay.
        empty: those of them where nothing speaks for the class.
        skipped: files that could not be read.
        shown: a sentence on each of the first pictures.
    """

    out: Path
    explained: int = 0
    empty: int = 0
    skipped: int = 0
    shown: list[str] = field(default_factory=list)


def explain_all(
    model: Model,
    images: Images,
    out: Path,
    *,
    method: str = "hirescam",
    target: str = "predicted",
    maps: bool = False,
    sheet: int = 48,
    show: int = 5,
    progress: Callable[[int, int], None] | None = None,
) -> Explained:
    """An overlay of every picture, a contact sheet of the first, a table and what was skipped.

    Pictures are held one at a time, but for those of the sheet, which are held small. What an
    earlier call wrote into the folder, as its table names it, is removed; nothing else is. A table
    of all overlays to come is there before the first, so what a killed call left is removed, too.

    Args:
        model: of :func:`dermasense.load`.
        images: of :func:`open_images`.
        out: folder, made where it does not exist.
        method, target: as :meth:`Model.explain`.
        maps: also write each map, float32 in [0, 1], into maps/*.npy, over the upright picture, or
            over what `frame_crop` leaves of it where the model has pictures cleaned so.
        sheet: most pictures in the contact sheet; 0 writes none.
        show: pictures to say a sentence about.
        progress: called with (pictures done, of all).

    Raises:
        DermaSenseError: as :meth:`Model.explain`, or for a table of the same name in `out` that is
            not of an earlier call, or where a picture or their table would be written over.
    """
    names = file_names(images.ids)
    former = _former(out)
    outputs = [out / each for each in (TABLE, "skipped.csv", SHEET)]
    outputs += [*former, *(out / f"{name}.png" for name in names)]
    refuse_to_write_over([images.place, *map(images.file, range(len(images)))], outputs)
    written = Explained(out)
    rows: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    tiles: list[Explanation] = []
    side = None if maps else 1024
    for row, name in enumerate(names):
        try:
            found = _explained(model, images, row, method, target, side)
        except (UnreadableImage, UnreadableFile) as error:
            told = {"image": images.names[row], "reason": error.reason}
            skipped.append(spreadsheet_row(told))
        else:
            if not rows:  # not before: a call that is refused leaves the folder as it was
                _remove(former)
                write_csv(out / TABLE, _planned(images, names), COLUMNS)
            _save(found.overlay(), out / f"{name}.png")
            if maps:
                _save_map(found.map, out / MAPS / f"{name}.npy")
            rows.append(spreadsheet_row(_row(images.ids[row], found, f"{name}.png")))
            if len(tiles) < sheet:
                tiles.append(fitted(found, TILE))
            if len(written.shown) < show:
                written.shown.append(f"{found.image}: {_said(found)}")
            written.empty += found.empty
        if progress:
            progress(row + 1, len(names))
    _remove(former)
    if tiles:
        _save(contact_sheet(tiles), out / SHEET)
    write_csv(out / TABLE, rows, COLUMNS)
    write_csv(out / "skipped.csv", skipped, SKIPPED)
    written.explained, written.skipped = len(rows), len(skipped)
    return written


def file_names(ids: Sequence[str]) -> list[str]:
    """A name for each picture's files that any file system takes, each once, whatever its case."""
    parts = [each.rpartition(".") for each in ids]
    stems = [
        stem if stem and f"{dot}{ending}".lower() in PICTURES else f"{stem}{dot}{ending}"
        for stem, dot, ending in parts
    ]
    return safe_names(stems, empty="image", taken=[Path(SHEET).stem])


def _former(out: Path) -> list[Path]:
    """Files of an earlier call, as its table names them; none may stand beside a new table."""
    if not (out / TABLE).is_file():
        return []
    overlays = read_table(out / TABLE, ["overlay"])["overlay"].dropna().map(from_spreadsheet)
    # Others are of somebody who edited the table.
    names = [each for each in overlays if Path(each).name == each and each.endswith(".png")]
    maps = [(out / MAPS / each).with_suffix(".npy") for each in names]
    return [out / TABLE, out / SHEET, *(out / each for each in names), *maps]


def _planned(images: Images, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for image_id, image, name in zip(images.ids, images.names, names, strict=True):
        yield spreadsheet_row({"image_id": image_id, "image": image, "overlay": f"{name}.png"})


def _remove(files: list[Path]) -> None:
    while files:
        files.pop().unlink(missing_ok=True)


def _explained(
    model: Model, images: Images, row: int, method: str, target: str, side: int | None
) -> Explanation:
    source, name = images.source(row), images.names[row]
    return explained(model, source, name, method=method, target=target, side=side)


def _save(picture: Image.Image, path: Path) -> None:
    write_atomically(path, lambda to: picture.save(to, format="PNG"))


def _save_map(found: np.ndarray, path: Path) -> None:
    def write(to: Path) -> None:
        with open(to, "wb") as handle:
            np.save(handle, found)

    write_atomically(path, write)


def _row(image_id: str, found: Explanation, overlay: str) -> dict[str, Any]:
    said = found.prediction
    return {
        "image_id": image_id,
        "image": found.image,
        "answer": said.answer,
        "confidence": f"{said.confidence:.6f}",
        "target": found.target,
        "probability": f"{found.probability:.6f}",
        "method": found.method,
        "says": found.sentence,
        "decision": said.decision,
        "warnings": "|".join(said.warnings),
        "overlay": overlay,
        "notice": DISCLAIMER,
    }


def _said(found: Explanation) -> str:
    remarks = found.prediction.remarks
    words = f"{found.target} {found.probability:.1%}. {found.sentence}"
    return f"{words} ({remarks})" if remarks else words
