"""A run that is cut, anywhere and however often, ends bit-equal to one that was not."""

import contextlib
import itertools
from types import SimpleNamespace

import pytest
import torch

from dermasense.errors import DermaSenseError
from dermasense.files import read_csv
from dermasense.reporting import csv_log
from dermasense.reporting.csv_log import CsvLog
from dermasense.training import keeper
from dermasense.training import phases as walking
from dermasense.training.checkpoint import CheckpointFolder
from dermasense.training.keeper import PhaseKeeper
from dermasense.training.progress import TrainingLog
from tests.training.cuts import Cut, assert_same_weights, train
from tests.training.tiny import PHASES, tiny_recipe


@pytest.mark.parametrize("scheduler", ["plateau", "cosine", "one_cycle"])
def test_a_run_cut_at_any_moment_ends_bit_equal(tmp_path, scheduler):
    recipe = tiny_recipe(scheduler={"name": scheduler})
    whole, progress, calls = train(tmp_path / "whole", recipe=recipe)
    # Different moments with each schedule: inside epochs, at their ends, between phases.
    first = 1 + ["plateau", "cosine", "one_cycle"].index(scheduler)
    for moment in range(first, calls + 1, 7):
        folder = tmp_path / str(moment)
        with pytest.raises(Cut):
            train(folder, cut_after=moment, recipe=recipe)
        resumed, progress_resumed, _ = train(folder, recipe=recipe)
        assert_same_weights(whole, resumed)
        assert progress_resumed.history == progress.history
        assert progress_resumed.best == progress.best


@pytest.mark.parametrize("begun", ["32-true", "bf16-mixed"])
def test_a_run_goes_on_in_the_precision_in_which_it_was_begun(tmp_path, begun, caplog):
    """ "auto" may mean another one on the machine, or to the version, that goes on."""
    other = {"32-true": "bf16-mixed", "bf16-mixed": "32-true"}[begun]
    trainer = tiny_recipe().trainer
    first, second = (tiny_recipe(trainer={**trainer, "precision": p}) for p in (begun, other))
    whole, *_ = train(tmp_path / "whole", recipe=first)
    with pytest.raises(Cut):
        train(tmp_path / "cut", cut_after=9, recipe=first)
    with caplog.at_level("INFO"):
        resumed, progress, _ = train(tmp_path / "cut", recipe=second)
    assert_same_weights(whole, resumed)
    assert progress.precision == begun
    assert f"Going on in {begun}, in which the run was begun." in caplog.text
    different, *_ = train(tmp_path / "different", recipe=second)
    with pytest.raises(AssertionError):
        assert_same_weights(whole, different)


@pytest.mark.parametrize("moment", [6, 13, 21])  # between two checkpoints
def test_the_table_of_a_cut_run_ends_as_that_of_a_whole_one(tmp_path, monkeypatch, moment):
    monkeypatch.setitem(TrainingLog.__init__.__kwdefaults__, "every", 2)
    monkeypatch.setattr(csv_log, "SECONDS", 0)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(whole, loggers=[CsvLog(whole)])
    with pytest.raises(Cut):
        train(cut, cut_after=moment, loggers=[CsvLog(cut)])
    assert read_csv(cut / "metrics.csv")
    train(cut, loggers=[CsvLog(cut)])
    assert (cut / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()


def test_a_table_that_cannot_go_on_is_named(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,train/loss\n0,1.5\n,1.25\n")
    with pytest.raises(DermaSenseError, match=r"metrics\.csv, line 3: no row with a step"):
        CsvLog(tmp_path)


def observed(folder, monkeypatch, cut_after=None):
    """Per epoch: what trains, learning rates, BatchNorm modes, the patience counter."""
    seen = {}
    judge = PhaseKeeper.on_train_epoch_end

    def watching(self, trainer, module):
        judge(self, trainer, module)
        key = (self.phase, trainer.current_epoch)
        seen[key] = (
            [p.requires_grad for p in module.model.parameters()],
            [group["lr"] for group in trainer.optimizers[0].param_groups],
            [m.training for m in module.model.modules() if isinstance(m, torch.nn.BatchNorm2d)],
            self.progress.waited,
        )

    with monkeypatch.context() as patch:
        patch.setattr(PhaseKeeper, "on_train_epoch_end", watching)
        with contextlib.suppress(Cut):
            train(folder, cut_after=cut_after)
    return seen


@pytest.mark.parametrize("moment", [5, 20, 34])
def test_after_a_cut_each_epoch_trains_the_same_layers_at_the_same_rates(
    tmp_path, monkeypatch, moment
):
    whole = observed(tmp_path / "whole", monkeypatch)
    before = observed(tmp_path / "cut", monkeypatch, cut_after=moment)
    after = observed(tmp_path / "cut", monkeypatch)
    assert {**before, **after} == whole
    assert after, "the cut came too late to leave anything to resume"
    # The first phase is frozen and the second is not: the comparison has something to see.
    assert not any(whole[("frozen", 0)][2]) and all(whole[("last", 0)][2])


@pytest.mark.parametrize("moment", [2, 4, 6])
def test_a_checkpoint_waits_for_the_optimizers_step(tmp_path, moment):
    trainer = {"accelerator": "cpu", "devices": 1, "accumulate_grad_batches": 2}
    options = {"recipe": tiny_recipe(trainer=trainer, every_n_steps=1), "phases": PHASES[:1]}
    whole, progress, _ = train(tmp_path / "whole", **options)
    with pytest.raises(Cut):
        train(tmp_path / "cut", cut_after=moment, **options)
    resumed, again, _ = train(tmp_path / "cut", **options)
    assert_same_weights(whole, resumed)
    assert again.history == progress.history


def test_two_cuts_in_one_epoch_change_nothing(tmp_path):
    whole, progress, _ = train(tmp_path / "whole", phases=PHASES[:1])
    for _ in range(2):  # saved after batch 2, then after batch 4
        with pytest.raises(Cut):
            train(tmp_path / "cut", phases=PHASES[:1], cut_after=4)
    resumed, again, _ = train(tmp_path / "cut", phases=PHASES[:1])
    assert_same_weights(whole, resumed)
    assert again.history == progress.history


def test_seconds_add_up_over_saves_and_a_cut(tmp_path, monkeypatch):
    for module in (walking, keeper):
        clock = SimpleNamespace(monotonic=itertools.count().__next__)
        monkeypatch.setattr(module, "time", clock)
    with pytest.raises(Cut):
        train(tmp_path, phases=PHASES[:1], cut_after=4)  # begun: 1; its save after batch 2: 1
    assert CheckpointFolder(tmp_path).load()[0].seconds == 2
    _, progress, _ = train(tmp_path, phases=PHASES[:1])  # begun again: 1; five more saves
    assert progress.seconds == 8


def test_gradient_accumulation_resumes_bit_equal(tmp_path):
    trainer = {"accelerator": "cpu", "devices": 1, "accumulate_grad_batches": 2}
    recipe = tiny_recipe(trainer=trainer)
    whole, _, calls = train(tmp_path / "whole", recipe=recipe, phases=PHASES[:2])
    with pytest.raises(Cut):
        train(tmp_path / "cut", recipe=recipe, phases=PHASES[:2], cut_after=calls // 2)
    resumed, *_ = train(tmp_path / "cut", recipe=recipe, phases=PHASES[:2])
    assert_same_weights(whole, resumed)


@pytest.mark.parametrize("limit", [4, 0.7])
def test_epochs_of_fewer_batches_resume_bit_equal(tmp_path, limit):
    options = {"phases": PHASES[1:2], "limit_batches": limit}
    whole, progress, calls = train(tmp_path / "whole", **options)
    assert calls == 1 + 3 * (4 + 1)  # of 6 batches, and the ends of three epochs
    for moment in (3, 5, 8):
        with pytest.raises(Cut):
            train(tmp_path / str(moment), cut_after=moment, **options)
        resumed, progress_resumed, again = train(tmp_path / str(moment), **options)
        assert_same_weights(whole, resumed)
        assert progress_resumed.history == progress.history
        assert again < calls


def test_a_run_cut_three_times_ends_bit_equal(tmp_path):
    whole, progress, calls = train(tmp_path / "whole")
    for _ in range(3):
        with pytest.raises(Cut):
            train(tmp_path / "cut", cut_after=calls // 4)
    resumed, progress_resumed, _ = train(tmp_path / "cut")
    assert_same_weights(whole, resumed)
    assert progress_resumed.history == progress.history


def test_a_finished_schedule_trains_nothing_more(tmp_path):
    first, *_ = train(tmp_path)
    again, _, calls = train(tmp_path)
    assert calls == 0
    assert_same_weights(first, again)
