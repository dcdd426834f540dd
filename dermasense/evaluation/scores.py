"""Every scalar metric of a table as a function of how much each group counts.

With all weights 1 these are the values of :func:`dermasense.evaluation.metrics.summarise`; with the
draws of a bootstrap they are those of the resampled tables, without a resampled table being made:
most metrics are sums over groups, so that thousands of resamples are one matrix product.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array
from scipy.special import log_softmax

from dermasense.evaluation import confusion, metrics
from dermasense.evaluation.malignant import malignant_mask
from dermasense.evaluation.predictions import Predictions
from dermasense.evaluation.ranking import Ranking

# Means over classes, as settled as the rarest classes let them be.
MEANS_OVER_CLASSES = (
    "balanced_accuracy",
    "macro_f1",
    "auroc_macro",
    "average_precision_macro",
)
RANKINGS = ("auroc", "average_precision")  # of one class against the others
_BINS = 15
# Numbers in an array of images x weightings: 8 MB, whatever the number of images.
AT_ONCE = 10**6


@dataclass(frozen=True)
class Behind:
    """Images and groups behind a metric, and the degrees of freedom of its spread."""

    n: int
    n_groups: int
    freedom: float


class Scores:
    """The metrics of one table, ready to be weighted.

    Args:
        predictions: N images of C classes in G groups.
        malignant: classes whose summed probability ranks the images as malignant or not; None for
            those whose names are known. The ones that are no class of the table are passed over,
            and where none is left (or all are) the malignant metrics are left out.
        ranking: False leaves out AUROC, average precision and the malignant metrics, which take
            nine tenths of the time.
    """

    def __init__(
        self,
        predictions: Predictions,
        *,
        malignant: Sequence[str] | None = None,
        ranking: bool = True,
    ):
        self.class_names = predictions.class_names
        self.groups, self.n_groups = predictions.groups, predictions.n_groups
        self._labels = predictions.labels
        logits = predictions.logits.astype(np.float64)
        logp = log_softmax(logits, axis=1)
        self._probabilities = np.exp(logp)
        self._predicted = logits.argmax(axis=1)
        self._parts, self._sums = self._group_sums(logits, logp)
        self._ill = malignant_mask(self.class_names, malignant)
        self._rankings = self._make_rankings() if ranking else {}

    def behind(self) -> dict[str, Behind]:
        """What stands behind each metric: the class's own images where the metric is of a class.

        That is the images that carry the class, for precision those that were answered with it. A
        ranking of a class against the others is settled by the side of fewer groups, whichever it
        is, and that of malignant images against benign ones alike.
        """
        classes = len(self.class_names)
        whole = Behind(len(self._labels), self.n_groups, self.n_groups - 1.0)
        carrying = _of_classes(self._labels, self.groups, classes)
        answered = _of_classes(self._predicted, self.groups, classes)
        mean = replace(whole, freedom=freedom_of_a_mean([each.n_groups for each in carrying]))
        behind = {}
        for name in self(np.ones((self.n_groups, 1))):
            kind, _, of = name.partition("/")
            if name.startswith("malignant"):
                behind[name] = self._fewer(self._ill[self._labels])
            elif kind in RANKINGS:
                behind[name] = self._fewer(self._labels == self.class_names.index(of))
            elif of:
                table = answered if kind == "precision" else carrying
                behind[name] = table[self.class_names.index(of)]
            else:
                behind[name] = mean if name in MEANS_OVER_CLASSES else whole
        return behind

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """The metrics under B weightings of the groups.

        Args:
            weights: how often each group counts, shape (G, B), >= 0.

        Returns:
            Name -> values, shape (B,), NaN where not defined. Metrics of one class are named
            `recall/mel`, `precision/mel`, `f1/mel`, `auroc/mel`, `average_precision/mel`.
        """
        parts = [
            self._weighed(weights[:, some.start : some.stop])
            for some in spans(weights.shape[1], len(self._labels))
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _weighed(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        total = self._sums @ weights
        sums = {name: total[rows] for name, rows in self._parts.items()}
        values = self._from_counts(sums["confusion"].T)
        n = sums["n"][0]
        if len(self.class_names) > 2:
            values["top2"] = sums["top2"][0] / n
        values["nll"], values["brier"] = sums["nll"][0] / n, sums["brier"][0] / n
        values["ece"] = np.abs(sums["gap"]).sum(axis=0) / n
        values["ece_equal_mass"] = metrics.ece_equal_mass(
            self._probabilities, self._labels, weights[self.groups], _BINS
        )
        values |= self._from_rankings(weights)
        return values

    def _fewer(self, positive: np.ndarray) -> Behind:
        """The side of fewer groups, of the images that are positive, shape (N,), and the others."""
        return min(_of_classes(positive, self.groups, 2), key=lambda side: side.n_groups)

    def _group_sums(
        self, logits: np.ndarray, logp: np.ndarray
    ) -> tuple[dict[str, slice], csr_array]:
        n, classes = logits.shape
        rows, zero = np.arange(n), np.zeros(n, np.int64)
        confidence = self._probabilities[rows, self._predicted]
        gap = (self._predicted == self._labels) - confidence
        brier = ((self._probabilities - np.eye(classes)[self._labels]) ** 2).sum(axis=1)
        parts = {
            "confusion": (classes**2, self._labels * classes + self._predicted, np.ones(n)),
            "n": (1, zero, np.ones(n)),
            "top2": (1, zero, (metrics.ranks(logits, self._labels) < 2).astype(float)),
            "nll": (1, zero, -logp[rows, self._labels]),
            "brier": (1, zero, brier),
            "gap": (_BINS, metrics.confidence_bins(confidence, _BINS), gap),
        }
        return group_sums(parts, self.groups, self.n_groups)

    def _from_counts(self, cells: np.ndarray) -> dict[str, np.ndarray]:
        classes = len(self.class_names)
        counts = cells.reshape(-1, classes, classes)
        values = {
            "top1": confusion.accuracy(counts),
            "balanced_accuracy": confusion.balanced_accuracy(counts),
            "macro_f1": confusion.macro_f1(counts),
            "micro_f1": confusion.accuracy(counts),
            "weighted_f1": confusion.weighted_f1(counts),
            "kappa": confusion.kappa(counts),
            "mcc": confusion.mcc(counts),
        }
        for kind in ("precision", "recall", "f1"):
            table = getattr(confusion, kind)(counts)
            values |= {f"{kind}/{name}": table[:, i] for i, name in enumerate(self.class_names)}
        return values

    def _make_rankings(self) -> dict[str, Ranking]:
        rankings = {
            name: Ranking(self._probabilities[:, i], self._labels == i, self.groups)
            for i, name in enumerate(self.class_names)
        }
        ill = self._ill
        if ill.any() and not ill.all():
            score = self._probabilities[:, ill].sum(axis=1)
            rankings[""] = Ranking(score, ill[self._labels], self.groups)
        return rankings

    def _from_rankings(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        values: dict[str, np.ndarray] = {}
        for name, ranking in self._rankings.items():
            curves = ranking.weigh(weights)
            if name:
                values[f"auroc/{name}"] = curves.auroc()
                values[f"average_precision/{name}"] = curves.average_precision()
                continue
            values |= {
                "malignant_auroc": curves.auroc(),
                "malignant_average_precision": curves.average_precision(),
                "malignant_sensitivity_at_90_specificity": curves.sensitivity_at_specificity(0.9),
                "malignant_specificity_at_90_sensitivity": curves.specificity_at_sensitivity(0.9),
            }
        for kind in RANKINGS:
            table = [v for name, v in values.items() if name.startswith(f"{kind}/")]
            if table:
                values[f"{kind}_macro"] = confusion.mean_of_defined(np.stack(table, axis=-1))
        return values


def spans(weightings: int, length: int, most: int = AT_ONCE) -> Iterator[range]:
    """0 to weightings - 1 in runs, of which each makes an array of at most AT_ONCE numbers.

    Args:
        weightings: how many; at least one is in a run.
        length: numbers of one weighting.
        most: weightings in a run.
    """
    step = max(1, min(most, AT_ONCE // length))
    for first in range(0, weightings, step):
        yield range(first, min(first + step, weightings))


def group_sums(
    parts: Mapping[str, tuple[int, np.ndarray, np.ndarray]],
    groups: np.ndarray,
    n_groups: int,
    tables: np.ndarray | int = 0,
    n_tables: int = 1,
) -> tuple[dict[str, slice], csr_array]:
    """What each group adds to sums over images.

    An image adds to one row of each part, so the sums are sparse: they grow with images, and not
    with images times classes squared.

    Args:
        parts: name -> rows of the part, and for each image its row and what it adds, shape (n,).
        groups: of the images, 0..G-1, shape (n,).
        n_groups: G.
        tables, n_tables: which of several tables of all parts an image adds to, shape (n,).

    Returns:
        The rows of each part, and the sums, shape (n_tables * rows of all parts, G).
    """
    ends = np.cumsum([size for size, _, _ in parts.values()])
    rows = {
        name: slice(int(end) - size, int(end))
        for (name, (size, _, _)), end in zip(parts.items(), ends, strict=True)
    }
    width = int(ends[-1])
    places = [tables * width + rows[name].start + at for name, (_, at, _) in parts.items()]
    values = np.concatenate([value for _, _, value in parts.values()])
    where = np.concatenate(places), np.tile(groups, len(parts))
    return rows, csr_array((values, where), shape=(n_tables * width, n_groups))


def _of_classes(classes_of: np.ndarray, groups: np.ndarray, classes: int) -> list[Behind]:
    parts = [groups[classes_of == c] for c in range(classes)]
    counts = [(len(part), len(np.unique(part))) for part in parts]
    return [Behind(n, n_groups, n_groups - 1.0) for n, n_groups in counts]


def freedom_of_a_mean(n_groups: Sequence[int]) -> float:
    """Degrees of freedom of a mean over classes of k_c groups (Satterthwaite 1946, equal spread).

    (sum 1/k)^2 / sum 1/(k^2 (k - 1)): a class in one group, whose spread nobody knows, gives 1.
    """
    k = np.array([each for each in n_groups if each > 0], dtype=float)
    if k.min() < 2:
        return 1.0
    return float((1 / k).sum() ** 2 / (1 / (k**2 * (k - 1))).sum())
