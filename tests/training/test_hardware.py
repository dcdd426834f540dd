"""What "auto" means, on machines that are not this one."""

import pytest
import torch

from dermasense.errors import DermaSenseError
from dermasense.training import hardware


@pytest.mark.parametrize(
    ("amx", "avx512", "precision"),
    [
        (True, True, "bf16-mixed"),
        (True, False, "bf16-mixed"),
        (False, True, "bf16-mixed"),
        (False, False, "32-true"),
    ],
)
def test_bfloat16_on_a_cpu_only_where_it_has_it_in_hardware(monkeypatch, amx, avx512, precision):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    assert hardware.resolve_precision("auto", "cpu") == precision


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_bfloat16_on_a_gpu_only_where_it_is_native(monkeypatch, native, precision):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert hardware.resolve_precision("auto", "cuda") == precision


def test_a_named_precision_stands_but_for_one_that_cannot_resume():
    assert hardware.resolve_precision("bf16-mixed", "cpu") == "bf16-mixed"
    with pytest.raises(DermaSenseError, match="take bf16-mixed or 32-true"):
        hardware.resolve_precision("16-mixed", "cuda")


@pytest.mark.parametrize("precision", ["bf16-true", "16-true", "64-true", 64, "transformer-engine"])
def test_a_precision_that_takes_weights_out_of_float32_is_refused(precision):
    with pytest.raises(DermaSenseError, match=f"trainer.precision={precision} is not supported"):
        hardware.resolve_precision(precision, "cuda")


@pytest.mark.parametrize(("alias", "name"), [(32, "32-true"), ("bf16", "bf16-mixed")])
def test_an_alias_is_the_precision_it_stands_for(alias, name):
    assert hardware.resolve_precision(alias, "cpu") == name


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert hardware.resolve_device("auto", 1) == "cuda"
    assert hardware.resolve_device("cpu", 1) == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert hardware.resolve_device("auto", 1) == "cpu"
    with pytest.raises(DermaSenseError, match="there is no GPU here"):
        hardware.resolve_device("gpu", 1)


def test_devices_that_are_not_there_and_ways_that_are_not_built_are_refused(monkeypatch):
    assert hardware.resolve_device("cpu", 2) == "cpu"
    assert (hardware.resolve_processes("auto"), hardware.resolve_processes(2, "ddp")) == (1, 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DermaSenseError, match="GPUs here: 1; take fewer devices"):
        hardware.resolve_device("gpu", 2)
    with pytest.raises(DermaSenseError, match=r"trainer.devices=\[0, 1\]: expected auto"):
        hardware.resolve_processes([0, 1])
    with pytest.raises(DermaSenseError, match=r"no FSDP.*did you mean 'ddp'"):
        hardware.resolve_processes(2, "fsdp")
    with pytest.raises(DermaSenseError, match="cpuu is unknown; did you mean"):
        hardware.resolve_device("cpuu", 1)


@pytest.mark.parametrize(("cores", "workers"), [(1, 0), (2, 1), (6, 5), (64, 8)])
def test_workers_leave_a_core_to_training(monkeypatch, cores, workers):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert hardware.resolve_workers("auto") == workers


@pytest.mark.parametrize("workers", [2.5, True, -1, "two"])
def test_what_is_no_number_of_workers_is_refused(workers):
    assert hardware.resolve_workers(2) == 2
    with pytest.raises(DermaSenseError, match=f"num_workers={workers}: expected auto or an int"):
        hardware.resolve_workers(workers)
