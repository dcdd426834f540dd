"""`python -m dermasense.fit_ood`: teach a bundle to tell pictures unlike those of its training.

Research software, not a medical device.
"""

from pathlib import Path
from typing import Any

from dermasense.cli import tool_command
from dermasense.errors import DermaSenseError
from dermasense.terminal import counter

# `data` is a group of the configuration, which Hydra would look up; here it is a plain name.
PLAIN = {"data.root": "root"}


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    tool_command(
        start, "fit_ood", texts=("run", "bundle", "images", "root", "labels"), renamed=PLAIN
    )


def start(settings: dict) -> None:
    """Fits the detector on validation pictures and writes it into the bundle.

    Raises:
        DermaSenseError: no run or pictures, too few of them, or a bundle that is exported or not
            the user's.
    """
    of_run = settings["run"] is not None
    beside = [name for name in ("bundle", "images", "labels") if settings[name] is not None]
    if of_run and beside:
        raise DermaSenseError(f"{beside[0]}=: run= has its own; give run= alone, or leave it out.")
    if not of_run and not {"bundle", "images"} <= set(beside):
        raise DermaSenseError(
            "run= is needed, a finished run's folder whose validation pictures are there; or "
            "bundle= with images= of such pictures."
        )
    # torch takes seconds to import: --help need not wait for it.
    from dermasense.inference.exported import is_exported
    from dermasense.inference.fitting import fit_novelty, pictures_of_images, pictures_of_run
    from dermasense.inference.predictor import Predictor
    from dermasense.models.hub_bundle import locate
    from dermasense.reporting.decided import renew_card

    folder = locate(str(settings["run"] or settings["bundle"]), write=True)
    if is_exported(folder):
        raise DermaSenseError(f"{folder}: is an exported model; fit its bundle, then export again.")
    predictor = Predictor.of(folder)
    if settings["run"]:
        pictures = pictures_of_run(Path(settings["run"]), settings["root"])
    else:
        pictures = pictures_of_images(str(settings["images"]), settings["labels"])
    found = fit_novelty(predictor, pictures, settings["false_alarms"], counter("reading pictures"))
    found.save(folder, fitted_on=pictures.words)
    renew_card(folder)
    _say(found, folder, pictures)


def _say(found: Any, folder: Path, pictures: Any) -> None:
    from dermasense.inference.novelty import FILE
    from dermasense.inference.prediction import DISCLAIMER

    print(
        f"{folder / FILE}: fitted on {found.n:,} pictures ({pictures.words}); about "
        f"{found.false_alarms:.0%} of pictures like these will be warned of"
    )
    print(DISCLAIMER)


if __name__ == "__main__":
    main()
