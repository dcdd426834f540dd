"""From the name of a picture in a table to its file, also where another system wrote it."""

import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from dermasense.data.links import Inside
from dermasense.errors import DermaSenseError

FORMS = ("NFC", "NFD")  # "é" as one character or as two: macOS and Linux differ


class PictureFinder:
    """Finds the file of a name in one or several folders.

    Args:
        folders: where relative names start; the first that has the file wins.
        inside: refuses a relative name that leads elsewhere; an absolute one may lie anywhere.

    A name is tried as it is written, with forward slashes for backward ones, in both Unicode
    forms of its accents, and, where it has no ending, as the one file of that stem.
    """

    def __init__(self, folders: Sequence[Path], inside: Inside) -> None:
        self.folders = [Path(folder).absolute() for folder in folders]
        self.inside = inside
        self._stems: dict[Path, dict[str, list[str]]] = {}

    def __call__(self, name: str | None, origin: str = "") -> str:
        """Absolute path of the picture; of a missing one, where it was looked for first.

        Args:
            name: as the table has it.
            origin: file and row of it, for a refusal.

        Raises:
            DermaSenseError: the name has no ending and fits several files, or leads elsewhere.
        """
        if name is None or pd.isna(name):
            return ""
        path = self._find(name)
        if not os.path.isabs(name):
            self.inside.check(path, f"{origin}: '{name}'")
        return path

    def _find(self, name: str) -> str:
        for written in _spellings(name):
            for folder in self.folders:
                if os.path.isfile(folder / written):
                    return str(folder / written)
        for folder in self.folders:
            if found := self._by_stem(folder / name.replace("\\", "/")):
                return found
        return str(self.folders[0] / name)

    def _by_stem(self, path: Path) -> str | None:
        names = self._listing(path.parent).get(unicodedata.normalize("NFC", path.name), [])
        if len(names) > 1:
            raise DermaSenseError(
                f"{path} fits several files ({', '.join(sorted(names)[:3])}); write the name with "
                "its ending, or remove the others."
            )
        return str(path.parent / names[0]) if names else None

    def _listing(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._stems:
            stems: dict[str, list[str]] = {}
            try:
                listed = os.listdir(folder)
            except OSError:  # the picture is then reported as missing
                listed = []
            for name in listed:
                stem = unicodedata.normalize("NFC", os.path.splitext(name)[0])
                stems.setdefault(stem, []).append(name)
            self._stems[folder] = stems
        return self._stems[folder]


def _spellings(name: str) -> Iterator[str]:
    yield name
    slashed = name.replace("\\", "/")
    if slashed != name:
        yield slashed
    if not name.isascii():
        for form in FORMS:
            yield unicodedata.normalize(form, slashed)
