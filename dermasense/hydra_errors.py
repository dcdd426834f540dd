"""What is wrong with a command line, in one sentence, where Hydra says it in many or in none."""

import re
import traceback
from pathlib import Path
from typing import Any

from dermasense.data.map_words import UNKNOWN
from dermasense.errors import DermaSenseError, nearest
from dermasense.hydra_words import conf_folder
from dermasense.overrides import (
    KEYLESS,
    SEARCH_PATH,
    check_types,
    flatten,
    of_groups,
    values_and_groups,
)
from dermasense.replaced_choices import leave_out

# Fields of `training.recipe.Phase`, named here since importing that takes seconds; a test compares.
PHASE_OPTIONS = ("epochs", "unfreeze", "lr", "patience", "scheduler")


def compose_or_explain(config_name: str, words: list[str]) -> Any:
    """The configuration that a command line asks for, outside of a running Hydra command.

    Args:
        config_name: name of the primary configuration.
        words: the command line.

    Raises:
        DermaSenseError: unknown or mistyped options and values, in one sentence.
    """
    from hydra import compose, initialize_config_dir

    folder = str(conf_folder())
    try:
        with initialize_config_dir(folder, version_base="1.3"):
            config = compose(config_name, overrides=words)
            leave_out(config, words, config_name)
            check_types(config, words, config_name)
    except Exception as error:
        sentence = explain(error, folder, config_name, words)
        if sentence is None:
            raise
        raise DermaSenseError(sentence) from None
    return config


def explain(error: Exception, folder: str, config_name: str, overrides: list[str]) -> str | None:
    """One sentence for an error of Hydra or OmegaConf that the command line caused, else None."""
    text = str(error)
    if isinstance(error, TypeError | ValueError) and _raised_in_hydra(error):
        unread = f"the command line cannot be read: {' '.join(text.split())}"
        return _explain_no_choice(Path(folder), overrides) or unread
    if found := re.search(r"(?:Unknown plugin class : '|instantiate plugin )([\w.]+)", text):
        return (
            f"the plugin {found.group(1)} is not installed: pip install 'dermasense[scale]' brings "
            "the launchers"
        )
    if type(error).__module__.startswith("submitit."):
        return (
            f"a job left no result ({next(iter(text.splitlines()), 'killed')}), so the others were "
            "ended; go on with the same command and hydra.sweep.dir= of the sweep, or resume= of "
            "the cross-validation."
        )
    if not type(error).__module__.startswith(("hydra.", "omegaconf.")):
        return None
    if options := getattr(error, "options", None):
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={choice} is no choice; {nearest(choice, options)}"
    if found := re.search(r"An item is already at '([^']+)'", text):
        key = found.group(1)
        return f"{key} is an option already: leave out the + and type {key}=..."
    if found := re.search(r"Could not (?:override|append to config\.?|delete) '?([^'\s]+)'?", text):
        return _explain_unknown(found.group(1).rstrip("."), folder, config_name, overrides)
    if "does not support sweep type" in text:
        return (
            "a sweep without a sampler tries every value, and an interval has no end of them; add "
            "hydra/sweeper=optuna or hydra/sweeper=random, or name values with commas."
        )
    if (word := getattr(error, "override", None)) and "missing EQUAL" not in text:
        return f"the command line cannot be read: {word}; {_how_to_write(word)}"
    return " ".join(text.split())


def _how_to_write(word: str) -> str:
    """What to do about a word that Hydra's parser refuses."""
    key, is_map, _ = word.partition(".map={")
    if not is_map:
        return (
            "write key=value, quote what has spaces, or other letters than a to z, twice: "
            "'key=\"a value\"'."
        )
    if UNKNOWN in word:
        return f"fill in the class, or null, where {UNKNOWN} stands."
    option = f"{key.lstrip('+')}.map"
    return (
        f"write '{option}={{label: class, label: class}}', with both braces and a backslash before "
        "( ) : , = within a name; labels that it does not take (other letters than a to z, "
        f"quotation marks, other signs) stand in a table: {option}=FILE.csv with the columns label "
        "and class."
    )


def _raised_in_hydra(error: BaseException) -> bool:
    """Whether the innermost call is Hydra's composing: it meets lists and numbers unprepared."""
    places = traceback.extract_tb(error.__traceback__)
    return bool(places) and "/hydra/_internal/" in Path(places[-1].filename).as_posix()


def _is_word(value: str) -> bool:
    import yaml

    try:
        return isinstance(yaml.safe_load(value), str)
    except yaml.YAMLError:
        return True


def _explain_no_choice(folder: Path, overrides: list[str]) -> str | None:
    for word in overrides:
        group, _, choice = word.lstrip("+").partition("=")
        choices = sorted(path.stem for path in (folder / group).glob("*.yaml"))
        # A word may be a choice from outside (--config-dir): Hydra stumbles over numbers and lists.
        if group and choices and choice not in choices and not _is_word(choice):
            if choice == "null" and group in KEYLESS:
                return f"{group}=null is no choice; type ~{group} to take none."
            return f"{group}={choice} is no choice; {nearest(choice, choices)}"
    return None


def _explain_unknown(key: str, folder: str, config_name: str, overrides: list[str]) -> str:
    known = _known_keys(folder, config_name, overrides)
    place, _, option = key.rpartition(".")
    is_phase = place.startswith("phases.") and any(name.startswith(f"{place}.") for name in known)
    if is_phase and option in PHASE_OPTIONS:
        value = next((w.partition("=")[2] for w in overrides if w.startswith(f"{key}=")), "...")
        if option == "scheduler" and not value.startswith("{"):
            value = f"'{{name: {value}}}'"
        return f"{key} is not set in this schedule; to add it type +{key}={value}"
    known = [name for name in known if name != key]  # a group that another command has
    return f"{key} is no option; {nearest(key, known)}"


def _known_keys(folder: str, config_name: str, overrides: list[str]) -> list[str]:
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    words = [w for w in overrides if ("=" in w or w.startswith("~")) and "," not in w]
    _, groups = values_and_groups(words)
    GlobalHydra.instance().clear()
    with initialize_config_dir(folder, version_base="1.3"):
        try:
            composed = of_groups(config_name, tuple(groups))
        except Exception:  # the groups themselves are wrong: the plain configuration will do
            path = tuple(word for word in groups if word.startswith(SEARCH_PATH))
            composed = of_groups(config_name, path)
    own = (Path(folder) / f"{config_name}.yaml").read_text(encoding="utf-8")
    groups_of_all = [path.name for path in Path(folder).iterdir() if path.is_dir()]
    names = [name for name in groups_of_all if f"- {name}:" in own]
    return [*flatten(OmegaConf.to_container(composed)), *names]
