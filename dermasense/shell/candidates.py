"""What may stand at the cursor of a command line: options, choices of a group, true and false."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from dermasense.hydra_words import conf_folder

# `dermasense completion --words "train loss=f"` asks for words; a command is asked alike.
ASKED = "--words"
FLAGS = ("--help",)
SWITCHES = ("false", "true")


def line_of(words: Iterable[str]) -> list[str]:
    """The words up to the cursor; the last is the one being typed, "" after a space."""
    return " ".join(words).lstrip().split(" ")


def asked_line(words: Iterable[str]) -> list[str] | None:
    """The line that a command is asked to complete; None where it shall run."""
    for word in words:
        if word.startswith(f"{ASKED}="):
            return line_of([word.partition("=")[2]])
    return None


def candidates(
    config_name: str, line: list[str], typed: Mapping[str, str] = {}, flags: Iterable[str] = FLAGS
) -> list[str]:
    """Words that the last one may become; none where it is a path or a number.

    Args:
        config_name: of the command.
        line: its words; the last one is not finished.
        typed: options that are typed by another name, as typed -> in the configuration.
        flags: that it takes.
    """
    *before, word = line
    if word.startswith("-"):
        found = list(flags)
    else:
        choices, values = _known(config_name, before)
        choices |= {name: _choices(place) for name, place in typed.items() if _choices(place)}
        key, equals, value = word.partition("=")
        if equals:
            first = word[: len(word) - len(value.rpartition(",")[2])]
            valid = choices.get(key) or (SWITCHES if type(values.get(key)) is bool else ())
            found = [f"{first}{each}" for each in valid]
        else:
            # What has the name of a group is typed so, and called otherwise for Hydra's sake only.
            renamed = {name for each, name in typed.items() if _choices(each)}
            names = {*choices, *typed} | {name for name in values if name not in renamed}
            found = [*{_one_step(name, word) for name in names}]
    return sorted(each for each in found if each.startswith(word))


def _one_step(name: str, word: str) -> str:
    """`trainer.devices` as `trainer.` until that much is typed."""
    parts, depth = name.split("."), word.count(".") + 1
    return ".".join(parts[:depth]) + ("." if len(parts) > depth else "=")


def _known(config_name: str, before: list[str]) -> tuple[dict[str, list[str]], dict[str, object]]:
    """Choices by group, and value by option, of the command with these words."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from dermasense.overrides import flatten

    words = [word for word in before if "=" in word and "," not in word]
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        try:
            config = compose(config_name, overrides=words, return_hydra_config=True)
        except Exception:  # what stands before is wrong: the command as it is will do
            config = compose(config_name, return_hydra_config=True)
    groups = [name for name in config.hydra.runtime.choices if not name.startswith("hydra/")]
    settings = OmegaConf.to_container(config)
    settings.pop("hydra")
    return {name: _choices(name) for name in groups}, flatten(settings)


def _choices(group: str) -> list[str]:
    folder: Path = conf_folder() / group
    return sorted(path.stem for path in folder.glob("*.yaml")) if folder.is_dir() else []
