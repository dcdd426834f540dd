"""What a data set is to the prepare command: its files, its terms, and how they are laid out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dermasense.data.fetch.source import Entry, Source


@dataclass(frozen=True)
class Remote:
    """A file of the publisher.

    Attributes:
        name: what it is called on disk.
        urls: where it lies; a later one is tried where an earlier one is gone.
        checksum: "md5:..." or "sha256:..." as the publisher states it; None where none is stated:
            then the length, and in a zip the CRC of every member, are what is checked.
    """

    name: str
    urls: tuple[str, ...]
    checksum: str | None = None


@dataclass(frozen=True)
class Item:
    """One image: its row of the table, its place below the root, and where it is now."""

    row: Mapping[str, str]
    target: str
    entry: Entry


@dataclass(frozen=True)
class Layout:
    """What will be written.

    Attributes:
        table: name of the table below the root.
        columns: its columns, in order.
        label: the column that holds the class.
        group: the column of what must not cross a split, or None where nobody publishes one.
        items: one an image, in the order of the publisher's table.
        left_out: sentences on rows that have no image.
        lenient: True leaves out what is no picture (a web page saved as .jpg) and counts it;
            False refuses it.
    """

    table: str
    columns: tuple[str, ...]
    label: str
    group: str | None
    items: tuple[Item, ...]
    left_out: tuple[str, ...] = ()
    lenient: bool = False


@dataclass(frozen=True)
class DataSet:
    """A public data set.

    Attributes:
        name: the word after `data=`.
        title: one line on what it is.
        licence: under which terms the images may be used.
        citation: whom to cite.
        page: the publisher's page.
        by_hand: which files to download there, as in "download ...", without a full stop.
        arrange: from the files at hand to the layout.
        words: what `dermasense.train` takes to read it, without data.root.
        remotes: what a program may fetch; empty where a form or an account stands before it.
        images: how many images the publisher has; None where that is not fixed.
        note: shown after preparing.
    """

    name: str
    title: str
    licence: str
    citation: str
    page: str
    by_hand: str
    arrange: Callable[[Source], Layout]
    words: str
    remotes: tuple[Remote, ...] = ()
    images: int | None = None
    note: str = ""
