"""The planner: what it lowers, what it reads from HLO, what it asks of the compiler."""

import copy
import importlib.util
import json
import math
import os
import pathlib
import subprocess
import sys
import time

import command_line
import networks
import pytest
import tensorflow as tf
from builds import needs_xla
from tensorflow.compiler.xla import xla_data_pb2
from tensorflow.compiler.xla.service import hlo_pb2

from efficientnet_tf import config as config_lib
from efficientnet_tf.planning import (
    apart,
    chips,
    compiler,
    hlo,
    liveness,
    lowering,
    plan,
)

ROOT = pathlib.Path(__file__).parents[1]
pytestmark = needs_xla  # to lower anything; there main.py refuses to plan
needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="libtpu is for Linux on x86-64; pip install -e '.[plan]'",
)
RECIPES = {
    "paper": {},
    "digits": {"dataset": "digits"},
    "plain_layers": {"fused": "off"},
    "recomputing": {"recompute": "block"},
    "grouped_batch_norm": {"batch_norm": "grouped"},
    "frozen_batch_norm": {"batch_norm": "frozen"},
    "full_precision": {"precision": "float32", "moving_average_decay": 0.0},
}


def _config(**fields):
    tiny = {"model": "efficientnet-test", "blocks": networks.TINY}
    batch = {"train_batch_size": 16, "eval_batch_size": 16}
    data = {"dataset": "fake", "num_classes": 10}
    return config_lib.create(**(tiny | batch | data | fields))


def _lower(step="train", *, replicas=1, **fields):
    prepared = lowering.prepare(_config(**fields), step=step, replicas=replicas)
    return hlo.parse(lowering.lower(prepared))


@pytest.fixture(scope="module")
def module():
    return _lower(train_batch_size=32, replicas=2)


@pytest.mark.parametrize("fields", RECIPES.values(), ids=RECIPES)
def test_every_recipe_trains_in_what_a_tpu_can_do(fields):
    assert hlo.defects(_lower(**fields)) == []


@pytest.mark.parametrize("step", ["eval", "serve"])
def test_other_steps_are_what_a_tpu_can_do(step):
    assert hlo.defects(_lower(step)) == []


@pytest.mark.parametrize(
    "function, inputs, words",
    [
        (lambda x: tf.cast(x, tf.float64) * 2, [tf.TensorSpec([4])], "float64"),
        (lambda x: tf.where(x > 0), [tf.TensorSpec([4])], "dynamic"),
        (
            lambda x: tf.linalg.cholesky(x),
            [tf.TensorSpec([4, 4])],
            "",
        ),
    ],
    ids=["float64", "dynamic", "none"],
)
def test_defects_are_found(function, inputs, words):
    step = lowering.Step(function, tuple(inputs), 1)
    found = hlo.defects(hlo.parse(lowering.lower(step)))
    assert any(words in line for line in found) if words else found == []


def _module_of(opcode: str, dimensions: list[int]):
    module = hlo_pb2.HloModuleProto()
    instruction = module.computations.add().instructions.add(name="x", opcode=opcode)
    instruction.shape.element_type = xla_data_pb2.F32
    instruction.shape.dimensions.extend(dimensions)
    instruction.shape.is_dynamic_dimension.extend([False] * len(dimensions))
    return module


def test_what_leaves_the_tpu_is_a_defect():
    assert hlo.defects(_module_of("outfeed", [3])) == ["x: outfeed leaves the TPU"]
    assert hlo.defects(_module_of("add", [3])) == []


@pytest.mark.parametrize(
    "opcode, size", [("all-reduce", 24), ("all-reduce-start", 24), ("add", 0)]
)
def test_each_sum_over_replicas_counts_once(opcode, size):
    assert hlo.all_reduce_bytes(_module_of(opcode, [2, 3])) == size
    assert hlo.all_reduce_bytes(_module_of("all-reduce-done", [2, 3])) == 0


def test_gradients_and_batch_statistics_are_summed_over_replicas(module):
    trainable = 4 * _model_size()
    assert trainable < hlo.all_reduce_bytes(module) < 1.2 * trainable
    assert hlo.all_reduce_bytes(_lower()) == 0


def _model_size() -> int:
    from efficientnet_tf import counting

    return counting.count(_config().variant, classes=10).trainable_params


def test_flops_are_those_of_the_model():
    """Serving does each multiply-add of the network once, padding apart."""
    from efficientnet_tf import counting

    rows = hlo.costs(_lower("serve"))
    flops = sum(row.flops for row in rows)
    macs = counting.count(_config().variant, classes=10).macs
    assert 0.8 * 2 * 16 * macs < flops <= 2 * 16 * macs


def _product():
    def multiply(a, b):
        return tf.matmul(a, b)

    specs = (tf.TensorSpec([3, 5]), tf.TensorSpec([5, 7]))
    return hlo.parse(lowering.lower(lowering.Step(multiply, specs, 1)))


def _convolution():
    """Windows at 0, 2 and 4 of 6 pixels, padded at the end: 3 + 3 + 2 of 9 products."""

    def convolve(x, kernel):
        return tf.nn.conv2d(x, kernel, 2, "SAME")

    specs = (tf.TensorSpec([2, 6, 6, 3]), tf.TensorSpec([3, 3, 3, 4]))
    return hlo.parse(lowering.lower(lowering.Step(convolve, specs, 1)))


def _flops(module):
    return sum(row.flops for row in hlo.costs(module))


def _call_library(module, opcode: str, target: str, order=(0, 1, 2)):
    """Hands an operation to a GPU's library: operands and result take other places."""
    by_id = {i.id: i for c in module.computations for i in c.instructions}
    (call,) = (i for i in by_id.values() if i.opcode == opcode)
    operands = [by_id[number] for number in call.operand_ids]
    shapes = [copy.deepcopy(part.shape) for part in (*operands, call)]
    for operand, place in zip(operands, order[:2], strict=True):
        operand.shape.CopyFrom(shapes[place])
    workspace = xla_data_pb2.ShapeProto(element_type="U8", dimensions=[1024])
    call.opcode, call.custom_call_target = "custom-call", target
    call.shape.Clear()
    call.shape.tuple_shapes.extend([shapes[order[2]], workspace])
    return call


def test_a_products_cost_is_exact():
    assert _flops(_product()) == 2 * 3 * 5 * 7


def test_a_convolutions_padding_costs_nothing():
    assert _flops(_convolution()) == 2 * 2 * 8 * 8 * 3 * 4


def test_a_librarys_product_costs_the_same():
    module = _product()
    call = _call_library(module, "dot", "__cublas$lt$matmul")
    call.ClearField("dot_dimension_numbers")  # XLA states them for the library alone
    call.backend_config = json.dumps(
        {
            "gemm_backend_config": {
                "dot_dimension_numbers": {"lhs_contracting_dimensions": ["1"]}
            }
        }
    ).encode()
    assert _flops(module) == _flops(_product())


@pytest.mark.parametrize(
    "target, order",
    [
        ("__cudnn$convForward", (0, 1, 2)),
        ("__cudnn$convBiasActivationForward", (0, 1, 2)),
        ("__cudnn$convForwardGraph", (0, 1, 2)),
        ("__cudnn$convBackwardInput", (2, 1, 0)),
        ("__cudnn$convBackwardFilter", (0, 2, 1)),
    ],
)
def test_a_librarys_convolution_costs_the_same(target, order):
    module = _convolution()
    _call_library(module, "convolution", target, order)
    assert _flops(module) == _flops(_convolution())


def test_a_gradient_belongs_to_its_layer():
    layer_of = hlo.layer_of
    assert layer_of("a/block2a_dwconv_1/depthwise/Conv") == "block2a_dwconv"
    assert layer_of("gradient_tape/block2a_se/block2a_se_reduce_1/x") == (
        "block2a_se_reduce"
    )
    assert layer_of("AssignSubVariableOp_21") == ""


def test_values_at_the_peak():
    values = [
        liveness.Value("a", "", 4, born=0, last_read=3),
        liveness.Value("b", "", 2, born=1, last_read=1),
        liveness.Value("c", "", 3, born=2, last_read=3),
    ]
    assert [v.name for v in liveness.at_peak(values)] == ["a", "c"]


@pytest.mark.parametrize(
    "limit, remat, expected",
    [(100, 40, (40, 100)), (128, 128, (128, 128)), (3, 3, (3, 3)), (0, 0, None)],
)
def test_the_largest_batches_are_found(limit, remat, expected):
    def at(batch):
        blank = dict.fromkeys(("model", "step", "chip", "topology"), "")
        return plan.Plan(
            **blank,
            replicas=1,
            batch=batch,
            image_size=32,
            fits=batch <= limit,
            hbm_limit_bytes=70,
            **dict.fromkeys(("state_bytes", "code_bytes", "output_bytes"), 1),
            argument_bytes=batch // 2,
            temp_bytes=batch,
            remat_ops=None if batch > limit else int(batch > remat),
        )

    found = plan.find_batch(at, start=128)
    if expected is None:
        assert found == (None, None)
        return
    for one, most in zip(found, expected, strict=True):
        assert most - most // 8 <= one.batch <= most


@pytest.mark.parametrize(
    "steps, batches",
    [(1, [1, 2, 4, 8, 16]), (2, [1, 2, 3, 4, 6, 8, 12, 16]), (8, [*range(8, 17), 18])],
)
def test_batches_to_choose_from_are_round(steps, batches):
    found = [plan._batch_at(plan._index_of(batch, steps), steps) for batch in batches]
    assert found == batches
    every = {plan._batch_at(index, steps) for index in range(5 * steps)}
    assert {batch for batch in every if batches[0] <= batch < 16} == {
        batch for batch in batches if batch < 16
    }


def test_a_process_of_its_own_lowers_the_same():
    batch, module, _ = plan._lowered(_config(), "train", 1, None)
    assert batch == 16
    assert hlo.fingerprint(hlo.parse(module)) == hlo.fingerprint(_lower())
    with pytest.raises(ValueError, match="train_batch_size=16: allowed is a multiple"):
        plan._lowered(_config(), "train", 3, None)


def test_a_process_that_dies_is_named():
    with pytest.raises(ValueError, match="the process that lowers the step died"):
        apart.call(os._exit, 1)


def test_a_script_without_a_guard_calls_apart(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "from efficientnet_tf.planning import apart\n"
        "print(apart.call(os.getppid) == os.getpid(), apart.call(lambda: 2))\n"
    )
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "True 2\n"


@pytest.mark.slow
def test_a_process_ends_after_a_caller_that_was_killed():
    script = """if True:
        import os, time
        from efficientnet_tf.planning import apart
        apart.call(lambda: (print(os.getpid(), flush=True), time.sleep(3)))
    """
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as p:
        orphan = int(p.stdout.readline())
        p.kill()
    ended_by = time.time() + 100  # its 10 s, loky's 30 for others' work, and spare
    while _runs(orphan) and time.time() < ended_by:
        time.sleep(1)
    assert not _runs(orphan)


def _runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    done = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True
    )
    return done.stdout.strip()[:1] not in ("", "Z")


def test_serving_is_planned_in_the_saved_models_precision():
    module = hlo.parse(
        lowering.lower(lowering.prepare(_config(), step="serve", device="tpu"))
    )
    types = {
        shape.element_type
        for computation in module.computations
        for instruction in computation.instructions
        for shape in hlo._leaves(instruction.shape)
    }
    assert xla_data_pb2.BF16 not in types and xla_data_pb2.F32 in types


def test_a_bound_is_of_what_takes_longer():
    chip = chips.find("v5e")
    assert chip.seconds(flops=197e12, bytes_accessed=0) == 1
    assert chip.seconds(flops=0, bytes_accessed=819e9) == 1
    v3 = chips.find("v3")  # two devices a chip
    assert v3.seconds(flops=123e12, bytes_accessed=0) == 2


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: chips.find("v9"), "chip=v9: allowed are v2"),
        (lambda: chips.slice_of(chips.find("v5e"), "4"), "2 numbers of chips"),
        (lambda: chips.slice_of(chips.find("v4"), "2x2"), "3 numbers of chips"),
    ],
)
def test_wrong_chips_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_slices_have_devices():
    assert chips.slice_of(chips.find("v3"), None) == ("v3:2x2", 1)
    assert chips.slice_of(chips.find("v3"), "4x4") == ("v3:4x4", 32)
    assert chips.slice_of(chips.find("v5e"), "4x4") == ("v5e:4x4", 16)


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(compiler, "_PACKAGES", ("no_such_package",))
    with pytest.raises(ValueError, match=r"no_such_package is missing.*\.\[plan\]"):
        compiler.compile_for(chips.find("v5e"), b"", topology="v5e:2x2", replicas=1)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@needs_libtpu
def test_a_step_is_planned_dumped_and_recalled(own_cache, tmp_path):
    config = _config(train_batch_size=64)
    dump = str(tmp_path / "dump")
    first = plan.plan(config, chip="v5e", shape="2x2", dump=dump)
    assert first.fits and not first.cached and first.replicas == 4
    parts = ("argument", "state", "output", "temp", "code")
    total = sum(getattr(first, f"{part}_bytes") for part in parts)
    assert first.hbm_bytes == total < first.hbm_limit_bytes
    # Weights, mean squares, momenta and averages, and the statistics twice.
    assert first.state_bytes > 4 * 4 * _model_size()
    assert first.argument_bytes >= 16 * (32 * 32 * 3 + 4 * 10)
    assert first.all_reduce_bytes > 4 * _model_size()
    bound = max(first.flops / 197e12, first.bytes_accessed / 819e9)
    assert math.isclose(first.roofline_s, bound)
    assert math.isclose(first.roofline_images_per_s, 16 / bound)
    assert "block2a_expand_conv" in first.layers
    by_layer = sum(of["bytes"] for of in first.layers.values())
    # So small a model's weights are fetched ahead, which the tables leave out: 10%.
    assert math.isclose(by_layer, first.bytes_accessed, rel_tol=0.15)
    assert 0 < sum(value["bytes"] for value in first.at_peak) < 2 * first.temp_bytes
    assert (tmp_path / "dump" / "optimized.hlo.txt").exists()
    again = plan.plan(config, chip="v5e", shape="2x2")
    assert again.cached and again.bytes_accessed == first.bytes_accessed


@needs_libtpu
def test_what_does_not_fit_is_a_plan_too(own_cache):
    def large(x):
        return tf.linalg.matmul(x, x) + 1

    chip = chips.find("v2")
    step = lowering.Step(large, (tf.TensorSpec([40_000, 40_000]),), 1)
    report = compiler.compile_for(
        chip, lowering.lower(step), topology=chip.topology, replicas=1
    )
    assert report["error"] == "memory" and report["message"]


@needs_libtpu
def test_an_impossible_slice_is_named(own_cache):
    chip = chips.find("v5e")
    topology, replicas = chips.slice_of(chip, "3x5")
    with pytest.raises(ValueError, match=r"slice=3x5: .* no such v5e .*2x2 exists"):
        compiler.compile_for(chip, b"", topology=topology, replicas=replicas)


def test_a_damaged_report_is_replaced(own_cache, tmp_path, monkeypatch):
    answers = [{"error": "memory", "message": "once"}, {"error": "memory"}]
    monkeypatch.setattr(compiler, "_PACKAGES", ("numpy",))
    monkeypatch.setattr(compiler, "_run", lambda *_: answers.pop(0))
    step = lowering.Step(lambda x: x + 1, (tf.TensorSpec([2]),), 1)
    module = lowering.lower(step)

    def report():
        return compiler.compile_for(
            chips.find("v5e"), module, topology="v5e:2x2", replicas=1
        )

    assert report() == {"error": "memory", "message": "once", "cached": False}
    assert report() == {"error": "memory", "message": "once", "cached": True}
    (kept,) = (tmp_path / "efficientnet_tf" / "plans").iterdir()
    kept.write_text(kept.read_text()[:10])
    assert report() == {"error": "memory", "cached": False}
    assert report() == {"error": "memory", "cached": True}


def test_a_cache_that_cannot_be_written_is_named_first(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(compiler, "_PACKAGES", ("numpy",))
    monkeypatch.setattr(plan, "_lowered", None)
    with pytest.raises(
        ValueError,
        match=r"file/.*: is no folder that can be written .*set XDG_CACHE_HOME",
    ):
        plan.plan(_config(), chip="v5e")


def test_this_machines_own_processor_is_planned_too():
    found = plan.plan(_config(), chip="cpu")
    assert found.fits and found.roofline_s is None
    assert found.state_bytes > 4 * 4 * _model_size()
    assert found.temp_bytes > 16 * 32 * 32 * 3
    assert found.hbm_limit_bytes > 2**30


@pytest.mark.parametrize(
    "flags, words",
    [
        ([], "name the --chip"),
        (["--chip=v9"], "chip=v9: allowed are v2"),
        (["--chip=v5e", "--slice=2"], "slice=2: allowed for v5e"),
        (["--chip=gpu", "--slice=2x2"], "slice=2x2: is of a TPU, not of gpu"),
        (
            ["--chip=v5e", "--dump=setup.py"],
            "dump=setup.py: is no folder that can be written (File exists)",
        ),
        (
            ["--chip=v5e", "--dump=setup.py/a"],
            "dump=setup.py/a: is no folder that can be written (Not a",
        ),
        (["--chip=v5e", "--dump=a", "--find_batch"], "dump=a: is of one batch"),
        (["--chip=v5e", "--recompute=stem"], "no block begins with 'stem'"),
        (
            ["--chip=v5e", "--model=efficientnetv2-s", "--recompute=block2"],
            "recompute=block2: none of these blocks can be",
        ),
    ],
)
def test_wrong_flags_are_one_line(flags, words):
    assert words in command_line.refusal("--mode=plan", *flags)


@needs_libtpu
def test_the_command_line_plans(own_cache):
    found = command_line.succeed(
        *("--mode=plan", "--chip=v3", "--model=efficientnet-test"),
        *("--plan_step=serve", "--json"),
    ).json
    assert found["fits"] and found["batch"] == 128 and found["state_bytes"] == 0


def _table(path, *flags):
    command = [sys.executable, "tools/plan_tpu.py", "--all", f"--table={path}"]
    return subprocess.run([*command, *flags], capture_output=True, text=True, cwd=ROOT)


def _cell(batch, rate):
    return {"batch": batch, "roofline_images_per_s": rate}


def test_a_whole_table_is_printed(tmp_path):
    row = {
        "v3": {"without_remat": _cell(8, 1500.4), "with_remat": _cell(16, 1200)},
        "v5e": {"without_remat": None, "with_remat": _cell(1, 20)},
        "v2": {"without_remat": None, "with_remat": None},
    }
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"flags": {}, "models": {"efficientnet-b0": row}}))
    columns = [f"--chips={chip}" for chip in row]
    done = _table(path, "--models=efficientnet-b0", *columns, "--json")
    *lines, last = done.stdout.splitlines()
    assert json.loads(last) == {"efficientnet-b0": row}
    assert lines == [
        "| model | v3 | v5e | v2 |",
        "|---|---:|---:|---:|",
        "| efficientnet-b0 | 8 (16), 1,500/s | 0 (1), 20/s | none fits |",
    ]


def test_the_readme_prints_the_published_table():
    printing = """if True:
        import json, pathlib, sys
        sys.path.insert(0, "tools")
        import plan_tpu
        kept = json.loads(pathlib.Path("docs/plans.json").read_text())
        for line in plan_tpu.markdown(kept["models"], ["v3", "v4", "v5e", "v6e"]):
            print(line)
    """
    command = [sys.executable, "-c", printing]
    lines = subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout
    models = [line for line in lines.splitlines() if "| efficientnet-b" in line]
    assert len(models) == 8 and all(line.count("/s |") == 4 for line in models)
    assert f"<!-- plans -->\n{lines}" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("content", ['{"efficientnet-b0": {', "{}", "[]"])
def test_a_damaged_table_is_named(tmp_path, content):
    path = tmp_path / "table.json"
    path.write_text(content)
    done = _table(path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert f"table={path}: is no table" in done.stderr


def test_a_table_that_cannot_be_written_is_named_first():
    done = _table("setup.py/table.json")
    assert done.stderr == (
        "error: table: setup.py: is no folder that can be written (File exists)\n"
    )


def test_a_table_of_other_settings_is_not_continued(tmp_path):
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"flags": {}, "models": {}}))
    done = _table(path, "--plan_step=eval")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "made with {}, not {'plan_step': 'eval'}; name another" in done.stderr
