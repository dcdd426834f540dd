import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import log_softmax, logsumexp, softmax

from dermasense.errors import DermaSenseError
from dermasense.evaluation.calibration import CALIBRATORS, build_calibrator
from dermasense.evaluation.calibration.effect import effect, left_over
from dermasense.evaluation.calibration.prior_shift import PriorShift
from dermasense.evaluation.calibration.scores import ece_by_chance
from dermasense.evaluation.calibration.temperature import Temperature
from dermasense.evaluation.calibration.vector import VectorScaling
from dermasense.evaluation.metrics import ece
from dermasense.evaluation.predictions import Predictions

NAMES = ("df", "mel", "nv")


def table(logits, labels, names=NAMES):
    frame = pd.DataFrame(
        {
            "image_id": range(len(labels)),
            "group": range(len(labels)),
            "label": [names[y] for y in labels],
        }
    )
    return Predictions(frame, logits, names)


def calibrated(n=6000, seed=0, shares=(0.1, 0.2, 0.7)):
    """Logits that are exact log-posteriors of the labels beside them."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=shares)
    seen = rng.normal(size=(n, 3)) + 2.0 * np.eye(3)[labels]
    return 2.0 * seen + np.log(shares), labels


def nll(predictions):
    logp = log_softmax(predictions.logits, axis=1)
    return -logp[np.arange(len(predictions)), predictions.labels].mean()


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 3.0, 8.0])
def test_temperature_finds_the_factor_that_was_put_in(true_temperature):
    logits, labels = calibrated()
    fitted = Temperature().fit(table(true_temperature * logits, labels))
    assert fitted.value == pytest.approx(true_temperature, rel=0.05)
    assert not fitted.at_bound


def test_a_model_that_gives_all_classes_the_same_share_settles_no_temperature():
    fitted = Temperature().fit(table(np.full((6, 3), 0.7), [0, 1, 2, 0, 1, 2]))
    assert fitted == Temperature(1.0, at_bound=True)


def test_temperature_calibrates_other_images_and_changes_no_answer():
    validation = table(3.0 * calibrated(seed=1)[0], calibrated(seed=1)[1])
    test = table(3.0 * calibrated(seed=2)[0], calibrated(seed=2)[1])
    after = Temperature().fit(validation).apply(test)
    assert ece(softmax(test.logits, axis=1), test.labels) > 0.04
    assert ece(softmax(after.logits, axis=1), test.labels) < 0.015
    assert nll(after) < nll(test)
    np.testing.assert_array_equal(after.logits.argmax(1), test.logits.argmax(1))


def test_temperature_says_where_validation_does_not_settle_it():
    fitted = Temperature().fit(table(np.eye(3), [0, 1, 2]))
    assert fitted.at_bound
    assert fitted.value == pytest.approx(0.05, rel=0.01)
    assert fitted.as_dict() == {"name": "temperature", "value": fitted.value, "at_bound": True}
    never_right = Temperature().fit(table(5 * np.eye(3), [1, 2, 0]))
    assert never_right.at_bound
    assert never_right.value == pytest.approx(20, rel=0.01)


def test_vector_scaling_undoes_slopes_and_offsets_that_a_temperature_cannot():
    logits, labels = calibrated()
    spoiled = (logits - np.array([1.0, -0.5, 0.3])) / np.array([1.5, 1.0, 0.7])
    validation = table(spoiled, labels)
    vector = VectorScaling().fit(validation)
    assert vector.slope == pytest.approx((1.5, 1.0, 0.7), rel=0.1)
    assert np.subtract(vector.offset, vector.offset[0]) == pytest.approx((0, -1.5, -0.7), abs=0.2)
    assert (
        nll(vector.apply(validation)) < nll(Temperature().fit(validation).apply(validation)) - 0.01
    )


def test_vector_scaling_is_where_its_penalised_loss_is_least():
    logits, labels = calibrated(n=200)
    fitted = VectorScaling(ridge=20.0).fit(table(1.8 * logits + (0.5, 0, -1), labels))
    best = np.concatenate([fitted.slope, fitted.offset])

    def loss(parameters):
        slope, offset = parameters[:3], parameters[3:]
        scaled = table((1.8 * logits + (0.5, 0, -1)) * slope + offset, labels)
        away = np.concatenate([slope - 1, offset])
        return nll(scaled) + 20.0 / (2 * len(labels)) * (away**2).sum()

    for parameter in range(6):
        for step in (-0.02, 0.02):
            assert loss(best + step * np.eye(6)[parameter]) > loss(best)


def test_what_was_fitted_is_told_class_by_class():
    logits, labels = calibrated(n=300)
    vector = VectorScaling(ridge=2.0).fit(table(logits, labels))
    classes = {
        name: {"slope": w, "offset": b}
        for name, w, b in zip(NAMES, vector.slope, vector.offset, strict=True)
    }
    told = {"name": "vector", "ridge": 2.0, "classes": classes, "absent": []}
    assert vector.as_dict() == told
    shift = PriorShift(strength=0.5).fit(table(logits, labels))
    offsets = dict(zip(NAMES, shift.offset, strict=True))
    assert shift.as_dict() == {"name": "prior_shift", "strength": 0.5, "offsets": offsets}


def log_odds(predictions, code):
    """Of one class against all others, (N,)."""
    others = np.delete(predictions.logits, code, axis=1)
    return predictions.logits[:, code] - logsumexp(others, axis=1)


@pytest.mark.parametrize("absent", [0, 1])
def test_a_class_without_validation_images_keeps_the_odds_that_a_temperature_gives_it(absent):
    logits, labels = calibrated()
    spoiled = (logits - np.array([0.3, -0.5, 1.0])) / np.array([0.5, 0.4, 0.6])
    validation = table(spoiled[labels != absent], labels[labels != absent])
    vector, temperature = VectorScaling().fit(validation), Temperature().fit(validation)
    assert vector.absent == (NAMES[absent],)
    assert vector.slope[absent] == pytest.approx(1 / temperature.value)
    scaled, tempered = (each.apply(validation) for each in (vector, temperature))
    assert log_odds(scaled, absent).mean() == pytest.approx(log_odds(tempered, absent).mean())

    def recall(fitted):
        own = table(spoiled, labels).rows(labels == absent)
        return (fitted.apply(own).logits.argmax(1) == absent).mean()

    assert recall(vector) > recall(temperature) - 0.1 > 0.3


def test_absent_classes_leave_what_is_fitted_to_the_others_as_it_is():
    logits, labels = calibrated(n=400)
    four = table(np.c_[logits, np.zeros(400)], labels, names=(*NAMES, "vasc"))
    fitted, alone = VectorScaling().fit(four), VectorScaling().fit(table(logits, labels))
    assert fitted.slope[:3] == pytest.approx(alone.slope)
    assert fitted.offset[:3] == pytest.approx(alone.offset)


def test_one_class_in_validation_leaves_the_odds_to_the_temperature():
    logits, labels = calibrated(n=400)
    alone = table(logits[labels == 2], labels[labels == 2])
    vector, temperature = VectorScaling().fit(alone), Temperature().fit(alone)
    assert (vector.slope[2], vector.offset[2]) == (1, 0)
    scaled, tempered = (each.apply(alone).logits.mean(axis=0) for each in (vector, temperature))
    assert scaled - scaled[2] == pytest.approx(tempered - tempered[2])


def test_prior_shift_recovers_the_posterior_of_a_model_trained_on_balanced_classes():
    shares = np.array([0.1, 0.2, 0.7])
    logits, labels = calibrated(n=20_000)
    balanced = table(logits - np.log(shares), labels)
    fitted = PriorShift().fit(balanced)
    after = fitted.apply(balanced)
    seen = np.bincount(labels) / len(labels)
    assert softmax(after.logits, axis=1).mean(0) == pytest.approx(seen, abs=0.005)
    assert abs(softmax(balanced.logits, axis=1).mean(0) - seen).max() > 0.03
    assert nll(after) < nll(Temperature().fit(balanced).apply(balanced)) - 0.01
    assert np.subtract(fitted.offset, fitted.offset[2]) == pytest.approx(
        np.log(shares / 0.7), abs=0.1
    )
    unchanged = PriorShift(trained=np.bincount(labels) + 1.0).fit(balanced)
    assert unchanged.offset == pytest.approx((0, 0, 0))
    assert PriorShift(strength=0.5).fit(balanced).offset == pytest.approx(
        np.multiply(fitted.offset, 0.5)
    )


def test_less_the_prior_true_probabilities_give_the_best_balanced_accuracy():
    rng = np.random.default_rng(0)
    shares, n = np.array([0.8, 0.15, 0.05]), 20000
    labels = rng.choice(3, n, p=shares)
    evidence = rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[labels]
    drawn = table(
        1.5 * evidence + np.log(shares), labels
    )  # log of the posterior but for a constant

    def balanced(strength):
        shift = PriorShift(strength=strength).fit(drawn)
        answers = shift.apply(drawn).logits.argmax(1)
        return np.mean([(answers[labels == k] == k).mean() for k in range(3)])

    found = {strength: balanced(strength) for strength in (0, -0.5, -1, -1.5)}
    assert max(found, key=found.get) == -1 and found[-1] > found[0] + 0.1


def test_prior_shift_needs_one_positive_share_a_class():
    logits, labels = calibrated(n=50)
    for trained in ([1.0, 2.0], [1.0, 0.0, 2.0]):
        with pytest.raises(DermaSenseError, match="give one number above 0"):
            PriorShift(trained=trained).fit(table(logits, labels))


@pytest.mark.parametrize("name", list(CALIBRATORS))
def test_every_method_keeps_the_contract(name):
    logits, labels = calibrated(n=400)
    validation = table(logits, labels)
    fitted = build_calibrator(name).fit(validation)
    applied = fitted.apply(validation)
    assert applied.frame.equals(validation.frame)
    assert fitted.as_dict()["name"] == name
    assert build_calibrator(name).fit(validation) == fitted
    swapped = validation.in_order(("nv", "df", "mel"))
    np.testing.assert_allclose(fitted.apply(swapped).in_order(NAMES).logits, applied.logits)


@pytest.mark.parametrize("name", ["vector", "prior_shift"])
def test_other_classes_and_unfitted_methods_are_refused(name):
    logits, labels = calibrated(n=60)
    with pytest.raises(DermaSenseError, match="before it is applied"):
        build_calibrator(name).apply(table(logits, labels))
    fitted = build_calibrator(name).fit(table(logits, labels))
    with pytest.raises(DermaSenseError, match="same classes"):
        fitted.apply(table(logits, labels, names=("a", "b", "c")))


def test_unknown_method_names_the_nearest():
    with pytest.raises(DermaSenseError, match="did you mean 'temperature'"):
        build_calibrator("temprature")


def test_a_calibrated_model_shows_the_ece_of_chance():
    shown = []
    for seed in range(40):
        fair = table(*calibrated(n=1000, seed=seed))
        chance = ece_by_chance(fair, draws=200)
        found = ece(softmax(fair.logits, axis=1), fair.labels)
        shown.append((chance.low <= found <= chance.high, found / chance.value))
    within, ratio = zip(*shown, strict=True)
    assert sum(within) >= 34  # of 40, at 95 %
    assert np.mean(ratio) == pytest.approx(1, abs=0.1)


def test_what_chance_shows_at_one_confidence_is_binomial():
    same = table(np.tile(np.log([0.8, 0.2]), (200, 1)), np.zeros(200, int), ("a", "b"))
    got = ece_by_chance(same, draws=20_000)
    right = stats.binom.rvs(200, 0.8, size=20_000, random_state=1)
    known = np.abs(right / 200 - 0.8)
    assert got.value == pytest.approx(known.mean(), rel=0.03)
    assert (got.low, got.high) == pytest.approx(np.quantile(known, (0.025, 0.975)), abs=0.003)


def test_chance_shows_less_on_more_images_and_nothing_where_nothing_can_go_wrong():
    few, many = (ece_by_chance(table(*calibrated(n=n))) for n in (500, 8000))
    assert few.value / many.value == pytest.approx(4, rel=0.2)  # the root of 16
    assert (few.n, many.n_groups) == (500, 8000)
    certain = ece_by_chance(table(np.array([[0.0, 0.0, 200.0]] * 5), np.full(5, 2)))
    assert certain.value == certain.high == 0


def test_a_faultless_model_is_seldom_told_to_have_something_left():
    told = {"is predicted": 0, "is answered": 0}
    for seed in range(25):
        rng = np.random.default_rng(seed)
        logits = 2 * rng.normal(size=(300, 7))
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        labels = (p.cumsum(axis=1) < rng.random((300, 1))).sum(axis=1)
        drawn = table(logits, labels, tuple("abcdefg"))
        drawn.frame["sex"], drawn.frame["age"] = (
            rng.choice(["f", "m"], 300),
            rng.integers(1, 90, 300),
        )
        words = left_over(effect(Temperature(), drawn, resamples=100, seed=seed))
        for kind in told:
            told[kind] += any(kind in each for each in words)
    # 1 of 25 expected; at 95 % for each class and group alone it is 8 of classes and 7 of groups.
    assert max(told.values()) <= 4


def test_what_is_left_is_told():
    logits, labels = calibrated(2000)
    words = left_over(
        effect(Temperature(), table(logits + np.array([0, 0, 2]), labels), resamples=200)
    )
    assert any(
        each.startswith(f"{NAMES[2]} is predicted more often than it occurs") for each in words
    )
