"""Temperature scaling keeps the order, never makes the labels less likely, and mends what it can."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amity.evaluation.calibration import calibrate, calibration_error, cross_entropy, softmax


def drawn(pairs: int, clusters: int, seed: int, *, scale: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from their softmax."""
    rng = np.random.default_rng(seed)
    logits = scale * rng.normal(size=(pairs, clusters))
    labels = np.array([rng.choice(clusters, p=row) for row in softmax(logits)])
    return logits, labels


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(2, 6), st.integers(0, 10_000), st.floats(0.05, 20))
def test_no_temperature_changes_the_likeliest_cluster_or_makes_the_labels_less_likely(
    pairs: int, clusters: int, seed: int, sharpness: float
):
    logits, labels = drawn(pairs, clusters, seed)
    found = calibrate(sharpness * logits, labels)
    scaled = sharpness * logits / found.temperature
    assert np.array_equal(scaled.argmax(1), logits.argmax(1))
    assert found.loss_after <= found.loss_before
    assert found.loss_after == pytest.approx(cross_entropy(scaled, labels))
    assert found.error_before == calibration_error(softmax(sharpness * logits), labels)


@pytest.mark.parametrize("sharpness", [0.25, 1.0, 5.0])
def test_logits_that_were_sharpened_are_mended(sharpness: float):
    logits, labels = drawn(20_000, 5, 0)
    found = calibrate(sharpness * logits, labels)
    assert found.temperature == pytest.approx(sharpness, rel=0.05)
    assert found.error_after < 0.02
    assert sharpness == 1.0 or found.error_after < found.error_before / 4


def test_where_no_temperature_is_better_it_is_one():
    found = calibrate(np.zeros((4, 3)), np.array([0, 1, 2, 0]))
    assert found.temperature == 1.0
    assert found.loss_before == found.loss_after == pytest.approx(np.log(3))


@pytest.mark.parametrize("seed", range(3))
def test_the_calibration_error_is_its_formula(seed: int):
    logits, labels = drawn(200, 4, seed)
    probabilities = softmax(1.7 * logits)
    total = 0.0
    for low in np.arange(15) / 15:
        inside = (probabilities.max(1) >= low) & (probabilities.max(1) < low + 1 / 15)
        if inside.any():
            accuracy = (probabilities[inside].argmax(1) == labels[inside]).mean()
            total += inside.mean() * abs(accuracy - probabilities[inside].max(1).mean())
    assert calibration_error(probabilities, labels) == pytest.approx(total)


def test_who_is_always_sure_and_right_has_no_error_and_who_is_sure_and_wrong_all():
    sure = np.eye(3)[[0, 1, 2, 0]]
    assert calibration_error(sure, np.array([0, 1, 2, 0])) == 0
    assert calibration_error(sure, np.array([1, 2, 0, 1])) == 1
