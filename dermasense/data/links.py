"""Names and links that lead out of the folders where pictures are looked for."""

import os
from collections.abc import Sequence
from pathlib import Path

from dermasense.errors import DermaSenseError


class Inside:
    """Refuses a picture below a folder that really lies elsewhere.

    A data set may come from anyone: a link, or a name with "..", in it must not reach other files
    of this machine. The folders themselves may be links, since their user named them.

    Args:
        folders: where pictures may lie.
        follow_links: True follows links wherever they lead; names with ".." stay refused.
    """

    def __init__(self, folders: Sequence[Path], follow_links: bool = False) -> None:
        self.folders = [os.path.normpath(folder.absolute()) for folder in folders]
        self.follow_links = follow_links
        self._real = [os.path.realpath(folder) for folder in self.folders]
        self._known: dict[str, bool] = {}

    def check(self, path: str, shown: str) -> None:
        """Raises where `path` leads out.

        Args:
            path: of a picture or a folder.
            shown: what the sentence calls it.

        Raises:
            DermaSenseError: it leads out.
        """
        plain = os.path.normpath(path)
        if not any(_below(plain, folder) for folder in self.folders):
            raise DermaSenseError(
                f"{shown} leads out of {self.folders[0]} by '..'; name a folder above it as "
                "data.root, or write the whole path."
            )
        if self.follow_links:
            return
        folder = os.path.dirname(path)
        if folder not in self._known:
            self._known[folder] = self._lies_inside(folder)
        link = os.path.islink(path)
        if (link and not self._lies_inside(path)) or not (link or self._known[folder]):
            raise DermaSenseError(
                f"{shown} is, or lies in, a link that leads out of {self.folders[0]}; copy the "
                "pictures there, or type data.follow_links=true to read what it leads to."
            )

    def _lies_inside(self, path: str) -> bool:
        try:
            real = os.path.realpath(path)
        except ValueError:  # a name that no system has; it is reported as missing
            return True
        return any(_below(real, folder) for folder in self._real)


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
