"""`python -m dermasense.explain`: where the parts of a picture lie that speak for an answer.

Research software, not a medical device.
"""

import sys
from pathlib import Path
from typing import Any

from dermasense.cli import tool_command
from dermasense.errors import DermaSenseError

BROKEN_FILES = 3  # exit code: done, and some files could not be read


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    tool_command(start, "explain", texts=("images", "bundle", "out", "target"))


def start(settings: dict) -> None:
    """Explains every picture, says where the overlays lie; ends with 3 where files are broken.

    Raises:
        DermaSenseError: the bundle or the pictures cannot be read, an unknown method or class.
        SystemExit: 3 where files could not be read.
    """
    if settings["images"] is None:
        raise DermaSenseError(
            "images= is needed: a picture, a folder, a pattern such as 'photos/*.jpg', a .csv with "
            "a column path, or a .zip."
        )
    for key in ("sheet", "show"):
        if settings[key] < 0:
            raise DermaSenseError(f"{key}={settings[key]}: expected an integer >= 0.")
    # torch takes seconds to import: --help need not wait for it.
    from dermasense.inference.explaining import check_method
    from dermasense.inference.explaining.explainer import PREDICTED, target_of
    from dermasense.inference.explaining.to_files import explain_all
    from dermasense.inference.image_sources import open_images
    from dermasense.inference.model import load

    method, target = str(settings["method"]), str(settings["target"])
    check_method(method)
    images = open_images(str(settings["images"]))
    model = load(str(settings["bundle"]), device=settings["device"], engine=settings["engine"])
    if target != PREDICTED:
        target_of(target, "", model.class_names)
    out = Path(settings["out"]) if settings["out"] else _default_out(images.place)
    options = {key: settings[key] for key in ("maps", "sheet", "show")}
    written = explain_all(
        model,
        images,
        out,
        method=method,
        target=target,
        progress=_counter if sys.stderr.isatty() else None,
        **options,
    )
    _say(written, str(model.info.get("note") or ""))
    if written.skipped:
        sys.exit(BROKEN_FILES)


def _default_out(place: str) -> Path:
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(place).stem)
    return Path("outputs/explanations") / (name.strip("_.") or "images")


def _say(written: Any, note: str) -> None:
    from dermasense.inference.explaining.to_files import SHEET
    from dermasense.inference.prediction import DISCLAIMER

    for sentence in written.shown:
        print(sentence)
    if written.explained > len(written.shown):
        print(f"... and {written.explained - len(written.shown):,} more")
    plural = "" if written.explained == 1 else "s"
    print(f"\n{written.explained:,} picture{plural} explained in {written.out}")
    if (written.out / SHEET).is_file():
        print(written.out / SHEET)
    if written.empty:
        print(f"in {written.empty:,} nothing speaks for the class, by this method")
    if note:
        print(f"the model: {note}")
    print("A map shows what moved the answer, not that the answer is right.")
    print(DISCLAIMER, flush=True)
    if written.skipped:
        listed = written.out / "skipped.csv"
        print(f"{written.skipped:,} files cannot be read, listed in {listed}", file=sys.stderr)


def _counter(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\r\033[Kexplaining: {done:,} of {total:,}", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
