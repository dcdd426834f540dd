"""The shape of each schedule, over a whole phase."""

import math

import pytest
import torch

from dermasense.errors import DermaSenseError
from dermasense.training.optimizers import build_optimizer
from dermasense.training.schedules import build_schedule


def optimizer_of(lr=1.0, **options):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    return build_optimizer(model, name="adamw", lr=lr, **options)


def rates(steps, **options):
    optimizer = optimizer_of()
    schedule = build_schedule(optimizer, options, total_steps=steps, mode="max")
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.after_step()
    return found


def test_constant_stays():
    assert rates(5, name="constant") == [1.0] * 5


def test_warmup_rises_over_its_share_then_holds():
    found = rates(20, name="constant", warmup=0.5)
    assert found[0] == pytest.approx(0.01)
    assert found[:10] == sorted(found[:10]) and found[10:] == [1.0] * 10


def test_cosine_is_half_way_at_half_time():
    found = rates(100, name="cosine")
    assert found[0] == 1.0 and found[50] == pytest.approx(0.5) and found[-1] < 0.001


def test_cosine_falls_from_its_warmup_to_its_floor():
    found = rates(100, name="cosine", warmup=0.1, final=0.1)
    assert found[0] == pytest.approx(0.01) and found[10] == pytest.approx(1.0)
    assert found[55] == pytest.approx(0.55)
    assert found[99] == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize("warmup", [0.0, 0.2])
def test_each_group_falls_to_a_share_of_its_own_peak(warmup):
    optimizer = optimizer_of(weight_decay=0.1, decay_norms_and_biases=False)
    optimizer.param_groups[0]["lr"] = 0.5
    options = {"name": "cosine", "final": 0.1, "warmup": warmup}
    schedule = build_schedule(optimizer, options, total_steps=10, mode="max")
    for _ in range(10):
        optimizer.step()
        schedule.after_step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.1])


@pytest.mark.parametrize("final", [0.0, 0.3])
def test_groups_of_one_peak_fall_as_torchs_cosine(final):
    optimizer = optimizer_of()
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40, eta_min=final)
    expected = []
    for _ in range(40):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert rates(40, name="cosine", final=final) == pytest.approx(expected, rel=1e-9)


def test_plateau_stops_at_its_lowest_rate():
    optimizer = optimizer_of()
    options = {"name": "plateau", "factor": 0.2, "patience": 1, "min_lr": 0.5}
    schedule = build_schedule(optimizer, options, total_steps=9, mode="max")
    for _ in range(3):
        schedule.after_epoch(0.5)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_one_cycle_peaks_after_its_rise_and_ends_near_nothing():
    found = rates(100, name="one_cycle", rise=0.25)
    assert found[0] == pytest.approx(1 / 25)
    assert max(found) == found[25] == 1.0
    assert found[-1] < 0.01
    assert all(math.isfinite(rate) for rate in rates(1, name="one_cycle", rise=0.25))


@pytest.mark.parametrize(
    ("patience", "expected"),  # of Keras' ReduceLROnPlateau: epochs without a better score
    [(1, [1, 1, 0.2, 0.04, 0.008]), (2, [1, 1, 1, 0.2, 0.2]), (3, [1, 1, 1, 1, 0.2])],
)
def test_plateau_cuts_by_its_factor_after_its_patience(patience, expected):
    optimizer = optimizer_of()
    options = {"name": "plateau", "factor": 0.2, "patience": patience}
    schedule = build_schedule(optimizer, options, total_steps=9, mode="max")
    found = []
    for score in (0.5, 0.6, 0.6, 0.6, 0.6):
        schedule.after_epoch(score)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == pytest.approx(expected)


def test_unknown_names_and_options_are_named():
    with pytest.raises(DermaSenseError, match="did you mean 'cosine'"):
        rates(3, name="cosin")
    with pytest.raises(DermaSenseError, match=r"scheduler\.rise is no option; valid: final"):
        rates(3, name="cosine", rise=0.3)


def test_small_gains_are_gains_to_a_plateau():
    optimizer = optimizer_of()
    options = {"name": "plateau", "patience": 1}
    schedule = build_schedule(optimizer, options, total_steps=9, mode="max")
    for score in (0.800, 0.802, 0.804, 0.806):
        schedule.after_epoch(score)
    assert optimizer.param_groups[0]["lr"] == 1.0


@pytest.mark.parametrize("argument", ["optimizer", "options", "total", "total_steps", "mode", 3])
def test_what_training_gives_itself_is_no_option(argument):
    options = {"name": "cosine", argument: 3}
    with pytest.raises(DermaSenseError, match=rf"scheduler\.{argument} is no option; valid: final"):
        build_schedule(optimizer_of(), options, total_steps=3, mode="max")


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("plateau", {"factor": 2}, "scheduler.factor=2: expected a number above 0 and below 1"),
        ("plateau", {"factor": 1}, "scheduler.factor=1: expected"),
        ("plateau", {"factor": 0}, "scheduler.factor=0: expected"),
        ("cosine", {"warmup": 1}, "scheduler.warmup=1: expected"),
        ("cosine", {"final": 1.5}, "scheduler.final=1.5: expected"),
        ("one_cycle", {"rise": 1.5}, "scheduler.rise=1.5: expected"),
        ("plateau", {"patience": 0}, "scheduler.patience=0: expected an integer >= 1"),
        ("plateau", {"min_lr": -0.1}, "scheduler.min_lr=-0.1: expected a number >= 0"),
        ("cosine", {"warmup": 500}, "scheduler.warmup=500: expected a share of the steps"),
        ("constant", {"warmup": "abc"}, "scheduler.warmup=abc: expected a share of the steps"),
        ("cosine", {"final": -1}, "scheduler.final=-1: expected a share of the peak"),
        ("one_cycle", {"rise": math.nan}, "scheduler.rise=nan: expected a share of the steps"),
    ],
)
def test_a_value_out_of_range_is_named(name, options, sentence):
    with pytest.raises(DermaSenseError, match=sentence):
        rates(3, name=name, **options)
