"""The notebook runs from its first cell to its last, on drawn lesions."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "reproduce.ipynb"
SCORES = {name: 0.5 for name in ("top1", "top2", "balanced_accuracy", "macro_f1", "kappa", "ece")}
QUICK = """
MORE = ["model.image_size=48", "limit_epochs=1", "batch_size=16", "data.n_lesions=150",
        "data.image_px=64", "trainer.limit_train_batches=6", "phases=frozen"]
"""


def test_it_holds_no_output():
    made = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = [cell for cell in made["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    assert all(len("".join(cell["source"]).splitlines()) <= 40 for cell in cells)


@pytest.mark.parametrize("folder", [None, "photographs"])
def test_published_numbers_stand_beside_runs_on_photographs_alone(folder):
    made = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    table = next(c for c in made["cells"] if "published = {" in "".join(c["source"]))
    *statements, shown = "".join(table["source"]).splitlines()
    known = {"HAM10000": folder, "FITZPATRICK21": None, "pd": pd, "scores": lambda run: SCORES}
    known |= {"b1_se": Path("b1_se_lite"), "b4_weighted": Path("b4_weighted_lite_drawn")}
    exec("\n".join([*statements, f"found = {shown}"]), known)
    published = [("b1_se", "its authors")] if folder else []
    ours = [("b1_se", "b1_se_lite"), ("b4_weighted", "b4_weighted_lite_drawn")]
    assert sorted(known["found"].index) == sorted(ours + published)


@pytest.mark.slow
def test_it_runs_to_its_end(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed (extra dev)")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (extra dev)")
    monkeypatch.setenv("DERMASENSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    book = nbformat.read(NOTEBOOK, as_version=4)
    parameters = next(c for c in book.cells if "parameters" in c.metadata.get("tags", []))
    parameters.source += QUICK
    nbclient.NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    said = json.dumps([cell.get("outputs", []) for cell in book.cells])
    assert "b1_se_lite_drawn" in said and "image/svg+xml" in said and "its authors" not in said
    runs = tmp_path / "outputs" / "reproduce"
    for name in ("b1_se_lite", "b4_weighted_lite"):
        assert (runs / f"{name}_drawn" / "report.html").is_file()
    assert (runs / "maps" / "contact_sheet.png").is_file()
