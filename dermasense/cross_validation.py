"""Folds as ordinary runs side by side, and what is said of all of them together.

A cross-validation is a folder with a run folder a fold (`fold_0`, ...; `repeat_0/fold_0`, ... where
it is repeated), and holds nothing that cannot be made again from these.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dermasense.cluster.words import launcher_name
from dermasense.errors import DermaSenseError
from dermasense.files import read_json, write_json
from dermasense.hydra_words import hydra_text
from dermasense.provenance import shell_line
from dermasense.run_folder import PLAN, RunFolder
from dermasense.terminal import say


@dataclass(frozen=True)
class Fold:
    """One fold of one repeat: its place and its settings."""

    repeat: int
    fold: int
    run: RunFolder
    settings: dict


@dataclass(frozen=True)
class Plan:
    """What a cross-validation is made of, as its folder records it.

    Attributes:
        folder: of the cross-validation.
        settings: of each fold's run, but for `seed`, `split.seed` and `split.fold`.
        overrides: the words of the command line that train takes, too.
        folds, repeats: how many.
        split_seed: of the folds where the command line fixed it; None: that of the repeat.
        command: that began it.
        launcher: words that choose what runs the folds; none: this process, one after another.
    """

    folder: Path
    settings: dict
    overrides: list[str]
    folds: int
    repeats: int
    split_seed: int | None
    command: str
    launcher: list[str] = field(default_factory=list)

    def write(self) -> None:
        """Records the plan in its folder.

        Raises:
            DermaSenseError: where the folder holds one already, or the model that a fold shall
                begin with or learn from is not there.
        """
        RunFolder(self.folder).refuse_a_run()
        list(self)  # a fold that lacks its model is told now, not at its turn
        write_json(self.folder / PLAN, {k: v for k, v in vars(self).items() if k != "folder"})

    @classmethod
    def read(cls, folder: Path) -> "Plan":
        """The plan of a folder.

        Raises:
            DermaSenseError: where there is none.
        """
        if not (folder / PLAN).is_file():
            raise DermaSenseError(
                f"{folder} holds no cross-validation (no {PLAN} in it, no runs with split=fold); "
                "name a folder that `python -m dermasense.cross_validate` made."
            )
        return cls(folder, **read_json(folder / PLAN))

    def __iter__(self) -> Iterator[Fold]:
        """Every fold of every repeat, in the order of training."""
        for repeat in range(self.repeats):
            inside = self.folder / f"repeat_{repeat}" if self.repeats > 1 else self.folder
            for fold in range(self.folds):
                seed = self.settings["seed"] + repeat
                split_seed = seed if self.split_seed is None else self.split_seed
                split = {**self.settings["split"], "seed": split_seed, "fold": fold}
                settings = {**self.settings, "seed": seed, "split": split}
                run = RunFolder(inside / f"fold_{fold}")
                if not run.finished.exists():  # a finished one needs its models no more
                    settings |= _of_same_fold(settings, run.path.relative_to(self.folder))
                yield Fold(repeat, fold, run, settings)

    def words(self, fold: Fold) -> list[str]:
        """What to type to have this fold trained alone."""
        own = ["split=fold", f"split.folds={self.folds}", f"split.fold={fold.fold}"]
        own += [f"split.seed={fold.settings['split']['seed']}", f"seed={fold.settings['seed']}"]
        kept = [word for word in self.overrides if word.partition("=")[0] not in _FIXED]
        for option, of in MODELS.items():
            if of(fold.settings) != of(self.settings):
                kept = [word for word in kept if word.partition("=")[0] != option]
                own.append(f"{option}={_typed(of(fold.settings))}")
        return [*own[:1], *kept, *own[1:]]


def _typed(path: str) -> str:
    """A path as a word of the command line: in quotes where Hydra would read more into it."""
    return path if re.fullmatch(r"[\w./~-]+", path) else hydra_text(path)


# What names another model in the settings of a run.
MODELS = {
    "weights": lambda settings: settings.get("weights"),
    "loss.teacher": lambda settings: settings["loss"].get("teacher"),
}


def _of_same_fold(settings: Mapping[str, Any], within: Path) -> dict[str, Any]:
    """The settings of a fold that name a model, where they named a cross-validation.

    Args:
        settings: as the command line has them.
        within: the fold's place in its cross-validation, looked for in the other one.
    """
    found = {option: _fold_of(option, of(settings), within) for option, of in MODELS.items()}
    loss = {**settings["loss"], "teacher": found["loss.teacher"]} if found["loss.teacher"] else {}
    changed = {"weights": found["weights"], "loss": loss}
    return {key: value for key, value in changed.items() if value}


def _fold_of(option: str, model: str | None, within: Path) -> str | None:
    former = Path(str(model or "")).expanduser()
    if not model or not (former / PLAN).is_file():
        return model
    places = [former / within, former / within.name]  # its folds may stand for all repeats
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise DermaSenseError(
            f"{option}={model}: that cross-validation has no {within}, which this fold needs; "
            "take as many folds and repeats as it has."
        )
    if not RunFolder(found).finished.exists():
        raise DermaSenseError(
            f"{option}={model}: {within} of that cross-validation is not finished; go on with it "
            f"by {shell_line('cross_validate', f'resume={model}')}"
        )
    return str(found)


_FIXED = ("split", "split.folds", "split.fold", "split.seed", "seed")


def run_folds(plan: Plan) -> None:
    """Trains every fold that is not finished, each as an ordinary run that goes on after a kill.

    Raises:
        DermaSenseError: on any mistake in settings or data; also, where a fold's folder holds a run
            of other settings.
    """
    # torch takes seconds to import: the mistakes of a command line need not wait for it.
    from dermasense.cluster.folds import launch_folds

    left = []
    for fold in plan:
        place = fold.run.path.relative_to(plan.folder)
        if fold.run.finished.exists():
            say(f"{place}: finished before")
        elif launcher_name(plan.launcher):
            left.append(fold)
        else:
            of = f"fold {fold.fold} of {plan.folds}, repeat {fold.repeat} of {plan.repeats}"
            say(f"{place}: {of}")
            run_fold(plan, fold)
    if left:
        launch_folds(plan, left)


def run_fold(plan: Plan, fold: Fold, patience: float = 0) -> None:
    """Trains one fold, or goes on with it.

    Args:
        plan: that it is of.
        fold: which.
        patience: seconds to wait for another process to let go of its folder.
    """
    from dermasense.experiment import run_experiment

    with fold.run.held(patience):
        if fold.run.finished.exists():
            return
        if not fold.run.config.exists():
            words = plan.words(fold)
            fold.run.begin(fold.settings, words, shell_line("train", *words))
        else:
            fold.run.clear()
        try:
            run_experiment(fold.settings, fold.run)
        except DermaSenseError:
            fold.run.withdraw()
            raise


def found_folds(folder: Path) -> list[Fold]:
    """The folds that lie in a folder: of a cross-validation, or of a multirun over split.fold.

    Returns:
        By repeat and fold; [] where there are none.

    Raises:
        DermaSenseError: runs that differ in more than fold and seed, a fold twice, or none of some.
    """
    places = sorted([*folder.glob("*/config.yaml"), *folder.glob("repeat_*/*/config.yaml")])
    runs = [RunFolder(place.parent) for place in places]  # Hydra's own folder looks like one
    settings = {run.path: run.read_config()[1] for run in runs if run.environment.is_file()}
    settings = {path: s for path, s in settings.items() if s["split"].get("by") == "fold"}
    if not settings:
        return []
    _refuse_mixture(settings)
    seeds = sorted({_seeds(each) for each in settings.values()})
    found = [
        Fold(seeds.index(_seeds(each)), each["split"]["fold"], RunFolder(path), each)
        for path, each in settings.items()
    ]
    _refuse_gaps(folder, found, len(seeds), next(iter(settings.values()))["split"]["folds"])
    return sorted(found, key=lambda each: (each.repeat, each.fold))


def _seeds(settings: Mapping[str, Any]) -> tuple[int, int]:
    return settings["split"]["seed"], settings["seed"]


def _refuse_mixture(settings: Mapping[Path, dict]) -> None:
    from dermasense.overrides import flatten

    flat = {path: flatten(each) | _origin(each) for path, each in settings.items()}
    first = next(iter(flat.values()))
    for path, each in flat.items():
        differ = [k for k in first.keys() | each.keys() if first.get(k) != each.get(k)]
        differ = sorted(set(differ) - {"seed", "split.seed", "split.fold"})
        if differ:
            raise DermaSenseError(
                f"{path}: differs from the other folds in {', '.join(differ[:3])}; gather the "
                "folds of one choice of options at a time."
            )


def _origin(settings: Mapping[str, Any]) -> dict[str, str]:
    """The models that a run begins with or learns from, the number of its own fold left out."""
    own = rf"(?<=/)(fold_)?{settings['split']['fold']}(?=(/bundle(/[^/]*)?)?$)"
    named = {option: of(settings) or "" for option, of in MODELS.items()}
    return {
        option: re.sub(r"(?<=/)repeat_\d+(?=/)", "*", re.sub(own, "*", Path(str(model)).as_posix()))
        for option, model in named.items()
    }


def _refuse_gaps(folder: Path, found: list[Fold], repeats: int, folds: int) -> None:
    places = [(each.repeat, each.fold) for each in found]
    for repeat in range(repeats):
        for fold in range(folds):
            n = places.count((repeat, fold))
            if n > 1:
                raise DermaSenseError(f"{folder}: fold {fold} lies in {n} runs of one seed.")
            if n == 0:
                seed = next(each.settings["seed"] for each in found if each.repeat == repeat)
                raise DermaSenseError(
                    f"{folder}: fold {fold} of {folds} with seed={seed} is not there; train it "
                    f"with split.fold={fold} and put its run folder beside the others."
                )
    unfinished = [each.run.path for each in found if not each.run.finished.exists()]
    if unfinished:
        raise DermaSenseError(
            f"{unfinished[0]} is not finished ({len(unfinished)} such folds); go on with it by "
            f"{shell_line('train', f'resume={unfinished[0]}')}"
        )
