"""The measuring scripts run, with settings so tiny that their numbers mean nothing."""

import csv
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from dermasense.evaluation.predictions import read_predictions, write_predictions
from dermasense.files import write_json

METRICS = ("top1", "recall/nv")
BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def rows(path: Path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.slow
def test_one_command_measures_a_gpu(tmp_path):
    environment = os.environ | {"PYTHON": sys.executable}
    command = ["bash", BENCHMARKS / "gpu.sh", "--tiny", "--results", tmp_path / "gpu.csv"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {row["arm"]: float(row["ratio"]) for row in rows(tmp_path / "gpu.csv")}
    assert found["step"] == 1 and set(found) >= {"loader", "device", "bare", "timm", "inference"}


@pytest.mark.slow
def test_a_ratio_that_fell_by_more_than_a_third_fails_the_check(tmp_path, monkeypatch, capsys):
    import steps

    path = tmp_path / "steps.csv"
    tiny = ["--image-size", "32", "--batch-size", "2", "--steps", "2", "--repeats", "1"]
    known, measure = [], steps.measure

    def once(*arguments) -> list[dict]:
        if not known:
            known.extend(measure(*arguments))
        return known

    monkeypatch.setattr(steps, "measure", once)
    monkeypatch.setattr(steps, "resolve_precision", lambda *_: "bf16-mixed")  # or two rows fewer

    def run(*more: str) -> None:
        command = ["steps.py", *tiny, "--results", str(path), *more]
        monkeypatch.setattr(sys, "argv", command)
        steps.main()

    run()
    measured = rows(path)
    assert len(measured) == 7 and all(float(row["ratio"]) > 0 for row in measured)
    text = path.read_text()
    for row in measured:  # ratios that no machine reaches
        text = text.replace(f",{row['ratio']},", f",{1000 * float(row['ratio'])},", 1)
    path.write_text(text)
    with pytest.raises(SystemExit) as end:
        run("--check")
    assert end.value.code == 1 and capsys.readouterr().out.count("slower:") == 7


def test_the_cost_of_a_command_counts_what_its_children_take(tmp_path, monkeypatch):
    from costs import cost_of

    code = "import time\nkept = bytearray(200 * 2**20)\nend = time.process_time() + 0.5\n"
    code += "while time.process_time() < end: pass\n"
    (tmp_path / "child.py").write_text(code)
    (tmp_path / "parent.py").write_text(
        "import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'child'], check=True)\n"
    )
    (tmp_path / "broken.py").write_text("raise SystemExit('no room left')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    cost = cost_of("parent")
    assert cost.cpu_seconds > 0.5 and 200 < cost.peak_anonymous_mib < 300
    with pytest.raises(SystemExit, match="no room left"):
        cost_of("broken")


@pytest.mark.slow
def test_a_sweep_of_heads_is_measured_beside_an_ordinary_run(tmp_path, monkeypatch):
    from head_sweep import measure

    words = ["data=synthetic", "data.n_lesions=60", "data.image_px=40", "model.image_size=32"]
    words += ["phases.frozen.epochs=2", "num_workers=0", "weights=none"]
    row = measure(words, {"phases.frozen.lr": "1e-3,1e-2"}, 1, tmp_path)
    assert row["trials"] == 2 and row["epochs"] == 2 and row["activations_mb"] >= 0
    assert row["speedup"] == pytest.approx(2 * row["ordinary_seconds"] / row["sweep_seconds"], 0.1)


def test_a_repeated_catalog_has_files_and_lesions_of_its_own_in_each_copy(tmp_path):
    import pandas as pd
    from scale import repeated

    table = "lesion_id,image_id,dx\n" + "".join(
        f"L{n // 2},I{n},{'ab'[n % 2]}\n" for n in range(40)
    )
    (tmp_path / "HAM10000_metadata.csv").write_text(table)
    (tmp_path / "images").mkdir()
    for n in range(40):
        (tmp_path / "images" / f"I{n}.jpg").write_bytes(bytes([n]))
    for times, rows in ((3, 120), (0.03, 20)):
        work = tmp_path / str(rows)
        work.mkdir()
        assert repeated(tmp_path, times, work / "labels.csv") == rows
        made = pd.read_csv(work / "labels.csv")
        assert made["image_id"].is_unique and made["group"].nunique() == rows / 2
        assert made["path"].is_unique and all((work / path).is_file() for path in made["path"])


@pytest.mark.parametrize("side", [160, 192])
def test_two_looks_cost_what_the_one_beside_them_costs(side):
    import multiscale
    from network_costs import built, gflops

    costs = {name: gflops(*built(*made)) for name, made in multiscale.networks(side).items()}
    assert costs["concat"] == pytest.approx(costs["plain"], rel=0.05)
    assert costs["mean"] == pytest.approx(costs["plain"], rel=0.05)


def test_the_pictures_of_timm_s_script_are_ours(tmp_path):
    import timm_script

    from tests.fakes import fake_ham

    root = fake_ham(tmp_path / "ham")
    timm_script.lay_out(root, 30, tmp_path / "data")
    files = list((tmp_path / "data" / "train").glob("*/*.jpg"))
    assert len(files) == 30 and all(file.resolve().is_file() for file in files)
    assert list((tmp_path / "data" / "validation").glob("*/*.jpg"))


def test_a_test_that_fails_in_its_teardown_alone_has_failed():
    from flaky import outcomes

    report = ElementTree.fromstring(
        """<suite>
        <testcase classname="a" name="good"/>
        <testcase classname="a" name="bad"><failure/></testcase>
        <testcase classname="a" name="left_out"><skipped/></testcase>
        <testcase classname="a" name="late"/>
        <testcase classname="a" name="late"><error/></testcase>
        <testcase classname="b" name="late"/>
        </suite>"""
    )
    assert outcomes(report) == {
        "a::good": "passed",
        "a::bad": "failed",
        "a::left_out": "skipped",
        "a::late": "failed",
        "b::late": "passed",
    }


def test_repeats_go_on_behind_those_that_stand_and_one_failure_is_the_end(tmp_path, monkeypatch):
    import flaky

    asked = []

    def repeat(seed: int, processes: int, words: list[str]) -> dict:
        asked.append((seed, words))
        return {"repeat": seed, "passed": 5, "failed": int(seed == 1)}

    monkeypatch.setattr(flaky, "repeat", repeat)
    results = tmp_path / "flaky.csv"
    ends = []
    for repeats, marks in (("1", "slow"), ("1", "not slow"), ("3", "not slow"), ("3", "not slow")):
        words = ["flaky.py", "--repeats", repeats, "--results", str(results), "-m", marks]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as end:
            flaky.main()
        ends.append(end.value.code)
    assert ends == [0, 0, 1, 1]
    assert asked == [(0, ["-m", "slow"]), *((seed, ["-m", "not slow"]) for seed in range(3))]
    assert [row["failed"] for row in rows(results)] == ["0", "0", "1", "0"]


def test_rows_of_an_external_test_stand_beside_those_of_other_models(tmp_path, monkeypatch):
    import external

    def of(value: float, n: int) -> dict:
        cells = {"value": value, "low": value - 0.1, "high": value + 0.1, "n": n}
        return {"top1": cells, "per_class": {"nv": {"recall": cells}}}

    change = {"value": -0.2, "low": -0.3, "high": -0.1}
    found = {"protocol": "external (isic2018)", "calibrated": True, **of(0.6, 9)}
    found["internal"] = of(0.8, 5)
    write_json(tmp_path / "metrics.json", found | {"change": dict.fromkeys(METRICS, change)})
    for name, views in (("a", "none"), ("a", "flips"), ("b", "none"), ("a", "none")):
        words = ["external.py", "folder/bundle", str(tmp_path), "--experiment", name]
        words += ["--dataset", "d", "--internal", "t", "--views", views]
        words += ["--table", str(tmp_path / "external.csv")]
        monkeypatch.setattr(sys, "argv", words)
        external.main()
    told = rows(tmp_path / "external.csv")
    kinds = [(row["experiment"], row["views"], row["metric"]) for row in told]
    order = [("a", "flips"), ("b", "none"), ("a", "none")]
    assert kinds == [(*each, metric) for each in order for metric in METRICS]
    assert {(row["external"], row["change"], row["n"], row["n_internal"]) for row in told} == {
        ("0.6", "-0.2", "9", "5")
    }
    said = "bundle=a data=isic2018 data.root=DIR tta.views=flips calibrated=true internal=t"
    assert told[0]["command"].endswith(said) and told[0]["dataset"] == "d"
    assert not (tmp_path / "predictions").exists()  # the logits are not what was judged
    found |= {"calibrated": False, "change": dict.fromkeys(METRICS, change)}
    write_json(tmp_path / "metrics.json", found)
    frame = pd.DataFrame({"image_id": ["i", "j"], "group": ["g", "h"], "label": ["nv", "mel"]})
    write_predictions(tmp_path / "predictions.parquet", frame, np.eye(2), ("nv", "mel"))
    external.main()
    kept = read_predictions(tmp_path / "predictions" / "isic2018_a.parquet")
    assert kept.frame["image_id"].tolist() == ["i", "j"]
    write_json(tmp_path / "metrics.json", {"protocol": "external (isic2018)"})
    with pytest.raises(SystemExit, match="nothing to set beside"):
        external.main()


def test_rows_of_another_run_stay_and_those_of_the_same_give_way(tmp_path):
    from result_rows import write_beside

    path, columns = tmp_path / "t.csv", ["name", "side", "seconds"]
    for seconds, sides in ((1, (96, 144)), (2, (144, 200))):
        found = [{"name": "a", "side": side, "seconds": seconds} for side in sides]
        write_beside(path, found, columns, same=("name", "side"))
    assert [(row["side"], row["seconds"]) for row in rows(path)] == [
        ("96", "1"), ("144", "2"), ("200", "2"),
    ]  # fmt: skip
