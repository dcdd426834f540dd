"""By which command, code and machine a number was made, for a reader who wants it again."""

import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "dermasense",
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "hydra-core",
    "torchmetrics",
    "imbalanced-learn",
    "albumentations",
    "numpy",
    "scikit-learn",
)


def shell_line(command: str, *words: str) -> str:
    """A command of ours as a shell takes it, whatever its words hold."""
    return shlex.join(["python", "-m", f"dermasense.{command}", *words])


def environment(command: str = "train") -> dict:
    """Versions, commit and machine, for a reader who wants the same numbers again.

    Args:
        command: whose words were typed.
    """
    return {
        "command": shell_line(command, *sys.argv[1:]),
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": machine(),
    }


def commit() -> str:
    """The commit of the checkout, with "+" where tracked files differ; "" outside one."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return ""
    git = ["git", "-C", str(root)]
    try:
        name = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True
        )
        dirty = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True
        )
    except OSError:
        return ""
    if name.returncode:
        return ""
    return name.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def machine() -> str:
    """The processor and its cores, and the GPU where there is one; never a host name."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    text = f"{model}, {usable_cores()} cores"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        text += f", {torch.cuda.get_device_name()}"
    return text


def usable_cores() -> int:
    """Cores that this process may use: a container's, not those of its host."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
