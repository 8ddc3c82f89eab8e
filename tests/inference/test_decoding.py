"""Names of the likeliest classes, in the form of keras.applications."""

import numpy as np
import pytest

import efficientnet_tf as en


def test_imagenets_classes_have_synsets_and_names():
    probabilities = np.full((2, 1000), 1e-6, "float32")
    probabilities[0, [985, 0, 1]] = 0.5, 0.3, 0.1
    probabilities[1, [134, 517]] = 0.4, 0.5
    first, second = en.decode_predictions(probabilities, top=3)
    assert [row[:2] for row in first] == [
        ("n11939491", "daisy"),
        ("n01440764", "tench"),
        ("n01443537", "goldfish"),
    ]
    np.testing.assert_allclose([row[2] for row in first], [0.5, 0.3, 0.1])
    assert [row[:2] for row in second] == [
        ("n03126707", "crane"),
        ("n02012849", "crane"),
        ("n01440764", "tench"),  # of equal ones the first
    ]
    assert [len(row) for row in en.decode_predictions(probabilities)] == [5, 5]


def test_other_classes_have_numbers_and_the_names_given():
    found = en.decode_predictions([[0.1, 0.7, 0.2]], class_names=["a", "b", "c"])
    assert found == [[(1, "b", 0.7), (2, "c", 0.2), (0, "a", 0.1)]]


@pytest.mark.parametrize(
    ("shape", "names", "allowed"),
    [
        ((2, 1001), None, "1000"),
        ((1000,), None, "1000"),
        ((2, 3), ["a", "b"], "2"),
    ],
)
def test_other_numbers_of_classes_are_refused(shape, names, allowed):
    with pytest.raises(ValueError) as error:
        en.decode_predictions(np.zeros(shape), class_names=names)
    told = f"probabilities of shape {shape}: allowed is [images, {allowed}]"
    assert str(error.value).startswith(told)
