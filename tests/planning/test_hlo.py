"""The planner: what it lowers, what it reads from HLO, what it asks of the compiler."""

import copy
import json

import pytest
import tensorflow as tf
from builds import needs_xla
from planning_support import all_lowered, model_size, small_config
from tensorflow.compiler.xla import xla_data_pb2
from tensorflow.compiler.xla.service import hlo_pb2

from efficientnet_tf.planning import (
    hlo,
    lowering,
    peak_memory,
    planned_strategy,
)

pytestmark = needs_xla  # to lower anything; there main.py refuses to plan


STEPS = {
    "paper": {},
    "fused, float32, replicas": {
        "fused": "on",
        "precision": "float32",
        "train_batch_size": 32,
        "replicas": 2,
    },
    "eval": {"step": "eval"},
    "serve": {"step": "serve"},
}
OTHERS = {
    "digits, grouped": {"dataset": "digits", "batch_norm": "grouped"},
    "recomputing, frozen": {
        "recompute": "block",
        "batch_norm": "frozen",
        "moving_average_decay": 0.0,
    },
    "several labels": {"multi_label": True, "mixup_alpha": 0.2},
    "several labels, eval": {"step": "eval", "multi_label": True},
}


@pytest.fixture(scope="module")
def modules():
    return all_lowered(STEPS)


@pytest.mark.parametrize("name", STEPS)
def test_every_step_is_what_a_tpu_can_do(modules, name):
    assert hlo.defects(modules[name]) == []


@pytest.mark.slow
def test_other_steps_are_what_a_tpu_can_do():
    for name, module in all_lowered(OTHERS).items():
        assert hlo.defects(module) == [], name


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


def test_gradients_and_batch_statistics_are_summed_over_replicas(modules):
    trainable = 4 * model_size()
    summed = hlo.all_reduce_bytes(modules["fused, float32, replicas"])
    assert trainable < summed < 1.25 * trainable
    assert hlo.all_reduce_bytes(modules["paper"]) == 0


@pytest.mark.parametrize(
    ("reduce_op", "scales"),
    [(tf.distribute.ReduceOp.SUM, set()), (tf.distribute.ReduceOp.MEAN, {0.25})],
)
def test_a_mean_over_replicas_is_scaled_and_a_sum_is_not(reduce_op, scales):
    strategy = planned_strategy.PlannedStrategy(4)

    def reduce(x):
        context = tf.distribute.get_replica_context()
        return context.all_reduce(reduce_op, x)

    step = lowering.Step(lambda x: strategy.run(reduce, (x,)), (tf.TensorSpec([2]),), 4)
    module = hlo.parse(lowering.lower(step))
    assert hlo.all_reduce_bytes(module) == 8
    instructions = [i for c in module.computations for i in c.instructions]
    found = {value for i in instructions for value in i.literal.f32s}
    assert found - {0.0, 1.0} == scales


def test_flops_are_those_of_the_model(modules):
    """Serving does each multiply-add of the network once, padding apart."""
    from efficientnet_tf import counting

    rows = hlo.costs(modules["serve"])
    flops = sum(row.flops for row in rows)
    macs = counting.count(small_config().variant, classes=10).macs
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
    """Turns an operation into a call of a GPU's library, with operands in its order."""
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
        peak_memory.Value("a", "", 4, born=0, last_read=3),
        peak_memory.Value("b", "", 2, born=1, last_read=1),
        peak_memory.Value("c", "", 3, born=2, last_read=3),
    ]
    assert [v.name for v in peak_memory.at_peak(values)] == ["a", "c"]
    # What is read at a place is still there when that place's result is written.
    both = [
        peak_memory.Value("a", "", 4, born=0, last_read=1),
        peak_memory.Value("b", "", 2, born=1, last_read=2),
    ]
    assert [v.name for v in peak_memory.at_peak(both)] == ["a", "b"]
