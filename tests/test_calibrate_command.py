"""The calibrate and decide commands as a person meets them."""

import functools
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.special import softmax

from dermasense import calibrate, decide
from dermasense.errors import DermaSenseError
from dermasense.evaluation.calibration import CALIBRATORS, build_calibrator, restore_calibrator
from dermasense.evaluation.decisions import restore
from dermasense.evaluation.pair import read_pair
from dermasense.evaluation.predictions import read_predictions, write_predictions
from dermasense.evaluation.protocol import LEAKY
from dermasense.files import read_json, write_json, write_text
from dermasense.models.bundle import load_bundle
from dermasense.models.settings import write_settings
from tests.fakes import HAM_CLASSES, stub_backbone
from tests.inference.tiny_bundle import tiny_bundle
from tests.reporting.run_on_disk import run_folder, table

REFERRAL = {"name": "referral", "class_names": list(HAM_CLASSES), "threshold": 0.5}


@pytest.fixture
def tune(run_command):
    return functools.partial(run_command, calibrate)


@pytest.fixture
def choose(run_command):
    return functools.partial(run_command, decide)


@pytest.fixture
def run(tmp_path):
    """More than twice as sure as it should be, with a bundle that names its classes."""
    run = run_folder(tmp_path / "run")
    for split, seed in (("val", 1), ("test", 2)):
        each = table(n_lesions=420, seed=seed, gain=2.5)
        frame = each.frame.assign(
            image_id=split + each.frame["image_id"], group=split + each.frame["group"]
        )
        write_predictions(run.predictions(split), frame, 6 * each.logits, each.class_names)
    contract = {
        "schema_version": 1, "backbone": "b", "head": {}, "num_classes": 7,
        "class_names": list(HAM_CLASSES), "input": {}, "temperature": 1.0, "sha256": "abc",
        "ood": {"n": 50, "false_alarms": 0.01}, "decision": {"refer": REFERRAL},
    }  # fmt: skip
    write_json(run.bundle / "model.json", contract)
    return run


def test_calibrate_mends_what_was_wrong_and_tells_the_bundle(tune, run):
    (run.bundle / "MODEL_CARD.md").write_text("# A model\n\n## Limits\n\n- many\n")
    code, out, err = tune(f"run={run.path}", "resamples=200")
    assert code == 0, err
    found = read_json(run.path / "calibration" / "calibration.json")
    card = (run.bundle / "MODEL_CARD.md").read_text()
    assert f"temperature, value {found['fitted']['value']:.4g}, fitted on 840 images" in card
    assert card.endswith("\n\n## Limits\n\n- many\n")
    test = read_predictions(run.predictions("test"))
    fitted = build_calibrator("temperature").fit(read_predictions(run.predictions("val")))
    assert found["fitted"]["value"] == fitted.value and 1.5 < fitted.value < 3
    assert found["change"]["nll"]["high"] < 0 and found["change"]["ece"]["high"] < 0
    nll = -np.log(softmax(test.logits, axis=1)[np.arange(len(test)), test.labels]).mean()
    assert found["before"]["nll"]["value"] == pytest.approx(nll, abs=1e-6)
    assert found["change"]["top1"]["value"] == 0 == found["answers_changed"]["value"]
    model = read_json(run.bundle / "model.json")
    assert model["temperature"] == fitted.value == model["calibration"]["value"]
    assert model["ood"]["n"] == 50 and model["sha256"] == "abc"
    assert "decision" not in model and "fit them again" in out
    for words in ("cannot mend", "not a medical device", "NLL", "protocol: grouped"):
        assert words in out
    for name in ("reliability.html", "reliability_before.svg", "reliability_after.svg"):
        assert (run.path / "calibration" / name).stat().st_size > 1000
    page = (run.path / "calibration" / "reliability.html").read_text()
    assert "http:" not in page.replace("http://www.w3.org", "") and "<script" not in page


def test_it_says_so_where_test_images_are_worse_off(tune, run):
    said = "the NLL is worse after than before"
    assert said not in tune(f"run={run.path}", "resamples=200")[1]
    test = read_predictions(run.predictions("test"))
    modest = test.logits / 6
    write_predictions(run.predictions("test"), test.frame, modest, test.class_names)
    code, out, err = tune(f"run={run.path}", "resamples=200")
    assert code == 0, err
    assert said in out
    assert said in (run.path / "calibration" / "reliability.html").read_text()


@pytest.mark.parametrize("method", sorted(CALIBRATORS))
def test_each_method_by_two_tables_and_back_from_json(tune, run, tmp_path, method):
    words = [f"val={run.predictions('val')}", f"test={run.predictions('test')}"]
    code, _, err = tune(*words, f"method={method}", f"out={tmp_path / 'o (1)'}", "resamples=100")
    assert code == 0, err
    entry = read_json(tmp_path / "o (1)" / "calibration.json")["fitted"]
    test = read_predictions(run.predictions("test"))
    fitted = build_calibrator(method).fit(read_predictions(run.predictions("val")))
    again = restore_calibrator(json.loads(json.dumps(entry)), test.class_names)
    np.testing.assert_allclose(again.apply(test).logits, fitted.apply(test).logits)
    assert "calibration" not in read_json(run.bundle / "model.json")  # tables alone: no bundle


def test_a_class_that_validation_lacks_is_named(tune, run):
    val = read_predictions(run.predictions("val"))
    rest = val.rows(val.frame["label"].to_numpy() != "df")
    write_predictions(run.predictions("val"), rest.frame, rest.logits, rest.class_names)
    code, out, err = tune(f"run={run.path}", "method=vector", "resamples=100")
    assert code == 0, err
    for text in (out, (run.path / "calibration" / "reliability.html").read_text()):
        assert "Validation has no image of df: nothing is fitted for it" in text
    assert read_json(run.bundle / "model.json")["calibration"]["absent"] == ["df"]


def test_decisions_stand_on_the_calibration_and_gather_in_the_bundle(tune, choose, run):
    (run.bundle / "MODEL_CARD.md").write_text("# A model\n\n## Limits\n")
    assert tune(f"run={run.path}", "resamples=100")[0] == 0
    for words in (["decision=lac", "alpha=.2"], ["decision=referral"]):
        code, out, err = choose(f"run={run.path}", *words, "resamples=100")
        assert code == 0, err
    model, found = (
        read_json(path)
        for path in (run.bundle / "model.json", run.path / "decisions" / "decisions.json")
    )
    assert set(found) == {"lac", "referral"} and set(model["decision"]) == {"set", "refer"}
    assert "that of the bundle" in out and "accuracy without referral" in out
    lac = restore(model["decision"]["set"])
    assert lac.alpha == 0.2 and lac.class_names == HAM_CLASSES
    test = read_predictions(run.predictions("test"))
    members = lac.apply(test.logits / model["temperature"])
    share = members[np.arange(len(test)), test.labels].mean()
    assert share == pytest.approx(found["lac"]["judged"]["coverage"]["value"])  # two images each
    assert choose(f"run={run.path}", "decision=aps", "resamples=100")[0] == 0
    assert read_json(run.bundle / "model.json")["decision"]["set"]["name"] == "aps"
    card = (run.bundle / "MODEL_CARD.md").read_text()
    assert "(aps: alpha 0.1, " in card and "(lac: " not in card and "(referral: " in card


@pytest.mark.parametrize(("method", "numbers"), [("vector", 14), ("prior_shift", 7)])
def test_a_calibration_of_many_numbers_takes_from_what_sets_and_alarms_promise(
    tune, choose, run, method, numbers
):
    words, said = [f"run={run.path}", "resamples=100"], "less often than asked for"
    code, out, _ = tune(*words, f"method={method}")
    assert code == 0 and "fall somewhat short of what they promise" in out
    for decision in ("lac", "class_conditional", "risk_control"):
        code, out, err = choose(*words, f"decision={decision}")
        assert code == 0, err
        assert f"the {numbers} numbers of this calibration" in out and said in out
    assert said not in choose(*words, "decision=referral")[1]  # which promises nothing
    assert tune(*words)[0] == 0 and said not in choose(*words, "decision=lac")[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run={run}", "method=platt"], "No calibrator platt"),
        ([], "run= is needed"),
        (["run={run}", "val=a.parquet"], "run= is needed"),
        (["val={val}", "test={val}"], "both hold the image"),
        (["run={run}/nowhere"], "no such file or folder"),
        (["run={run}", "resamples=10"], "expected an integer >= 100"),
        (["run={run}", "methd=vector"], "did you mean 'method'"),
    ],
)
def test_mistakes_of_calibrate_in_a_sentence(tune, run, words, said):
    places = {"run": run.path, "val": run.predictions("val")}
    code, _, err = tune(*[word.format(**places) for word in words])
    assert code == 2 and said in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["decision=lak"], "did you mean 'lac'"),
        (["decision=lac", "alpha=0"], "alpha=0"),
        (["decision=referral", "alpha=.1"], "decision.alpha is no option"),
        (["decision=group_conditional"], "no attribute 'skin_type'"),
        (["decision=risk_control", "decision.sensitivity=.999"], "cannot promise"),
    ],
)
def test_mistakes_of_decide_in_a_sentence(choose, run, words, said):
    code, _, err = choose(f"run={run.path}", *words)
    assert code == 2 and said in err and err.count("\n") == 1


def test_probabilities_of_another_tool_are_calibrated_and_decided_on(tune, choose, run, tmp_path):
    words = [f"out={tmp_path / 'out'}", "resamples=100"]
    for part in ("val", "test"):
        each = read_predictions(run.predictions(part))
        names = [f"prob_{name}" for name in each.class_names]
        columns = pd.DataFrame(softmax(each.logits, axis=1), columns=names)
        frame = each.frame[["image_id", "label", "group"]].assign(**columns)
        frame.to_csv(tmp_path / f"{part}.csv", index=False)
        words.append(f"{part}={tmp_path / part}.csv")
    for command, method, file in (
        (tune, [], "calibration"),
        (choose, ["decision=lac"], "decisions"),
    ):
        code, _, err = command(*words, *method)
        assert code == 0, err
        assert (tmp_path / "out" / f"{file}.json").is_file()
    fitted = read_json(tmp_path / "out" / "calibration.json")["fitted"]["value"]
    assert tune(f"run={run.path}", "resamples=100")[0] == 0
    own = read_json(run.path / "calibration" / "calibration.json")["fitted"]["value"]
    assert fitted == pytest.approx(own, rel=1e-4)
    frame.drop(columns="label").to_csv(tmp_path / "test.csv", index=False)
    code, _, err = tune(*words)
    assert code == 2 and "holds no labels" in err and "or a column label" in err


def test_a_class_that_only_one_table_has_images_of_is_one_class(tmp_path):
    rng = np.random.default_rng(0)
    for part, labels in (("val", ["mel", "nv"]), ("test", ["mel", "nv", "vasc"])):
        probabilities = rng.dirichlet(np.ones(3), size=30)
        frame = pd.DataFrame(probabilities, columns=["MEL", "NV", "VASC"])
        names = [f"{part}{i}" for i in range(30)]
        frame = frame.assign(image_id=names, label=np.resize(labels, 30))
        frame.to_csv(tmp_path / f"{part}.csv", index=False)
    pair = read_pair(None, tmp_path / "val.csv", tmp_path / "test.csv")
    assert pair.validation.class_names == pair.test.class_names == ("mel", "nv", "vasc")


def test_a_cross_validation_is_several_models(tune, choose, tmp_path):
    folder = tmp_path / "cv"
    write_json(folder / "cross_validation.json", {})
    (folder / "repeat_0" / "fold_0").mkdir(parents=True)
    said = f"name one fold ({folder}/repeat_0/fold_0), or make one model of them by python -m"
    for code, _, err in (tune(f"run={folder}"), choose(f"run={folder}", "decision=lac")):
        assert code == 2 and said in err and f"dermasense.ensemble runs={folder}." in err


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"calibration": {"name": "temperature"}}, "lacks 'value'"),
        ({"calibration": {"name": "temperature", "value": 0}}, "temperature is 0"),
        ({"calibration": {"name": "vector", "classes": {}}}, "lacks 'akiec'"),
        ({"calibration": "temperature"}, "calibration is 'temperature'"),
        ({"decision": True}, "decision is True"),
        ({"decision": {"refer": 1}}, "decision holds 1"),
        ({"decision": {"refer": {**REFERRAL, "threshold": "x"}}}, "cannot be applied"),
        ({"decision": {"refer": {**REFERRAL, "class_names": [1]}}}, "cannot be applied"),
        ({"class_names": None}, "null class names for 7 logits"),
    ],
)
def test_a_damaged_model_json_is_told_in_a_sentence(choose, run, damage, said):
    path = run.bundle / "model.json"
    write_json(path, read_json(path) | damage)
    code, _, err = choose(f"run={run.path}", "decision=lac", "resamples=100")
    assert code == 2 and str(run.bundle) in err and "model.json: " in err and said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("former", [{"refer": REFERRAL}, [REFERRAL], REFERRAL])
def test_decisions_of_other_kinds_stay_however_they_are_written(choose, run, former):
    path = run.bundle / "model.json"
    write_json(path, read_json(path) | {"decision": former})
    code, _, err = choose(f"run={run.path}", "decision=lac", "resamples=100")
    assert code == 0, err
    told = read_json(path)["decision"]
    assert set(told) == {"refer", "set"} and restore(told["refer"]) == restore(REFERRAL)


def test_a_decision_that_cannot_be_read_may_be_replaced_and_is_in_the_way_of_others(choose, run):
    path = run.bundle / "model.json"
    newer = {**REFERRAL, "newer": 1}
    write_json(path, read_json(path) | {"decision": {"refer": newer}})
    code, _, err = choose(f"run={run.path}", "decision=lac", "resamples=100")
    assert code == 2 and "newer" in err and "calibrate the bundle again" in err
    assert not (run.path / "decisions").exists()
    code, _, err = choose(f"run={run.path}", "decision=referral", "resamples=100")
    assert code == 0, err
    assert "newer" not in read_json(path)["decision"]["refer"]


def test_null_takes_back_what_a_yaml_of_ones_own_names(choose, run, tmp_path):
    conf = tmp_path / "conf"
    costs = {"malignant": ["mel"], "matrix": {"mel": {"nv": 20}}}
    target = "_target_: dermasense.evaluation.decisions.cost.Cost"
    write_text(conf / "decision" / "strict.yaml", f"{target}\n{yaml.safe_dump(costs)}")
    words = ["decision=strict", "decision.malignant=null", "decision.matrix=null"]
    code, _, err = choose(f"--config-dir={conf}", f"run={run.path}", *words, "resamples=100")
    assert code == 0, err
    fitted = read_json(run.path / "decisions" / "decisions.json")["cost"]["fitted"]
    assert fitted["malignant"] == ["akiec", "bcc", "mel"] and fitted["matrix"] is None


def test_a_lesion_in_both_tables_is_refused_unless_the_split_is_said_to_be_leaky(tune, tmp_path):
    for split, seed in (("val", 1), ("test", 2)):
        each = table(seed=seed)
        frame = each.frame.assign(image_id=split + each.frame["image_id"])
        write_predictions(tmp_path / f"{split}.parquet", frame, each.logits, each.class_names)
    places = [f"val={tmp_path / 'val.parquet'}", f"test={tmp_path / 'test.parquet'}"]
    code, _, err = tune(*places)
    assert code == 2 and "split by group" in err
    run = run_folder(tmp_path / "run", protocol=LEAKY)
    for split in ("val", "test"):
        shutil.copy(tmp_path / f"{split}.parquet", run.predictions(split))
    shutil.rmtree(run.bundle)
    code, out, err = tune(f"run={run.path}", "resamples=100")
    assert code == 0, err
    assert "The split is leaky" in out


def test_settings_leave_the_weights_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("timm.create_model", stub_backbone)
    folder = tiny_bundle(tmp_path)
    before = load_bundle(folder)
    write_settings(folder, {"temperature": 2.5, "calibration": {"name": "temperature"}})
    after = load_bundle(folder)
    assert after.temperature == 2.5 and after.info["sha256"] == before.info["sha256"]
    write_settings(folder, {"calibration": None})
    assert "calibration" not in load_bundle(folder).info
    for key in ("class_names", "sha256", "input"):
        with pytest.raises(DermaSenseError, match=key):
            write_settings(folder, {key: []})


def test_a_bundle_that_others_use_is_read_alone(call_command, run, tmp_path, monkeypatch):
    (tmp_path / "package").mkdir()
    there = run.bundle.rename(tmp_path / "package" / "shipped")
    monkeypatch.setattr("dermasense.models.hub_bundle._PACKAGE", tmp_path / "package")
    before = (there / "model.json").read_bytes()
    tables = [f"{part}={run.predictions(part)}" for part in ("val", "test")]
    for command in (calibrate, decide):
        words = [*tables, "bundle=shipped", "resamples=100", f"out={tmp_path / command.__name__}"]
        code, _, err = call_command(command, *words)
        assert code == 2 and "error: shipped: is not changed" in err and "bundle=mine" in err
        assert not (tmp_path / command.__name__).exists()
        code, _, err = call_command(command, *words, "write=false")
        assert code == 0, err
    assert (there / "model.json").read_bytes() == before
