"""Puts the folds of a cross-validation, finished or not, among the out-of-fold systems.

    python benchmarks/folds_of_run.py RUN --dataset ham10000 --system ham_short --networks lite0@144
    python benchmarks/folds_of_run.py RUN --dataset ham10000 --system ham_short_flips \
        --networks lite0@144x4 --views flips --root DIR --base ham_short

Takes the test and validation predictions of every fold that is finished in RUN; run it again when
more are. With `--keep` folds that RUN lacks, but that an earlier call has registered, stay. The
judged images must be those of benchmarks/folds/<dataset>.csv; where that holds other images, as for
synthetic data, nothing is compared. With `--views` the weights of each fold answer the pictures of
DIR again, averaged over these views. Then run `oof.py`.
"""

import argparse
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import tta
from network_costs import parameters
from probes import FOLDS
from scipy.special import log_softmax
from systems import RESULTS, System, register, systems, write_table

from dermasense.errors import DermaSenseError
from dermasense.evaluation.out_of_fold import out_of_fold
from dermasense.evaluation.predictions import Predictions, read_predictions
from dermasense.files import read_json
from dermasense.inference.predictor import Predictor
from dermasense.inference.views import view_names
from dermasense.models.bundle import load_bundle
from dermasense.provenance import commit, machine
from dermasense.run_folder import RunFolder

CHECKED, TOLERANCE = 32, 0.01  # images answered by one view as well; engines differ by 1e-5


def finished(folder: Path) -> dict[int, RunFolder]:
    """The finished folds of a cross-validation's folder, by number.

    Raises:
        DermaSenseError: there is none.
    """
    found = {}
    for path in sorted(folder.glob("fold_*")):
        run, number = RunFolder(path), path.name.removeprefix("fold_")
        if number.isdigit() and run.finished.exists():
            found[int(number)] = run
    if not found:
        raise DermaSenseError(f"{folder}: no finished fold_K is there; name a cross-validation.")
    return found


def check_folds(table: Predictions, path: Path) -> None:
    """Refuses images that stand in another fold of the committed file.

    Raises:
        DermaSenseError: naming the first of them.
    """
    committed = pd.read_csv(path, dtype={"image_id": str}).set_index("image_id")["fold"]
    ids = table.frame["image_id"].astype(str)
    if not ids.isin(committed.index).any():
        return
    differ = (committed.reindex(ids).to_numpy() != table.frame["fold"].to_numpy()).nonzero()[0]
    if len(differ):
        raise DermaSenseError(
            f"{path}: {ids.iloc[differ[0]]} stands in another fold there ({len(differ)} such "
            "images); the run was split otherwise."
        )


class Answers:
    """Tables of the folds: those that the runs left, or answers over several views.

    Args:
        views: a set of `dermasense.inference.views`; "none" takes the runs' own tables.
        root: folder of the pictures, for views; "" for that of the run.
        cache: folder of decoded pictures, for views.
    """

    def __init__(self, views: str = "none", root: str = "", cache: str = "outputs/cache") -> None:
        self.views, self.root, self.cache = views, root, cache

    def __call__(self, run: RunFolder, part: str) -> Predictions:
        """The table of one split of a fold.

        Raises:
            DermaSenseError: the pictures are not those that the run has answered.
        """
        own = read_predictions(run.predictions(part))
        if self.views == "none":
            return own
        predictor = Predictor.of(run.path, views=self.views)
        _, settings = run.read_config()
        ids = own.frame["image_id"].astype(str).tolist()
        images = tta.pixels(settings, self.root, predictor, self.cache, ids)
        few = own.in_order(predictor.class_names).logits[:CHECKED]
        views = read_json(run.metrics).get("test_time_augmentation", "none")
        again = Predictor.of(run.path, views=views).logits(images[:CHECKED])
        apart = np.abs(log_softmax(few, axis=1) - log_softmax(again, axis=1)).max()
        if apart > TOLERANCE:
            raise DermaSenseError(
                f"{run.path}: its first images have log-probabilities {apart:.2g} from those it "
                f"left; --root={self.root} holds other pictures."
            )
        return own.in_order(predictor.class_names).with_logits(predictor.logits(images))


def joined(runs: dict[int, RunFolder], answers: Answers | None = None) -> Predictions:
    """The judged images of these folds, with a column `fold`."""
    answers = answers or Answers()
    whole = out_of_fold([answers(run, "test") for run in runs.values()])
    numbers = dict(enumerate(runs))
    frame = whole.frame.assign(fold=whole.frame["fold"].map(numbers))
    return Predictions(frame, whole.logits, whole.class_names)


def with_kept(table: Predictions, path: Path) -> Predictions:
    """The table, and the folds of a registered one that it lacks."""
    if not path.is_file():
        return table
    known = read_predictions(path, table.class_names)
    rest = ~known.frame["fold"].isin(table.frame["fold"]).to_numpy()
    columns = ["image_id", "label", "group", "fold"]
    frames = [table.frame[columns], known.frame.loc[rest, columns]]
    logits = np.concatenate([table.logits, known.logits[rest]])
    return Predictions(pd.concat(frames, ignore_index=True), logits, table.class_names)


def with_former(system: System, results: Path) -> str:
    """The commits of the kept folds, then that of the folds at hand."""
    known = [each for each in systems(system.dataset, results) if each.system == system.system]
    commits = [commit for each in known for commit in each.commit.split(", ")]
    return ", ".join(dict.fromkeys([*commits, system.commit]))


def _views(views: str) -> str:
    names = view_names(views)
    return "one view" if len(names) == 1 else f"{len(names)} views averaged"


def _command(run: RunFolder) -> str:
    """The command of all folds, from that of one, without where things lay."""
    places = ("hydra.run.dir=", "cache_dir=", "resume=", "split=fold", "split.fold=")
    typed = shlex.split(read_json(run.environment)["command"])
    words = [w for w in typed if not w.startswith(places)]
    said = shlex.join("data.root=DIR" if w.startswith("data.root=") else w for w in words)
    return said.replace("dermasense.train", "dermasense.cross_validate").replace(
        " split.folds=", " folds="
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--system", required=True)
    parser.add_argument("--networks", required=True, help="lite0@144, lite0@144x4 with four views")
    parser.add_argument("--about", default="")
    parser.add_argument("--base", default="")
    parser.add_argument("--keep", action="store_true", help="registered folds that RUN lacks")
    parser.add_argument("--views", default="none", help="answer again over flips, scales, ...")
    parser.add_argument("--root", default="", help="folder of the pictures, for --views")
    parser.add_argument("--cache", default="outputs/cache")
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    answers = Answers(asked.views, asked.root, asked.cache)
    try:
        runs = finished(asked.run)
        table = joined(runs, answers)
        check_folds(table, FOLDS / f"{asked.dataset}.csv")
        fitted_on = {number: answers(run, "val") for number, run in runs.items()}
    except DermaSenseError as error:
        raise SystemExit(str(error)) from None
    first = next(iter(runs.values()))
    environment = read_json(first.environment)
    command = _command(first)
    if asked.views != "none":
        # RUN is what the command of the first base leaves.
        command = f"python benchmarks/folds_of_run.py RUN --dataset {asked.dataset}"
        command += f" --system {asked.system} --networks {asked.networks}"
        command += f" --base {asked.base}" if asked.base else ""
        command += f" --views {asked.views} --root DIR"
        environment |= {"commit": commit(), "machine": machine()}
    system = System(
        asked.dataset,
        asked.system,
        asked.about or f"{asked.system}, one model a fold, {_views(asked.views)}",
        asked.base,
        asked.networks,
        parameters(load_bundle(first.bundle).classifier.head),
        validation=f"{asked.dataset}_val_{asked.system}_fold_{{fold}}",
        command=command,
        commit=environment["commit"],
        machine=environment["machine"],
    )
    for number, validation in fitted_on.items():
        path = system.validation_table(number, asked.results)
        write_table(path, validation.in_order(table.class_names))
    if asked.keep:
        own, table = len(table), with_kept(table, system.table(asked.results))
        if len(table) > own:
            system = replace(system, commit=with_former(system, asked.results))
    register(system, table, asked.results)
    folds = table.frame["fold"].nunique()
    print(f"{asked.system}: {folds} folds, {len(table)} images")


if __name__ == "__main__":
    main()
