"""The folds of a cross-validation by a launcher: each an ordinary run folder, as without one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dermasense.cross_validation import Fold, Plan, run_fold
from dermasense.errors import DermaSenseError
from dermasense.files import read_json
from dermasense.hydra_words import quoted
from dermasense.provenance import shell_line
from dermasense.run_folder import FAILED, record_failure

PATIENCE = 60  # seconds that a fold waits for a dying worker to let go of its folder


@dataclass(frozen=True)
class TrainFold:
    """What a launcher runs: the fold whose folder is that of the job.

    Attributes:
        folder: of the cross-validation, whose plan it reads.
    """

    folder: Path

    def __call__(self, config: Any) -> None:
        from hydra.core.hydra_config import HydraConfig

        place = Path(HydraConfig.get().runtime.output_dir)
        plan = Plan.read(self.folder)
        fold = next(each for each in plan if each.run.path.resolve() == place.resolve())
        (place / FAILED).unlink(missing_ok=True)
        try:
            run_fold(plan, fold, PATIENCE)
        except Exception as error:
            record_failure(place, error)


def launch_folds(plan: Plan, folds: Sequence[Fold]) -> None:
    """Has folds trained by the launcher of the plan.

    Raises:
        DermaSenseError: the launcher cannot start, or folds did not end; their reasons.
    """
    from dermasense.cluster.hydra_jobs import launch

    # Hydra makes the folder of a job of these words; the settings of the fold are the plan's.
    words = [*plan.launcher, "hydra.output_subdir=null", _set("hydra.sweep.dir", plan.folder)]
    places = [fold.run.path.relative_to(plan.folder) for fold in folds]
    jobs = [[_set("hydra.sweep.subdir", place)] for place in places]
    for fold in folds:
        (fold.run.path / FAILED).unlink(missing_ok=True)
    launch(TrainFold(plan.folder), "cross_validate", words, jobs)
    undone = [fold.run.path for fold in folds if not fold.run.finished.exists()]
    if undone:
        said = undone[0] / FAILED
        reason = read_json(said)["reason"] if said.is_file() else "it left no result"
        raise DermaSenseError(
            f"{len(undone)} of {len(folds)} folds did not end, the first {undone[0]}: {reason}; "
            f"go on with: {shell_line('cross_validate', f'resume={plan.folder}')}"
        )


def _set(key: str, path: Path) -> str:
    return quoted(f"{key}={path}", (key,))
