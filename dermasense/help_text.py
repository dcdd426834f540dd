"""What `--help` prints: a command's options with what is said above them, its groups' choices."""

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from string import Template
from typing import Any

import yaml

from dermasense.hydra_words import conf_folder
from dermasense.overrides import SEARCH_PATH

HELP = ("--help", "-h")
_OPTION = re.compile(r'"?([\w-]+)"?:')


def help_text(config_name: str, folder: Path, words: Iterable[str], *, launches: bool) -> str:
    """The help of a command, with the choices that its words make.

    `$APP_CONFIG_GROUPS` in its template becomes the groups of the command, `$CONFIG` its options.

    Args:
        config_name: its configuration.
        folder: where that lies.
        words: the command line; those with commas, as of a sweep, are left out.
        launches: whether it takes launcher=...
    """
    from hydra import compose, initialize_config_dir

    kept = [w for w in words if w.startswith(SEARCH_PATH) or ("=" in w and "," not in w)]
    with initialize_config_dir(str(folder), version_base="1.3"):
        config = compose(config_name, overrides=kept, return_hydra_config=True)
    chosen = reversed(list(config.hydra.runtime.choices))  # as the configuration lists them
    groups = [name for name in chosen if not name.startswith("hydra/")]
    searched = (place.removeprefix("file://") for place in config.hydra.searchpath or ())
    places = dict.fromkeys([conf_folder(), folder, *map(Path, searched)])
    shown = {name: _choices(places, name) for name in groups}
    if launches:
        shown["launcher"] = _choices(places, "hydra/launcher")
    lines = [f"{name}: {', '.join(choices)}" for name, choices in shown.items()]
    wrapped = [textwrap.fill(line, 118, subsequent_indent="  ") for line in lines]
    return Template(config.hydra.help.template).safe_substitute(
        APP_CONFIG_GROUPS="\n".join([*wrapped, ""]),
        CONFIG=_options(config, own_options(folder, config_name)),
    )


def own_options(folder: Path, config_name: str) -> dict[str, str]:
    """Text of each option of a configuration, with the comment above it, by name.

    Those of a configuration that it begins with follow, where it has none of that name.
    """
    text = (folder / f"{config_name}.yaml").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    name, above = "", ""
    for line in text.splitlines(keepends=True):
        if begins := _OPTION.match(line):
            name, above = begins[1], above + line
            found[name], above = above, ""
        elif line[0] in "#\n":
            above = above + line if line[0] == "#" else ""
        elif name:  # before the first option: the mark that opens a document
            found[name] += line
    found.pop("hydra", None)
    begun_with = re.findall(r"^  - (\w+)$", found.pop("defaults", ""), re.MULTILINE)
    for base in begun_with:
        places = (place for place in (folder, conf_folder()) if (place / f"{base}.yaml").is_file())
        if place := next(places, None):  # none: `_self_`
            inherited = own_options(place, base)
            found |= {key: text for key, text in inherited.items() if key not in found}
    return found


def _options(config: Any, own: dict[str, str]) -> str:
    """The own options as they are written, then what the choices add to them or change."""
    from omegaconf import OmegaConf

    written = yaml.safe_load("".join(own.values())) or {}
    settings, absent = OmegaConf.to_container(config), object()
    settings.pop("hydra")
    told = {k: v for k, v in settings.items() if written.get(k, absent) != v}
    chosen = yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=118) if told else ""
    return "".join(own.values()) + (f"\n# By the choices made:\n{chosen}" if told else "")


def _choices(places: Iterable[Path], group: str) -> list[str]:
    return sorted({path.stem for place in places for path in (place / group).glob("*.yaml")})
