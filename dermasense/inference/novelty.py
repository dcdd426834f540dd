"""Is a picture unlike those of training? How far its pooled vector lies from where theirs lie.

Vectors of validation pictures fill few directions of the space; what sticks out of these directions
is what the model has not seen. It says nothing about whether the answer is right.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from dermasense.errors import DermaSenseError
from dermasense.files import read_json, write_atomically, write_json
from dermasense.models.bundle import DESCRIPTION, check_sha256
from dermasense.models.weight_files import sha256

FILE, KEY, METHOD = "ood.safetensors", "ood", "residual"
MEND = "; fit it again with python -m dermasense.fit_ood"
SHARE = 20  # directions kept: one in twenty of the vector's width
FALSE_ALARMS = 0.01
LEAST, FOLDS = 50, 5


@dataclass(frozen=True)
class Novelty:
    """Residual outside the principal subspace (the feature part of ViM, Wang et al. 2022, eq. 6).

    Args:
        mean: of the fitted vectors, shape (D,).
        directions: orthonormal principal directions, shape (k, D).
        limit: residual that `false_alarms` of unseen pictures of the same kind exceed.
        n: how many pictures it was fitted on.
        false_alarms: share of such pictures that it is allowed to warn about.
        place: the file it was read from, for messages.
    """

    mean: np.ndarray
    directions: np.ndarray
    limit: float
    n: int
    false_alarms: float = FALSE_ALARMS
    place: str = FILE

    @classmethod
    def fit(
        cls,
        embeddings: np.ndarray,
        groups: Sequence[Any] | None = None,
        false_alarms: float = FALSE_ALARMS,
    ) -> "Novelty":
        """Directions of all vectors; the limit from residuals of vectors that were left out.

        A residual of a fitted vector is too small (at 64 directions of 1,280 and 1,500 vectors the
        limit would let 5 % pass for 1 %), so each of five parts is measured by the other four.

        Args:
            embeddings: pooled vectors (N, D) of pictures like those of training that the network
                was not trained on: the validation part.
            groups: lesion of each; pictures of one lesion are left out together. None: each alone.
            false_alarms: see the class.

        Raises:
            DermaSenseError: too few pictures.
        """
        x = np.asarray(embeddings, np.float64)
        if len(x) < LEAST:
            raise DermaSenseError(
                f"{len(x)} pictures are too few to know what is unlike them; give at least {LEAST}."
            )
        keys = range(len(x)) if groups is None else [str(group) for group in groups]
        order = {key: place for place, key in enumerate(sorted(set(keys)))}
        fold = np.array([order[key] for key in keys]) % FOLDS
        if len(set(fold)) < 2:
            raise DermaSenseError(
                "all pictures are of one lesion; give pictures of several to fit the detector."
            )
        left_out = np.empty(len(x))
        for part in set(fold):
            mean, directions = _subspace(x[fold != part])
            left_out[fold == part] = _residual(x[fold == part], mean, directions)
        limit = float(np.quantile(left_out, 1 - false_alarms, method="higher"))
        mean, directions = _subspace(x)
        numbers = mean.astype(np.float32), directions.astype(np.float32)
        return cls(*numbers, limit or 1e-12, len(x), false_alarms)

    def distance(self, embeddings: np.ndarray) -> np.ndarray:
        """Residual over the limit, shape (N,): above 1 a picture is unlike those of training.

        Raises:
            DermaSenseError: the vectors are of another width, so of another network.
        """
        if embeddings.shape[1] != len(self.mean):
            raise DermaSenseError(
                f"{self.place}: is of another network ({len(self.mean)} numbers an image, this one "
                f"gives {embeddings.shape[1]}){MEND}"
            )
        return _residual(embeddings.astype(np.float64), self.mean, self.directions) / self.limit

    def save(self, folder: str | Path, **said: Any) -> None:
        """Writes ood.safetensors into a bundle and its sha256, with what is `said`, to model.json.

        The bundle's other keys stay as they are.
        """
        folder = Path(folder)
        tensors = {
            "mean": self.mean,
            "directions": self.directions,
            "limit": np.array([self.limit], np.float64),
        }
        path = folder / FILE
        write_atomically(path, lambda to: safetensors.numpy.save_file(tensors, to))
        entry = {
            "file": FILE,
            "sha256": sha256(path),
            "method": METHOD,
            "n": self.n,
            "false_alarms": self.false_alarms,
            **said,
        }
        write_json(folder / DESCRIPTION, {**read_json(folder / DESCRIPTION), KEY: entry})

    @classmethod
    def of(cls, folder: str | Path, info: Mapping[str, Any]):
        """The detector of a bundle; None where it has none.

        Args:
            folder: the bundle's.
            info: `Bundle.info`.

        Raises:
            DermaSenseError: the file is not there, was changed, or does not fit.
        """
        entry = info.get(KEY)
        if entry is None:
            return None
        path = Path(folder) / FILE
        if not isinstance(entry, Mapping) or entry.get("method") != METHOD:
            raise DermaSenseError(f"{folder}: ood in {DESCRIPTION} is of an unknown kind{MEND}")
        check_sha256(path, entry.get("sha256"))
        try:
            tensors = safetensors.numpy.load_file(path)
            found = cls(
                tensors["mean"],
                tensors["directions"],
                float(tensors["limit"][0]),
                int(entry["n"]),
                float(entry["false_alarms"]),
                str(path),
            )
        except (SafetensorError, KeyError, TypeError, ValueError, IndexError) as error:
            raise DermaSenseError(f"{path}: cannot be read ({error}){MEND}") from None
        if found.directions.shape[1:] != found.mean.shape:
            raise DermaSenseError(f"{path}: its mean and directions do not fit together{MEND}")
        return found


def _subspace(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and principal directions (k, D)."""
    mean = x.mean(axis=0)
    _, _, directions = np.linalg.svd(x - mean, full_matrices=False)
    return mean, directions[: max(1, x.shape[1] // SHARE)]


def _residual(x: np.ndarray, mean: np.ndarray, directions: np.ndarray) -> np.ndarray:
    # Not by BLAS: its threads go on spinning after so small a product, on the cores that the
    # network is about to take.
    directions = directions.astype(x.dtype)
    away = x - mean
    inside = np.einsum("nk,kd->nd", np.einsum("nd,kd->nk", away, directions), directions)
    return np.linalg.norm(away - inside, axis=1)
