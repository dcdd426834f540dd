"""Where a bundle is: in a folder, shipped with the package, or on the Hugging Face hub.

On the hub a bundle is a model repository whose root holds the bundle's files, the model card as its
README.md.
"""

import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

from dermasense.errors import DermaSenseError, first_line
from dermasense.files import safe_name
from dermasense.run_folder import bundle_in, run_around

SHIPPED, HUB = "shipped", "hf://"
CARD, README = "MODEL_CARD.md", "README.md"
# Nothing else of a repository is fetched: no code, no pickle.
FILES = ("model.json", "model.safetensors", "model.onnx", "ood.safetensors", "ensemble.json")
MEMBERS = "members"
_PACKAGE = Path(__file__).resolve().parents[1]


def locate(bundle: str | Path, *, write: bool = False) -> Path:
    """The folder that `bundle=` names.

    Args:
        bundle: a bundle's folder, a finished run's, "shipped", or "hf://owner/name[@revision]".
        write: whether it is to be written into.

    Raises:
        DermaSenseError: nothing of that name, the hub cannot be reached, or the bundle is to be
            written into and not the user's to change.
    """
    folder = _folder(bundle)
    if write and is_borrowed(bundle):
        raise DermaSenseError(
            f"{bundle}: is not changed, for others use the same files; copy it first "
            f"(cp -rL {shlex.quote(str(folder))} mine) and name the copy, bundle=mine."
        )
    return folder


def _folder(bundle: str | Path) -> Path:
    if str(bundle) == SHIPPED:
        folder = _PACKAGE / SHIPPED
        if not (folder / "model.json").is_file():
            raise DermaSenseError(
                "no bundle is shipped with this installation; name one with bundle=<run folder> "
                "(python -m dermasense.train makes one) or bundle=hf://<owner>/<name>."
            )
        return folder
    if str(bundle).startswith(HUB):
        return _fetched(str(bundle))
    folder = Path(bundle)
    if folder.is_file():
        raise DermaSenseError(f"{folder}: is a file; name its folder, {folder.parent}")
    return bundle_in(folder)


def is_borrowed(bundle: str | Path) -> bool:
    """Whether the bundle is not the user's to change: in the package, or in the hub's cache."""
    return str(bundle) == SHIPPED or str(bundle).startswith(HUB)


def place_beside(bundle: str | Path) -> Path:
    """Where what is found about a bundle goes unasked: into its run's folder, or its own.

    What is borrowed is not written into: `outputs/<its name>`.
    """
    if is_borrowed(bundle):
        return Path("outputs") / safe_name(str(bundle).removeprefix(HUB))
    return run_around(locate(bundle))


def push(bundle: str | Path, to: str, *, private: bool = True, token: str | None = None) -> str:
    """Uploads a bundle to the hub, made where it does not exist; it is loaded and checked before.

    Args:
        bundle: as :func:`locate`.
        to: "owner/name" or "hf://owner/name".
        private: whether a new repository is private. Mind the licence of the training images.
        token: of the hub; None takes the one of `hf auth login`.

    Returns:
        What `load` takes: "hf://owner/name".

    Raises:
        DermaSenseError: the bundle is damaged, or huggingface_hub is missing or refuses.
    """
    from dermasense.inference.model import load

    folder, (repository, _) = locate(bundle), _parsed(HUB + to.removeprefix(HUB))
    load(folder)
    hub = _hub()
    with tempfile.TemporaryDirectory() as scratch:
        for path in _own_files(folder):
            target = Path(scratch) / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        if (folder / CARD).is_file():
            shutil.copyfile(folder / CARD, Path(scratch) / README)
        try:
            api = hub.HfApi(token=token)
            api.create_repo(repository, repo_type="model", private=private, exist_ok=True)
            api.upload_folder(
                repo_id=repository, folder_path=scratch, commit_message="DermaSense bundle"
            )
        except Exception as error:  # the client raises errors of many types
            raise _refused(repository, "cannot be written", error) from error
    return HUB + repository


def _fetched(address: str) -> Path:
    repository, revision = _parsed(address)
    try:
        found = _hub().snapshot_download(
            repo_id=repository,
            revision=revision,
            allow_patterns=[*FILES, *(f"{MEMBERS}/*/{name}" for name in FILES), README],
        )
    except DermaSenseError:
        raise
    except Exception as error:  # the client raises errors of many types
        raise _refused(repository, "cannot be fetched", error) from error
    return Path(found)


def _parsed(address: str) -> tuple[str, str | None]:
    name, _, revision = address.removeprefix(HUB).partition("@")
    parts = name.split("/")
    if len(parts) != 2 or not all(parts):
        raise DermaSenseError(f"{address}: a bundle on the hub is named hf://<owner>/<name>.")
    return name, revision or None


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise DermaSenseError(
            "hf:// needs the hub's client: pip install 'dermasense[hub]'"
        ) from None
    return huggingface_hub


def _refused(repository: str, what: str, error: Exception) -> DermaSenseError:
    reason = first_line(error, 200)
    return DermaSenseError(f"{HUB}{repository}: {what} ({reason}); check the name and your access")


def _own_files(folder: Path) -> list[Path]:
    """What makes a bundle, those of an ensemble's members included."""
    places = [folder, *sorted(path for path in (folder / MEMBERS).glob("*") if path.is_dir())]
    return [place / name for place in places for name in FILES if (place / name).is_file()]
