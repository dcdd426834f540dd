"""What the package does not have is added from outside it: a module and a few yamls beside it."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from dermasense import decide
from dermasense.errors import DermaSenseError
from dermasense.evaluation.metrics import MONITORS, summarise
from dermasense.evaluation.own_metric import TAKEN, OwnMetric, own_scores
from dermasense.evaluation.predictions import Predictions, read_predictions
from dermasense.models import heads
from dermasense.models.bundle import load_bundle
from tests.fakes import TINY

NAME = "own_choices_of_a_test"
ROOT = Path(__file__).resolve().parents[1]
MODULE = '''
"""A loss, a head, a source, a balance, a metric, an augmentation and a command of one's own."""

from pathlib import Path

import albumentations as A
import numpy as np
import torch
from torch import nn

from dermasense.cli import tool_command
from dermasense.data.augment import Augmentation
from dermasense.data.balance import Draws, Permutation
from dermasense.data.sources import synthetic
from dermasense.evaluation.decisions.referral import Referral

seen = {"labels": [], "split": None, "size": None}


class Squares(nn.Module):
    """The squared error of the probabilities, each class by its rarity."""

    def __init__(self, scale, class_counts):
        super().__init__()
        self.scale = scale
        self.register_buffer("rarity", torch.tensor(1.0 / class_counts, dtype=torch.float32))

    def forward(self, logits, target):
        if logits.requires_grad:
            seen["labels"] += target.tolist()
        wanted = nn.functional.one_hot(target, logits.shape[1])
        squares = (logits.softmax(dim=1) - wanted) ** 2
        return self.scale * (squares.sum(dim=1) * self.rarity[target]).mean()


def words(*_, **options):
    """What nobody can train with."""
    return list(options)


class Wide(nn.Module):
    def __init__(self, in_features, num_classes, width, slope=0.1):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_features, width), nn.LeakyReLU(slope), nn.Linear(width, num_classes)
        )

    def forward(self, pooled):
        return self.layers(pooled)


def drawn(root, lesions):
    """Another hospital's pictures; here those of DermaSense under another name."""
    found = synthetic.catalog(root=root, n_lesions=lesions, image_px=48)
    frame = found.frame.assign(hospital="ours")
    return type(found)("drawn", frame, found.class_names, ("hospital",), "CC0", "nobody")


def only_rare(split, classes):
    """The images of the rarest classes alone."""
    rarest = np.bincount(split.labels).argsort()[:classes]
    seen["split"] = split
    return Permutation(Draws.of_rows(np.flatnonzero(np.isin(split.labels, rarest))))


def misses(logits, labels, of=0):
    """Share of the images of one class that are answered with another; less is better."""
    return float((logits.argmax(axis=1) != of)[labels == of].mean())


def dark(image_size, by):
    seen["size"] = image_size
    return Augmentation([A.RandomBrightnessContrast((-by, -by), (0, 0), p=1.0)])


class Shy(Referral):
    """Leaves the sure ones to a person."""

    name = "shy"

    def apply(self, logits, frame=None):
        return ~super().apply(logits)


def count(settings):
    from dermasense.data.loading import load_catalog

    catalog = load_catalog(settings["data"])
    print(catalog.name, len(catalog.frame) * settings["times"])


def main():
    tool_command(count, "count", conf=Path(__file__).parent / "conf")
'''
CONF = {
    "loss/squares": {"name": "squares", "_target_": f"{NAME}.Squares", "scale": 3.0},
    "head/wide": {"name": "wide", "_target_": f"{NAME}.Wide", "width": 6},
    "balance/only_rare": {
        "name": "only_rare",
        "_target_": f"{NAME}.only_rare",
        "classes": 2,
    },
    "metrics/misses": {"misses": {"_target_": f"{NAME}.misses", "better": "min", "of": 1}},
    "augment/dark": {"_target_": f"{NAME}.dark", "_partial_": True, "by": 0.5},
    "decision/shy": {"_target_": f"{NAME}.Shy", "accuracy": None, "share": 0.7},
    "data/drawn": {
        "name": "drawn",
        "root": "${cache_dir}/drawn",
        "on_error": "raise",
        "max_pixels": 1000000,
        "cache_dir": "${cache_dir}",
        "map": None,
        "lesions": 100,
        "source": {
            "_target_": f"{NAME}.drawn",
            "root": "${..root}",
            "lesions": "${..lesions}",
        },
    },
}
COUNT = """\
defaults:
  - hydra/command: plain
  - data: drawn
  - _self_
  - override hydra/job_logging: stdout
times: 2
cache_dir: ${oc.env:DERMASENSE_CACHE,outputs/cache}
"""
EXPERIMENT = """\
# @package _global_
defaults:
  - override /data: drawn
  - override /loss: squares
  - override /head: wide
  - override /balance: only_rare
  - override /metrics: misses
  - override /augment: dark
name: all_mine
monitor: misses
"""
SMALL = [word for word in TINY if not word.startswith("data.")]
SMALL += ["phases=frozen", "limit_epochs=1", "logger=none", "report.images=false"]
DRAWN = ["data.n_lesions=100", "data.image_px=48"]


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder outside the package, with the module on the path; returns its `conf`."""
    root = tmp_path / "my code"
    conf = root / "conf"
    for place, options in CONF.items():
        path = conf / f"{place}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(options, sort_keys=False))
    (conf / "experiment").mkdir()
    (conf / "experiment" / "mine.yaml").write_text(EXPERIMENT)
    (conf / "count.yaml").write_text(COUNT)
    (root / f"{NAME}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.setattr(heads, "_registered", {})
    yield conf
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
    declared.write_text("[dermasense.heads]\nwide = own_choices_of_a_test:Gone\n")
    with pytest.raises(DermaSenseError, match="own_choices_of_a_test:Gone cannot be imported"):
        load_bundle(run / "bundle")
    declared.write_text("[dermasense.heads]\nwide = own_choices_of_a_test:Wide\n")
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


@pytest.mark.parametrize(
    ("group", "options", "says"),
    [
        ("loss", {"name": "ce", "_target_": "json.loads"}, "loss.name=ce is one of DermaSense's"),
        ("head", {"name": "linear", "_target_": "json.loads"}, "head.name=linear is one of"),
        ("balance", {"_target_": "json.loads"}, "a choice with a _target_ needs balance.name"),
        ("head", {"name": "text", "_target_": "json.loads"}, "is no class of torch.nn.Module"),
        ("head", {"name": "w", "_target_": f"{NAME}.Wide"}, "needs a value of 'wid"),
        ("loss", {"name": "x", "_target_": "no_such_code.X"}, "_target_=no_such_code.X cannot be"),
        ("loss", {"name": "x", "_target_": f"{NAME}.words"}, f"{NAME}.words gave list, no torch"),
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
