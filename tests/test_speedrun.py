"""From nothing to the table of results: the script's own steps on synthetic images."""

import csv
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dermasense.evaluation.predictions import Predictions, read_predictions, write_predictions
from dermasense.files import write_json
from dermasense.run_folder import RunFolder
from tests.fakes import stub_backbone
from tests.inference.tiny_bundle import tiny_bundle
from tests.long import LONG

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ("a", "b", "c")


@LONG
def test_one_script_goes_from_images_to_the_table_of_results(tmp_path):
    command = ["bash", str(ROOT / "benchmarks" / "speedrun.sh"), "--tiny", str(tmp_path)]
    environment = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    with open(tmp_path / "results" / "ham10000_oof.csv", newline="", encoding="utf-8") as handle:
        rows = {row["system"]: row for row in csv.DictReader(handle)}
    judged = read_predictions(tmp_path / "tiny" / "predictions_oof.parquet")
    right = (judged.logits.argmax(1) == judged.labels).mean()
    assert int(rows["tiny"]["n"]) == len(judged) and int(rows["tiny"]["folds"]) == 3
    assert float(rows["tiny"]["top1"]) == pytest.approx(right, abs=0.011)  # half precision: ties
    assert rows["tiny"]["temperature_from"] == "validation of each fold"
    flipped = rows["tiny_flips"]
    assert flipped["base"] == "tiny" and flipped["nll_gain"] and flipped["n"] == rows["tiny"]["n"]
    assert float(flipped["gflops"]) == pytest.approx(4 * float(rows["tiny"]["gflops"]), rel=0.01)
    assert "always_commonest" in rows and float(rows["tiny"]["milliseconds"]) > 0


def drawn(n: int = 300) -> Predictions:
    labels = np.random.default_rng(0).choice(3, n, p=[0.5, 0.3, 0.2])
    logits = np.random.default_rng(1).normal(size=(n, 3))
    logits[np.arange(n), labels] += 0.7
    group = np.arange(n) // 2
    frame = pd.DataFrame({"image_id": [f"i{i}" for i in range(n)], "fold": group % 3})
    frame["group"], frame["label"] = [f"g{i}" for i in group], np.array(CLASSES)[labels]
    return Predictions(frame, logits, CLASSES)


def folds(folder: Path, numbers: list[int], commit: str = "abc") -> None:
    table = drawn()
    for k in range(3):
        run = RunFolder(folder / f"fold_{k}")
        run.path.mkdir(parents=True)
        part = table.rows((table.frame["fold"] == k).to_numpy())
        rest = table.rows((table.frame["fold"] == (k + 1) % 3).to_numpy())
        for name, each in (("test", part), ("val", rest)):
            frame = each.frame.drop(columns="fold")
            write_predictions(run.predictions(name), frame, each.logits, CLASSES)
        command = "python -m dermasense.train split=fold split.fold=2 data.root=/place experiment=x"
        write_json(run.environment, {"command": command, "commit": commit, "machine": "m"})
        if k in numbers:
            tiny_bundle(run.bundle, names=CLASSES)
            write_json(run.finished, {"seconds": 1})


def test_the_folds_that_are_finished_make_a_partial_system(tmp_path, monkeypatch, capsys):
    import folds_of_run
    from systems import systems

    monkeypatch.setattr("timm.create_model", stub_backbone)
    folds(tmp_path / "run", [0, 2])
    monkeypatch.setattr(sys, "argv", [
        "folds_of_run.py", str(tmp_path / "run"), "--dataset", "ham10000", "--system", "x",
        "--networks", "lite0@144", "--results", str(tmp_path),
    ])  # fmt: skip
    folds_of_run.main()
    assert "2 folds, 200 images" in capsys.readouterr().out
    (system,) = systems("ham10000", tmp_path)
    assert system.command == "python -m dermasense.cross_validate data.root=DIR experiment=x"
    features = stub_backbone("tf_efficientnet_lite0").num_features
    assert system.more_parameters == 3 * features + 3  # of the linear head
    table = read_predictions(system.table(tmp_path))
    assert sorted(set(table.frame["fold"])) == [0, 2]
    assert system.validation_table(2, tmp_path).is_file()
    assert not system.validation_table(1, tmp_path).exists()


def test_folds_of_another_machine_join_those_that_are_registered(tmp_path, monkeypatch):
    import folds_of_run
    from systems import systems

    monkeypatch.setattr("timm.create_model", stub_backbone)
    for name, numbers, more in (("one", [0], []), ("two", [1, 2], ["--keep"])):
        folds(tmp_path / name, numbers, commit=name)
        monkeypatch.setattr(sys, "argv", [
            "folds_of_run.py", str(tmp_path / name), "--dataset", "ham10000", "--system", "x",
            "--networks", "lite0@144", "--results", str(tmp_path), *more,
        ])  # fmt: skip
        folds_of_run.main()
    (system,) = systems("ham10000", tmp_path)
    table = read_predictions(system.table(tmp_path))
    assert sorted(set(table.frame["fold"])) == [0, 1, 2] and len(table) == 300
    assert system.commit == "one, two"


def test_a_run_of_other_folds_is_refused(tmp_path):
    from folds_of_run import check_folds, finished, joined

    from dermasense.errors import DermaSenseError

    folds(tmp_path / "run", [0, 1, 2])
    table = joined(finished(tmp_path / "run"))
    table.frame[["image_id", "fold"]].to_csv(tmp_path / "same.csv", index=False)
    check_folds(table, tmp_path / "same.csv")
    moved = table.frame.assign(fold=(table.frame["fold"] + 1) % 3)
    moved[["image_id", "fold"]].to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(DermaSenseError, match="split otherwise"):
        check_folds(table, tmp_path / "other.csv")
    with pytest.raises(DermaSenseError, match="no finished fold"):
        finished(tmp_path)


def test_attributes_that_tell_the_class_help_and_the_fold_judged_has_no_say():
    from late import with_metadata

    table = drawn()
    frame = table.frame.assign(sex=np.where(table.labels == 1, "female", "male"))
    frame["age"], frame["localization"] = 50.0, "back"
    found = with_metadata(table, frame)
    before, after = ((t.logits.argmax(1) == t.labels).mean() for t in (table, found))
    assert after > before + 0.1
    here = (table.frame["fold"] == 0).to_numpy()
    changed = table.frame.copy()
    changed.loc[here, "label"] = "a"
    again = with_metadata(Predictions(changed, table.logits, CLASSES), frame)
    assert np.array_equal(found.logits[here], again.logits[here])


def test_photographs_of_a_lesion_are_answered_alike_by_the_geometric_mean_of_theirs():
    from late import with_lesion

    table = drawn()
    frame = table.frame.assign(label=np.repeat(table.frame["label"].to_numpy()[::2], 2))
    mixed = np.random.default_rng(7).permutation(len(frame))
    found = with_lesion(Predictions(frame, table.logits, CLASSES).rows(mixed))
    assert found.frame["image_id"].tolist() == frame["image_id"].to_numpy()[mixed].tolist()
    shares = np.exp(table.logits) / np.exp(table.logits).sum(1, keepdims=True)
    joined = np.repeat(np.sqrt(shares[::2] * shares[1::2]), 2, axis=0)
    expected = joined / joined.sum(1, keepdims=True)
    assert np.exp(found.logits) == pytest.approx(expected[mixed])


def test_half_the_prior_is_of_the_labels_of_the_other_folds():
    from late import without_prior

    table = drawn()
    here = (table.frame["fold"] == 0).to_numpy()
    shares = np.bincount(table.labels[~here], minlength=3) / (~here).sum()
    found = without_prior(table, 0.5)
    assert found.logits[here] == pytest.approx(table.logits[here] - np.log(shares) / 2)
    changed = table.frame.copy()
    changed.loc[here, "label"] = "a"
    again = without_prior(Predictions(changed, table.logits, CLASSES), 0.5)
    assert np.array_equal(found.logits[here], again.logits[here])


def test_a_stack_of_a_good_and_a_blind_system_is_about_the_good_one():
    from late import stacked

    table = drawn()
    blind = table.with_logits(np.random.default_rng(5).normal(size=table.logits.shape))
    found = stacked([blind, table])
    good, both = ((t.logits.argmax(1) == t.labels).mean() for t in (table, found))
    assert both > good - 0.05


def test_a_mean_of_systems_meets_image_by_image_whatever_their_scale():
    from late import averaged

    table = drawn()
    order = np.random.default_rng(6).permutation(len(table))
    other = table.with_logits(np.zeros_like(table.logits)).rows(order)
    found = np.exp(averaged([table.with_logits(table.logits + 7), other]).logits)
    assert found.sum(1) == pytest.approx(1)
    shares = np.exp(table.logits) / np.exp(table.logits).sum(1, keepdims=True)
    assert found == pytest.approx((shares + 1 / 3) / 2)


def test_a_pool_leaves_out_what_knows_nothing_and_the_fold_judged_has_no_say():
    from late import pooled

    table = drawn()
    blind = table.with_logits(np.random.default_rng(5).normal(size=table.logits.shape) * 3)
    found, alone = (np.exp(pooled(parts).logits) for parts in ([blind, table], [table, table]))
    assert found.sum(1) == pytest.approx(1)
    assert np.abs(found - alone).mean() < 0.05
    here = (table.frame["fold"] == 0).to_numpy()
    changed = table.frame.copy()
    changed.loc[here, "label"] = "a"
    parts = [Predictions(changed, each.logits, CLASSES) for each in (blind, table)]
    assert np.array_equal(np.exp(pooled(parts).logits)[here], found[here])
    assert not np.array_equal(np.exp(pooled(parts).logits)[~here], found[~here])


def test_all_data_sets_are_judged_where_none_is_named(tmp_path, monkeypatch, capsys):
    import oof
    from systems import System, register

    for dataset in oof.DATASETS:
        register(System(dataset, "x", "x", commit="c"), drawn(), tmp_path)
    words = ["oof.py", "--results", str(tmp_path), "--resamples", "100"]
    monkeypatch.setattr(sys, "argv", words)
    oof.main()
    for dataset in oof.DATASETS:
        assert "x,x,300" in (tmp_path / f"{dataset}_oof.csv").read_text(encoding="utf-8")
    monkeypatch.setattr(sys, "argv", [*words, "isic2018"])
    with pytest.raises(SystemExit):
        oof.main()
    assert "isic2018: expected ham10000 or fitzpatrick21" in capsys.readouterr().err


def test_a_mean_has_the_name_that_it_is_given(tmp_path, monkeypatch, capsys):
    import late
    from systems import System, register, systems

    for name, more in (("x", 5), ("y", 7)):
        networks = {"x": "lite0@144x4", "y": "lite2@200"}[name]
        register(System("ham10000", name, name, "", networks, more), drawn(), tmp_path)
    words = ["late.py", "DATA", "x", "y", "--results", str(tmp_path), "--system", "pair"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit):
        late.main()
    assert "say which with --only" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [*words, "--only", "mean"])
    late.main()
    pair = systems("ham10000", tmp_path)[-1]
    assert (pair.system, pair.base, pair.more_parameters) == ("pair", "y", 12)
    assert pair.networks == "lite0@144x4 lite2@200"
    assert pair.command == "python benchmarks/late.py DATA x y --only mean --system pair"
    assert len(read_predictions(pair.table(tmp_path))) == 300
    monkeypatch.setattr(sys, "argv", [*words[:-1], "pool", "--only", "pool", "--base", "pair"])
    late.main()
    pool = systems("ham10000", tmp_path)[-1]
    assert (pool.system, pool.base) == ("pool", "pair")
    assert pool.command.endswith("DATA x y --only pool --system pool --base pair")
    assert pool.about == "weighted geometric mean of the probabilities of x, y"
    monkeypatch.setattr(sys, "argv", [*words, "--only", "mean", "--base", "pear"])
    with pytest.raises(SystemExit, match="pear: no such system"):
        late.main()


def test_the_page_of_the_originals_is_what_the_tables_give():
    from marked import with_parts
    from originals_page import PARTS

    page = (ROOT / "docs" / "originals.md").read_text(encoding="utf-8")
    assert with_parts(page, PARTS) == page


def test_the_focal_loss_of_the_page_is_that_of_training():
    import torch
    from originals_page import ALPHA, GAMMA, focal_loss

    from dermasense.training.losses import FocalLoss

    table = drawn()
    known = FocalLoss(gamma=GAMMA, alpha=ALPHA)(
        torch.from_numpy(table.logits), torch.from_numpy(table.labels)
    )
    assert focal_loss(table) == pytest.approx(float(known), rel=1e-5)


def words_of_the_script(folder: Path) -> list[list[str]]:
    """What the whole script would run: the words of every call of Python."""
    log, python = folder / "calls", folder / "python"
    python.write_text(f"#!/bin/bash\nprintf '%s\\t' \"$@\" >> {log}\necho >> {log}\n")
    python.chmod(0o755)
    command = ["bash", str(ROOT / "benchmarks" / "speedrun.sh"), "DATA", str(folder / "work")]
    subprocess.run(command, env=os.environ | {"PYTHON": str(python)}, check=True)
    return [line.split("\t")[:-1] for line in log.read_text().splitlines()]


def test_the_script_makes_every_system_that_is_committed_and_each_after_its_parts(tmp_path):
    made = {"ham10000": [], "fitzpatrick21": []}
    for script, *words in words_of_the_script(tmp_path):
        said = {w: after for w, after in itertools.pairwise(words) if w.startswith("--")}
        known = made[said.get("--dataset", "ham10000")]
        if script.endswith("folds_of_run.py"):
            assert said.get("--base") in (None, *known), words
            known.append(said["--system"])
        elif script.endswith("probes.py"):
            start = words.index("--networks") + 1
            networks = words[start : words.index("--views") if "--views" in words else None]
            for short in (f"{each.replace('+', '_')}_lr" for each in networks):
                end = "" if said.get("--views") == "none" else "_flips"
                known += {short, *(f"{short}{w}{end}" for w in ("", "_balanced", "_half_prior"))}
        elif script.endswith("late.py"):
            parts = list(itertools.takewhile(lambda word: word[:2] != "--", words))[1:]
            assert set(parts) <= set(known), words
            for kind in [said["--only"]] if "--only" in said else ["stack", "mean"]:
                joined = "_".join([kind, *parts])
                alone = f"{parts[-1]}_{kind}"
                name = joined if kind in ("stack", "mean") else alone
                known.append(said.get("--system", name))
                known += [f"{parts[-1]}_rescaled"] if kind == "metadata" else []
    committed = {dataset: [] for dataset in made}
    with open(ROOT / "benchmarks" / "results" / "systems.csv", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            committed[row["dataset"]].append(row["system"])
    for dataset, names in committed.items():
        assert sorted(set(made[dataset])) == sorted(names)
        with open(ROOT / "benchmarks" / "results" / f"{dataset}_oof.csv") as handle:
            judged = [row["system"] for row in csv.DictReader(handle)]
        assert sorted(judged) == sorted([*names, "always_commonest", "stratified_chance"])
