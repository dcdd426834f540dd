"""`trainer.compile=true` trains the same network, and says so where it cannot."""

import functools
import logging
import shutil

import pytest
import torch

from dermasense.errors import DermaSenseError
from dermasense.training.compiling import Compiled
from dermasense.training.losses import build_loss
from dermasense.training.phases import fit_phases
from dermasense.training.recipe import parse_phases
from tests.training.tiny import tiny_classifier, tiny_data, tiny_recipe

PHASES = parse_phases({"all": {"epochs": 2, "unfreeze": "all", "lr": 1e-2}})


def trained(folder, compiled):
    model = tiny_classifier(dropout=0.0)  # a compiled network draws other random numbers
    data = tiny_data(batch_size=14, augmented=False)
    loss = build_loss("ce", class_counts=[21, 14, 7])
    recipe = tiny_recipe(compiled=compiled)
    fit_phases(model, loss, data, PHASES, recipe, folder=folder, loggers=[])
    return model.state_dict()


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_learns_the_same_to_rounding(tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    torch._dynamo.reset()
    with caplog.at_level(logging.INFO, logger="dermasense.training.compiling"):
        compiled = trained(tmp_path / "one", True)
    assert "Compiled in" in caplog.text
    eager = trained(tmp_path / "other", False)
    for name, weights in eager.items():
        torch.testing.assert_close(compiled[name], weights, rtol=1e-4, atol=1e-5, msg=name)


def test_a_machine_that_cannot_compile_is_told_in_one_sentence(tmp_path, monkeypatch):
    def broken(graph, inputs):
        raise RuntimeError("no compiler here")

    torch._dynamo.reset()
    compile_with_it = functools.partial(torch.compile, backend=broken)
    monkeypatch.setattr(torch, "compile", compile_with_it)
    with pytest.raises(DermaSenseError, match=r"trainer.compile=true: .*leave the option out"):
        trained(tmp_path, True)


def test_a_gpu_that_is_too_small_is_not_told_of_a_compiler(monkeypatch):
    def full(x, boundary):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "compile", lambda forward: forward)
    with pytest.raises(torch.OutOfMemoryError):
        Compiled(full)(torch.zeros(1), "image")
