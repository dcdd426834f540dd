"""The runs command: every folder is listed whatever its state, and cleaning takes nothing else."""

import csv
import functools
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from dermasense import runs
from dermasense.files import write_json, write_text
from dermasense.hydra_errors import compose_or_explain
from dermasense.run_index.found import find_runs


@pytest.fixture
def command(run_command):
    return functools.partial(run_command, runs)


def begun(path: Path, data="ham10000", backbone="tf_efficientnet_lite0", gamma=2.0) -> Path:
    """A run that has begun, as its files tell it."""
    settings = {"name": "quick", "data": {"name": data}, "model": {"backbone": backbone}}
    settings |= {"loss": {"name": "focal", "gamma": gamma}, "seed": 0}
    write_text(path / "config.yaml", json.dumps(settings))
    write_json(path / "environment.json", {"overrides": []})
    return path


def finished(path: Path, top1: float, protocol="grouped", **options) -> Path:
    begun(path, **options)
    split = {"n": 30, "top1": top1, "balanced_accuracy": top1 - 0.1, "macro_f1": None}
    split |= {"confusion_matrix": [[1]], "protocol": protocol}
    write_json(path / "metrics.json", {"protocol": protocol, "val": split, "test": split})
    write_json(path / "finished.json", {"seconds": 5.0, "best": {"score": top1 - 0.1}})
    return path


@pytest.fixture
def root(tmp_path):
    """A run in every state."""
    root = tmp_path / "outputs"
    finished(root / "quick" / "2026-01-02_03-04-05", 0.9)
    finished(root / "quick" / "2026-01-03_03-04-05", 0.7, "leaky (image-level split)", gamma=0.0)
    finished(root / "other" / "2026-01-01_00-00-00", 0.8, data="synthetic")
    begun(root / "quick" / "2026-01-04_00-00-00")
    sweep = root / "quick" / "sweep_2026-01-05_00-00-00"
    write_text(sweep / "multirun.yaml", "{}")
    finished(sweep / "0", 0.5)
    write_text(sweep / "1" / ".hydra" / "overrides.yaml", "[loss.gamma=-1]")
    write_json(sweep / "1" / "failed.json", {"reason": "loss.gamma=-1 must be 0 or more"})
    write_json(begun(sweep / "2") / "pruned.json", {"reason": "stopped"})
    write_text(root / "cache" / "store" / "pixels.npy", "x" * 1000)
    write_text(root / "audit" / "report.html", "no run")
    return root


def listed(command, tmp_path, *words: str) -> list[dict]:
    code, _, err = command(*words, f"csv={tmp_path / 'runs.csv'}")
    assert code == 0, err
    with open(tmp_path / "runs.csv", newline="") as handle:
        return list(csv.DictReader(handle))


def test_every_run_is_listed_newest_first_with_its_state(command, root, tmp_path):
    code, out, err = command(f"root={root}", f"json={tmp_path / 'runs.json'}")
    assert code == 0, err
    rows = json.loads((tmp_path / "runs.json").read_text())
    states = {row["run"]: row["state"] for row in rows}
    assert states == {
        "quick/2026-01-02_03-04-05": "finished",
        "quick/2026-01-03_03-04-05": "finished",
        "other/2026-01-01_00-00-00": "finished",
        "quick/2026-01-04_00-00-00": "unfinished",
        "quick/sweep_2026-01-05_00-00-00/0": "finished",
        "quick/sweep_2026-01-05_00-00-00/1": "failed",
        "quick/sweep_2026-01-05_00-00-00/2": "pruned",
    }
    times = [row["time"] for row in rows]
    assert times == sorted(times, reverse=True) and times[-1] == "2026-01-01 00:00:00"
    assert "loss.gamma=-1 must be 0 or more" in out and "7 of 7 runs" in out
    leaky = next(line for line in out.splitlines() if "2026-01-03" in line)
    assert leaky.endswith("leaky") and " 30 " in leaky
    assert "these numbers are too high" in out


def test_a_whole_cross_validation_and_an_ensemble_have_rows(command, root, tmp_path):
    folds = root / "quick" / "cv_2026-01-06_00-00-00"
    settings = {"name": "quick", "data": {"name": "ham10000"}, "model": {"backbone": "b"}}
    write_json(folds / "cross_validation.json", {"settings": settings})
    finished(folds / "fold_0", 0.6)
    both = root / "ensemble" / "2026-01-07_00-00-00"
    write_json(both / "bundle" / "ensemble.json", {})
    judged = {"protocol": "grouped, out-of-fold", "n": 90}
    judged["top1"] = {"value": 0.65, "low": 0.6, "high": 0.7, "n": 90}
    for place in (folds, both):
        write_json(place / "metrics.json", judged)
    rows = {row["kind"]: row for row in listed(command, tmp_path, f"root={root}")}
    assert rows["fold"]["run"].endswith("fold_0") and rows["trial"]["run"].count("/") == 2
    for kind in ("cv", "ensemble"):
        assert (rows[kind]["state"], rows[kind]["test_top1"]) == ("finished", "0.65")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("config.yaml", "name: [quick", "config.yaml is damaged: no YAML"),
        ("config.yaml", "", "config.yaml holds no options"),
        ("config.yaml", "{name: quick}", "KeyError: 'data'"),
        ("metrics.json", '{"val": {', "metrics.json is damaged: no JSON"),
        ("finished.json", "", "finished.json is damaged: no JSON"),
    ],
)
def test_a_damaged_run_is_listed_with_the_reason(command, root, tmp_path, name, text, reason):
    (root / "quick" / "2026-01-02_03-04-05" / name).write_text(text)
    rows = listed(command, tmp_path, f"root={root}", "filter=state=damaged")
    assert [row["run"] for row in rows] == ["quick/2026-01-02_03-04-05"]
    assert reason in rows[0]["reason"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["filter=data=ham10000,top1>0.6", "sort=-top1"], ["03-04-05", "03-04-05"]),
        (["filter=top1>=0.7,leaky=false", "sort=top1"], ["00-00-00", "03-04-05"]),
        (["filter=loss.gamma=0"], ["2026-01-03_03-04-05"]),
        (["filter=run=quick/*,kind!=trial,state=unfinished|pruned"], ["2026-01-04_00-00-00"]),
        (["filter=time<2026-01-02"], ["other/2026-01-01_00-00-00"]),
        (["filter=val_top1 < 0.6"], ["sweep_2026-01-05_00-00-00/0"]),
        (["filter=state=damaged"], []),
    ],
)
def test_filter_and_sort(command, root, tmp_path, words, found):
    rows = listed(command, tmp_path, f"root={root}", *words)
    assert len(rows) == len(found)
    assert all(row["run"].endswith(end) for row, end in zip(rows, found, strict=True))


def test_runs_without_the_key_of_the_order_come_last(command, root, tmp_path):
    rows = listed(command, tmp_path, f"root={root}", "sort=-test_top1")
    assert [row["test_top1"] for row in rows] == ["0.9", "0.8", "0.7", "0.5", "", "", ""]


def test_two_runs_side_by_side(command, root):
    code, out, err = command(f"root={root}", "compare=2026-01-02_03-04-05,2026-01-03_03-04-05")
    assert code == 0, err
    option = next(line for line in out.splitlines() if line.startswith("loss.gamma"))
    assert option.split() == ["loss.gamma", "2.0", "0.0"]
    metric = next(line for line in out.splitlines() if line.startswith("test top1"))
    assert metric.split() == ["test", "top1", "0.900", "0.700"]
    assert "backbone" not in out
    assert "do not compare" in out and "leaky" in out


def test_cleaning_says_what_would_go_and_waits_for_yes(command, root):
    code, out, _ = command(f"root={root}", "clean=unfinished,failed")
    assert code == 0 and "2 folders would go; add yes=true" in out
    assert "2026-01-04_00-00-00" in out and "loss.gamma=-1 must be 0 or more" in out
    gone = [root / "quick" / "2026-01-04_00-00-00", root / "quick/sweep_2026-01-05_00-00-00/1"]
    assert all(path.exists() for path in gone)
    before = {path for path in root.rglob("*") if not any(path.is_relative_to(g) for g in gone)}
    code, out, _ = command(f"root={root}", "clean=unfinished,failed", "yes=true")
    assert code == 0 and "2 folders are deleted" in out
    assert set(root.rglob("*")) == before


def test_cleaning_keeps_to_the_filter(command, root):
    command(f"root={root}", "clean=unfinished,failed", "filter=kind=trial", "yes=true")
    assert (root / "quick" / "2026-01-04_00-00-00").exists()
    assert not (root / "quick/sweep_2026-01-05_00-00-00/1").exists()


@pytest.mark.parametrize(
    "files",
    [
        ["checkpoints/vit.ckpt", "thesis.txt"],
        [".hydra/config.yaml", "main.log", "notes.txt"],
        [".hydra/overrides.yaml", "train.log"],  # another project's train.py
        ["bundle/parts.txt", "metrics.json"],
        ["config.yaml", "checkpoints/vit.ckpt"],
    ],
)
def test_what_is_no_run_of_ours_is_not_cleaned(command, root, files):
    for name in files:
        write_text(root / "backup" / name, "{name: a, data: {name: b}, model: {backbone: c}}")
    code, out, _ = command(f"root={root}", "clean=unfinished,failed", "yes=true")
    assert code == 0 and "2 folders are deleted" in out
    assert all((root / "backup" / name).exists() for name in files)


def test_what_was_cut_before_it_began_is_cleaned(command, root):
    for name in (".lock", ".hydra/config.yaml", "cross_validate.log"):
        write_text(root / "quick" / "cv_2026-01-08_00-00-00" / name, "")
    code, out, _ = command(f"root={root}", "clean=failed", "yes=true")
    assert code == 0 and "cut before it began" in out and "2 folders are deleted" in out


def test_links_are_not_followed(command, root, tmp_path):
    outside = begun(tmp_path / "outside" / "run")
    (root / "quick" / "link").symlink_to(outside)
    (root / "linked").symlink_to(tmp_path / "outside")
    inside = root / "quick" / "2026-01-04_00-00-00"
    (inside / "data").symlink_to(outside)
    code, out, _ = command(f"root={root}", "clean=unfinished,failed", "yes=true")
    assert code == 0 and "2 folders are deleted" in out
    assert (outside / "config.yaml").exists() and not inside.exists()
    (tmp_path / "elsewhere").mkdir()
    (root / "cache").rename(tmp_path / "elsewhere" / "cache")
    (root / "cache").symlink_to(tmp_path / "elsewhere" / "cache")
    code, out, _ = command(f"root={root}", "clean=caches", "yes=true")
    assert code == 0 and "nothing to clean" in out
    assert (tmp_path / "elsewhere" / "cache" / "store" / "pixels.npy").exists()


def test_a_run_that_a_process_is_at_work_in_stays(command, root, tmp_path):
    path = root / "quick" / "2026-01-04_00-00-00"
    script = (
        "import sys, pathlib; from dermasense.run_folder import RunFolder\n"
        "with RunFolder(pathlib.Path(sys.argv[1])).held():\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "held\n"
        rows = listed(command, tmp_path, f"root={root}", "filter=state=running")
        assert [row["run"] for row in rows] == ["quick/2026-01-04_00-00-00"]
        code, out, _ = command(f"root={root}", "clean=unfinished", "yes=true")
        assert code == 0 and "nothing to clean" in out and path.exists()
        code, _, err = command(f"root={root}", "clean=caches", "yes=true")
        assert code == 2 and "is at work" in err and (root / "cache").exists()
        words = ["filter=state=failed", "clean=caches", "yes=true"]  # the list has no running one
        code, _, err = command(f"root={root}", *words)
        assert code == 2 and "is at work" in err and (root / "cache").exists()
    finally:
        holder.communicate("")
    code, out, _ = command(f"root={root}", "clean=caches", "yes=true")
    assert code == 0 and not (root / "cache").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["root=/nowhere"], "root=/nowhere: no such folder"),
        (["filter=top1"], "'top1' cannot be read"),
        (["filter=topp1>0.5"], "no run has topp1; did you mean 'top1'"),
        (["sort=-bal_accuracy"], "no run has bal_accuracy; did you mean 'balanced_accuracy'"),
        (["compare=a"], "two runs are needed, and 1 are named"),
        (["compare=a,b"], "compare: no run a"),
        (["clean=everything"], "clean=everything is unknown"),
        (["compare=2026-01-02_03-04-05,0"], None),
        (["yess=true"], "did you mean 'yes'"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_2(command, root, words, sentence):
    code, _, err = command(*([] if words[0].startswith("root") else [f"root={root}"]), *words)
    if sentence is None:
        assert code == 0, err
    else:
        assert code == 2 and sentence in err and "Traceback" not in err


def test_two_hundred_runs_take_less_than_a_second(tmp_path):
    settings = OmegaConf.to_container(compose_or_explain("train", []), resolve=True)
    text = yaml.safe_dump(settings)
    for number in range(200):
        path = finished(tmp_path / "quick" / str(number), 0.5)
        (path / "config.yaml").write_text(text)
    began = time.process_time()
    rows = find_runs(tmp_path)
    assert time.process_time() - began < 1
    assert len(rows) == 200 and {row["data"] for row in rows} == {"synthetic"}


def test_listing_imports_nothing_heavy():
    heavy = "{'torch', 'pandas', 'sklearn', 'lightning', 'optuna', 'matplotlib'} & set(sys.modules)"
    script = f"import sys, dermasense.run_index.found, dermasense.run_index.showing; print({heavy})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr


def test_a_folder_of_runs_is_not_touched_by_listing(root):
    before = sorted(root.rglob("*"))
    find_runs(root)
    assert sorted(root.rglob("*")) == before
