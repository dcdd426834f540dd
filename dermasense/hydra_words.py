"""Where the configurations lie, and how a value is written so that Hydra reads it as it is."""

from collections.abc import Iterable, Mapping
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def conf_folder() -> Path:
    """Where the configuration lies: beside the package in a checkout, inside it once installed."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"


def quoted(
    word: str, texts: Iterable[str], lists: Iterable[str] = (), renamed: Mapping[str, str] = {}
) -> str:
    """A word of the command line, quoted for Hydra's grammar; see :func:`tool_command`."""
    key, equals, value = word.partition("=")
    if not equals:
        return word
    key = renamed.get(key, key)
    if key not in (*texts, *lists) or value[:1] in ("", "[", '"', "'") or value == "null":
        return f"{key}={value}"
    if key in texts:
        return f"{key}={hydra_text(value)}"
    parts = [each.strip() for each in value.split(",")]
    return f"{key}=[{','.join(hydra_text(part) for part in parts if part)}]"


def hydra_text(value: str) -> str:
    """Text as Hydra reads it, whatever stands in it."""
    escaped = value.replace('\\"', '\\\\"').replace('"', '\\"')
    return f'"{escaped}"'
