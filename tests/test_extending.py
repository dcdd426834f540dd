"""What the package does not have is added from outside it: a module and a few yamls beside it."""

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from dermasense import cross_validate, decide
from dermasense.errors import DermaSenseError
from dermasense.evaluation.metrics import MONITORS, summarise
from dermasense.evaluation.own_metric import TAKEN, OwnMetric, own_scores
from dermasense.evaluation.predictions import Predictions, read_predictions
from dermasense.models import heads
from dermasense.models.bundle import load_bundle
from tests.fakes import TINY

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = ROOT / "tests" / "outside"
NAME = "my_choices"
SMALL = [word for word in TINY if not word.startswith("data.")]
SMALL += ["phases=frozen", "limit_epochs=1", "logger=none", "report.images=false"]
DRAWN = ["data.n_lesions=100", "data.image_px=48"]


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder outside the package, with the module on the path; returns its `conf`."""
    root = Path(shutil.copytree(OUTSIDE, tmp_path / "my code"))
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.setattr(heads, "_registered", {})
    yield root / "conf"
    sys.modules.pop(NAME, None)


@pytest.fixture
def train(command, mine, tmp_path, here):
    """Trains with these words; returns the run folder."""

    def call(*words):
        run = tmp_path / "run"
        code, _, err = command(*words, f"--config-dir={mine}", f"out={run}", *SMALL)
        assert code == 0, err
        assert (run / "report.html").is_file()
        return run

    return call


def module():
    return importlib.import_module(NAME)


def numbers(run):
    return json.loads((run / "metrics.json").read_text())


def test_a_loss(train):
    run = train("loss=squares", "loss.scale=2", *DRAWN)
    table = read_predictions(run / "predictions_test.parquet")
    splits = pd.read_csv(run / "splits.csv")
    training = splits.loc[splits["split"] == "train", "label"].value_counts()
    logits, labels = torch.from_numpy(table.logits), torch.from_numpy(table.labels)
    wanted = torch.eye(len(table.class_names))[labels]
    rarity = torch.tensor([1 / training[table.class_names[code]] for code in table.labels])
    value = 2 * ((logits.softmax(1) - wanted).square().sum(1) * rarity).mean()
    assert numbers(run)["test"]["loss"] == pytest.approx(value.item(), rel=1e-4)


def test_a_head_and_its_bundle(train):
    run = train("head=wide", "head.width=5", *DRAWN)
    described = json.loads((run / "bundle" / "model.json").read_text())["head"]
    assert described == {
        "name": "wide",
        "_target_": f"{NAME}.Wide",
        "width": 5,
        "slope": 0.1,
    }
    bundle = load_bundle(run / "bundle")
    assert bundle.classifier.head.layers[0].out_features == 5


def test_a_bundle_imports_no_code_unless_its_head_is_registered(train, monkeypatch):
    run = train("head=wide", *DRAWN)
    pictures = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    before = load_bundle(run / "bundle").classifier(pictures)
    heads._registered.clear()
    sys.modules.pop(NAME)
    with pytest.raises(DermaSenseError, match=rf"'wide' is code from outside.*{NAME}"):
        load_bundle(run / "bundle")
    assert NAME not in sys.modules
    heads.register("wide", module().Wide)
    assert torch.equal(load_bundle(run / "bundle").classifier(pictures), before)


def test_an_installed_package_declares_its_head(train, mine):
    run = train("head=wide", *DRAWN)
    heads._registered.clear()
    installed = mine.parent / "mine-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
    declared = installed / "entry_points.txt"
    declared.write_text("[dermasense.heads]\nwide = my_choices:Gone\n")
    with pytest.raises(DermaSenseError, match="my_choices:Gone cannot be imported"):
        load_bundle(run / "bundle")
    declared.write_text("[dermasense.heads]\nwide = my_choices:Wide\n")
    importlib.invalidate_caches()
    assert type(load_bundle(run / "bundle").classifier.head) is module().Wide


def test_a_data_source(train):
    run = train("data=drawn", "data.lesions=90")
    table = read_predictions(run / "predictions_test.parquet")
    assert set(table.frame["hospital"]) == {"ours"}
    described = json.loads((run / "bundle" / "model.json").read_text())
    assert (described["training_data"], described["licence"]) == ("drawn", "CC0")


def test_a_balance_method(train):
    train("balance=only_rare", "loss=squares", "balance.classes=1", *DRAWN)
    seen = module().seen
    counts, (shown,) = np.bincount(seen["split"].labels), set(seen["labels"])
    assert counts[shown] == counts.min()


def test_a_metric_chooses_the_weights(train):
    run = train("metrics=misses", "monitor=misses", "limit_epochs=3", *DRAWN)
    history = pd.read_csv(run / "history.csv")
    best = json.loads((run / "finished.json").read_text())["best"]
    assert best["score"] == pytest.approx(history["val_misses"].min())
    assert best["epoch"] == 1 + history["val_misses"].argmin()
    for split in ("val", "test"):
        table = read_predictions(run / f"predictions_{split}.parquet")
        expected = (table.logits.argmax(1) != 1)[table.labels == 1].mean()
        assert numbers(run)[split]["misses"] == pytest.approx(expected)


def test_an_augmentation(train):
    train("augment=dark", *DRAWN)
    assert module().seen["size"] == 32


def test_a_decision_is_judged_and_kept_out_of_bundles(call_command, mine, here, tmp_path):
    pairs = ROOT / "benchmarks" / "results" / "pairs"
    tables = [f"val={pairs / 'b1_se_lite_validation.parquet'}"]
    tables += [f"test={pairs / 'b1_se_lite_test.parquet'}", "resamples=100"]
    answered = {}
    options = {"referral": ["decision.accuracy=null", "decision.share=0.7"], "shy": []}
    for name, more in options.items():
        words = [f"decision={name}", f"--config-dir={mine}", f"out={tmp_path / name}"]
        code, _, err = call_command(decide, *words, *tables, *more)
        assert code == 0, err
        made = json.loads((tmp_path / name / "decisions.json").read_text())[name]
        answered[name] = made["judged"]["answered"]["value"]
    assert answered["referral"] > 0.5
    assert answered["shy"] == pytest.approx(1 - answered["referral"])
    told = decide._written(tmp_path / "bundle", {}, module().Shy())
    assert "shy is code from outside" in told and not (tmp_path / "bundle").exists()


def test_a_command(call_command, mine, here):
    code, printed, err = call_command(module(), "data.lesions=50", "times=1")
    assert code == 0, err
    name, images = printed.splitlines()[-1].split()
    assert name == "drawn" and int(images) > 50
    code, twice, _ = call_command(module(), "data.lesions=50")
    assert int(twice.split()[-1]) == 2 * int(images)
    for word, says in {
        "tmies=3": "tmies is no option; did you mean 'times'",
        "times=x": "times=x: expected an integer.",
        "data=drown": "data=drown is no choice; did you mean 'drawn'",
    }.items():
        code, _, err = call_command(module(), word)
        assert code == 2 and says in err and "Traceback" not in err
    assert "times: 2" in call_command(module(), "--help")[1]
    assert not list(here.iterdir())


def test_an_experiment_takes_all_of_them_and_a_run_goes_on_with_them(train, command):
    run = train("experiment=mine")
    recorded = yaml.safe_load((run / "config.yaml").read_text())
    assert [recorded[group]["name"] for group in ("data", "loss", "head", "balance")] == [
        *("drawn", "squares", "wide", "only_rare")
    ]
    assert command(f"resume={run}")[0] == 0
    code, _, err = command(f"resume={run}", "loss.scale=4")
    assert code == 2 and "loss.scale (3.0 -> 4)" in err


def test_a_multirun_ranks_by_the_metric_and_its_best_command_runs(command, mine, tmp_path, here):
    sweep = tmp_path / "sweep"
    words = ["metrics=misses", "monitor=misses", "head=wide", "head.width=2,9", *DRAWN, *SMALL]
    code, _, err = command("--config-dir", str(mine), "--multirun", f"out={sweep}", *words)
    assert code == 0, err
    table = pd.read_csv(sweep / "sweep.csv")
    assert table["best_score"].is_monotonic_increasing and set(table["monitor"]) == {"misses"}
    best = (sweep / "best.txt").read_text()
    assert "hydra.searchpath=" in best and f"file://{mine}" in best


def test_folds_are_trained_with_them(call_command, command, mine, tmp_path, here):
    folder = tmp_path / "folds"
    words = ["head=wide", "metrics=misses", "monitor=misses", "folds=2", *DRAWN, *SMALL]
    code, _, err = call_command(cross_validate, f"--config-dir={mine}", f"out={folder}", *words)
    assert code == 0, err
    recorded = json.loads((folder / "fold_1" / "environment.json").read_text())["overrides"]
    assert f'hydra.searchpath=["file://{mine}"]' in recorded
    assert "val_misses" in pd.read_csv(folder / "fold_1" / "history.csv")


@pytest.mark.parametrize(
    ("group", "options", "says"),
    [
        ("loss", {"name": "ce", "_target_": "json.loads"}, "loss.name=ce is one of DermaSense's"),
        ("head", {"name": "linear", "_target_": "json.loads"}, "head.name=linear is one of"),
        (
            "balance",
            {"_target_": "json.loads"},
            "balance.name=None: a choice of balance needs",
        ),
        ("loss", {"gamma": 2}, "loss.name=None: a choice of loss needs a name: set it"),
        ("loss", {"name": ["ce"]}, "loss.name=['ce']: a choice of loss needs a name"),
        ("head", {"name": "text", "_target_": "json.loads"}, "is no class of torch.nn.Module"),
        ("head", {"name": "w", "_target_": f"{NAME}.Wide"}, "needs a value of 'wid"),
        ("loss", {"name": "x", "_target_": "no_such_code.X"}, "_target_=no_such_code.X cannot be"),
        ("loss", {"name": "x", "_target_": f"{NAME}.words"}, f"{NAME}.words gave list, no torch"),
        (
            "loss",
            {"name": "x", "_target_": "torch.nn.Linear", "in_features": 2, "out_features": 2},
            "torch.nn.Linear has a parameter to train (weight)",
        ),
        ("loss", {"name": "x", "_target_": "builtins.dict"}, "no signature found"),
        (
            "balance",
            {"name": "x", "_target_": f"{NAME}.words"},
            "words gave list; expected the rows",
        ),
        ("metrics", {"nll": {"_target_": "json.loads"}}, "metrics.nll: DermaSense has a nll"),
        ("metrics", {"x": {"better": "max"}}, "metrics.x._target_ is missing"),
        ("metrics", {"x": {"_target_": "json.loads", "better": "more"}}, "metrics.x.better=more"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(group, options, says, mine, command, tmp_path):
    (mine / group / "odd.yaml").write_text(yaml.safe_dump(options))
    words = [f"{group}=odd", f"--config-dir={mine}", f"out={tmp_path / 'run'}", *DRAWN, *SMALL]
    code, _, err = command(*words)
    assert code == 2 and says in err and "Traceback" not in err


def test_mistakes_around_the_folder_are_said(mine, command, here):
    code, _, err = command("--config-dir=nowhere")
    assert code == 2 and "--config-dir nowhere: no such folder" in err
    code, _, err = command("--config-dir", str(mine), "loss=squaers")
    assert code == 2 and "loss=squaers is no choice; did you mean 'squares'" in err
    code, _, err = command("--config-dir", str(mine), "loss=squares", "loss.scael=1")
    assert code == 2 and "loss.scael is no option; did you mean 'loss.scale'" in err
    code, _, err = command("--config-dir", str(mine), "hydra.searchpath=[]")
    assert code == 2 and "type --config-dir as often as needed" in err
    code, _, err = command("monitor=misses", *DRAWN, *SMALL)
    assert code == 2 and "monitor=misses is no validation metric" in err


def test_a_weighing_balance_is_refused_beside_a_loss_from_outside(mine, command, here):
    words = [f"--config-dir={mine}", "loss=squares", "balance=class_weights", *DRAWN, *SMALL]
    code, _, err = command(*words)
    assert code == 2 and "balance=class_weights weighs a loss of DermaSense" in err


def test_taken_names_are_those_that_a_summary_has():
    frame = pd.DataFrame({"image_id": ["a", "b"], "group": ["a", "b"], "label": ["x", "y"]})
    summary = summarise(Predictions(frame, np.eye(2), ("x", "y")), split_protocol="grouped")
    assert set(TAKEN) == {*summary, *MONITORS} and len(set(TAKEN)) == len(TAKEN)


def test_a_metric_has_no_value_where_a_logit_is_not_finite():
    metrics = {"mean": OwnMetric(lambda logits, labels: logits.mean(), "max")}
    logits = np.array([[1.0, 2.0]])
    assert own_scores(metrics, logits, np.array([0])) == {"mean": 1.5}
    assert np.isnan(own_scores(metrics, logits * np.inf, np.array([0]))["mean"])
    assert np.isnan(own_scores(metrics, logits[:0], np.array([]))["mean"])


def test_a_head_of_ours_is_not_replaced():
    with pytest.raises(DermaSenseError, match="'linear' is one of DermaSense's"):
        heads.register("linear", torch.nn.Identity)
