"""`python -m dermasense.predict`: answers for a picture, a folder, a table or a zip of pictures.

Research software, not a medical device.
"""

import sys
import time
from pathlib import Path
from typing import Any

from dermasense.cli import tool_command
from dermasense.cluster.words import chosen_launcher
from dermasense.errors import DermaSenseError

BROKEN_FILES = 3  # exit code: done, and some files could not be read


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    texts = ("images", "bundle", "out", "labels")
    tool_command(start, "predict", texts=texts, launches=True)


def start(settings: dict) -> None:
    """Predicts every picture, says where the answers lie, and ends with 3 where files are broken.

    Raises:
        DermaSenseError: the bundle, the pictures or the labels cannot be read.
        SystemExit: 3 where files could not be read.
    """
    if settings["images"] is None:
        raise DermaSenseError(
            "images= is needed: a picture, a folder, a pattern such as 'photos/*.jpg', a .csv or "
            ".parquet with a column path, or a .zip."
        )
    for key in ("batch_size", "part_size"):
        if settings[key] < 1:
            raise DermaSenseError(f"{key}={settings[key]}: expected an integer >= 1.")
    # torch and pandas take seconds to import: --help need not wait for them.
    from dermasense.inference.bulk import predict_all
    from dermasense.inference.image_sources import open_images
    from dermasense.inference.labels import labels_of
    from dermasense.inference.model import load

    bundle, launcher = str(settings["bundle"]), chosen_launcher()
    options = {key: settings[key] for key in ("device", "engine", "batch_size")}
    options |= {"tta": settings["tta"]["views"], "average": settings["tta"]["average"]}
    answer = _on_cluster(*launcher, bundle, options) if launcher else None
    images = open_images(str(settings["images"]))
    model = load(bundle, **options)
    labels = None
    if settings["labels"]:
        labels = labels_of(images, settings["labels"], model.class_names)
    written = predict_all(
        model,
        images,
        Path(settings["out"]) if settings["out"] else _default_out(images.place),
        labels=labels,
        show=settings["show"],
        part=settings["part_size"],
        progress=_counter() if sys.stderr.isatty() else None,
        answer=answer,
    )
    notes = (str(model.info.get("note") or ""), model.decision.unknown_groups)
    _say(written, labels is not None, [note for note in notes if note])
    if written.skipped:
        sys.exit(BROKEN_FILES)


def _on_cluster(name: str, asked: dict, bundle: str, options: dict) -> Any:
    from dermasense.cluster.ray_cluster import Cluster

    if name != "ray":
        raise DermaSenseError(
            f"launcher={name}: predict takes launcher=ray, or none for this machine alone."
        )
    cluster = Cluster.of(asked)
    from dermasense.cluster.bulk import RayParts

    return RayParts(cluster, bundle, options)


def _default_out(place: str) -> Path:
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(place).stem)
    return Path("outputs/predictions") / (name.strip("_.") or "images")


def _say(written: Any, labelled: bool, notes: list[str]) -> None:
    from dermasense.inference.prediction import DISCLAIMER

    for sentence in written.shown:
        print(sentence)
    if written.answered > len(written.shown):
        print(f"... and {written.answered - len(written.shown):,} more")
    counts = ", ".join(f"{name} {n:,}" for name, n in sorted(written.answers.items()))
    print(f"\n{written.answered:,} pictures answered{': ' if counts else ''}{counts}")
    if written.referred or written.warned:
        print(
            f"{written.referred:,} to be looked at by a person, {written.warned:,} with a warning"
        )
    print(f"{written.out / 'predictions.parquet'}\n{written.out / 'predictions.csv'}")
    if labelled:
        table = written.out / "predictions.parquet"
        print(f"judge them with: python -m dermasense.evaluate predictions={table}")
    for note in notes:
        print(f"the model: {note}")
    print(DISCLAIMER)
    sys.stdout.flush()
    if written.unlabelled:
        print(
            f"{written.unlabelled:,} pictures without a label stand in the CSV only",
            file=sys.stderr,
        )
    if written.skipped:
        listed = written.out / "skipped.csv"
        print(f"{written.skipped:,} files cannot be read, listed in {listed}", file=sys.stderr)


def _counter():
    """Shows pictures done and their rate on a terminal."""
    begun: list[tuple[float, int]] = []

    def show(done: int, total: int) -> None:
        begun or begun.append((time.monotonic(), done))
        seconds, before = time.monotonic() - begun[0][0], begun[0][1]
        rate = f", {(done - before) / seconds:.0f} a second" if seconds > 1 else ""
        end = "\n" if done == total else ""
        print(
            f"\r\033[Kpredicting: {done:,} of {total:,}{rate}", end=end, file=sys.stderr, flush=True
        )

    return show


if __name__ == "__main__":
    main()
