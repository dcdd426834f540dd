"""The hub's layout, against a folder that stands for the hub: no network."""

import shutil
import types
from pathlib import Path

import pytest

from dermasense import load, push
from dermasense.errors import DermaSenseError
from dermasense.models import hub_bundle
from tests.fakes import stub_backbone
from tests.inference.tiny_bundle import pictures, tiny_bundle


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A client of huggingface_hub's shape whose repositories are folders."""
    root, calls = tmp_path / "hub", []

    class Api:
        def __init__(self, token=None):
            pass

        def create_repo(self, repo_id, repo_type, private, exist_ok):
            calls.append(("create", repo_id, private))
            (root / repo_id).mkdir(parents=True, exist_ok=exist_ok)

        def upload_folder(self, repo_id, folder_path, commit_message):
            shutil.copytree(folder_path, root / repo_id, dirs_exist_ok=True)

    def snapshot_download(repo_id, revision, allow_patterns):
        calls.append(("fetch", repo_id, revision))
        if not (root / repo_id).is_dir():
            raise OSError("404 Client Error.\nRepository Not Found")
        copy = tmp_path / "snapshot"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for name in allow_patterns:
            if (root / repo_id / name).is_file():
                shutil.copyfile(root / repo_id / name, copy / name)
        return str(copy)

    client = types.SimpleNamespace(HfApi=Api, snapshot_download=snapshot_download, calls=calls)
    monkeypatch.setattr(hub_bundle, "_hub", lambda: client)
    monkeypatch.setattr("timm.create_model", stub_backbone)
    client.root = root
    return client


def test_what_is_pushed_is_what_is_loaded(hub, tmp_path):
    folder = tiny_bundle(tmp_path / "bundle")
    (folder / "MODEL_CARD.md").write_text("---\nlicense: mit\n---\n# A card\n")
    (folder / "private notes.txt").write_text("not for the hub")
    assert push(folder, "owner/name") == "hf://owner/name"
    there = {path.name for path in (hub.root / "owner/name").iterdir()}
    assert there == {"model.json", "model.safetensors", "README.md"}
    found = load("hf://owner/name@v1", engine="torch").predict(pictures(3))
    assert found == load(folder, engine="torch").predict(pictures(3))
    assert hub.calls == [("create", "owner/name", True), ("fetch", "owner/name", "v1")]


def test_a_damaged_bundle_is_not_pushed(hub, tmp_path):
    folder = tiny_bundle(tmp_path / "bundle")
    (folder / "model.safetensors").write_bytes(b"x")
    with pytest.raises(DermaSenseError, match="sha256"):
        push(folder, "owner/name")
    assert not hub.calls


def test_no_code_is_ever_fetched():
    assert all(Path(name).suffix in (".json", ".safetensors", ".onnx") for name in hub_bundle.FILES)


def test_a_repository_that_is_not_there_is_said_in_one_sentence(hub):
    with pytest.raises(DermaSenseError, match="hf://owner/none: cannot be fetched") as caught:
        load("hf://owner/none")
    assert "\n" not in str(caught.value)
