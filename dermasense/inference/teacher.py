"""What a trained model or an ensemble answers for training images: once, and kept."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.special import log_softmax

from dermasense.data.row_file import RowFile, RowWriter
from dermasense.errors import DermaSenseError
from dermasense.evaluation.ensembling import mixed
from dermasense.inference.ensemble import EnsemblePredictor
from dermasense.inference.predictor import Predictor

CHUNK = 256  # pictures read from disk at once


def teacher_logits(
    folder: str | Path,
    paths: Sequence[str],
    rows: np.ndarray,
    class_names: Sequence[str],
    *,
    cache_dir: str | Path,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Log-probabilities of a teacher on some pictures, un-augmented, each member by its own input.

    Args:
        folder: of a bundle, a finished run or an ensemble.
        paths: pictures of the data set.
        rows: which of them to answer for, (n,).
        class_names: the order that is wanted.
        cache_dir: decoded pictures and answers are kept there; anything in it may be deleted.
        device: where torch computes.
        progress: called with (pictures done, of all) of each member.

    Returns:
        (n, C) float32.

    Raises:
        DermaSenseError: no bundle there, or one of other classes.
    """
    teacher = Predictor.of(folder, device=device, views="none")
    if sorted(teacher.class_names) != sorted(class_names):
        raise DermaSenseError(
            f"loss.teacher={folder}: its classes are {', '.join(teacher.class_names)}, the data's "
            f"are {', '.join(class_names)}; take a teacher of the same classes."
        )
    ensemble = isinstance(teacher, EnsemblePredictor)
    members = teacher.members if ensemble else [teacher]
    answers = [
        _answers(each, paths, rows, class_names, Path(cache_dir), progress) for each in members
    ]
    if ensemble:
        return mixed(np.stack(answers), teacher.weights, teacher.averaging).astype(np.float32)
    return log_softmax(answers[0], axis=1)


def _answers(
    member: Predictor,
    paths: Sequence[str],
    rows: np.ndarray,
    class_names: Sequence[str],
    cache_dir: Path,
    progress: Callable[[int, int], None] | None,
) -> np.ndarray:
    """Logits (n, C) of one network in the wanted order of classes, from disk if known."""
    store = member.stored(paths, cache_dir)
    broken = [row for row in rows.tolist() if row in store.unreadable]
    if broken:
        raise DermaSenseError(
            f"{paths[broken[0]]}: the teacher cannot read it ({store.unreadable[broken[0]]}; "
            f"{len(broken)} such training images); remove it."
        )
    facts = [store.path.name, member.bundle.info["sha256"], member.device, list(class_names)]
    key = hashlib.blake2b(json.dumps(facts).encode(), digest_size=16)
    key.update(np.ascontiguousarray(rows, dtype=np.int64))
    order = [member.class_names.index(name) for name in class_names]
    path = cache_dir / f"teacher-{key.hexdigest()}.npy"
    file = RowFile(path, (len(rows), len(order)), "float32", "answers of a teacher")

    def build(write: RowWriter) -> dict:
        for first in range(0, len(rows), CHUNK):
            chunk = store.images[rows[first : first + CHUNK]]
            write(first, member.logits(chunk)[:, order].astype(np.float32))
            if progress:
                progress(min(first + CHUNK, len(rows)), len(rows))
        return {}

    return np.array(file.open_or_build(build)[0])
