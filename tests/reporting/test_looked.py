"""The report shows what the run left of where its model looked, and nothing where it may not."""

from dermasense.evaluation.tables import read_tables
from dermasense.files import write_json
from dermasense.reporting.writing import evaluate
from tests.fakes import noise
from tests.reporting.run_on_disk import run_folder


def page(run, out, images) -> str:
    tables = read_tables([str(run.path)])
    report = evaluate(tables, out, images=images, pictures={}, resamples=100).report
    return report.read_text(encoding="utf-8")


def test_overlays_stand_in_local_reports_only(tmp_path):
    run = run_folder(tmp_path / "run")
    assert "Where the model looked" not in page(run, tmp_path / "a", True)
    said = "What speaks most for mel lies in the middle part of the picture, by HiResCAM."
    row = {"image_id": "x1", "file": "000001.jpg", "label": "nv", "answer": "mel"}
    row |= {"probability": 0.91, "method": "hirescam", "says": said}
    noise(run.explained / "000001.jpg", seed=0)
    gone = {**row, "file": "gone.jpg", "image_id": "not_there"}
    write_json(run.explained / "explained.json", [row, gone])
    shown = page(run, tmp_path / "b", True)
    assert "Where the model looked" in shown and "taken for mel (0.91)" in shown
    assert f'alt="x1 with a heat map. {said}"' in shown and "not_there" not in shown
    assert "Where the model looked" not in page(run, tmp_path / "c", False)
