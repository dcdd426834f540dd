"""What an experiment says of a choice that the command line replaced by another.

An experiment sets options of the choices that it takes: `ham_finetune` takes loss=weighted_ce and
sets loss.weighting. Beside loss=ce that option means nothing, so it is left out. An option that
both choices have, such as model.image_size, stays what the experiment says. Either is told, and so
is the experiment that is taken where none is named, and a search that is named and not run.
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from dermasense.overrides import KEYLESS, SEARCH_PATH, choices_of, of_groups, values_and_groups


@dataclass(frozen=True)
class Said:
    """An option of a replaced choice to which the experiment gives a value of its own.

    Attributes:
        key: the option, dotted.
        value: what the experiment says.
        experiment: which one, "experiment=ham_finetune".
        choice: what was taken instead of its choice, "loss=ce".
        known: whether that choice has the option.
        default: what it says of the option; None where it has none.
    """

    key: str
    value: Any
    experiment: str
    choice: str
    known: bool
    default: Any = None


def leave_out(config: Any, words: list[str], config_name: str) -> list[str]:
    """Takes out what the experiment says of options that the choices taken instead do not have.

    What the command line itself sets stays: whether it fits is found out as ever.

    Args:
        config: the composed configuration, changed in place.
        words: the command line that it was composed of.
        config_name: name of the primary configuration.

    Returns:
        What there is to tell of that, a sentence each.
    """
    from omegaconf import OmegaConf, open_dict

    if "phases" not in config:  # a command that takes no experiment
        return []
    values, groups = values_and_groups(words)
    typed = [override.key_or_group for override in values]
    told = []
    for said in _said(config_name, tuple(groups)):
        if any(f"{key}.".startswith(f"{said.key}.") for key in typed):
            continue
        if said.known:
            told.append(
                f"{said.key}={said.value} is of {said.experiment}; {said.choice} alone has "
                f"{said.default}"
            )
            continue
        place, _, option = said.key.rpartition(".")
        with open_dict(config):
            del OmegaConf.select(config, place)[option]
        told.append(f"{said.key} of {said.experiment} is left out: {said.choice} has none")
    return told


def default_taken(config: Any, words: list[str]) -> list[str]:
    """That a person's own images train by the quickstart, where no experiment was named."""
    if "phases" not in config or config.data.name == "synthetic":
        return []
    if any(word.startswith(("experiment=", "~experiment")) for word in words):
        return []
    return [
        "no experiment is named, so quickstart is taken: it shows that everything works. For a "
        "result name another, such as experiment=ham_finetune"
    ]


def no_search(params: Iterable[str], words: list[str]) -> list[str]:
    """That a search is named and none is run: one training, with --multirun forgotten.

    Args:
        params: options that the search would choose.
        words: the command line; with all of them typed, as best.txt has them, one run is meant.
    """
    typed = {word.partition("=")[0].lstrip("+") for word in words}
    if set(params) <= typed:
        return []
    return ["no search without --multirun: its options keep the values that they have"]


@functools.cache
def _said(config_name: str, groups: tuple[str, ...]) -> tuple[Said, ...]:
    from omegaconf import OmegaConf

    always = tuple(w for w in groups if w.startswith((SEARCH_PATH, "experiment=")))
    if len(always) == len(groups):
        return ()
    chosen, own = _choices(config_name, groups), _choices(config_name, always)
    if not chosen.get("experiment"):
        return ()
    path = [word for word in always if word.startswith(SEARCH_PATH)]
    plain = of_groups(
        config_name,
        (
            *path,
            *(f"{group}={name}" for group, name in chosen.items() if group != "experiment"),
            "~experiment",
        ),
    )
    whole = of_groups(config_name, groups)
    experiment = f"experiment={chosen['experiment']}"
    return tuple(
        Said(key, value, experiment, f"{group}={name}", known, default)
        for group, name in chosen.items()
        if name != own.get(group, name) and group in whole
        for key, value, known, default in _differing(
            OmegaConf.to_container(whole[group]), OmegaConf.to_container(plain[group]), group
        )
    )


def _choices(config_name: str, groups: tuple[str, ...]) -> dict[str, str]:
    """What is chosen of each group, of those that every run needs and of experiment."""
    return {
        group: name
        for group, name in choices_of(config_name, groups).items()
        if "/" not in group and (group not in KEYLESS or group == "experiment")
    }


def _differing(whole: dict, plain: dict, place: str) -> Iterator[tuple[str, Any, bool, Any]]:
    """Key, value, whether `plain` has the key, and its value there, of all that differs."""
    for name, value in whole.items():
        key = f"{place}.{name}"
        if name not in plain:
            yield key, value, False, None
        elif isinstance(value, dict) and isinstance(plain[name], dict):
            yield from _differing(value, plain[name], key)
        elif value != plain[name]:
            yield key, value, True, plain[name]
