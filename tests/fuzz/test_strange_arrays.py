"""For any array, a detector returns a Detection or None, or raises ValueError; it never changes the array."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import centerdet
from tests.helpers import make_detector, noisy_bar

GOOD_TYPES = ["u1", "<u2", ">u2", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "g"]
DTYPES = [*GOOD_TYPES, "?", "i1", "<i4", ">i8", "c8", "O", "S3", "U2", "M8[s]", "V4"]
FILLS = ["unit", "full", "negative", "noise", "zeros", "ones", "nan", "inf", "-inf", "huge", "tiny", "one nan"]
LAYOUTS = ["C", "F", "reversed", "strided", "inner", "broadcast", "row broadcast", "masked", "read-only", "subclass"]
sides = st.integers(60, 90) | st.sampled_from([0, 1, 63, 64, 65, 200])
shapes = st.tuples(sides, sides) | st.sampled_from(
    [(), (64,), (64, 64, 1), (1, 64, 64), (64, 1500), (900, 64), (0, 64)]
)
detector = make_detector()
twelve_bit_detector = make_detector(1)
twelve_bit_detector.intensity_range = (0.0, 4095.0)


def fill(shape, kind, seed):
    rng = np.random.default_rng(seed)
    constants = {"zeros": 0, "ones": 1, "nan": np.nan, "inf": np.inf, "-inf": -np.inf, "huge": 1e300, "tiny": 1e-310}
    if kind in constants:
        return np.full(shape, constants[kind])
    values = rng.random(shape) * {"full": 65535, "negative": -1, "noise": 3}.get(kind, 1)
    if kind == "one nan" and values.size:
        values.flat[rng.integers(values.size)] = np.nan
    return values


def lay_out(array, layout):
    """The same values in another memory layout; a broadcast array repeats the first row or value."""
    array = np.asarray(array)
    if array.ndim != 2 or 0 in array.shape:
        return array
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "reversed":
        return np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1]
    if layout in ("strided", "inner"):
        wide = np.zeros([2 * side for side in array.shape], array.dtype)
        view = wide[::2, 1::2] if layout == "strided" else wide[: len(array), 3 : 3 + array.shape[1]]
        view[...] = array
        return view
    if layout.endswith("broadcast"):
        return np.broadcast_to(array[:1] if "row" in layout else array[:1, :1], array.shape)
    if layout == "masked":
        return np.ma.masked_greater(array, 0.5) if array.dtype.kind in "uif" else array
    if layout == "read-only":
        array.flags.writeable = False
    return array.view(np.matrix) if layout == "subclass" else array


def snapshot(array):
    return np.asarray(array).tobytes(), array.shape, array.dtype, array.strides, array.flags.writeable


@given(shapes, st.sampled_from(DTYPES), st.sampled_from(FILLS), st.sampled_from(LAYOUTS), st.integers(0, 9))
@settings(max_examples=300)
@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_every_call_returns_a_detection_or_none_or_raises_value_error(shape, dtype, kind, layout, seed):
    with np.errstate(all="ignore"):
        image = lay_out(np.asarray(fill(shape, kind, seed), dtype=np.float64).astype(dtype), layout)
    before = snapshot(image)
    for each in (detector, twelve_bit_detector):
        try:
            found = each(image)
        except ValueError as error:
            if not str(error).startswith(("image 0: an image must", "image 0: floating-point pixels must")):
                raise
        else:
            assert found is None or isinstance(found, centerdet.Detection)
            assert found is None or np.isfinite([*found.box.to_array(), found.score]).all()
            assert dtype in GOOD_TYPES
    assert snapshot(image) == before


@pytest.mark.parametrize("image", [None, "image.png", b"bytes", [], [[]], {}, object(), [[1.0] * 64] * 63, range(99)])
def test_other_objects_are_refused(image):
    with pytest.raises(ValueError, match="image 0: an image must"):
        detector(image)


@pytest.mark.parametrize("shape", [(64, 60_000), (60_000, 64), (2000, 2000)])
def test_very_large_and_very_narrow_images_are_accepted(shape):
    image = np.zeros(shape, np.uint8)
    image[-50:-20, -50:-30] = 255
    found = detector(image)
    assert found is None or np.isfinite([*found.box.to_array(), found.score]).all()


def assert_same(one, other, *, within, score_within=1e-5):
    assert (one is None) == (other is None)
    if one is not None:
        np.testing.assert_allclose(one.box.to_array(), other.box.to_array(), rtol=0, atol=within)
        assert one.score == pytest.approx(other.score, abs=score_within)


@given(
    st.lists(st.tuples(st.sampled_from([64, 71, 96]), st.integers(0, 20)), min_size=1, max_size=6), st.integers(1, 4)
)
@settings(max_examples=30)
def test_an_image_has_the_same_box_alone_and_in_any_batch(images, batch_size):
    images = [noisy_bar(*image) for image in images]
    together = detector.detect_batch(images, batch_size=batch_size)
    for image, found in zip(images, together, strict=True):
        assert_same(found, detector(image), within=1e-4)


@given(st.integers(64, 110), st.integers(0, 99), st.sampled_from(["<", ">"]))
@settings(max_examples=60)
def test_integers_and_floats_of_an_image_have_the_same_box(side, seed, order):
    eight = (noisy_bar(side, seed) * 255).round().astype(np.uint8)
    found = detector(eight)
    assert_same(detector((eight.astype(np.uint16) * 257).astype(f"{order}u2")), found, within=1e-4)
    for kind in ("f4", "f8"):
        assert_same(detector((eight / 255).astype(order + kind)), found, within=1e-4)


@pytest.fixture(scope="module")
def scenes():
    return list(centerdet.benchmark_scenes(11, 24))


def test_the_pretrained_weights_predict_alike_one_by_one_and_in_batches(scenes):
    pretrained = centerdet.load(threshold=0.0)  # the most likely box of every image
    images = [image for image, _ in scenes]
    alone = [pretrained(image) for image in images]
    for batch_size in (3, 32):
        for one, other in zip(alone, pretrained.detect_batch(images, batch_size=batch_size), strict=True):
            assert_same(one, other, within=0.01, score_within=2e-3)  # the second stage amplifies rounding


def test_the_pretrained_weights_predict_alike_for_16_bits_and_floats(scenes):
    """A grey value differs by 1 / 131,070 at most, which must not move a box."""
    pretrained = centerdet.load()
    for image, _ in scenes[:12]:
        exact, rounded = pretrained(image), pretrained((image * 65535).round().astype(np.uint16))
        assert (exact is None) == (rounded is None)
        assert exact is None or centerdet.score_iou(exact.box.to_array(), rounded.box.to_array()) > 0.98
