"""A training that is cut where a test says, and what must be equal in the end."""

import torch

from dermasense.training.keeper import PhaseKeeper
from dermasense.training.losses import build_loss
from dermasense.training.phases import fit_phases
from tests.training.tiny import PHASES, tiny_classifier, tiny_data, tiny_recipe


class Cut(Exception):
    """Stands in for a kill: it leaves every file as it is at that moment."""


def train(
    folder,
    *,
    cut_after=None,
    workers=0,
    recipe=None,
    phases=PHASES,
    balance="none",
    augmented=True,
    make_model=tiny_classifier,
    cache=None,
    loggers=(),
    **limits,
):
    """Trains in `folder`; `cut_after` ends it at that many calls of the keeper's hooks."""
    calls = 0

    def counted(hook):
        def run(self, *args, **kwargs):
            nonlocal calls
            result = hook(self, *args, **kwargs)
            calls += 1
            if cut_after is not None and calls >= cut_after:
                raise Cut
            return result

        return run

    hooks = ("on_train_start", "on_train_batch_end", "on_train_epoch_end")
    originals = {name: getattr(PhaseKeeper, name) for name in hooks}
    try:
        for name, hook in originals.items():
            setattr(PhaseKeeper, name, counted(hook))
        model = make_model()
        data = tiny_data(workers, balance=balance, augmented=augmented, **limits)
        loss = build_loss("ce", class_counts=[21, 14, 7])
        progress = fit_phases(
            model,
            loss,
            data,
            phases,
            recipe or tiny_recipe(),
            folder=folder,
            loggers=list(loggers),
            cache=cache,
        )
        return model, progress, calls
    finally:
        for name, hook in originals.items():
            setattr(PhaseKeeper, name, hook)


def assert_same_weights(one, other):
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
