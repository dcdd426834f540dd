"""The train command as a person meets it: mistakes, help, resume, interruption, sweeps."""

import csv
import json
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from dermasense import load
from dermasense.evaluation.predictions import read_predictions
from dermasense.training.module import LesionClassifier
from tests.fakes import TINY

PHASES = [
    "phases.frozen.epochs=1",
    "phases.finetune.epochs=2",
]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["los=focal"], "los is no option; did you mean 'loss'"),
        (["loss=focl"], "loss=focl is no choice; did you mean 'focal'?"),
        (["loss=focal", "loss.gama=1"], "loss.gama is no option; did you mean 'loss.gamma'"),
        (["experiment=b1_s"], "experiment=b1_s is no choice; did you mean 'b1_se'"),
        (["seed=abc"], "seed=abc: expected an integer from 0 to 4294967295."),
        (["batch_size=0"], "batch_size=0: expected an integer >= 1."),
        (["num_workers=many"], "num_workers=many: expected auto or an integer >= 0."),
        (["x y"], "the command line cannot be read: x y;"),
        (["name=Häute"], "read: name=Häute; write key=value, quote"),
        (["+data.map={Nävus: nv}"], "labels that it does not take (other letters than a to z"),
        (["data.map={wart: <class>}"], "<class>}; fill in the class, or null, where <class> st"),
        (["data.map={wart: x"], "={wart: x; write 'data.map={label: class, label: class}', with"),
        (["data.map={'Nävus': nv}"], "data.map=FILE.csv with the columns label and class."),
        (["+foo=1"], "+foo: nothing reads this option"),
        (["~loss"], "~loss: every run needs loss"),
        (["monitor=balanced_acc"], "did you mean 'balanced_accuracy'?"),
        (["optimizer.name=adamm"], "optimizer.name=adamm is unknown; did you mean 'adam'"),
        (["scheduler.name=cosin"], "scheduler.name=cosin is unknown; did you mean 'cosine'?"),
        (
            ["trainer.precision=bf17"],
            "trainer.precision=bf17 is not supported: training keeps its weights in float32; take",
        ),
        (["head.dropout=2"], "dropout probability has to be between 0 and 1"),
        (["phases.frozen.epochs=0"], "phases.frozen.epochs=0: expected an integer >= 1."),
        (["data=ham10000", "data.root=/nowhere"], "type data.root=<folder> where it lies"),
        (["data=isic2018", "data.root=/nowhere"], "/nowhere"),
        (["resume=/nowhere"], "/nowhere holds no run"),
        (["loss=ce,focal"], "add --multirun to your command line"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_2(command, tmp_path, words, sentence):
    drawn = [] if any(word.startswith("data=") for word in words) else TINY[:2]
    code, _, err = command(f"hydra.run.dir={tmp_path / 'run'}", *drawn, "weights=none", *words)
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()[-1]) < 3000 and err.strip().splitlines()[-1].startswith(
        "error"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["loss=ce", "loss.label_smoothing=1"], "loss.label_smoothing=1.0 must be in [0, 1)"),
        (["loss=focal", "loss.gamma=-1"], "loss.gamma=-1.0 must be 0 or more"),
        (["loss=focal", "loss.alpha=[1,2]"], "loss.alpha has 2 values for"),
        (
            ["loss=weighted_ce", "loss.weighting=effective", "loss.beta=1"],
            "loss.beta=1.0 must be in [0, 1)",
        ),
        (["loss=group_dro", "loss.step=0"], "loss.step=0: expected a number above 0 to 1"),
        (["loss=group_dro", "loss.step=-.1"], "loss.step=-0.1: expected a number above 0 to 1"),
        (["loss=group_dro", "loss.attribute=shoe"], "loss.attribute=shoe"),
        (["loss=distill", "loss.teacher=t", "loss.temperature=0"], "loss.temperature=0: expected"),
        (["loss=distill", "loss.teacher=t", "loss.weight=2"], "loss.weight=2: expected a number"),
        (["balance=class_weights", "loss=focal"], "balance=class_weights goes with cross-entropy"),
        (["balance=logit_adjust", "balance.tau=-1"], "balance.tau=-1: expected a number >= 0"),
        (["balance=smote", "balance.k_neighbors=0"], "k_neighbors=0 must be an integer, 1 or more"),
        (["balance=group_sampler", "balance.attribute=shoe"], "balance.attribute=shoe"),
        (["balance.name=smoot"], "balance=smoot is not known; did you mean 'smote'?"),
    ],
)
def test_a_mistake_in_loss_or_balance_is_told_before_a_picture_is_decoded(
    command, tmp_path, monkeypatch, words, sentence
):
    monkeypatch.setattr("dermasense.assembly.make_prepared", None)
    code, _, err = command(f"hydra.run.dir={tmp_path / 'run'}", *TINY, "balance=none", *words)
    assert code == 2 and sentence in err


def test_help_is_there_before_anything_heavy_is_imported():
    probe = (
        "import sys; sys.argv = ['train', '--help']\n"
        "from dermasense import train\n"
        "try: train.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'lightning', 'pandas', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "experiment: b1_se" in done.stdout and "not a medical device" in done.stdout


def test_a_run_leaves_what_the_readme_says_and_then_does_nothing(command, tmp_path):
    run = tmp_path / "run"
    code, out, err = command(f"hydra.run.dir={run}", *TINY, *PHASES)
    assert code == 0, err
    files = (
        "config.yaml environment.json splits.csv history.csv metrics.json results.txt "
        "predictions_val.parquet predictions_test.parquet bundle/model.json "
        "bundle/model.safetensors bundle/MODEL_CARD.md report.html checkpoints/last.ckpt train.log "
        "finished.json"
    )
    for name in files.split():
        assert (run / name).is_file(), name
    assert list((run / "tensorboard").glob("events*"))
    # TensorBoard's writer is a thread; a sweep in one process would gather one a trial.
    assert not [each for each in threading.enumerate() if "AsyncWriter" in type(each).__name__]
    metrics = json.loads((run / "metrics.json").read_text())
    keys = set(
        "n n_groups top1 top2 balanced_accuracy macro_f1 micro_f1 weighted_f1 kappa auroc_macro "
        "nll brier ece loss per_class confusion_matrix".split()
    )
    for split in ("val", "test"):
        assert keys <= set(metrics[split])
    assert metrics["protocol"] == "grouped"
    assert "test" in out and "say nothing about skin" in out
    before = (run / "metrics.json").stat().st_mtime_ns
    code, out, _ = command(f"resume={run}")
    assert code == 0 and "is finished" in out
    assert (run / "metrics.json").stat().st_mtime_ns == before


def test_a_gpu_that_is_too_small_is_one_sentence_and_the_run_can_go_on(
    command, tmp_path, monkeypatch
):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has")

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(LesionClassifier, "training_step", full)
        code, _, err = command(f"out={run}", *TINY, "debug=limit", "logger=none")
    told = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2 and "Traceback" not in err and len(told) == 1
    assert "is full (CUDA out of memory. Tried to allocate 2.00 GiB.); begin anew" in told[0]
    assert "batch_size" in told[0] and told[0].endswith(f"resume={run}")
    assert command(f"resume={run}")[0] == 0 and (run / "finished.json").is_file()

    with monkeypatch.context() as patch:  # before anything is kept
        patch.setattr("dermasense.assembly.make_loss", full)
        code, _, err = command(f"out={tmp_path / 'other'}", *TINY, "debug=limit", "logger=none")
    assert code == 2 and err.rstrip().endswith("go on by the same command")
    assert not (tmp_path / "other").exists()


def test_the_bundle_answers_from_the_views_that_the_run_was_tested_with(command, tmp_path):
    run = tmp_path / "run"
    words = [*TINY, *PHASES, "logger=none", "report.images=false", "tta=flips"]
    code, _, err = command(f"hydra.run.dir={run}", *words, "tta.average=probability")
    assert code == 0, err
    told = json.loads((run / "bundle" / "model.json").read_text())["tta"]
    assert told == {"views": "flips", "average": "probability"}
    table = read_predictions(run / "predictions_test.parquet")
    row = table.frame["image_id"].iloc[0]
    (picture,) = (tmp_path / "cache").rglob(f"{row}.*")
    for tta, same in ((None, True), ("none", False)):
        logits = load(run, engine="torch", tta=tta).predict(picture).logits
        assert (np.abs(table.logits[0] - logits).max() < 1e-3) == same


def test_a_leaky_split_says_so_everywhere(command, tmp_path):
    run = tmp_path / "run"
    code, out, err = command(f"hydra.run.dir={run}", *TINY, *PHASES, "split=image", "logger=none")
    assert code == 0, err
    metrics = json.loads((run / "metrics.json").read_text())
    assert "leaky" in metrics["protocol"] and "leaky" in metrics["test"]["protocol"]
    assert "leaky" in out and "leaky" in err
    assert "images of one lesion stand in training" in (run / "report.html").read_text()
    assert "leaky" in (run / "results.txt").read_text()
    assert "leaky" in json.loads((run / "bundle" / "model.json").read_text())["protocol"]


def test_a_changed_option_on_resume_is_refused_and_named(command, tmp_path):
    run = tmp_path / "run"
    limit = ["debug=limit", "logger=none"]
    assert command(f"hydra.run.dir={run}", *TINY, *limit)[0] == 0
    code, _, err = command(f"resume={run}", "seed=7")
    assert code == 2 and "seed (0 -> 7)" in err
    assert command(f"resume={run}", "seed=0")[0] == 0


def test_a_mistake_on_resume_is_one_sentence(command, tmp_path):
    run = tmp_path / "run"
    assert command(f"hydra.run.dir={run}", *TINY, "debug=limit", "logger=none")[0] == 0
    code, _, err = command(f"resume={run}", "los=focal")
    assert code == 2 and "error: los is no option; did you mean 'loss'" in err
    code, _, err = command(f"resume={run}", "loss=focl")
    assert code == 2 and "error: loss=focl is no choice" in err


def test_two_balancings_at_once_give_a_warning(command, tmp_path):
    words = [*TINY, "debug=limit", "logger=none", "balance=sampler", "loss=weighted_ce"]
    code, *printed = command(f"hydra.run.dir={tmp_path / 'run'}", *words)
    assert code == 0
    warning = next(line for line in "".join(printed).splitlines() if "stack" in line)
    assert "balance=sampler" in warning and "loss=weighted_ce" in warning


def test_unreadable_images_are_skipped_counted_and_listed(command, tmp_path):
    root = tmp_path / "images"
    from tests.fakes import fake_folder

    fake_folder(root)
    (root / "benign" / "3.png").write_bytes(b"no picture")
    words = [*TINY[2:], "debug=limit", "logger=none", "data=folder", f"data.root={root}"]
    code, _, err = command(*words, f"hydra.run.dir={tmp_path / 'refused'}")
    assert code == 2 and "3.png" in err
    # What was refused before it trained leaves its folder to the next attempt.
    code, _, err = command(*words, f"hydra.run.dir={tmp_path / 'refused'}", "data.on_error=skip")
    assert code == 0, err
    code, _, err = command(*words, f"hydra.run.dir={tmp_path / 'run'}", "data.on_error=skip")
    assert code == 0 and "1 unreadable images left out" in err
    with open(tmp_path / "run" / "skipped.csv", newline="") as handle:
        assert [row["path"].endswith("3.png") for row in csv.DictReader(handle)] == [True]


def _start(folder, cache, *words):
    environment = {"DERMASENSE_CACHE": str(cache), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    arguments = ["-m", "dermasense.train", f"hydra.run.dir={folder}", *TINY, *words]
    return subprocess.Popen(
        [sys.executable, *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=environment,
        # Tests that were started in the background ignore Ctrl-C, and what they start would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.slow
def test_ctrl_c_ends_cleanly_and_prints_how_to_go_on(tmp_path):
    run = tmp_path / "run"
    process = _start(run, tmp_path / "cache", "logger=none", "phases.frozen.epochs=5000")
    for line in process.stderr:
        if "epoch 1/5000" in line:
            break
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(60) == 130
    assert f"python -m dermasense.train resume={run}" in rest
    assert "Traceback" not in rest


def test_a_cut_run_goes_on_where_the_model_that_it_began_with_is_gone(
    command, here, tmp_path, monkeypatch
):
    words = [*TINY, "phases=full_lite", "phases.full.epochs=2", "logger=none"]
    words += ["report.images=false", "checkpoint.every_n_steps=1"]
    assert command("out=former", *words)[0] == 0
    assert command("out=whole", *words, "weights=former")[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr(LesionClassifier, "on_validation_epoch_end", interrupted)
        assert command("out=cut", *words, "weights=former")[0] == 130
    (here / "former").rename(here / "moved")
    monkeypatch.chdir(tmp_path)
    code, _, err = command(f"resume={here / 'cut'}")
    assert code == 0, err
    for name in ("history.csv", "predictions_test.parquet", "bundle/model.safetensors"):
        assert (here / "cut" / name).read_bytes() == (here / "whole" / name).read_bytes(), name
    made, whole = (
        json.loads((here / run / "bundle" / "model.json").read_text()) for run in ("cut", "whole")
    )
    assert made["weights_provenance"] == whole["weights_provenance"]
    assert made["weights_provenance"]["head"] == "The head of weights=former comes along."
    assert not (here / "cut" / "checkpoints" / "start").exists()


def interrupted(*_):
    raise KeyboardInterrupt
