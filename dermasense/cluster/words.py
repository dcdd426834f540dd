"""How `launcher=` is typed: the same in every command, though Hydra calls it hydra/launcher."""

from collections.abc import Iterable
from typing import Any

from dermasense.errors import DermaSenseError

_CHOICE = "hydra/launcher="


def launcher_word(word: str) -> str:
    """`launcher=ray` and `launcher.cpus=2` as Hydra wants them typed; other words as they are."""
    if word.startswith("launcher="):
        return f"hydra/{word}"
    return f"hydra.{word}" if word.startswith("launcher.") else word


def launcher_words(words: Iterable[str]) -> list[str]:
    """Those that choose a launcher and its options."""
    return [word for word in words if word.startswith((_CHOICE, "hydra.launcher."))]


def launcher_name(words: Iterable[str]) -> str | None:
    """Of the launcher that is chosen; None for none, or for Hydra's own, which launches nothing."""
    chosen = [word.removeprefix(_CHOICE) for word in words if word.startswith(_CHOICE)]
    return chosen[-1] if chosen and chosen[-1] != "basic" else None


def chosen_launcher() -> tuple[str, dict[str, Any]] | None:
    """Name and options of the launcher that the running command was given; None for none."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    running = HydraConfig.get()
    if not (name := launcher_name(running.overrides.hydra)):
        return None
    options = OmegaConf.to_container(running.launcher, resolve=True)
    return name, {key: value for key, value in options.items() if key != "_target_"}


def refuse_launcher(words: Iterable[str], command: str) -> None:
    """For a command that has nothing to launch.

    Raises:
        DermaSenseError: where a launcher is chosen.
    """
    if name := launcher_name(words):
        way = "add --multirun" if command == "train" else "it does one thing at a time"
        raise DermaSenseError(
            f"launcher={name}: {command} has nothing to launch here; {way}, or leave it out."
        )
