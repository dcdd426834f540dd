"""Choices from outside the package: a `_target_` under head, loss, balance or metrics, checked.

Where a configuration gives one, its code is imported: a configuration is a person's word. Data
sources, augmentations and decisions are `_target_`s throughout and need nothing of this.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from dermasense.data.balance import BALANCES
from dermasense.errors import DermaSenseError, nearest
from dermasense.evaluation.own_metric import TAKEN, OwnMetric
from dermasense.models.heads import HEADS, register
from dermasense.targets import build, imported
from dermasense.training.losses import LOSSES

OURS = {"head": tuple(HEADS), "loss": LOSSES, "balance": BALANCES}
BETTER = ("max", "min")
FOR_CROSS_ENTROPY = ("class_weights", "focal_alpha")


def check_choice_names(settings: Mapping[str, Any]) -> None:
    """Holds each choice to a name, by which tables and bundles know it, and from outside its own.

    Args:
        settings: of a run.

    Raises:
        DermaSenseError: no name, or one that DermaSense uses.
    """
    for group, taken in OURS.items():
        options = settings[group]
        name = options.get("name")
        if not (isinstance(name, str) and name):
            raise DermaSenseError(f"{group}.name={name}: a choice of {group} needs a name: set it.")
        if "_target_" in options and name in taken:
            raise DermaSenseError(
                f"{group}.name={name} is one of DermaSense's; give the one with "
                f"_target_={options['_target_']} another name."
            )


def register_head(head: Mapping[str, Any]) -> None:
    """Makes the head of a configuration known, where it is from outside."""
    if target := head.get("_target_"):
        register(head["name"], imported(target))


def own_loss(
    options: Mapping[str, Any], balance: str, class_counts: np.ndarray, class_names: Sequence[str]
) -> nn.Module:
    """A loss from outside.

    Args:
        options: `_target_`, `name`, and what the target takes; it also gets class_counts (C,) and
            class_names, where its signature has them.
        balance: name of the balance.
        class_counts: training images of each class.
        class_names: the order of the logits.

    Raises:
        DermaSenseError: a balance that weighs another loss, a target that makes none, or a loss
            with parameters to train, which the optimizer of the network would leave as they are.
    """
    if balance in FOR_CROSS_ENTROPY:
        raise DermaSenseError(
            f"balance={balance} weighs a loss of DermaSense; loss={options['name']} gets the "
            "class_counts itself if its _target_ takes them, so use balance=none or sampler."
        )
    options = {key: value for key, value in options.items() if key != "name"}
    target = options["_target_"]
    facts = {"class_counts": class_counts, "class_names": tuple(class_names)}
    takes = _parameters(target)
    loss = build({**options, **{key: facts[key] for key in facts if key in takes}})
    if not isinstance(loss, nn.Module):
        raise DermaSenseError(f"loss: {target} gave {type(loss).__name__}, no torch.nn.Module.")
    trained = next((name for name, each in loss.named_parameters() if each.requires_grad), None)
    if trained is not None:
        raise DermaSenseError(
            f"loss: {target} has a parameter to train ({trained}), and training moves the network "
            "alone: make it a buffer with a value from an option, or a layer of a head."
        )
    if balance == "logit_adjust" and hasattr(loss, "of_rows"):
        raise DermaSenseError(
            f"balance=logit_adjust asks a loss for one batch at a time, and {target} asks for its "
            "rows; use balance=none."
        )
    return loss


def _parameters(target: str) -> Mapping[str, Any]:
    try:
        return inspect.signature(imported(target)).parameters
    except (TypeError, ValueError) as error:
        raise DermaSenseError(f"{target}: {error}") from None


def own_metrics(options: Mapping[str, Mapping[str, Any]]) -> dict[str, OwnMetric]:
    """Metrics from outside, which are computed beside those of every epoch.

    Args:
        options: by name, each with `_target_`, `better` ("max" or "min"), and what the target
            takes beyond logits and labels.

    Raises:
        DermaSenseError: a name that is taken, or an option that is missing or unknown.
    """
    metrics = {}
    for name, own in options.items():
        place = f"metrics.{name}"
        if name in TAKEN:
            raise DermaSenseError(f"{place}: DermaSense has a {name}; give yours another name.")
        if not isinstance(own, Mapping) or "_target_" not in own:
            raise DermaSenseError(f"{place}._target_ is missing: the function that computes it.")
        better = own.get("better")
        if better not in BETTER:
            raise DermaSenseError(f"{place}.better={better}: {nearest(str(better), BETTER)}")
        rest = {key: value for key, value in own.items() if key != "better"}
        metrics[name] = OwnMetric(build({**rest, "_partial_": True}), better)
    return metrics
