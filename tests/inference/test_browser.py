"""The page that an export can put beside its model: in node what needs no browser, then in one."""

import functools
import json
import os
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dermasense import export, load
from dermasense.data.lesion_painter import paint
from dermasense.data.lesion_population import draw_population
from dermasense.data.preprocess import InputSpec, resize_rgb
from dermasense.inference.novelty import Novelty
from dermasense.inference.preprocessing_steps import preprocessing
from tests.fakes import stub_backbone
from tests.inference.tiny_bundle import NAMES, SIDE, edit, pictures, tiny_bundle
from tests.serving.chromium import Page, find_chromium

BROWSER = Path(export.__file__).parent / "inference" / "browser"
NODE = shutil.which("node")
RUNTIME = os.environ.get("ONNXRUNTIME_WEB")  # the folder that npm install onnxruntime-web makes
CHROMIUM = find_chromium()
HALF = (0.5, 0.5, 0.5)
needs_node = pytest.mark.skipif(NODE is None, reason="node is not on this machine")


def in_node(function, module, cases):
    """What a function of a module gives for each list of arguments."""
    script = (
        f"import {{ {function} }} from {json.dumps((BROWSER / module).as_uri())};"
        "let all = ''; for await (const part of process.stdin) all += part;"
        f"const found = JSON.parse(all).map((words) => {function}(...words));"
        "const plain = found.map((x) => (ArrayBuffer.isView(x) ? [...x] : x));"
        "process.stdout.write(JSON.stringify(plain));"
    )
    words = [NODE, "--input-type=module", "-e", script]
    done = subprocess.run(
        words, input=json.dumps(cases), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_node
def test_the_network_gets_the_bytes_that_python_makes():
    rng = np.random.default_rng(0)
    cases, expected = [], []
    for size in [(61, 45), (17, 30), (30, 70), (40, 12), (20, 20), (24, 33)]:
        pixels = rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        for interpolation in ("lanczos", "bicubic", "bilinear", "hamming", "box", "nearest"):
            for resize in ("squash", "crop"):
                spec = InputSpec(20, resize, HALF, HALF, interpolation=interpolation)
                rgb = {"data": pixels.ravel().tolist(), "width": size[0], "height": size[1]}
                cases.append([rgb, {"preprocessing": preprocessing(spec)}])
                expected.append(resize_rgb(Image.fromarray(pixels), spec).transpose(2, 0, 1))
    for (_, model), ours, theirs in zip(
        cases, expected, in_node("input", "pixels.mjs", cases), strict=True
    ):
        step = model["preprocessing"]["steps"][-2]
        assert np.array_equal(np.array(theirs).reshape(3, 20, 20), ours), step["filter"]


@needs_node
def test_a_step_that_the_page_does_not_know_is_told():
    clean = preprocessing(InputSpec(20, "squash", HALF, HALF, clean=("hair",)))
    plain = preprocessing(InputSpec(20, "squash", HALF, HALF))
    cases = [[{"preprocessing": each}] for each in (clean, plain)]
    said = in_node("cannot", "pixels.mjs", cases)
    assert "step “clean”" in said[0] and said[1] is None


DECISION = {
    "set": {"name": "lac", "class_names": NAMES, "alpha": 0.1, "threshold": 0.7, "n": 50},
    "alarm": {"name": "risk_control", "class_names": NAMES, "classes": ("mel",), "n": 50}
    | {"sensitivity": 0.9, "delta": 0.1, "bound": "exact", "threshold": 0.3},
    "refer": {"name": "referral", "class_names": NAMES, "accuracy": 0.9, "share": None}
    | {"threshold": 0.45, "n": 50},
}
VECTOR = {
    "name": "vector",
    "ridge": 1.0,
    "classes": {name: {"slope": 1 + i / 10, "offset": i / 5} for i, name in enumerate(NAMES)},
}


@needs_node
@pytest.mark.parametrize("calibration", [{"name": "temperature", "value": 1.5}, VECTOR, None])
def test_an_answer_is_python_s(tmp_path, monkeypatch, calibration):
    monkeypatch.setattr("timm.create_model", stub_backbone)
    folder = tiny_bundle(tmp_path / "bundle", temperature=1.5)
    edit(folder, decision=DECISION, **({"calibration": calibration} if calibration else {}))
    model = load(folder, engine="torch")
    found = model.predict(pictures(6))
    described = json.loads((folder / "model.json").read_text())
    logits = model.predictor.logits(np.stack(pictures(6)))
    cases = [[row.tolist(), described, {"blank": False, "distance": None}] for row in logits]
    for ours, theirs in zip(found, in_node("answer", "answer.mjs", cases), strict=True):
        assert theirs["class"] == ours.answer
        assert theirs["probabilities"] == pytest.approx(ours.probabilities, abs=1e-6)
        assert theirs["prediction_set"] == list(ours.prediction_set)
        assert theirs["decision"] == ("refer" if ours.refer else "answer")
        assert theirs["alarm"] == any("must not be missed" in words for words in ours.warnings)
        assert theirs["warnings"] == list(ours.warnings)


@needs_node
def test_pictures_with_nothing_to_judge_and_unlike_ones_are_referred_as_python_does(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("timm.create_model", stub_backbone)
    always = {"refer": DECISION["refer"] | {"threshold": 0.0}}  # the rule lets every answer stand
    folder = tiny_bundle(tmp_path / "bundle", decision=always)
    plain = load(folder, engine="torch")
    Novelty.fit(plain.predictor.embeddings(pictures(200, seed=1))).save(folder, fitted_on="some")
    model, described = load(folder, engine="torch"), json.loads((folder / "model.json").read_text())
    noise = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8)
    even = [np.full((SIDE, SIDE, 3), value, np.uint8) for value in (0, 100, 255)]
    rows = np.arange(SIDE, dtype=np.uint8)[:, None, None]
    shaded = [np.broadcast_to(90 + rows // step, (SIDE, SIDE, 3)) for step in (4, 3)]
    shown = [*even, *shaded, *noise, *pictures(4)]
    found = model.predict(shown)
    logits, vectors = model.predictor.logits_and_embeddings(shown)
    planes = [[each.transpose(2, 0, 1).ravel().tolist(), SIDE] for each in shown]
    blank = in_node("blank", "pixels.mjs", planes)
    (known,) = in_node(
        "detector", "novelty.mjs", [[list((folder / "ood.safetensors").read_bytes())]]
    )
    far = in_node("distance", "novelty.mjs", [[each.tolist(), known] for each in vectors])
    assert far == pytest.approx([each.distance for each in found], rel=1e-6)
    seen = [{"blank": b, "distance": d} for b, d in zip(blank, far, strict=True)]
    cases = [[row.tolist(), described, s] for row, s in zip(logits, seen, strict=True)]
    said = in_node("answer", "answer.mjs", cases)
    assert [each["decision"] for each in said] == [each.decision for each in found]
    assert [each["warnings"] for each in said] == [list(each.warnings) for each in found]
    words = [" ".join(each["warnings"]) for each in said]
    assert all("one colour" in each for each in words[:4]) and "one colour" not in words[4]
    assert "unlike" in " ".join(words) and {each["decision"] for each in said[7:]} == {"answer"}


SURE = {"class": "mel", "confidence": 0.8, "probabilities": {"mel": 0.8, "nv": 0.2}}
BY_COST = {"class": "mel", "confidence": 0.08, "probabilities": {"mel": 0.08, "nv": 0.92}}
SHOWN = "../../serving/page/shown.mjs"


@needs_node
def test_a_page_gives_the_warnings_as_the_reason_and_the_rule_only_where_there_are_none():
    unlike = {"decision": "refer", "warnings": ["the picture is unlike"]}
    plain = [{"decision": each, "warnings": []} for each in ("refer", "answer", "no rule")]
    cases = [[SURE | each] for each in (unlike, *plain)]
    warned, unsure, *others = (each["decision"] for each in in_node("headings", SHOWN, cases))
    assert warned == "A person should look at this picture, because:"
    assert "not sure enough" in unsure
    assert not any("person should look" in each for each in others)


@needs_node
def test_a_page_calls_most_probable_only_what_is():
    cases = [[each | {"decision": "answer", "warnings": []}] for each in (SURE, BY_COST)]
    said = [each["answer"] for each in in_node("headings", SHOWN, cases)]
    assert said[0] == "Most probable: mel (80.0 %)"
    assert said[1].startswith("Answer by the model") and said[1].endswith("rule: mel (8.0 %)")


@needs_node
def test_it_says_that_it_sees_one_view_where_the_model_averages_several():
    views = [None, "none", "as_is", "flips"]
    cases = [[{"tta": each and {"views": each, "average": "log"}}] for each in views]
    *silent, said = in_node("oneView", "answer.mjs", cases)
    assert silent == ["", "", ""] and "averages several views (flips)" in said


@needs_node
def test_a_model_that_the_page_would_answer_otherwise_for_is_refused():
    cases = [
        {"temperature": 1.5, "decision": DECISION},
        {"calibration": {"name": "prior_shift"}},
        {"decision": {"answer": {"name": "cost"}}},
        {"decision": {"set": {"name": "aps"}}},
        {"decision": {"name": "lac", "threshold": 0.7}},
        {"ood": {"method": "mahalanobis"}},
    ]
    fine, *others = in_node("unfit", "answer.mjs", [[model] for model in cases])
    assert fine is None
    for words, said in zip(
        ("prior_shift", "cost", "aps", "name", "mahalanobis"), others, strict=True
    ):
        assert said.startswith("This page does not know") and words in said


def test_a_model_that_cleans_its_pictures_gets_no_page(run_command, tmp_path, monkeypatch):
    monkeypatch.setattr("timm.create_model", stub_backbone)
    folder = tiny_bundle(tmp_path / "bundle", clean=("hair",))
    code, _, err = run_command(
        export, f"bundle={folder}", "browser=true", f"out={tmp_path / 'out'}"
    )
    assert code == 2 and "cleans pictures (hair)" in err and not (tmp_path / "out").exists()


@pytest.fixture
def site(run_command, tmp_path, monkeypatch):
    """An exported folder with its page and the runtime, served on this machine alone."""
    monkeypatch.setattr("timm.create_model", stub_backbone)
    folder = tiny_bundle(tmp_path / "bundle", temperature=1.5)
    edit(folder, decision=DECISION)
    code, said, err = run_command(
        export, f"bundle={folder}", "browser=true", f"out={tmp_path / 'out'}"
    )
    assert code == 0 and "npm install onnxruntime-web" in said, err
    made = tmp_path / "out" / "onnx_fp32"
    (made / "node_modules").mkdir()
    (made / "node_modules" / "onnxruntime-web").symlink_to(RUNTIME)
    asked = []

    class Quiet(SimpleHTTPRequestHandler):
        def log_request(self, *_):
            asked.append(f"{self.command} {self.path}")

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(made)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made, f"http://127.0.0.1:{server.server_port}/", asked
    server.shutdown()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.skipif(RUNTIME is None, reason="ONNXRUNTIME_WEB names no onnxruntime-web of npm")
def test_a_picture_is_answered_in_the_browser_and_sent_nowhere(site, tmp_path):
    made, url, asked = site
    lesion = draw_population(seed=5, n_lesions=7)[0]
    photo = tmp_path / "lesion.png"
    Image.fromarray(paint(lesion.lesion, lesion.views[0], 320)[0]).save(photo)
    expected = load(made).predict(photo)
    page = Page(CHROMIUM)
    try:
        page.open(url)
        page.wait("document.getElementById('status').textContent === 'Ready.'")
        before = len(asked)
        page.choose_file("#file", photo)
        page.wait("!document.getElementById('result').hidden")
        rows = page.run(
            "[...document.querySelectorAll('#rows tr')]"
            ".map(row => [...row.cells].map(cell => cell.textContent))"
        )
        assert len(asked) == before, asked[before:]
        assert page.complaints() == []
    finally:
        page.close()
    shown = {name: float(percent.removesuffix(" %")) / 100 for name, percent, _ in rows}
    assert shown == pytest.approx(expected.probabilities, abs=6e-4)
