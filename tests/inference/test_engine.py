"""The engine: the module's own numbers, from whatever runs it."""

import numpy as np
import pytest
import torch
from torch import nn

from dermasense.errors import DermaSenseError
from dermasense.inference import engine as engine_module
from dermasense.inference.engine import build_engine, resolve_engine
from dermasense.training.boundary_cache import Part
from tests.training.tiny import cuttable_classifier

PICTURES = np.random.default_rng(0).integers(0, 256, (5, 3, 16, 16), dtype=np.uint8)
ENGINES = ["onnx", "torch"]


@pytest.fixture(autouse=True)
def onnx_is_here(request):
    if "onnx" in request.node.callspec.params.values() if hasattr(request.node, "callspec") else 0:
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")


@torch.no_grad()
def expected(module, batch):
    return module.eval()(torch.from_numpy(batch)).numpy()


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("boundary", ["stem", "blocks.1.0", "pooled"])
def test_any_batch_size_gives_the_numbers_of_the_module(name, boundary):
    part = Part(cuttable_classifier(), "image", boundary)
    run = build_engine(part, PICTURES[:2], name=name)
    for batch in (PICTURES, PICTURES[:1]):
        got = run(batch)
        assert got.dtype == np.float32
        assert got == pytest.approx(expected(part, batch), abs=1e-5)


@pytest.mark.parametrize("name", ENGINES)
def test_activations_go_in_as_pictures_do(name):
    model = cuttable_classifier().eval()
    middle = expected(Part(model, "image", "blocks.0.0"), PICTURES)
    part = Part(model, "blocks.0.0", "pooled")
    run = build_engine(part, middle[:2], name=name)
    assert run(middle) == pytest.approx(expected(part, middle), abs=1e-5)


@pytest.mark.parametrize("name", ENGINES)
def test_a_whole_network_too(name):
    model = cuttable_classifier()
    assert build_engine(model, PICTURES, name=name)(PICTURES) == pytest.approx(
        expected(model, PICTURES), abs=1e-5
    )


@pytest.mark.parametrize("name", ENGINES)
def test_the_module_is_left_as_it_was(name):
    model = cuttable_classifier()
    model.freeze("blocks:1")
    model.train()
    modes = {path: module.training for path, module in model.named_modules()}
    trainable = [p.requires_grad for p in model.parameters()]
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    build_engine(model, PICTURES, name=name)(PICTURES)
    assert {path: module.training for path, module in model.named_modules()} == modes
    assert [p.requires_grad for p in model.parameters()] == trainable
    assert all(torch.equal(weights[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_keeps_its_weights_while_the_module_trains_on(name):
    model = cuttable_classifier()
    run = build_engine(model, PICTURES, name=name)
    before = run(PICTURES)
    with torch.no_grad():
        model.head.get_submodule(list(dict(model.head.named_modules()))[-1]).weight.add_(1.0)
    assert np.array_equal(run(PICTURES), before)


def test_a_runtime_that_differs_is_replaced_by_torch(monkeypatch, caplog):
    model = cuttable_classifier()
    monkeypatch.setattr(
        engine_module, "_onnx_run", lambda module, example: lambda x: expected(model, x) + 0.01
    )
    monkeypatch.setattr(engine_module, "resolve_engine", lambda *_: "onnx")
    run = build_engine(model, PICTURES)
    assert "ONNX Runtime differs from torch by 0.01" in caplog.text
    assert run(PICTURES) == pytest.approx(expected(model, PICTURES), abs=1e-6)


@pytest.mark.parametrize("name", ["onnx"])
def test_what_cannot_be_exported_runs_on_torch(name, caplog):
    class Odd(nn.Module):
        def forward(self, x):
            return torch.linalg.matrix_exp(x.float().mean((2, 3))[:, :, None] * torch.eye(3))

    run = build_engine(Odd(), PICTURES // 64, name=name)
    assert "onnx cannot run this network" in caplog.text
    assert run(PICTURES // 64).shape == (5, 3, 3)


def test_auto_is_onnx_on_a_cpu_where_installed_and_torch_elsewhere(monkeypatch):
    found = {"onnx", "onnxruntime"}
    monkeypatch.setattr(
        engine_module.importlib.util, "find_spec", lambda name: name if name in found else None
    )
    assert resolve_engine("auto") == "onnx"
    assert resolve_engine("auto", "cuda") == "torch"
    found.clear()
    assert resolve_engine("auto") == "torch"
    with pytest.raises(DermaSenseError, match=r"pip install 'dermasense\[export\]'"):
        resolve_engine("onnx")
    with pytest.raises(DermaSenseError, match="engine=onxx is unknown; did you mean 'onnx'"):
        resolve_engine("onxx")


@pytest.mark.parametrize(
    ("added", "taken"), [(0.0, True), (5e-5, True), (0.01, False), (np.nan, False)]
)
def test_a_runtime_is_taken_where_it_agrees(monkeypatch, added, taken):
    model = cuttable_classifier()

    def fake(x):
        return expected(model, x) + np.float32(added)

    monkeypatch.setattr(engine_module, "_onnx_run", lambda module, example: fake)
    monkeypatch.setattr(engine_module, "resolve_engine", lambda *_: "onnx")
    assert (build_engine(model, PICTURES) is fake) == taken


def test_a_card_is_there_where_its_number_is_below_their_count(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    engine_module.check_device("cuda:0")
    with pytest.raises(DermaSenseError, match="this machine has none"):
        engine_module.check_device("cuda:1")
