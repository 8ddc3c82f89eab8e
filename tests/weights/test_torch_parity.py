"""Our reader against torch.load, on files that either side writes.

Needs the extra `torch`: python -m pytest -m torch
"""

import collections
import sys

import numpy as np
import pytest
import torch_saving as support

from efficientnet_tf.weights import torch_archive, torch_tensors, torch_wrappers

# See test_weights_torch.py.
sys.modules.setdefault("triton", None)
torch = pytest.importorskip("torch", reason="needs pip install -e '.[torch]'")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

# torch.save's formats: the zip archive, and the one before PyTorch 1.6.
FORMATS = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "old"])
DTYPES = (
    *("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8"),
    *("uint8", "bool", "uint16", "uint32", "uint64"),
)


def read(path, *, ema=None):
    """All tensors of a dictionary, or those that are found with a value of `ema`."""
    with torch_archive.opened(str(path)) as archive:
        tensors = archive.content
        if ema is not None:
            tensors = torch_wrappers.find(tensors, ema=ema).tensors
        return torch_tensors.values(archive, tensors)


def save(path, content, is_zip, protocol=2):
    torch.save(
        content,
        path,
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=is_zip,
    )
    return path


def assert_same_as_torch(path, found=None):
    """Every value equals what PyTorch reads, bit for bit, as float32."""
    loaded = torch.load(path, weights_only=False) if found is None else found
    ours = read(path)
    assert list(ours) == list(loaded)
    for name, theirs in loaded.items():
        expected = theirs.detach().float().numpy()
        assert ours[name].dtype == np.float32
        assert ours[name].shape == expected.shape
        assert ours[name].tobytes() == expected.tobytes(), name


def numbers(dtype):
    """Numbers of every size that the type has, with its extremes."""
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(0, 256, (480,), generator=generator, dtype=torch.uint8)
    if dtype == "bool":
        return bits > 127
    values = bits.view(getattr(torch, dtype))
    # NaNs keep no bits when they are converted.
    return torch.nan_to_num(values) if values.is_floating_point() else values


@FORMATS
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(dtype, is_zip, tmp_path):
    values = numbers(dtype)
    content = {"flat": values, "matrix": values[:24].reshape(4, 6), "one": values[3]}
    if dtype in ("uint16", "uint32", "uint64") and not is_zip:
        pytest.skip("torch.save has no types of this kind in the older format")
    assert_same_as_torch(save(tmp_path / "w.pth", content, is_zip))


@FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_views_parameters_and_shared_storages(protocol, is_zip, tmp_path):
    base = torch.arange(240, dtype=torch.float32).reshape(4, 5, 12)
    shared = torch.arange(20.0)
    content = collections.OrderedDict(
        base=base,
        transposed=base.permute(2, 0, 1),
        sliced=base[1:3, ::2, 3:9:2],
        repeated=shared[:1].expand(7),
        empty=base[:0],
        scalar=base.sum(),
        parameter=torch.nn.Parameter(shared),
        frozen=torch.nn.Parameter(shared[5:10], requires_grad=False),
        tied=shared,
        doubled=shared.double(),
    )
    assert_same_as_torch(save(tmp_path / "w.pth", content, is_zip, protocol))


@FORMATS
def test_a_state_dict_with_its_metadata(is_zip, tmp_path):
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, bias=False), torch.nn.BatchNorm2d(8)
    )
    module.train()(torch.randn(2, 3, 8, 8))
    state = module.state_dict()
    assert state._metadata
    assert_same_as_torch(save(tmp_path / "w.pth", state, is_zip))


@FORMATS
def test_a_checkpoint_of_a_training(is_zip, tmp_path):
    """Torchvision's layout, with an optimizer whose keys are numbers."""
    module = torch.nn.Sequential(
        collections.OrderedDict(conv_stem=torch.nn.Linear(3, 2))
    )
    averages = torch.optim.swa_utils.AveragedModel(module)
    optimizer = torch.optim.RMSprop(module.parameters(), momentum=0.9)
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    content = {
        "model": module.state_dict(),
        "model_ema": averages.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
    }
    path = save(tmp_path / "w.pth", content, is_zip)
    raw = read(path, ema=False)
    averaged = read(path, ema=True)
    name = "conv_stem.weight"
    theirs = averages.module.conv_stem.weight.detach()
    np.testing.assert_array_equal(raw[name], module.conv_stem.weight.detach())
    np.testing.assert_array_equal(averaged[name], theirs)
    assert np.abs(averaged[name] - raw[name]).min() > 0


def test_a_file_without_checksums(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        path = save(tmp_path / "w.pth", {"a": torch.arange(9.0)}, True)
    finally:
        torch.serialization.set_crc32_options(before)
    assert_same_as_torch(path)


@pytest.mark.parametrize("format", ["zip", "old"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pytorch_reads_what_the_tests_write(format, protocol, tmp_path):
    """So the files of the other tests are PyTorch's."""
    array = np.arange(24, dtype="f4").reshape(2, 3, 4)
    part = support.storage(np.arange(10, dtype="f8"))
    content = collections.OrderedDict(
        whole=support.tensor(array),
        half=support.Parameter(support.tensor(array.astype("f2"))),
        view=support.Tensor(part, 1, (2, 3), (1, 2)),
        flags=support.tensor(array > 3),
        count=support.tensor(np.int64(7)),
    )
    path = tmp_path / "w.pth"
    support.save(path, content, format=format, protocol=protocol)
    loaded = torch.load(path, weights_only=False)
    np.testing.assert_array_equal(loaded["whole"], array)
    np.testing.assert_array_equal(loaded["view"], [[1, 3, 5], [2, 4, 6]])
    assert isinstance(loaded["half"], torch.nn.Parameter)
    assert_same_as_torch(path, loaded)


@FORMATS
@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: torch.eye(3).to_sparse(), "_rebuild_sparse_tensor"),
        (
            lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
            "_rebuild_qtensor|QInt8Storage",
        ),
        (lambda: torch.ones(3, device="meta"), "_rebuild_meta_tensor_no_storage"),
        (lambda: torch.ones(3, dtype=torch.complex64), "ComplexFloatStorage"),
        (lambda: torch.ones(3).to(torch.float8_e4m3fn), "float8_e4m3fn"),
        (lambda: torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        (lambda: np.float64(0.5), r"numpy.*scalar"),
    ],
)
def test_other_objects_are_refused_by_name(make, named, is_zip, tmp_path):
    try:
        path = save(tmp_path / "w.pth", {"a": torch.ones(3), "b": make()}, is_zip)
    except (AttributeError, RuntimeError, KeyError) as error:
        pytest.skip(f"torch.save cannot write it in this format: {error}")
    with pytest.raises(ValueError, match=named):
        read(path)
