"""kill -9 to a worker, a whole node and the command itself, amid a sweep and a bulk prediction.

    python benchmarks/reliability/ray_kill.py

Everything is drawn by a program. The sweep and the prediction are made once without Ray, and once
on a cluster of two nodes that are killed meanwhile; a row a kill. Nothing is lost or doubled where
the second ends with the same files, byte by byte, as the first.
"""

import argparse
import shutil
import subprocess
import time
from pathlib import Path

import pandas as pd
from two_nodes import TwoNodes, start, wait_until

from dermasense.data.sources import synthetic
from dermasense.files import read_csv, write_csv
from dermasense.provenance import commit, machine

RESULTS = Path(__file__).resolve().parents[1] / "results" / "ray_kill.csv"
COMMAND = "python benchmarks/reliability/ray_kill.py"
COLUMNS = ["task", "killed", "when", "came_back", "ended", "lost", "doubled", "same_bytes"]
COLUMNS += ["n", "command", "commit", "machine"]
PATIENCE = 900  # seconds until something that must happen has not

TRAIN = ["data.n_lesions=100", "data.image_px=48", "model.image_size=32", "weights=none"]
TRAIN += ["batch_size=8", "num_workers=0", "trainer.accelerator=cpu", "logger=none"]
TRAIN += ["report.images=false", "checkpoint.every_n_steps=2"]
TRIAL_FILES = ("history.csv", "metrics.json", "predictions_test.parquet")
PREDICTED = ("predictions.parquet", "predictions.csv", "skipped.csv")


class Sweep:
    """Trials of a sweep, a seed each.

    Args:
        work: folder for everything.
        trials, epochs: of the sweep; epochs of the second of two phases.
    """

    def __init__(self, work: Path, trials: int, epochs: int) -> None:
        self.work, self.n = work, trials
        seeds = ",".join(map(str, range(trials)))
        self.words = ["--multirun", *TRAIN, f"seed={seeds}", "phases.frozen.epochs=1"]
        self.words += [f"phases.finetune.epochs={epochs}"]

    def run(self, name: str, *more: str) -> subprocess.Popen:
        cache = str(self.work / "cache")
        place = f"hydra.sweep.dir={self.work / name}"
        return start("train", *self.words, place, *more, folder=self.work, DERMASENSE_CACHE=cache)

    def state(self) -> str:
        return f"{self.ended()} of {self.n} trials finished"

    def ended(self) -> int:
        return len(list((self.work / "ray").glob("*/finished.json")))

    def amid(self, cluster: TwoNodes, node: int) -> bool:
        """Whether a node is in the middle of training a trial."""
        trial = cluster.trial(node)
        return trial is not None and (trial / "checkpoints" / "last.ckpt").exists()

    def outcome(self) -> dict:
        trials = read_csv(self.work / "ray" / "sweep.csv")
        told = [row["trial"] for row in trials if row["status"] == "finished"]
        epochs = [pd.read_csv(path) for path in (self.work / "ray").glob("*/history.csv")]
        twice = sum(int(each.duplicated(["phase", "epoch"]).sum()) for each in epochs)
        places = [f"{trial}/{name}" for trial in range(self.n) for name in TRIAL_FILES]
        return {
            "ended": f"{len(set(told))} trials",
            "lost": self.n - len(set(told)),
            "doubled": len(told) - len(set(told)) + twice,
            "same_bytes": same(self.work / "plain", self.work / "ray", places),
            "n": self.n,
        }


class Bulk:
    """Prediction of drawn pictures, two of them broken.

    Args:
        work: folder for everything; a trial of the sweep there gives the bundle.
        copies: how often each picture is there.
    """

    def __init__(self, work: Path, copies: int, part: int) -> None:
        self.work, self.part = work, part
        photos = work / "photos"
        drawn = synthetic.catalog(str(work / "cache" / "synthetic"), n_lesions=100, image_px=48)
        shutil.rmtree(photos, ignore_errors=True)
        photos.mkdir()
        for number, path in enumerate([*drawn.frame["path"]] * copies):
            shutil.copyfile(path, photos / f"{number:05d}{Path(path).suffix}")
        for name in ("00007", "00100"):
            (photos / f"{name}{Path(path).suffix}").write_bytes(b"no picture")
        self.n = len(list(photos.iterdir()))

    def run(self, name: str, *more: str) -> subprocess.Popen:
        words = [f"images={self.work / 'photos'}", f"bundle={self.work / 'plain' / '0'}"]
        words += ["engine=torch", "batch_size=8", f"part_size={self.part}"]
        return start("predict", *words, f"out={self.work / name}", *more, folder=self.work)

    def state(self) -> str:
        return f"{self.ended()} of {-(-self.n // self.part)} parts written"

    def ended(self) -> int:
        return len(list((self.work / "ray_answers" / ".parts").glob("*/0*.parquet")))

    def amid(self, cluster: TwoNodes, node: int) -> bool:
        """Whether an actor of a node is there, and parts have been written."""
        busy = [" ".join(each.cmdline()) for each in cluster.workers(node)]
        return self.ended() > 2 and any("MapWorker" in title for title in busy)

    def outcome(self) -> dict:
        plain, ray = self.work / "plain_answers", self.work / "ray_answers"
        expected = pd.read_csv(plain / "predictions.csv", dtype=str)["image_id"]
        found = pd.read_csv(ray / "predictions.csv", dtype=str)["image_id"]
        return {
            "ended": f"{len(found)} answers, {len(pd.read_csv(ray / 'skipped.csv'))} skipped",
            "lost": len(set(expected) - set(found)),
            "doubled": int(found.duplicated().sum()),
            "same_bytes": same(plain, ray, PREDICTED),
            "n": self.n,
        }


def same(plain: Path, ray: Path, names) -> bool:
    return all((plain / name).read_bytes() == (ray / name).read_bytes() for name in names)


def killed(task: Sweep | Bulk, name: str, place: str, code: int) -> list[dict]:
    """A row a kill: a worker of the first node, the second node, the command, which is typed again.

    Args:
        task: what runs meanwhile.
        name: of the task in the table.
        place: folder of what it leaves.
        code: exit code of a command that did all it had to.
    """
    rows = []
    said = task.work / f"said_{'train' if name == 'sweep' else 'predict'}.txt"
    with TwoNodes() as cluster:
        options = ["launcher=ray", f"launcher.address={cluster.address}"]
        process = task.run(place, *options)

        def note(what: str, came_back: str) -> None:
            rows.append({"task": name, "killed": what, "when": when, "came_back": came_back})
            print(rows[-1], flush=True)

        def again(before: int) -> str:
            if name == "sweep":
                wait_until(lambda: _again(said) > before, process, PATIENCE)
                return "the job, started again"
            seen, limit = task.ended(), time.monotonic() + PATIENCE
            # A node may die with no part in hand; `.parts` is gone when the last is written.
            while _again(said) == before and process.poll() is None and task.ended() == seen:
                assert time.monotonic() < limit, f"nothing within {PATIENCE} s"
                time.sleep(0.1)
            if _again(said) > before:
                return "its parts, given out again"
            return "the other node, which wrote the rest"

        for what, kill in ((f"worker {0}", cluster.kill_worker), (f"node {1}", cluster.kill_node)):
            node = int(what[-1])
            wait_until(lambda node=node: task.amid(cluster, node), process, PATIENCE)
            when, before = task.state(), _again(said)
            kill(node)
            note(what.split()[0], again(before))
        if process.poll() is None:
            when = task.state()
            process.kill()
            process.wait()
            process = task.run(place, *options)
            note("command", "the same command, which went on")
        assert process.wait(PATIENCE) == code, said.read_text()
    outcome = task.outcome()
    facts = {"command": COMMAND, "commit": commit(), "machine": machine()}
    return [{**row, **outcome, **facts} for row in rows]


def _again(said: Path) -> int:
    """How often a command has said so far that something is started or given out again."""
    text = said.read_text(encoding="utf-8")
    return text.count("started again") + text.count("given out again")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("outputs/ray_kill"), help="for runs")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--tasks", nargs="+", choices=["sweep", "bulk"], default=["sweep", "bulk"])
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--copies", type=int, default=12)
    parser.add_argument("--part", type=int, default=32)
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)

    # What is made without Ray goes on, or is kept.
    sweep = Sweep(work, options.trials, options.epochs)
    if len(list((work / "plain").glob("*/finished.json"))) < options.trials:
        assert sweep.run("plain").wait() == 0, "the sweep without Ray failed"
    if "sweep" in options.tasks:
        shutil.rmtree(work / "ray", ignore_errors=True)
        keep(options.results, killed(sweep, "sweep", "ray", 0))
    if "bulk" in options.tasks:
        shutil.rmtree(work / "ray_answers", ignore_errors=True)
        bulk = Bulk(work, options.copies, options.part)
        assert bulk.run("plain_answers").wait() == 3, "the prediction without Ray failed"
        keep(options.results, killed(bulk, "bulk prediction", "ray_answers", 3))


def keep(results: Path, rows: list[dict]) -> None:
    """Writes the rows of a task; those of the other stay."""
    old = read_csv(results, missing_ok=True)
    known = [row for row in old if row["task"] != rows[0]["task"]]
    write_csv(results, [*known, *rows], COLUMNS)
    print(pd.DataFrame(rows)[COLUMNS[:9]].to_string(index=False))


if __name__ == "__main__":
    main()
