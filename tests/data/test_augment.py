"""Augmentation: draws are a function of the seed alone, and keras_idg does what Keras does."""

import inspect
import pickle

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image, ImageEnhance
from scipy import ndimage
from torch.utils.data import DataLoader, Dataset

from dermasense.data.augment import keras_idg, light, none, strong
from dermasense.data.keras_augment import keras_matrix
from dermasense.errors import DermaSenseError

SIZE = 48
PIPELINES = (keras_idg, light, strong)


@pytest.fixture
def image() -> np.ndarray:
    """A smooth picture without any symmetry, so that every change shows."""
    noise = np.random.default_rng(0).random((SIZE, SIZE, 3))
    smooth = ndimage.gaussian_filter(noise, (4, 4, 0), mode="wrap")
    return np.interp(smooth, (smooth.min(), smooth.max()), (20, 235)).astype(np.uint8)


class _Epoch(Dataset):
    def __init__(self, image: np.ndarray, augment, epoch: int) -> None:
        self.image, self.augment, self.epoch = image, augment, epoch

    def __len__(self) -> int:
        return 12

    def __getitem__(self, position: int) -> torch.Tensor:
        seed = np.random.default_rng([7, 0, self.epoch, position]).integers(2**63)
        return torch.from_numpy(self.augment(self.image, seed))


def epoch_of(image: np.ndarray, augment, epoch: int, workers: int) -> np.ndarray:
    loader = DataLoader(
        _Epoch(image, augment, epoch),
        batch_size=3,
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
    )
    return torch.cat(list(loader)).numpy()


@pytest.mark.parametrize("pipeline", PIPELINES)
class TestDraws:
    def test_two_workers_draw_what_one_process_draws(self, pipeline, image):
        alone = epoch_of(image, pipeline(SIZE), 0, workers=0)
        shared = epoch_of(image, pipeline(SIZE), 0, workers=2)
        assert np.array_equal(alone, shared)

    def test_draws_differ_between_positions_workers_and_epochs(self, pipeline, image):
        # Batches alternate between the two workers, so equal streams would show as equal images.
        seen = np.concatenate([epoch_of(image, pipeline(SIZE), e, workers=2) for e in (0, 1)])
        assert len(np.unique(seen.reshape(len(seen), -1), axis=0)) == len(seen)

    def test_repeats_for_the_same_seed_whatever_came_before(self, pipeline, image):
        augment = pipeline(SIZE)
        expected = augment(image, 5)
        for seed in range(20):
            augment(image, seed)
        assert np.array_equal(augment(image, 5), expected)
        assert np.array_equal(pickle.loads(pickle.dumps(augment))(image, 5), expected)

    def test_global_random_state_plays_no_part(self, pipeline, image):
        augment = pipeline(SIZE)
        np.random.seed(0)
        expected = augment(image, 5)
        state = np.random.get_state()[1].copy()
        torch.manual_seed(99)
        np.random.seed(99)
        assert np.array_equal(augment(image, 5), expected)
        np.random.seed(0)
        augment(image, 6)
        assert np.array_equal(np.random.get_state()[1], state)

    def test_shape_and_type_stay_and_the_input_is_left_alone(self, pipeline, image):
        image.flags.writeable = False  # as rows of the decoded store are
        before = image.copy()
        for seed in range(30):
            changed = pipeline(SIZE)(image, seed)
            assert changed.shape == (SIZE, SIZE, 3) and changed.dtype == np.uint8
            assert changed.flags.writeable and not np.may_share_memory(changed, image)
        assert np.array_equal(image, before)

    def test_63_bit_numpy_seeds(self, pipeline, image):
        a, b = np.array([2**63 - 1, 2**63 - 2], dtype=np.int64)
        assert not np.array_equal(pipeline(SIZE)(image, a), pipeline(SIZE)(image, b))


def test_transforms_of_a_pipeline_draw_independently(image):
    """Albumentations' own seeding gives all transforms one stream: flips would fire together."""
    augment = light(SIZE, crop=1.0, brightness=0.0, contrast=0.0)
    flips = augment.compose.transforms[:2]
    fired = []
    for seed in range(400):
        augment(image, seed)
        fired.append([bool(t.params) for t in flips])
    both = np.bincount(np.array(fired) @ [1, 2], minlength=4) / 400
    assert np.abs(both - 0.25).max() < 0.08


def test_strong_turns_a_lesion_to_every_quarter(image):
    augment = strong(SIZE)
    angles = []
    for seed in range(200):
        augment(image, seed)
        angles.append(augment.compose.transforms[1].params["rotate"])
    assert (np.histogram(angles, bins=4, range=(-180, 180))[0] > 30).all()


def test_none_is_no_augmentation():
    assert none(SIZE) is None


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: light(SIZE, crop=1.5), "augment.crop=1.5 must be a number from 0.01 to 1"),
        (lambda: strong(SIZE, dropout=-1), "augment.dropout=-1 must be"),
        (lambda: keras_idg(SIZE, fill="reflct"), "did you mean 'reflect'"),
        (lambda: keras_idg(SIZE, brightness=(1.4, 0.7)), "the lower one first"),
    ],
)
def test_a_value_out_of_range_is_one_sentence(make, sentence):
    with pytest.raises(DermaSenseError) as error:
        make()
    assert sentence in str(error.value)


def keras_reference(image: np.ndarray, p: dict) -> np.ndarray:
    """Keras' apply_transform on float32 pixels, after its source: scipy warps channel by channel,
    then channel shift, flip, brightness through Pillow.
    """
    size = image.shape[0]
    theta, shear = np.deg2rad(p["theta"]), np.deg2rad(p["shear"])
    rotate = [[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]]
    shift = [[1, 0, p["tx"] * size], [0, 1, p["ty"] * size], [0, 0, 1]]
    slant = [[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]]
    zoom = np.diag([p["zx"], p["zy"], 1])
    centre = size / 2 - 0.5
    to = np.array([[1, 0, centre], [0, 1, centre], [0, 0, 1]])
    back = np.array([[1, 0, -centre], [0, 1, -centre], [0, 0, 1]])
    matrix = to @ np.array(rotate) @ shift @ slant @ zoom @ back
    matrix[:, [0, 1]] = matrix[:, [1, 0]]
    matrix[[0, 1]] = matrix[[1, 0]]
    x = np.stack(
        [
            ndimage.affine_transform(
                channel, matrix[:2, :2], matrix[:2, 2], order=1, mode="reflect"
            )
            for channel in image.astype(np.float32).transpose(2, 0, 1)
        ],
        axis=2,
    )
    x = np.clip(x + p["channel_shift"], x.min(), x.max())
    if p["flip"]:
        x = x[:, ::-1]
    bright = ImageEnhance.Brightness(Image.fromarray(x.astype(np.uint8)))
    return np.asarray(bright.enhance(p["brightness"]))


class TestKeras:
    def test_pixels_are_those_of_keras(self, image):
        augment = keras_idg(SIZE)
        flips = set()
        for seed in range(40):
            changed = augment(image, seed)
            drawn = augment.compose.transforms[0].params
            flips.add(drawn["flip"])
            gap = np.abs(changed.astype(int) - keras_reference(image, drawn))
            # OpenCV warps with weights of 1/32 and rounds before the colour steps.
            assert gap.max() <= 5 and gap.mean() < 0.8, f"seed {seed}: {gap.max()} {gap.mean()}"
        assert flips == {True, False}

    def test_draws_fill_the_ranges_of_the_original(self, image):
        augment = keras_idg(SIZE)
        drawn = []
        for seed in range(500):
            augment(image, seed)
            drawn.append(augment.compose.transforms[0].params)
        ranges = {
            "theta": (-40, 40),
            "tx": (-0.25, 0.25),
            "ty": (-0.25, 0.25),
            "shear": (-0.15, 0.15),
            "zx": (0.8, 1.2),
            "zy": (0.8, 1.2),
            "channel_shift": (-25, 25),
            "brightness": (0.7, 1.4),
        }
        for name, (low, high) in ranges.items():
            values = np.array([d[name] for d in drawn])
            edge = 0.02 * (high - low)
            assert low <= values.min() < low + edge and high - edge < values.max() <= high, name
        assert 0.4 < np.mean([d["flip"] for d in drawn]) < 0.6
        assert abs(np.corrcoef([d["zx"] for d in drawn], [d["zy"] for d in drawn])[0, 1]) < 0.15

    def test_shear_of_the_original_is_in_degrees_and_nearly_nothing(self):
        plain = {"theta": 0, "tx": 0, "ty": 0, "zx": 1, "zy": 1, "flip": False}
        matrix = keras_matrix((224, 224), shear=0.15, **plain)
        moved = matrix @ [0, 223, 1] - [0, 223]
        assert 0 < np.abs(moved).max() < 0.6  # of 224 pixels; .15 radians would be 17

    def test_channel_shift_adds_one_value_and_stays_in_the_images_own_range(self, image):
        still = dict(rotation=0, shift=0, zoom=0, shear=0, horizontal_flip=False)
        augment = keras_idg(SIZE, brightness=(1.0, 1.0), channel_shift=25, **still)
        for seed in range(10):
            changed = augment(image, seed).astype(int)
            shift = augment.compose.transforms[0].params["channel_shift"]
            expected = np.trunc(np.clip(image + shift, image.min(), image.max()))
            assert np.array_equal(changed, expected)

    def test_fill_repeats_the_edge_pixel(self):
        """Keras' reflect is d c b a | a b c d | d c b a."""
        ramp = np.repeat(np.arange(8, dtype=np.uint8)[None, :, None] * 20, 8, axis=0)
        ramp = np.repeat(ramp, 3, axis=2)
        still = dict(rotation=0, zoom=0, shear=0, horizontal_flip=False, channel_shift=0)
        augment = keras_idg(8, shift=0.0, brightness=(1.0, 1.0), **still)
        generator = augment.compose.transforms[0]
        drawn = generator.get_params() | {"tx": -0.25}  # two pixels to the right
        assert list(generator.apply(ramp, **drawn)[0, :, 0]) == [20, 0, 0, 20, 40, 60, 80, 100]


@pytest.mark.parametrize("name", ["keras_idg", "light", "strong", "none"])
def test_every_yaml_builds_its_function(name, conf_folder):
    from hydra.utils import instantiate

    config = OmegaConf.to_container(OmegaConf.load(conf_folder / "augment" / f"{name}.yaml"))
    build = instantiate(config)
    defaults = inspect.signature(build.func).parameters
    for option, value in build.keywords.items():  # the yaml shows what the function does anyway
        expected = defaults[option].default
        assert value == (list(expected) if isinstance(expected, tuple) else expected), option
    augment = build(image_size=SIZE)
    if name == "none":
        assert augment is None
    else:
        assert augment(np.zeros((SIZE, SIZE, 3), np.uint8), 0).shape == (SIZE, SIZE, 3)


@pytest.fixture
def conf_folder(request):
    return request.config.rootpath / "conf"
