"""`python -m dermasense.cross_validate`: train on every fold, judge all images out of fold.

Research software, not a medical device.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from dermasense.cli import argument, hydra_command, one_sentence, typed_words
from dermasense.cluster.words import launcher_word, launcher_words
from dermasense.cross_validation import Plan, found_folds, run_folds
from dermasense.errors import DermaSenseError
from dermasense.older_run import refuse_another_version
from dermasense.overrides import LARGEST_SEED
from dermasense.provenance import shell_line
from dermasense.run_folder import PLAN, RunFolder

OWN = ("folds", "repeats", "resume")


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    with one_sentence():
        if {"-m", "--multirun"} & set(sys.argv):
            raise DermaSenseError(
                "--multirun: cross_validate walks the folds itself; to have them run beside each "
                "other, add launcher=ray or launcher=submitit_slurm."
            )
        if folder := argument("resume"):
            resume(Path(folder))
        else:
            hydra_command(start, config_name="cross_validate", launches=True)


def start(config: Any, folder: Path) -> None:
    """Begins a cross-validation in `folder`."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    settings = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    own = {key: settings.pop(key) for key in OWN[:2]}
    _check(settings, **own)
    words = typed_words()
    fixed = not OmegaConf.is_interpolation(config.split, "seed")  # else it follows seed=
    plan = Plan(
        folder=folder,
        settings=settings,
        overrides=[word for word in words if word.partition("=")[0] not in OWN],
        split_seed=settings["split"]["seed"] if fixed else None,
        command=shell_line("cross_validate", *sys.argv[1:]),
        launcher=launcher_words(HydraConfig.get().overrides.hydra),
        **own,
    )
    with RunFolder(folder).held():
        plan.write()
        _walk(plan)


def resume(folder: Path) -> None:
    """Goes on with a cross-validation that was cut, or gathers the folds that a multirun left.

    It keeps its options; the launcher alone may be another one.

    Raises:
        DermaSenseError: nothing of the kind lies there, or other options stand beside it.
    """
    words = [launcher_word(word) for word in sys.argv[1:] if not word.startswith("resume=")]
    launcher = launcher_words(words)
    others = [word for word in words if word not in launcher]
    if others:
        raise DermaSenseError(
            f"{others[0]}: a resumed cross-validation keeps its options; leave it out."
        )
    if (folder / PLAN).is_file() or not found_folds(folder):
        plan = Plan.read(folder)  # before it is held, which would make it
        left = [fold for fold in plan if not fold.run.finished.exists()]
        for fold in left[:1]:
            refuse_another_version(plan.words(fold), fold.settings, fold.run.environment)
        plan = replace(plan, launcher=launcher or plan.launcher)
        with RunFolder(folder).held():
            _walk(plan)
    else:
        _gather(folder, _resumed(folder))


def _resumed(folder: Path) -> str:
    return shell_line("cross_validate", f"resume={folder}")


def _check(settings: dict, folds: int, repeats: int) -> None:
    if settings["seed"] + repeats - 1 > LARGEST_SEED:
        raise DermaSenseError(
            f"seed={settings['seed']}: with repeats={repeats} the last seed would be above "
            f"{LARGEST_SEED}; take a smaller one."
        )
    if settings["split"]["by"] != "fold":
        raise DermaSenseError(
            f"split={settings['split']['by']}: a cross-validation splits by itself (split=fold); "
            "leave it out."
        )
    if settings["split"]["folds"] != folds:
        raise DermaSenseError(
            f"split.folds={settings['split']['folds']}: a cross-validation takes folds=..."
        )


def _walk(plan: Plan) -> None:
    try:
        run_folds(plan)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Go on with: {_resumed(plan.folder)}") from None
    _gather(plan.folder, plan.command)


def _gather(folder: Path, command: str) -> None:
    from dermasense.reporting.cross_validated import gather
    from dermasense.reporting.tables import aligned, interval_table, number

    folds = found_folds(folder)
    count = folds[-1].repeat + 1
    repeats = [[each.run for each in folds if each.repeat == i] for i in range(count)]
    metrics = gather(folder, repeats, command=command, pictures=_pictures(folds[0].settings))
    shown = {"out of fold": metrics}
    if count > 1:
        shown = {"all repeats": {**metrics, **metrics["over_repeats"]}}
    print(f"\n{interval_table(shown)}\n")
    rows = [
        [key, *[number(row[what]) for what in ("mean", "sd", "least", "most")], str(row["n"])]
        for key, row in metrics["spread"]["folds"].items()
    ]
    print(aligned(["over folds", "mean", "sd", "least", "most", "n"], rows))
    if metrics["note"]:
        print(f"\nnote: {metrics['note']}")
    table = RunFolder(folder).predictions("oof")
    print(f"\n{table}\n{folder / 'metrics.json'}\n{folder / 'report.html'}")


def _pictures(settings: dict) -> dict[str, str]:
    """Path by image_id; empty where the report shall show none, or they are not at hand."""
    from dermasense.data.loading import load_catalog

    if not settings.get("report", {}).get("images", True):
        return {}
    try:
        frame = load_catalog(settings["data"], settings["split"]).frame
    except DermaSenseError:
        return {}
    return dict(zip(frame["image_id"].astype(str), frame["path"], strict=True))


if __name__ == "__main__":
    main()
