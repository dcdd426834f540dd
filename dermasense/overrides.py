"""What the words of a command line may say: types and ranges, held against the configuration."""

import functools
import math
from collections.abc import Callable
from typing import Any

from dermasense.errors import DermaSenseError, nearest
from dermasense.hydra_words import conf_folder

# Options that take several types on purpose: the code that reads them checks them.
SEVERAL_TYPES = ("unfreeze", "alpha", "devices")

# Options for which null means something; any other that has a value keeps one, but see RANGES.
NULLABLE = (
    "accuracy",
    "class_names",
    "interpolation",
    "malignant",
    "matrix",
    "patience",
    "scheduler",
    "weights",
)

# Places where `+key=value` may add what the configuration does not have.
OPEN_PLACES = ("phases.", "trainer.", "hydra.")

# Before the folders that hold configurations from outside the package.
SEARCH_PATH = "hydra.searchpath="

# Groups that change others and have no key of their own, so a run can do without them.
KEYLESS = ("experiment", "debug", "hparams_search")

# Arguments of Lightning's Trainer that would undo what a run relies on.
OWN_TRAINER_OPTIONS = {
    **dict.fromkeys(
        ("check_val_every_n_epoch", "val_check_interval"),
        "every epoch is validated, at its end",
    ),
    **dict.fromkeys(
        ("max_epochs", "min_epochs", "max_steps", "min_steps", "max_time", "fast_dev_run"),
        "set phases.<name>.epochs, limit_epochs or debug=limit",
    ),
    "overfit_batches": "set overfit_batches, without trainer",
    "log_every_n_steps": "the loss is logged every 50 batches, scores every epoch",
    **dict.fromkeys(
        ("limit_test_batches", "limit_predict_batches"),
        "the test split is predicted whole, after training",
    ),
    "num_nodes": "the devices of one machine train together; set trainer.devices",
    **dict.fromkeys(
        (
            "callbacks",
            "enable_checkpointing",
            "enable_model_summary",
            "enable_progress_bar",
            "logger",
            "num_sanity_val_steps",
            "reload_dataloaders_every_n_epochs",
            "use_distributed_sampler",
        ),
        "training sets it by itself",
    ),
}


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value >= least


def _at_least(least: int) -> tuple[Callable[[Any], bool], str]:
    return _whole(least), f"an integer >= {least}"


def _or_null(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def _share(value: Any) -> bool:
    return type(value) is float and 0 < value < 1


def _part(value: Any) -> bool:
    return _whole(1)(value) or _share(value) or (type(value) is float and value == 1)


LARGEST_SEED = 2**32 - 1  # of numpy's RandomState, from which SMOTE and k-means draw
_SEED = (
    lambda value: _whole(0)(value) and value <= LARGEST_SEED,
    f"an integer from 0 to {LARGEST_SEED}",
)

# What the final configuration must keep to, also where a yaml gives the value.
RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "seed": _SEED,
    "split.seed": _SEED,
    "batch_size": _at_least(1),
    "resamples": _at_least(100),
    "folds": _at_least(2),
    "repeats": _at_least(1),
    "calibrate_on": _at_least(1),
    "compare_on": _at_least(1),
    "part_size": _at_least(1),
    "show": _at_least(0),
    "sheet": _at_least(0),
    "replicas": (_or_null(_whole(1)), "an integer >= 1, or null"),
    "ema_decay": (_or_null(_share), "a number above 0 and below 1, or null"),
    "optimizer.layer_decay": (
        _or_null(lambda value: type(value) in (int, float) and 0 < value <= 1),
        "a number above 0 and at most 1, or null",
    ),
    "limit_epochs": (_or_null(_whole(1)), "an integer >= 1, or null"),
    "overfit_batches": (_or_null(_whole(1)), "an integer >= 1, or null"),
    "checkpoint.every_n_steps": _at_least(0),
    "trainer.accumulate_grad_batches": _at_least(1),
    "trainer.gradient_clip_val": (
        _or_null(lambda value: type(value) in (int, float) and 0 < value < math.inf),
        "a number above 0, or null",
    ),
    "trainer.profiler": (
        lambda value: value in (None, "simple", "advanced", "pytorch"),
        "simple, advanced, pytorch or null",
    ),
    "trainer.compile": (lambda value: type(value) is bool, "true or false"),
    "trainer.limit_train_batches": (_part, "an integer >= 1, or a share such as 0.5; 1.0 is all"),
    "trainer.limit_val_batches": (
        _part,
        "an integer >= 1, or a share such as 0.5; 1.0 is all (every epoch is validated)",
    ),
}


def check_types(config: Any, overrides: list[str], config_name: str) -> None:
    """Holds each word of the command line against the configuration without it, then all ranges.

    Args:
        config: the composed configuration.
        overrides: the command line.
        config_name: name of the primary configuration.

    Raises:
        DermaSenseError: a value of another type ("seed=a: expected an integer from ...") or out of
            range, an added key that nothing reads, or something removed that every run needs.
    """
    from omegaconf import OmegaConf

    values, groups = values_and_groups(overrides)
    for word in groups:
        key = word[1:].partition("=")[0]
        if word.startswith("~") and key not in KEYLESS:
            raise DermaSenseError(f"~{key}: every run needs {key}; choose another one instead.")
    before = of_groups(config_name, tuple(groups))
    known = flatten(OmegaConf.to_container(before))
    for override in values:
        key = override.key_or_group
        if override.is_delete():
            if not key.startswith("phases."):
                raise DermaSenseError(f"~{key}: every run needs {key}; give it a value instead.")
            continue
        old, new = OmegaConf.select(before, key), OmegaConf.select(config, key)
        added = override.input_line.startswith("+") and key not in known and old is None
        if added and not key.startswith(OPEN_PLACES):
            raise DermaSenseError(f"+{key}: nothing reads this option; {nearest(key, known)}")
        if key not in RANGES:
            _check_type(key, old, new)
    _check_ranges(config)


def _check_type(key: str, old: Any, new: Any) -> None:
    from omegaconf import OmegaConf

    name = key.rpartition(".")[2]
    if new is None:
        if old is not None and name not in NULLABLE:
            raise DermaSenseError(f"{key}=null: this option needs a value, such as {old}.")
        return
    names = {bool: "true or false", int: "an integer", float: "a number", str: "one value"}
    if OmegaConf.is_dict(old) and not OmegaConf.is_dict(new):
        raise DermaSenseError(
            f"{key}={new}: expected options, such as {key}.{next(iter(old), 'name')}=..."
        )
    if type(old) in names and name not in SEVERAL_TYPES and not _fits(old, new):
        raise DermaSenseError(f"{key}={new}: expected {names[type(old)]}.")


def _check_ranges(config: Any) -> None:
    from omegaconf import OmegaConf

    absent = object()
    for key, (fits, words) in RANGES.items():
        value = OmegaConf.select(config, key, default=absent)
        if value is not absent and not fits(value):
            shown = "null" if value is None else value
            raise DermaSenseError(f"{key}={shown}: expected {words}.")
    for name in OmegaConf.select(config, "trainer") or {}:
        if name in OWN_TRAINER_OPTIONS:
            raise DermaSenseError(f"trainer.{name} cannot be set: {OWN_TRAINER_OPTIONS[name]}.")


@functools.cache
def of_groups(config_name: str, groups: tuple[str, ...]) -> Any:
    """The configuration of these choices, without any value of the command line; only read it."""
    from omegaconf import OmegaConf

    composed = _composed(config_name, groups)
    return OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])


def choices_of(config_name: str, groups: tuple[str, ...]) -> dict[str, str]:
    """What is chosen of every group, those that the words leave alone too."""
    return dict(_composed(config_name, groups).hydra.runtime.choices)


@functools.cache  # composing takes a tenth of a second, and the trials of a sweep choose alike
def _composed(config_name: str, groups: tuple[str, ...]) -> Any:
    from hydra import compose

    return compose(config_name, overrides=list(groups), return_hydra_config=True)


def values_and_groups(overrides: list[str]) -> tuple[list[Any], list[str]]:
    """Parsed `key=value` words, and the words that choose of a group, as they were typed."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    values, groups = [], []
    for override in OverridesParser.create().parse_overrides(overrides):
        # Without the search path a choice from outside could not be composed.
        is_path = override.input_line.startswith(SEARCH_PATH)
        is_group = (conf_folder() / override.key_or_group).is_dir()
        if is_path or (is_group and not isinstance(override.value(), dict)):
            groups.append(override.input_line)
        else:
            values.append(override)
    return values, groups


def _fits(old: Any, new: Any) -> bool:
    from omegaconf import OmegaConf

    if isinstance(old, str):
        return not OmegaConf.is_config(new)
    if isinstance(old, bool) or isinstance(new, bool):
        return isinstance(old, bool) and isinstance(new, bool)
    return isinstance(new, int | float) if isinstance(old, float) else isinstance(new, int)


def flatten(config: dict, prefix: str = "") -> dict[str, Any]:
    """Dotted keys of a nested dict to their leaves."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
