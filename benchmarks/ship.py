"""Put a finished run's bundle into the package, in half precision: the default of predict.

    python benchmarks/ship.py <finished run, calibrated and with its decisions fitted>

Writes dermasense/shipped/: model.safetensors (float16), model.json, MODEL_CARD.md and, where the
run has it, ood.safetensors. Refuses weights above 8 MB, or that answer otherwise than in full
precision on more than one in a hundred of random pictures.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np

from dermasense.inference.model import load
from dermasense.inference.novelty import FILE as OOD
from dermasense.models.bundle import load_bundle, read_description, save_bundle
from dermasense.models.hub_bundle import CARD
from dermasense.reporting.decided import renew_card

SHIPPED = Path(__file__).resolve().parents[1] / "dermasense" / "shipped"
LIMIT_MB = 8.0


def ship(run: Path, folder: Path = SHIPPED) -> None:
    """Writes the half-precision bundle of a run into `folder`, whole or not at all."""
    source = run / "bundle"
    bundle = load_bundle(source)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        made = Path(temporary) / folder.name
        save_bundle(
            made, bundle.classifier, bundle.spec, bundle.class_names, bundle.info, dtype="float16"
        )
        if (source / OOD).is_file():
            shutil.copyfile(source / OOD, made / OOD)
        card = (source / CARD).read_text(encoding="utf-8")
        full, half = (read_description(each)["sha256"] for each in (source, made))
        (made / CARD).write_text(card.replace(full, half), encoding="utf-8")
        renew_card(made)
        (made / "model.safetensors").chmod(0o644)
        megabytes = (made / "model.safetensors").stat().st_size / 1e6
        if megabytes > LIMIT_MB:
            raise SystemExit(f"{megabytes:.1f} MB of weights, and {LIMIT_MB:g} is the limit.")
        changed = _changed_answers(source, made)
        if changed > 0.01:
            raise SystemExit(f"half precision changes {changed:.1%} of answers on random pictures.")
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    print(f"{folder}: {megabytes:.1f} MB of weights, {changed:.2%} of answers changed")


def _changed_answers(one: Path, other: Path, count: int = 256) -> float:
    """Share of random pictures, smooth and in skin's colours, that the two answer differently."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 220, (count, 6, 8, 3), dtype=np.uint8)
    pictures = [np.kron(each, np.ones((25, 25, 1), np.uint8)) for each in coarse]
    answers = [[p.answer for p in load(folder).predict(pictures)] for folder in (one, other)]
    return float(np.mean([a != b for a, b in zip(*answers, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    ship(parser.parse_args().run)


if __name__ == "__main__":
    main()
