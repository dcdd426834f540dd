"""The model card: metadata that the hub reads, and all that must be said of a model."""

import yaml
from huggingface_hub import ModelCard

from dermasense.evaluation.tables import read_tables
from dermasense.files import read_json, write_json
from dermasense.reporting.decided import renew_card
from dermasense.reporting.writing import evaluate
from tests.reporting.run_on_disk import run_folder


def card(run) -> str:
    evaluate(read_tables([str(run.path)]), run.path, images=False, resamples=100)
    return (run.bundle / "MODEL_CARD.md").read_text("utf-8")


def test_the_hub_reads_its_metadata(tmp_path):
    run = run_folder(tmp_path / "run")
    text = card(run)
    parsed = ModelCard(text)
    assert parsed.data.license == "cc-by-nc-4.0"
    assert parsed.data.pipeline_tag == "image-classification"
    found = {each.metric_type: each.metric_value for each in parsed.data.eval_results}
    metrics = read_json(run.metrics)
    assert found["accuracy"] == round(metrics["test"]["top1"], 4)
    assert found["f1"] == round(metrics["test"]["macro_f1"], 4)


def test_it_says_what_must_be_said(tmp_path):
    run = run_folder(tmp_path / "run", protocol="leaky (image-level split)", note="an exercise")
    text = card(run)
    for words in (
        "not a medical device",
        "## Intended use",
        "## Not intended",
        "70 images of 35 lesions for training",
        "Leaky",
        "CC BY-NC 4.0",
        "Somebody (2018)",
        "an exercise",
        "stratified chance",
        "| sex | female |",
        "## Limits",
    ):
        assert words in text, words
    assert str(tmp_path) not in text


def test_a_licence_the_hub_does_not_know_is_named(tmp_path):
    run = run_folder(tmp_path / "run")
    description = run.bundle / "model.json"
    description.write_text(description.read_text().replace("CC BY-NC 4.0", "for my lab; no others"))
    data = yaml.safe_load(card(run).split("---")[1])
    assert data["license"] == "other" and data["license_name"] == "for-my-lab-no-others"


def test_what_is_fitted_after_training_is_said_and_said_anew(tmp_path):
    run = run_folder(tmp_path / "run")
    plain = card(run)
    assert "None was fitted" in plain
    description = read_json(run.bundle / "model.json")
    on = {"n": 120, "n_groups": 60}
    names = description["class_names"]
    for value in (2.5, 1.5):
        description["calibration"] = {"name": "temperature", "value": value, "fitted_on": on}
        lac = {"name": "lac", "alpha": 0.1, "class_names": names, "threshold": 0.75, "n": 60}
        description["decision"] = {"set": lac}
        write_json(run.bundle / "model.json", description)
        renew_card(run.bundle)
    text = (run.bundle / "MODEL_CARD.md").read_text("utf-8")
    assert "- calibration: temperature, value 1.5, fitted on 120 images in 60 groups" in text
    assert "(lac: alpha 0.1, threshold 0.75, n 60)" in text
    assert text == card(run)  # as a new report writes it
    assert "2.5" not in text.partition("## Calibration")[2] and "None was fitted" not in text
    write_json(run.bundle / "model.json", {**description, "calibration": None, "decision": None})
    renew_card(run.bundle)
    assert (run.bundle / "MODEL_CARD.md").read_text("utf-8") == plain


def test_a_card_of_an_older_version_gets_the_part_before_its_limits(tmp_path):
    run = run_folder(tmp_path / "run")
    plain = card(run)
    start, end = plain.index("## Calibration"), plain.index("## Limits")
    (run.bundle / "MODEL_CARD.md").write_text(plain[:start] + plain[end:])
    renew_card(run.bundle)
    assert (run.bundle / "MODEL_CARD.md").read_text("utf-8") == plain
