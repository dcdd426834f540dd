"""Checkpoints: a damaged one is passed over, and the whole one before it outlives every kill."""

import os
import re

import pytest
import torch

from dermasense.errors import DermaSenseError
from dermasense.training.checkpoint import CheckpointFolder, Progress
from tests.training.cuts import Cut, assert_same_weights, train
from tests.training.tiny import PHASES, cuttable_classifier, tiny_classifier, tiny_recipe


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_taken(tmp_path, caplog):
    whole, *_, calls = train(tmp_path / "whole")
    with pytest.raises(Cut):
        train(tmp_path / "cut", cut_after=calls // 2)
    last = tmp_path / "cut" / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    resumed, *_ = train(tmp_path / "cut")
    assert f"{last} is damaged" in caplog.text
    assert_same_weights(whole, resumed)


def test_a_kill_before_the_save_after_a_damaged_checkpoint_leaves_the_whole_one(
    tmp_path, monkeypatch
):
    checkpoints = CheckpointFolder(tmp_path)
    checkpoints.save(Progress(epoch=1), {})
    checkpoints.save(Progress(epoch=2), {})
    checkpoints.last.write_bytes(b"half a checkpoint")
    assert checkpoints.load()[0].epoch == 1
    replace = os.replace

    def killed(source, target):
        if target == checkpoints.last:
            raise Cut
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(Cut):
        checkpoints.save(Progress(epoch=2), {})
    assert CheckpointFolder(tmp_path).load()[0].epoch == 1


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"progress": Evil()}, "it holds code"),
        ({"model": {}}, "progress"),
        ({"progress": {"epoch": 1}}, "best"),
        ({"progress": {"best": {}, "lap": 1}}, "unexpected keyword argument 'lap'"),
        ([1, 2], "integer"),
    ],
)
def test_a_checkpoint_with_code_or_of_another_version_is_refused(tmp_path, capsys, content, words):
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(DermaSenseError, match=f"last.ckpt is whole, but no checkpoint.*{words}"):
        CheckpointFolder(tmp_path).load()
    assert "code ran" not in capsys.readouterr().out


def test_a_cut_inside_a_save_leaves_the_former_checkpoint(tmp_path, monkeypatch):
    whole, *_ = train(tmp_path / "whole")
    saves = 0
    save = torch.save

    def cut_save(value, path):
        nonlocal saves
        saves += 1
        if saves == 7:
            path.write_bytes(b"half a checkpoint")
            raise Cut
        save(value, path)

    monkeypatch.setattr(torch, "save", cut_save)
    with pytest.raises(Cut):
        train(tmp_path / "cut")
    monkeypatch.undo()
    assert CheckpointFolder(tmp_path / "cut").load() is not None
    assert not list((tmp_path / "cut").glob(".*"))
    resumed, *_ = train(tmp_path / "cut")
    assert_same_weights(whole, resumed)


def test_checkpoints_hold_plain_containers_only(tmp_path):
    train(tmp_path, phases=PHASES[:1])
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["progress"]["history"]


def test_a_process_that_only_reads_writes_nothing(tmp_path):
    reader = CheckpointFolder(tmp_path, writes=False)
    reader.save(Progress(), {})
    reader.save_weights("a.safetensors", tiny_classifier())
    assert not list(tmp_path.iterdir())
    (tmp_path / "last.ckpt").write_bytes(b"half")
    assert reader.load() is None and (tmp_path / "last.ckpt").exists()


def test_damaged_best_weights_are_told_in_a_sentence(tmp_path):
    _, progress, _ = train(tmp_path, phases=PHASES[:1])
    (tmp_path / progress.best.file).write_bytes(b"no tensors")
    with pytest.raises(DermaSenseError, match=r"frozen\.safetensors cannot be read.*start it anew"):
        train(tmp_path, phases=PHASES[:1])


@pytest.mark.parametrize("differs", ["what trains", "the layers", "the schedule"])
def test_a_checkpoint_of_another_network_is_told_in_a_sentence(tmp_path, differs):
    options = {"phases": PHASES[1:2], "recipe": tiny_recipe(scheduler={"name": "cosine"})}
    with pytest.raises(Cut):
        train(tmp_path, cut_after=4, **options)
    if differs == "the schedule":  # as versions had it that fell by torch's CosineAnnealingLR
        saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
        del saved["schedule"]["lr_lambdas"]
        torch.save(saved, tmp_path / "last.ckpt")
    elif differs == "what trains":  # by a tensor
        saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
        saved["optimizer"]["param_groups"][0]["params"].pop()
        torch.save(saved, tmp_path / "last.ckpt")
    else:
        options["make_model"] = cuttable_classifier
    said = f"the checkpoint in {re.escape(str(tmp_path))} is of another network.* begin the run"
    with pytest.raises(DermaSenseError, match=said) as caught:
        train(tmp_path, **options)
    assert "\n" not in str(caught.value)
