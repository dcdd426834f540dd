"""`python -m dermasense.export`: a bundle for other runtimes, checked against the bundle itself.

Research software, not a medical device.
"""

from pathlib import Path
from typing import Any

from dermasense.cli import tool_command
from dermasense.errors import DermaSenseError, nearest


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    tool_command(start, "export", texts=("bundle", "images", "out"), lists=("format", "variants"))


def start(settings: dict) -> None:
    """Writes the variants, compares each with the bundle, prints and saves what was found."""
    chosen = _variants(settings)
    if settings["browser"] and "onnx" not in [format for format, _ in chosen]:
        raise DermaSenseError("browser=true: the page runs an ONNX model; add format=onnx.")
    if "int8" in [variant for _, variant in chosen] and settings["images"] is None:
        raise DermaSenseError(
            "variants=int8 needs images=: a folder of training or validation pictures to find the "
            "ranges of the activations on; or leave int8 out."
        )
    # torch takes seconds to import: --help need not wait for it.
    from dermasense.files import write_json
    from dermasense.inference.ensemble import EnsembleBundle, is_ensemble
    from dermasense.inference.exported import is_exported
    from dermasense.inference.exporting import add_browser_page, export_variant
    from dermasense.inference.parity import compared, reference
    from dermasense.models.bundle import NoNetwork, load_bundle
    from dermasense.models.hub_bundle import locate

    source = locate(str(settings["bundle"]))
    if is_exported(source):
        raise DermaSenseError(f"{source}: is an exported model; name the bundle it was made from.")
    if is_ensemble(source):
        raise NoNetwork(source, EnsembleBundle.REASON.format(place=source))
    bundle = load_bundle(source)
    if settings["browser"] and bundle.spec.clean:
        raise DermaSenseError(
            f"browser=true: {source} cleans pictures ({', '.join(bundle.spec.clean)}), which the "
            "page cannot; leave browser out."
        )
    fit, check, words = _pictures(settings, bundle.spec)
    out = Path(settings["out"]) if settings["out"] else _beside(str(settings["bundle"]), source)
    known = reference(source, check)
    rows = [known["row"]]
    for format, variant in chosen:
        folder = out / f"{format}_{variant}"
        export_variant(bundle, source, folder, format, variant, fit if variant == "int8" else [])
        if settings["browser"] and format == "onnx":
            add_browser_page(folder)
        rows.append(compared(folder, check, known))
    from dermasense.provenance import commit, machine

    about = {"bundle_sha256": bundle.info["sha256"], "pictures": words}
    write_json(
        out / "export.json", {**about, "rows": rows, "commit": commit(), "machine": machine()}
    )
    _show(rows, words, out, _on_views(bundle.info))
    if settings["browser"]:
        print(
            f"in the browser: cd {out}/onnx_<variant> && npm install onnxruntime-web && "
            "python -m http.server --bind 127.0.0.1"
        )


def _beside(name: str, source: Path) -> Path:
    """Where exports of a bundle go unasked: beside it, but not into the package or a cache."""
    from dermasense.files import safe_name
    from dermasense.models.hub_bundle import HUB, is_borrowed

    if is_borrowed(name):
        return Path("outputs") / "exported" / safe_name(name.removeprefix(HUB))
    place = source if source.name not in ("", "..") else source.resolve()
    of_a_run = place.name == "bundle"
    return place.parent / ("exported" if of_a_run else f"{place.name}_exported")


def _variants(settings: dict) -> list[tuple[str, str]]:
    from dermasense.inference.formats import FORMATS

    formats, variants = (_words(settings[key]) for key in ("format", "variants"))
    known = {variant for each in FORMATS.values() for variant in each}
    for key, words, valid in (("format", formats, FORMATS), ("variants", variants, known)):
        wrong = next((word for word in words if word not in valid), None)
        if wrong is not None:
            raise DermaSenseError(f"{key}={wrong} is unknown; {nearest(wrong, valid)}")
    found = [(f, v) for f in formats for v in variants if v in FORMATS[f]]
    if not found:
        raise DermaSenseError(
            f"format={formats[0]} comes in {', '.join(FORMATS[formats[0]])} only; add it to "
            "variants."
        )
    return found


def _words(value: Any) -> list[str]:
    return list(dict.fromkeys(map(str, value if isinstance(value, list) else [value])))


def _pictures(settings: dict, spec: Any) -> tuple[list, list, str]:
    """Pixels to calibrate int8 on, other ones to compare on, and what they are, in words."""
    import numpy as np

    from dermasense.data.preprocess import UnreadableImage, read_rgb, resize_rgb
    from dermasense.inference.image_sources import UnreadableFile, open_images

    if settings["images"] is None:
        rng = np.random.default_rng(0)
        shape = (64, spec.image_size, spec.image_size, 3)
        return [], list(rng.integers(0, 256, shape, dtype=np.uint8)), "64 pictures of noise"
    images = open_images(str(settings["images"]))
    most = settings["calibrate_on"] + settings["compare_on"]
    rows = np.random.default_rng(0).permutation(len(images))[:most]
    pixels = []
    for row in rows:
        try:
            source = images.source(int(row))
            pixels.append(resize_rgb(read_rgb(source, spec.max_pixels), spec))
        except (UnreadableImage, UnreadableFile):
            continue
    if len(pixels) < 2:
        raise DermaSenseError(f"images={images.place}: holds fewer than two readable pictures.")
    cut = min(settings["calibrate_on"], len(pixels) // 2)
    return pixels[:cut], pixels[cut:], f"{len(pixels) - cut} pictures of {Path(images.place).name}"


def _on_views(info: dict) -> str:
    """What must be known of an export where the bundle averages several views; "" else."""
    from dermasense.inference.views import averages

    if not averages(info):
        return ""
    return (
        f"\nthe bundle averages views (tta.views={info['tta']['views']}), and so do load and "
        "predict with an export; the graph\nitself, in another runtime or in the browser, answers "
        "from one view, for which temperature, sets\nand referral were not fitted\n"
    )


def _show(rows: list[dict], words: str, out: Path, note: str) -> None:
    from dermasense.inference.prediction import DISCLAIMER

    print(
        f"compared with the bundle on {words}: largest difference of a probability, and how many "
        "answers, sets,\ndecisions and warnings changed; speed on this machine, images a second\n"
    )
    parts = ("answers", "sets", "decisions", "warnings")
    line = "{:<24}{:>7}{:>12}{:>9}{:>6}{:>11}{:>10}{:>13}{:>12}"
    print(line.format("", "MB", "difference", *parts, "batch of 16", "one by one"))
    for row in rows:
        changed = (row[f"changed_{part}"] for part in parts)
        speeds = (f"{row[f'images_per_second_{size}']:.0f}" for size in (16, 1))
        difference = f"{row['max_probability_difference']:.2g}"
        print(line.format(row["name"], f"{row['megabytes']:.1f}", difference, *changed, *speeds))
    print(
        f"{note}\n{out / 'export.json'}\n"
        f"use one: python -m dermasense.predict bundle={out}/<name> images=..."
    )
    print(DISCLAIMER)


if __name__ == "__main__":
    main()
