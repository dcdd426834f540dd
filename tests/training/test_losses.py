"""Losses against closed forms."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from dermasense.errors import DermaSenseError
from dermasense.training.class_weights import class_weights
from dermasense.training.losses import CrossEntropy, FocalLoss, build_loss

HAM = np.array([327, 514, 1099, 115, 1113, 6705, 142])  # class counts of HAM10000


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(64, 7, generator=generator)
    return logits, torch.randint(7, (64,), generator=generator)


def logits_of(p: list[float]) -> torch.Tensor:
    return torch.tensor([p], dtype=torch.float64).log().float()


class TestFocalLoss:
    def test_gamma_0_alpha_1_is_cross_entropy(self, batch):
        assert FocalLoss(0, 1.0)(*batch).item() == pytest.approx(
            F.cross_entropy(*batch).item(), abs=1e-6
        )

    def test_gamma_0_label_smoothing_is_cross_entropy_with_label_smoothing(self, batch):
        expected = F.cross_entropy(*batch, label_smoothing=0.1).item()
        assert FocalLoss(0, 1.0, 0.1)(*batch).item() == pytest.approx(expected, abs=1e-6)

    @pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
    def test_closed_form(self, gamma):
        loss = FocalLoss(gamma, 0.25)(logits_of([0.7, 0.2, 0.1]), torch.tensor([1]))
        assert loss.item() == pytest.approx(-0.25 * 0.8**gamma * np.log(0.2), rel=1e-5)

    def test_a_low_test_loss_is_not_confidence(self):
        """The .09 that b1_se reported stands for a true-class probability near .39."""
        loss = FocalLoss(2.0, 0.25)(logits_of([0.39, 0.61]), torch.tensor([0]))
        assert loss.item() == pytest.approx(0.0876, abs=5e-4)

    def test_vector_alpha_scales_each_class_and_leaves_the_focusing_alone(self, batch):
        logits, target = batch
        alpha = torch.linspace(0.1, 3.0, 7)
        one_by_one = [
            alpha[t] * FocalLoss(2.0, 1.0)(x[None], t[None])
            for x, t in zip(logits, target, strict=True)
        ]
        expected = torch.stack(one_by_one).mean().item()
        assert FocalLoss(2.0, alpha)(logits, target).item() == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    def test_finite_with_finite_gradient_at_logits_of_1e4(self, gamma, smoothing):
        logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]], requires_grad=True)
        loss = FocalLoss(gamma, 0.25, smoothing)(logits, torch.tensor([0, 0]))
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()
        if not smoothing:
            # right and sure costs nothing, wrong and sure is alpha times the gap of the logits
            assert loss.item() == pytest.approx(0.25 * 2e4 / 2, rel=1e-6)

    def test_gradient_is_that_of_the_formula(self):
        logits = torch.tensor([[0.3, -1.2, 0.8]], dtype=torch.float64, requires_grad=True)
        loss = FocalLoss(2.0, 0.25)
        p = logits.detach().float().softmax(1)[0]
        loss(logits, torch.tensor([2])).backward()
        # dFL/dz_y = alpha (1-p)^g (g p log p + p - 1), Lin et al. 2017, appendix B
        expected = 0.25 * (1 - p[2]) ** 2 * (2 * p[2] * p[2].log() + p[2] - 1)
        assert logits.grad[0, 2].item() == pytest.approx(expected.item(), rel=1e-5)

    def test_no_epsilon_biases_small_losses(self):
        logits = torch.tensor([[12.0, 0.0]])  # 1 - p is 6.1e-6
        gap = 1 / (1 + np.exp(12.0))
        loss = FocalLoss(2.0, 1.0)(logits, torch.tensor([0])).item()
        assert loss == pytest.approx(-(gap**2) * np.log1p(-gap), rel=1e-4)

    def test_one_hot_targets_are_class_indices(self, batch):
        logits, target = batch
        loss = FocalLoss(2.0, torch.linspace(0.1, 3.0, 7))
        soft = loss(logits, F.one_hot(target, 7).float())
        assert soft.item() == pytest.approx(loss(logits, target).item(), rel=1e-5)

    def test_mixed_targets_are_the_mix_of_the_losses(self, batch):
        logits, target = batch
        other = target.roll(1)
        loss = FocalLoss(2.0, 0.25)
        mixed = 0.3 * F.one_hot(target, 7).float() + 0.7 * F.one_hot(other, 7).float()
        expected = 0.3 * loss(logits, target) + 0.7 * loss(logits, other)
        assert loss(logits, mixed).item() == pytest.approx(expected.item(), rel=1e-5)

    def test_half_precision_logits_are_judged_in_single(self, batch):
        logits, target = batch
        half = logits.bfloat16()
        assert FocalLoss()(half, target).item() == FocalLoss()(half.float(), target).item()


class TestCrossEntropy:
    def test_without_weights_is_torchs(self, batch):
        for smoothing in (0.0, 0.1):
            expected = F.cross_entropy(*batch, label_smoothing=smoothing).item()
            loss = CrossEntropy(label_smoothing=smoothing)(*batch).item()
            assert loss == pytest.approx(expected, rel=1e-6)

    def test_weights_multiply_and_the_mean_is_over_images(self, batch):
        """As Keras' class_weight does it; torch's own divides by the weights of the batch."""
        logits, target = batch
        weights = torch.linspace(0.5, 2.0, 7)
        expected = (weights[target] * F.cross_entropy(logits, target, reduction="none")).mean()
        assert CrossEntropy(weights)(logits, target).item() == pytest.approx(expected.item())

    def test_batches_add_up_to_the_whole(self, batch):
        logits, target = batch
        loss = CrossEntropy(torch.linspace(0.5, 2.0, 7))
        parts = [loss(x, t) for x, t in zip(logits.split(16), target.split(16), strict=True)]
        assert torch.stack(parts).mean().item() == pytest.approx(loss(logits, target).item())

    def test_soft_targets(self, batch):
        logits, target = batch
        loss = CrossEntropy(torch.linspace(0.5, 2.0, 7))
        soft = F.one_hot(target, 7).float()
        assert loss(logits, soft).item() == pytest.approx(loss(logits, target).item(), rel=1e-6)


class TestClassWeights:
    def test_balanced_is_scikit_learns(self):
        labels = np.repeat(np.arange(7), HAM)
        expected = compute_class_weight("balanced", classes=np.arange(7), y=labels)
        assert class_weights(HAM, "balanced") == pytest.approx(expected)

    @pytest.mark.parametrize("scheme", ["balanced", "sqrt", "effective"])
    def test_mean_over_training_images_is_1(self, scheme):
        weights = class_weights(HAM, scheme)
        assert (weights * HAM).sum() / HAM.sum() == pytest.approx(1)

    def test_sqrt_halves_the_spread_in_logs(self):
        full, root = class_weights(HAM, "balanced"), class_weights(HAM, "sqrt")
        assert np.ptp(np.log(root)) == pytest.approx(np.ptp(np.log(full)) / 2)

    def test_effective_number_of_cui_2019(self):
        # E_n = (1 - b^n) / (1 - b): 2 images at b = .5 are worth 1.5, 1 image is worth 1
        weights = class_weights([1, 2], "effective", beta=0.5)
        assert weights[0] / weights[1] == pytest.approx(1.5)
        near_one = class_weights(HAM, "effective", beta=1 - 1e-9)
        assert near_one == pytest.approx(class_weights(HAM, "balanced"), rel=1e-4)
        assert class_weights(HAM, "effective", beta=0.0) == pytest.approx(np.ones(7))

    def test_an_absent_class_is_named(self):
        with pytest.raises(DermaSenseError, match="'df'"):
            class_weights([3, 0], class_names=["nv", "df"])


class TestBuildLoss:
    def test_class_weights_balance_gives_cross_entropy_its_weights(self):
        loss = build_loss("ce", class_counts=HAM, balance="class_weights")
        assert loss.weights.numpy() == pytest.approx(HAM.sum() / (7 * HAM), rel=1e-6)

    def test_class_weights_and_weighted_ce_count_once(self):
        both = build_loss("weighted_ce", class_counts=HAM, balance="class_weights")
        alone = build_loss("weighted_ce", class_counts=HAM)
        assert torch.equal(both.weights, alone.weights)

    def test_focal_alpha_balance_is_inverse_frequency(self):
        loss = build_loss("focal", {"alpha": 0.25}, class_counts=HAM, balance="focal_alpha")
        assert loss.alpha.numpy() == pytest.approx(HAM.sum() / (7 * HAM), rel=1e-6)
        assert loss.gamma == 2.0

    def test_alpha_given_by_class(self):
        loss = build_loss("focal", {"alpha": [0.25, 0.75]}, class_counts=[3, 4])
        assert loss.alpha.tolist() == [0.25, 0.75]

    def test_sampler_and_smote_leave_the_loss_alone(self):
        for balance in ("none", "sampler", "smote"):
            assert build_loss("ce", class_counts=HAM, balance=balance).weights is None

    def test_weights_follow_the_device_and_stay_out_of_checkpoints(self):
        for name, buffer in (("weighted_ce", "weights"), ("focal", "alpha")):
            loss = build_loss(name, class_counts=HAM)
            assert loss.to("meta").get_buffer(buffer).device.type == "meta"
            assert loss.state_dict() == {}

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"name": "focla"}, "did you mean 'focal'"),
            ({"name": "focal", "gama": 1}, "did you mean 'gamma'"),
            ({"name": "focal", "gamma": -1}, "loss.gamma=-1"),
            ({"name": "focal", "gamma": "two"}, "loss.gamma=two must be a number"),
            ({"name": "focal", "alpha": 0}, "above 0"),
            ({"name": "focal", "alpha": [1, 2, 3]}, "3 values for 2 classes"),
            ({"name": "ce", "label_smoothing": 1.0}, "label_smoothing=1.0"),
            ({"name": "weighted_ce", "weighting": "balance"}, "did you mean 'balanced'"),
            ({"name": "weighted_ce", "weighting": "effective", "beta": 1}, "loss.beta=1"),
            ({"name": "ce", "class_counts": 3}, "loss.class_counts is no option"),
            ({"name": "ce", "balance": "none"}, "loss.balance is no option"),
            ({"name": "weighted_ce", "facts": 3}, "loss.facts is no option"),
            ({"name": "focal", 3: 3}, "loss.3 is no option"),
        ],
    )
    def test_a_mistake_is_one_sentence(self, options, sentence):
        name = options.pop("name")
        with pytest.raises(DermaSenseError) as error:
            build_loss(name, options, class_counts=[3, 4])
        assert sentence in str(error.value) and "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("name", "options", "balance", "sentence"),
        [
            ("focal", {}, "class_weights", "balance=focal_alpha"),
            ("ce", {}, "focal_alpha", "balance=class_weights"),
            ("focal", {"alpha": [1, 2]}, "focal_alpha", "balance=none"),
        ],
    )
    def test_a_balance_that_does_not_go_with_it_is_told(self, name, options, balance, sentence):
        with pytest.raises(DermaSenseError, match=sentence):
            build_loss(name, options, class_counts=[3, 4], balance=balance)

    @pytest.mark.parametrize("name", ["focal", "ce", "weighted_ce"])
    def test_every_yaml_builds(self, name, request, batch):
        config = OmegaConf.load(request.config.rootpath / "conf" / "loss" / f"{name}.yaml")
        options = OmegaConf.to_container(config)
        loss = build_loss(options.pop("name"), options, class_counts=HAM)
        assert torch.isfinite(loss(*batch))


def test_focal_is_gamma_2_alpha_a_quarter_unless_told(batch):
    assert FocalLoss()(*batch).item() == FocalLoss(2.0, 0.25)(*batch).item()
    assert build_loss("focal", class_counts=HAM)(*batch) == FocalLoss(2.0, 0.25)(*batch)


def test_label_smoothing_reaches_the_loss_that_is_built(batch):
    focal = build_loss("focal", {"label_smoothing": 0.1}, class_counts=HAM)
    assert focal(*batch).item() == FocalLoss(2.0, 0.25, 0.1)(*batch).item()
    smoothed = F.cross_entropy(*batch, label_smoothing=0.1).item()
    built = build_loss("ce", {"label_smoothing": 0.1}, class_counts=HAM)
    assert built(*batch).item() == pytest.approx(smoothed, abs=1e-6)


@pytest.mark.parametrize("gamma", [0, 0.5])
def test_a_gamma_below_1_is_no_mistake(gamma):
    assert build_loss("focal", {"gamma": gamma}, class_counts=HAM).gamma == gamma


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("ce", {"label_smoothing": "x"}, "loss.label_smoothing=x must be a number"),
        ("ce", {"label_smoothing": np.inf}, "loss.label_smoothing=inf must be finite"),
        ("weighted_ce", {"weighting": "effective_number", "beta": "x"}, "loss.beta=x must be"),
        ("focal", {"alpha": "x"}, "loss.alpha=x must be a number"),
        ("focal", {"alpha": [1, 1, 1, 1, 1, 1, None]}, "loss.alpha=None must be a number"),
        ("focal", {"gamma": True}, "loss.gamma=True must be a number"),
    ],
)
def test_a_value_that_is_no_number_is_named_by_its_option(name, options, words):
    with pytest.raises(DermaSenseError, match=words):
        build_loss(name, options, class_counts=HAM)


@pytest.mark.parametrize(
    ("name", "balance"),
    [("weighted_ce", "none"), ("ce", "class_weights"), ("focal", "focal_alpha")],
)
def test_a_class_that_is_absent_is_named(name, balance):
    with pytest.raises(DermaSenseError, match="vasc"):
        build_loss(name, class_counts=[5, 0], balance=balance, class_names=("nv", "vasc"))
