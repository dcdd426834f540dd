"""What is audited: a catalog with the facts of its files, its pixels, embeddings and a split."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from dermasense.auditing.copies import Copy, find_copies
from dermasense.auditing.embeddings import Embedder
from dermasense.auditing.files import read_facts
from dermasense.auditing.probe import out_of_fold
from dermasense.data.catalog import Catalog, table_problems, units_per_class
from dermasense.data.prepared import make_split
from dermasense.data.store import DecodedStore
from dermasense.errors import DermaSenseError
from dermasense.evaluation.predictions import Predictions

RIPPLE = 2  # grey levels between the extremes of a picture of one colour, after JPEG
Progress = Callable[[str], Callable[[int, int], None] | None]


@dataclass
class Subject:
    """Everything that audits share, computed when first asked for and then kept.

    Attributes:
        catalog: its frame has the index 0 .. N-1 and may hold bad rows: to report them is the job.
        embedder: the frozen network.
        cache_dir: where pixels and embeddings are kept.
        split_options: by, and the options of that way to split, as for `prepare_data`.
        given_split: a split by image_id instead of that one.
        folds: of the probe's out-of-fold answers.
        resamples: bootstrap draws behind each interval.
        seed: the same seed gives the same audit.
        progress: a callback for each long computation by its name, or None.
    """

    catalog: Catalog
    embedder: Embedder
    cache_dir: str
    split_options: dict = field(default_factory=lambda: {"seed": 0})
    given_split: pd.Series | None = None
    folds: int = 5
    resamples: int = 1000
    seed: int = 0
    progress: Progress = lambda _: None

    @property
    def frame(self) -> pd.DataFrame:
        """All rows of the catalog."""
        return self.catalog.frame

    @cached_property
    def store(self) -> DecodedStore:
        """Pixels of every row; zeros where a file cannot be read."""
        paths = self.frame["path"].tolist()
        return self.embedder.store(paths, self.cache_dir, self.progress("decoding images once"))

    @cached_property
    def facts(self) -> pd.DataFrame:
        """Facts of the files, a row for each of the catalog; see `read_facts`."""
        return read_facts(self.frame["path"].tolist(), self.store)

    @cached_property
    def usable(self) -> np.ndarray:
        """Positions of the rows with a readable picture, a known label and an id of their own."""
        frame = self.frame
        good = frame["label"].isin(self.catalog.class_names) & frame["image_id"].notna()
        good &= ~frame["image_id"].duplicated()
        good &= ~np.isin(np.arange(len(frame)), list(self.store.unreadable))
        return np.flatnonzero(good)

    @cached_property
    def problems(self) -> dict[str, list[str]]:
        """What is wrong with the table, by kind, short of the pictures."""
        return table_problems(self.catalog)

    @cached_property
    def embeddings(self) -> np.ndarray:
        """(N, D) float32, a row for each of the catalog; no sense where it is not readable."""
        report = self.progress("embedding images once")
        return self.embedder.embed(self.store, self.cache_dir, report)

    @cached_property
    def readable(self) -> np.ndarray:
        """Positions of the rows whose picture can be read."""
        bad = list(self.store.unreadable)
        return np.setdiff1d(np.arange(len(self.frame)), np.array(bad, dtype=np.int64))

    @cached_property
    def one_colour(self) -> np.ndarray:
        """Positions of the readable rows whose picture is of one colour."""
        pixels = self.store.images
        spreads = [np.ptp(pixels[row], axis=(0, 1)).max() for row in self.readable]
        return self.readable[np.array(spreads, int) <= RIPPLE]

    @cached_property
    def comparable(self) -> np.ndarray:
        """Positions of the rows that may be copies: two pictures of one colour show nothing."""
        return np.setdiff1d(self.readable, self.one_colour)

    @property
    def not_compared(self) -> str:
        """A sentence on the rows that are not comparable, "" where all are."""
        counts = {"unreadable": len(self.store.unreadable), "of one colour": len(self.one_colour)}
        parts = [f"{n:,} {what}" for what, n in counts.items() if n]
        name = self.catalog.name
        return f"Pictures of {name} that were not compared: {', '.join(parts)}." if parts else ""

    @cached_property
    def copies(self) -> list[Copy]:
        """Pairs of copies; rows are positions in the frame."""
        rows = self.comparable
        found = find_copies([self.store.images[r] for r in rows], self.embeddings[rows])
        return [
            replace(copy, first=int(rows[copy.first]), second=int(rows[copy.second]))
            for copy in found
        ]

    @cached_property
    def split(self) -> pd.Series:
        """ "train", "val", "test" or missing for each row of the frame."""
        return self._parted[0]

    @property
    def no_split(self) -> str:
        """Why there is no split to look at; empty where there is one."""
        return self._parted[1]

    @cached_property
    def _parted(self) -> tuple[pd.Series, str]:
        if self.given_split is not None:
            return self.frame["image_id"].map(self.given_split).rename("split"), ""
        split = pd.Series(None, index=self.frame.index, name="split", dtype=object)
        part = replace(self.catalog, frame=self.frame.iloc[self.usable].reset_index(drop=True))
        try:
            # A split that leaks is looked at as well: to say so is the job.
            given = make_split(part, self.split_options, allow_leak=True)
        except DermaSenseError as error:
            return split, f"There is no split to look at: {str(error).rstrip('.')}."
        split.iloc[self.usable] = given.parts.to_numpy()
        return split, ""

    @cached_property
    def probed(self) -> np.ndarray:
        """Positions of the usable rows whose class reaches two groups: those that a probe answers.

        Raises:
            DermaSenseError: where fewer than two classes do.
        """
        part = self.frame.iloc[self.usable]
        units = units_per_class(part, self.catalog.class_names)
        classes = [name for name, n in units.items() if n >= 2]
        if len(classes) < 2:
            raise DermaSenseError(
                "a probe needs two classes of two or more groups each; there are "
                f"{len(classes)} such classes"
            )
        return self.usable[part["label"].isin(classes).to_numpy()]

    @cached_property
    def probe_classes(self) -> tuple[str, ...]:
        """The classes among the probed rows, in the catalog's order."""
        there = set(self.frame["label"].iloc[self.probed])
        return tuple(name for name in self.catalog.class_names if name in there)

    def probe(self, vectors: np.ndarray, **options: Any) -> Predictions:
        """Out-of-fold answers on (n, D) features of the probed rows; options of `out_of_fold`."""
        part = self.frame.iloc[self.probed][["image_id", "group", "label"]]
        options = {"folds": self.folds, "seed": self.seed} | options
        return out_of_fold(part, vectors, self.probe_classes, **options)

    @cached_property
    def answers(self) -> Predictions:
        """Grouped out-of-fold answers of the probe on the embeddings, on the probed rows."""
        return self.probe(self.embeddings[self.probed])
