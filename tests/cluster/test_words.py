"""`launcher=` as a person types it: what it means, and what is refused before anything starts."""

import functools
import sys

import pytest

from dermasense import cross_validate, evaluate, predict, train
from dermasense.cluster.ray_cluster import Cluster
from dermasense.cluster.words import launcher_name, launcher_word, launcher_words
from dermasense.errors import DermaSenseError
from dermasense.hydra_errors import explain
from tests.fakes import TINY


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("launcher=ray", "hydra/launcher=ray"),
        ("launcher.cpus=2", "hydra.launcher.cpus=2"),
        ("hydra/launcher=ray", "hydra/launcher=ray"),
        ("name=launcher", "name=launcher"),
        ("launchers=3", "launchers=3"),
    ],
)
def test_launcher_is_the_same_word_in_every_command(word, meant):
    assert launcher_word(word) == meant


def test_the_last_choice_counts_and_basic_is_none():
    words = ["seed=1", "hydra/launcher=ray", "hydra.launcher.cpus=2"]
    assert launcher_words(words) == words[1:] and launcher_name(words) == "ray"
    assert launcher_name([*words, "hydra/launcher=basic"]) is None


@pytest.mark.parametrize(
    ("module", "words", "said"),
    [
        (train, [], "launcher=ray: train has nothing to launch here; add --multirun"),
        (evaluate, ["predictions=x"], "launcher=ray: evaluate has nothing to launch here"),
        (train, ["--multirun", "launcher=rai"], "hydra/launcher=rai is no choice; did you mean"),
        (train, ["--multirun", "launcher.cpu=1"], "cpu"),
        (train, ["--multirun", "launcher.cpus=0"], "launcher.cpus=0: expected a number > 0"),
        (predict, ["images=x", "launcher=submitit_local"], "predict takes launcher=ray, or none"),
        (
            predict,
            ["images=x", "launcher.restarts=-1"],
            "launcher.restarts=-1: expected",
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_2(
    call_command, here, tmp_path, monkeypatch, module, words, said
):
    drawn = [*TINY, f"hydra.sweep.dir={tmp_path}"] if module is train else []
    code, _, err = call_command(module, "launcher=ray", *words, *drawn)
    assert code == 2 and said in err and "Traceback" not in err
    assert not (tmp_path / "here" / "outputs").exists()


@pytest.mark.parametrize("module", [train, predict, cross_validate])
def test_without_ray_the_command_says_what_to_install(
    call_command, here, tmp_path, monkeypatch, module
):
    monkeypatch.setitem(sys.modules, "ray", None)
    words = {
        train: ["--multirun", *TINY, f"hydra.sweep.dir={tmp_path / 's'}"],
        cross_validate: [*TINY, "folds=2", f"hydra.run.dir={tmp_path / 'cv'}"],
        predict: ["images=.", "bundle={bundle}"],
    }[module]
    if module is predict:
        picture_and_bundle(here, tmp_path, monkeypatch)
        words[1] = f"bundle={tmp_path / 'bundle'}"
    code, _, err = call_command(module, "launcher=ray", *words)
    assert code == 2 and "pip install 'dermasense[scale]'" in err and "Traceback" not in err


def picture_and_bundle(here, tmp_path, monkeypatch):
    from tests.fakes import noise, stub_backbone
    from tests.inference.tiny_bundle import tiny_bundle

    monkeypatch.setattr("timm.create_model", stub_backbone)
    noise(here / "1.png", seed=0)
    tiny_bundle(tmp_path / "bundle")


def test_without_submitit_the_command_says_what_to_install(call_command, here, tmp_path):
    words = ["--multirun", *TINY, f"hydra.sweep.dir={tmp_path / 's'}", "launcher=submitit_local"]
    absent = "launcher._target_=hydra_plugins.absent.Launcher"
    code, _, err = call_command(train, *words, absent)
    assert code == 2 and "hydra_plugins.absent.Launcher is not installed" in err
    assert "pip install 'dermasense[scale]'" in err


def test_a_job_of_submitit_that_was_killed_is_a_sentence():
    lost = type("UncompletedJobError", (RuntimeError,), {"__module__": "submitit.core.utils"})
    sentence = explain(lost("Job 7 has not produced any output\nmore"), "conf", "train", [])
    assert "Job 7 has not produced any output" in sentence and "hydra.sweep.dir=" in sentence


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cpus": True}, "launcher.cpus=True"),
        ({"gpus": -1}, "launcher.gpus=-1"),
        ({"num_cpus": 1.5}, "launcher.num_cpus=1.5: expected an integer >= 1, or null"),
        ({"adress": "auto"}, "launcher.adress is no option; did you mean 'address'?"),
    ],
)
def test_an_option_of_no_use_is_named(options, said):
    with pytest.raises(DermaSenseError, match=said):
        Cluster.of(options)


def test_a_job_that_no_machine_can_hold_is_refused():
    nodes = [
        {"Alive": True, "Resources": {"CPU": 2.0}},
        {"Alive": False, "Resources": {"CPU": 64.0}},
    ]
    with pytest.raises(DermaSenseError, match=r"launcher.cpus=3: .* has 2 CPUs"):
        Cluster(cpus=3)._check_size(nodes)
    with pytest.raises(DermaSenseError, match=r"launcher.gpus=1: .* has 0 GPUs"):
        Cluster(gpus=1)._check_size(nodes)


def test_a_sweep_that_is_started_again_trains_nothing_twice(command, tmp_path, monkeypatch):
    """What a launcher relies on that starts a trial again, and a person who types it again."""
    from dermasense import experiment
    from dermasense.files import read_json

    trained, once, dying = [], experiment.run_experiment, {"1"}

    def run_experiment(settings, run, **options):
        trained.append(run.path.name)
        if run.path.name in dying:
            raise KeyboardInterrupt
        return once(settings, run, **options)

    monkeypatch.setattr(experiment, "run_experiment", run_experiment)
    small = [*TINY, "limit_epochs=1", "logger=none", "~phases.finetune", "report.images=false"]
    sweep = functools.partial(command, "--multirun", *small, f"hydra.sweep.dir={tmp_path / 's'}")
    assert sweep("seed=0,1")[0] == 130
    before = (tmp_path / "s" / "0" / "finished.json").stat().st_mtime_ns
    dying.clear()
    code, _, err = sweep("seed=0,1")
    assert code == 0, err
    assert trained == ["0", "1", "1"]
    assert (tmp_path / "s" / "0" / "finished.json").stat().st_mtime_ns == before
    made = read_json(tmp_path / "s" / "1" / "environment.json")["command"]
    assert made.startswith("python -m dermasense.train ") and made.endswith(" seed=1")
    assert "--multirun" not in made
    code, _, err = sweep("seed=5,1")  # another trial does not go on in the folder of the first
    assert code == 2 and "holds a sweep that differs in words" in err
