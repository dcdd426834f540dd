"""`python -m dermasense.explain`: where the parts of a picture lie that speak for an answer.

Research software, not a medical device.
"""

from typing import Any

from dermasense.cli import tool_command
from dermasense.on_pictures import check_asked, end, folder_for
from dermasense.terminal import counter


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    tool_command(start, "explain", texts=("images", "bundle", "out", "target"))


def start(settings: dict) -> None:
    """Explains every picture, says where the overlays lie; ends with 3 where files are broken.

    Raises:
        DermaSenseError: the bundle or the pictures cannot be read, an unknown method or class.
        SystemExit: 3 where files could not be read.
    """
    check_asked(settings)
    # torch takes seconds to import: --help need not wait for it.
    from dermasense.inference.explaining import check_method
    from dermasense.inference.explaining.explainer import check_target
    from dermasense.inference.explaining.to_files import explain_all
    from dermasense.inference.image_sources import open_images
    from dermasense.inference.model import load

    method, target = str(settings["method"]), str(settings["target"])
    check_method(method)
    images = open_images(str(settings["images"]))
    model = load(str(settings["bundle"]), device=settings["device"], engine=settings["engine"])
    check_target(target, model.class_names)
    out = folder_for(settings["out"], "explanations", images.place)
    options = {key: settings[key] for key in ("maps", "sheet", "show")}
    written = explain_all(
        model,
        images,
        out,
        method=method,
        target=target,
        progress=counter("explaining"),
        **options,
    )
    _say(written, str(model.info.get("note") or ""))
    end(written.skipped, written.out, images.passed_over)


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


if __name__ == "__main__":
    main()
