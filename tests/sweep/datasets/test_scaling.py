"""Standardisation from training statistics, imputation, and the two scalings of images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.datasets.scaling import pixel_scale, standardize, standardize_images, unit

ALL = np.arange(4)


def test_statistics_are_those_of_the_training_rows() -> None:
    x = np.array([[0.0], [2.0], [100.0], [-50.0]])
    scaled = standardize(x, np.array([0, 1]))  # mean 1, standard deviation 1
    np.testing.assert_array_equal(scaled, [[-1.0], [1.0], [99.0], [-51.0]])


def test_missing_values_take_the_training_mean() -> None:
    x = np.array([[1.0], [3.0], [np.nan], [5.0]])
    scaled = standardize(x, np.array([0, 1, 2]))  # mean 2, standard deviation 1 of two values
    np.testing.assert_array_equal(scaled, [[-1.0], [1.0], [0.0], [3.0]])


@pytest.mark.parametrize("value", [0.0, 0.1, 1e300, np.nan], ids=str)
def test_column_that_is_constant_in_training_is_zero_everywhere(value: float) -> None:
    x = np.array([[value], [value], [value], [7.0]])
    assert np.all(standardize(x, np.array([0, 1, 2])) == 0.0)


@pytest.mark.parametrize("scale", [1e-200, 1e-5, 1.0, 1e150, 1e300], ids=str)
def test_magnitude_does_not_matter(scale: float) -> None:
    x = np.array([[1.0], [2.0], [4.0], [8.0]])
    np.testing.assert_allclose(standardize(x * scale, ALL), standardize(x, ALL), rtol=1e-5)


@given(
    st.lists(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), min_size=3, max_size=20).map(
        np.array
    )
)
@settings(max_examples=60, deadline=None)
def test_standardised_training_columns_have_mean_zero_and_deviation_one_or_zero(
    x: np.ndarray,
) -> None:
    scaled = standardize(x, np.arange(len(x))).astype(np.float64)
    assert np.isfinite(scaled).all()
    for column, raw in zip(scaled.T, x.T, strict=True):
        if np.ptp(raw) > 1e-6 * np.abs(raw).max():
            assert column.mean() == pytest.approx(0.0, abs=1e-4)
            assert column.std() == pytest.approx(1.0, abs=1e-4)


def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size=(4, 5, 3, 2)).astype(np.uint8)


def test_unit_divides_by_255_in_row_column_channel_order() -> None:
    x = images()
    scaled = unit(x, ALL)
    assert scaled.shape == (4, 30)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled[2, (1 * 3 + 2) * 2 + 1], x[2, 1, 2, 1] / 255, rtol=1e-6)
    assert unit(np.array([[[[0]], [[255]]]], np.uint8), ALL).tolist() == [[0.0, 1.0]]


def test_images_are_standardised_one_channel_at_a_time() -> None:
    scaled = standardize_images(images(), ALL).reshape(4, 5, 3, 2).astype(np.float64)
    np.testing.assert_allclose(scaled.mean(axis=(1, 2)), 0.0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(axis=(1, 2)), 1.0, atol=1e-6)


def test_image_is_scaled_alike_whatever_stands_beside_it() -> None:
    x = images()
    np.testing.assert_array_equal(
        standardize_images(x[1:2], ALL)[0], standardize_images(x, ALL)[1]
    )


def test_constant_channel_is_zero() -> None:
    x = images()
    x[0, :, :, 1] = 7
    scaled = standardize_images(x, ALL).reshape(4, 5, 3, 2)
    assert np.all(scaled[0, :, :, 1] == 0.0)
    assert np.any(scaled[0, :, :, 0] != 0.0)


def test_pixel_scale_is_the_mean_deviation_of_training_channels() -> None:
    images = np.zeros((3, 2, 1, 2), dtype=np.uint8)
    images[0, :, 0, 0] = [0, 255]  # deviation 0.5; the other channel is constant
    images[1, :, 0, :] = [[0, 0], [51, 102]]  # 0.1 and 0.2
    images[2] = 17 * np.arange(4).reshape(2, 1, 2)  # no training image
    assert pixel_scale(images, np.array([0, 1])) == pytest.approx((0.5 + 0.0 + 0.1 + 0.2) / 4)


def test_pixel_scale_of_a_sample_is_close_to_that_of_all() -> None:
    generator = np.random.default_rng(0)
    spread = generator.uniform(1, 256, (20_000, 1, 1, 1))  # one deviation per image
    spread[::2] /= 4  # two kinds in turn, as in MNIST
    images = (generator.uniform(0, 1, (20_000, 4, 4, 1)) * spread).astype(np.uint8)
    whole = images.std(axis=(1, 2)).mean() / 255
    assert pixel_scale(images, np.arange(20_000)) == pytest.approx(whole, rel=0.02)
