"""`python -m dermasense.predict`: answers for a picture, a folder, a table or a zip of pictures.

Research software, not a medical device.
"""

import sys
from typing import Any

from dermasense.cli import tool_command
from dermasense.cluster.words import chosen_launcher
from dermasense.errors import DermaSenseError
from dermasense.on_pictures import check_asked, end, folder_for
from dermasense.terminal import counter


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    texts = ("images", "bundle", "out", "labels")
    tool_command(start, "predict", texts=texts, launches=True)


def start(settings: dict) -> None:
    """Predicts every picture, says where the answers lie, and ends with 3 where files are broken.

    Raises:
        DermaSenseError: the bundle, the pictures or the labels cannot be read, or a table of them
            would be written over.
        SystemExit: 3 where files could not be read.
    """
    check_asked(settings)
    # torch and pandas take seconds to import: --help need not wait for them.
    from dermasense.files import refuse_to_write_over
    from dermasense.inference.bulk import FILES, predict_all
    from dermasense.inference.image_sources import open_images
    from dermasense.inference.labels import labels_of
    from dermasense.inference.model import load

    out = folder_for(settings["out"], "predictions", str(settings["images"]))
    refuse_to_write_over([settings["images"], settings["labels"]], [out / file for file in FILES])
    bundle, launcher = str(settings["bundle"]), chosen_launcher()
    options = {key: settings[key] for key in ("device", "engine", "batch_size")}
    options |= {"tta": settings["tta"]["views"], "average": settings["tta"]["average"]}
    answer = _on_cluster(*launcher, bundle, options) if launcher else None
    images = open_images(str(settings["images"]))
    # Copies on Ray compute: the GPUs may all be on other machines.
    model = load(bundle, **(options | {"device": "cpu"} if launcher else options))
    labels = None
    if settings["labels"]:
        labels = labels_of(images, settings["labels"], model.class_names)
    written = predict_all(
        model,
        images,
        out,
        labels=labels,
        show=settings["show"],
        part=settings["part_size"],
        progress=counter("predicting"),
        answer=answer,
    )
    notes = (str(model.info.get("note") or ""), model.decision.unknown_groups)
    _say(written, labels is not None, [note for note in notes if note])
    end(written.skipped, written.out, images.passed_over)


def _on_cluster(name: str, asked: dict, bundle: str, options: dict) -> Any:
    from dermasense.cluster.ray_cluster import Cluster

    if name != "ray":
        raise DermaSenseError(
            f"launcher={name}: predict takes launcher=ray, or none for this machine alone."
        )
    cluster = Cluster.of(asked)
    from dermasense.cluster.bulk import RayParts

    return RayParts(cluster, bundle, options)


def _say(written: Any, labelled: bool, notes: list[str]) -> None:
    from dermasense.inference.prediction import DISCLAIMER

    for sentence in written.shown:
        print(sentence)
    if written.answered > len(written.shown):
        print(f"... and {written.answered - len(written.shown):,} more")
    counts = ", ".join(f"{name} {n:,}" for name, n in sorted(written.answers.items()))
    pictures = "picture" if written.answered == 1 else "pictures"
    print(f"\n{written.answered:,} {pictures} answered{': ' if counts else ''}{counts}")
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


if __name__ == "__main__":
    main()
