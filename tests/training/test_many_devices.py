"""Two processes train as one does: the same samples, the same loss curve, the same metrics."""

import contextlib

import numpy as np
import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from dermasense.data.shard import Shard
from dermasense.errors import DermaSenseError
from dermasense.training.checkpoint import CheckpointFolder
from dermasense.training.group_dro import GroupDRO
from dermasense.training.keeper import PhaseKeeper
from dermasense.training.losses import build_loss
from dermasense.training.phases import fit_phases
from dermasense.training.process_group import gathered, gathered_by_id
from dermasense.training.recipe import parse_phases
from dermasense.training.sync_norm import norms_together
from tests.long import LONG
from tests.training.tiny import cuttable_classifier, tiny_classifier, tiny_data, tiny_recipe
from tests.training.together import in_processes

PHASES = parse_phases(
    {
        "frozen": {"epochs": 1, "unfreeze": 0, "lr": 1e-2},
        "all": {"epochs": 2, "unfreeze": "all", "lr": 1e-3, "patience": 1},
    }
)


def fit(
    shard,
    folder,
    *,
    balance="none",
    loss=None,
    make=tiny_classifier,
    sync=True,
    dropout=0.0,
    **limits,
):
    """Trains the tiny network; returns the last weights, the history and group DRO's q."""
    data = tiny_data(balance=balance, augmented=True, **limits)
    data.share(shard)
    recipe = tiny_recipe(
        trainer={"accelerator": "cpu", "devices": shard.world},
        scheduler={"name": "constant"},
        # Adam's steps are as long for a gradient that is rounding alone, such as that of a weight
        # before a BatchNorm, and would make curves differ that are the same.
        optimizer={"name": "sgd", "weight_decay": 0.01},
        sync_batchnorm=sync,
    )
    model = make(dropout=dropout)
    loss = loss() if loss else build_loss("ce", class_counts=[21, 14, 7])
    progress = fit_phases(model, loss, data, PHASES, recipe, folder=folder, loggers=[])
    _, states = CheckpointFolder(folder).load()
    weights = {name: value.numpy() for name, value in states["module"].items()}
    return weights, progress.history, loss.q.numpy().copy() if hasattr(loss, "q") else None


def assert_alike(one, other, tolerance=1e-3):
    for row, together in zip(one, other, strict=True):
        for key, value in row.items():
            close = value == together[key] or value == pytest.approx(together[key], rel=tolerance)
            assert close, (key, value, together[key])


@LONG
@pytest.mark.parametrize("make", [tiny_classifier, cuttable_classifier])
def test_the_loss_curve_and_scores_are_those_of_one_process(tmp_path, make):
    alone = fit(Shard(), tmp_path / "one", make=make)
    both = in_processes(2, fit_in, tmp_path / "two", {"make": make})
    assert_alike(alone[1], both[0][1])
    assert both[0][1] == both[1][1]  # every process knows the same history
    for name, value in alone[0].items():
        np.testing.assert_allclose(both[0][0][name], value, rtol=2e-3, atol=5e-5, err_msg=name)


def fit_in(shard, folder, options):
    return fit(shard, folder, **options)


@LONG
def test_without_sync_batchnorm_each_takes_its_own_statistics_and_process_0_speaks(tmp_path):
    together = in_processes(2, fit_in, tmp_path / "sync", {})
    each = in_processes(2, fit_in, tmp_path / "local", {"sync": False})
    assert each[0][1] == each[1][1]
    name = "model.backbone.bn1.running_var"
    assert not np.allclose(each[0][0][name], together[0][0][name], rtol=1e-6)


class Cut(Exception):
    """Stands in for a kill: it leaves every file as it is at that moment."""


def fit_cut(shard, folder, calls):
    """Ends every process after that many calls of the keeper; then fits to the end."""
    save = PhaseKeeper._save

    def counted(self, *words, **place):
        nonlocal calls
        save(self, *words, **place)
        calls -= 1
        if calls == 0:
            raise Cut

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PhaseKeeper, "_save", counted)
        with contextlib.suppress(Cut):
            fit(shard, folder, sync=False, dropout=0.3)
    return fit(shard, folder, sync=False, dropout=0.3)


@LONG
@pytest.mark.parametrize("calls", [2, 5, 7])  # in the first phase, in the second, after its epoch
def test_a_cut_run_goes_on_bit_for_bit(tmp_path, calls):
    whole = in_processes(2, fit_in, tmp_path / "whole", {"sync": False, "dropout": 0.3})
    cut = in_processes(2, fit_cut, tmp_path / "cut", calls)
    assert cut[0][1] == whole[0][1] == cut[1][1]
    for name, value in whole[0][0].items():
        np.testing.assert_array_equal(cut[0][0][name], value, err_msg=name)


def dro():
    groups = np.resize([0, 0, 1, -1, 1, 1, 0], 42)
    return GroupDRO(groups, step=0.1, adjustment=0.5)


@LONG
def test_group_dro_weighs_the_groups_of_the_whole_batch(tmp_path):
    alone = fit(Shard(), tmp_path / "one", loss=dro)
    both = in_processes(2, fit_in, tmp_path / "two", {"loss": dro})
    assert_alike(alone[1], both[0][1])
    np.testing.assert_allclose(both[0][2], alone[2], rtol=1e-3)
    np.testing.assert_array_equal(both[0][2], both[1][2])


@LONG
def test_a_class_sampler_draws_the_epoch_of_one_process(tmp_path):
    alone = fit(Shard(), tmp_path / "one", balance="sampler")
    both = in_processes(2, fit_in, tmp_path / "two", {"balance": "sampler"})
    assert_alike(alone[1], both[0][1])


def draws(shard):
    """What dropout and mixing draw in a process, and what they are for two batches."""
    from dermasense.training.mixing import build_mixing
    from dermasense.training.module import LesionClassifier

    class WithoutTrainer(LesionClassifier):
        current_epoch = 0

        def epoch_batch(self, batch_idx):
            return batch_idx

    module = WithoutTrainer(
        tiny_classifier(), nn.CrossEntropyLoss(), make_optimizer=None, make_schedule=None,
        seed=3, phase=0, shard=shard,
    )  # fmt: skip
    shares = []
    for batch in range(2):
        module.on_train_batch_start({}, batch)
        dropped = torch.rand(3).tolist()
        mixing = build_mixing("mixup", num_classes=3, alpha=1.0)
        x, _ = mixing(torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1]), module.place(batch))
        shares.append((*dropped, *x.flatten().tolist()))
    return shares


def test_dropout_and_mixup_draw_anew_in_every_process_and_batch():
    parts = [draws(Shard(rank, 3)) for rank in range(3)]
    seen = {tuple(batch) for part in parts for batch in part}
    assert len(seen) == 6
    assert draws(Shard(0, 3)) == draws(Shard())  # process 0 draws what one alone draws


def norm_step(shard, kind):
    torch.manual_seed(0)
    x = torch.randn(7, 3, 4, 4) * 3 + 1
    weight = torch.randn(7, 3, 4, 4)
    norm = kind(3)
    part = shard.part(7)
    mine = x[part].clone().requires_grad_()
    with norms_together(norm, shard.world > 1):
        out = norm(mine)
        (out * weight[part]).sum().backward()
    return {
        "out": out.detach().numpy(),
        "x": mine.grad.numpy(),
        "mean": norm.running_mean.numpy(),
        "var": norm.running_var.numpy(),
        "type": type(norm).__name__,
    }


@LONG
@pytest.mark.parametrize("kind", [nn.BatchNorm2d, BatchNormAct2d])
def test_norms_together_are_the_norm_of_the_whole_batch(kind):
    alone = norm_step(Shard(), kind)
    parts = in_processes(2, norm_step, kind)  # 3 images and 4
    for key in ("out", "x"):
        whole = np.concatenate([part[key] for part in parts])
        np.testing.assert_allclose(whole, alone[key], rtol=1e-4, atol=1e-5)
    for part in parts:
        np.testing.assert_allclose(part["mean"], alone["mean"], rtol=1e-5)
        np.testing.assert_allclose(part["var"], alone["var"], rtol=1e-5)
        assert part["type"] == kind.__name__  # what it was, once it has trained


def collect_by_id(shard, doubled):
    ids = [f"i{n}" for n in range(7)]
    mine = ids[shard.part(7)]
    if doubled and shard.rank:
        mine[0] = "i0"
    values = np.array([[float(name[1:])] for name in mine])
    try:
        return gathered_by_id(mine, values, ids)
    except DermaSenseError as error:
        return str(error)


@LONG
def test_predictions_are_gathered_by_image_each_once():
    first, second = in_processes(2, collect_by_id, False)
    assert first.flatten().tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert second is None
    assert "came twice or not at all" in in_processes(2, collect_by_id, True)[0]
    assert gathered("alone") == ["alone"]
