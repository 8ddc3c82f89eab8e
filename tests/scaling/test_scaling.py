"""Compound scaling: exact sizes, the paper's counts, and budgets met."""

import importlib.util
import pathlib

import pytest
from command_line import tool

from efficientnet_tf import counting, expansion, variants
from efficientnet_tf.experiments import coefficient_search
from efficientnet_tf.scaling import budget, compound

ROOT = pathlib.Path(__file__).parents[2]
CONSTANT = compound.Coefficients(2.0, 1.0, 1.0)


def gmacs(base, **factors):
    network = compound.multiply(base, resolution_step=1, **factors)
    return counting.count(network).macs / 1e9


@pytest.mark.parametrize(
    ("base", "factors", "exact"),
    [
        # Exact counts of the open architectures for the paper's tables 3 and 7.
        ("mobilenet-v1", {"width": 2}, 2.216),
        ("mobilenet-v1", {"resolution": 2}, 2.272),
        ("mobilenet-v1", {"depth": 1.4, "width": 1.2, "resolution": 1.3}, 2.470),
        ("mobilenet-v2", {"depth": 4}, 1.220),
        ("mobilenet-v2", {"width": 2}, 1.137),
        ("mobilenet-v2", {"resolution": 2}, 1.199),
        ("resnet-50", {"depth": 4}, 14.57),
        ("resnet-50", {"width": 2}, 16.12),
        ("resnet-50", {"resolution": 2}, 16.35),
        ("efficientnet-b0", {"depth": 4}, 1.575),
        ("efficientnet-b0", {"width": 2}, 1.450),
        ("efficientnet-b0", {"resolution": 2}, 1.538),
        ("efficientnet-b0", {"depth": 1.4, "width": 1.2, "resolution": 1.3}, 1.800),
    ],
)
def test_macs_of_the_papers_scaled_networks(base, factors, exact):
    assert gmacs(base, **factors) == pytest.approx(
        exact, abs=5e-3 if exact > 5 else 6e-4
    )


def test_scale_multiplies_what_the_base_has():
    b3 = compound.scale("efficientnet-b3", 1)
    assert b3.depth == pytest.approx(1.4 * 1.2)
    assert b3.width == pytest.approx(1.2 * 1.1)
    assert b3.resolution == 344  # 300 * 1.15 = 345
    assert b3.blocks == variants.get_variant("efficientnet-b3").blocks
    assert b3.name == "efficientnet-b3-phi1"


def test_phi_0_is_the_base_at_its_own_size():
    b2 = compound.scale("efficientnet-b2", 0)  # 260 is no multiple of 8
    assert counting.count(b2) == counting.count("efficientnet-b2")


def test_depth_is_the_decimal_it_means():
    # In floats 1.1 * 1.1 * 100 rounds up to 122.
    network = compound.multiply("efficientnet-b1", depth=1.1)
    assert expansion.round_repeats(100, network.depth) == 121


def test_own_blocks_scale():
    base = expansion.customize(
        "efficientnet-b0", blocks=["r1_k3_s11_e1_i16_o16", "r3_k3_s22_e4_i16_o40"]
    )
    network = expansion.expand(compound.scale(base, 2))
    assert len(network) == 2 + 5  # 1.44 and 4.32, rounded up
    assert network[-1].output_filters == 48  # 40 * 1.21


@pytest.mark.parametrize(
    ("phi", "expected"), [(0, (18, 64, 224)), (1, (22, 70, 256)), (7, (64, 125, 592))]
)
def test_the_walk_throughs_numbers(phi, expected):
    scaled = compound.Dimensions(18, 64, 224).scaled(phi)
    assert (scaled.layers, scaled.filters, scaled.resolution) == expected


def test_flops_ratio_is_that_of_the_formula():
    base = compound.Dimensions(10, 10, 100)
    assert compound.Dimensions(20, 30, 200).flops_ratio(base) == 2 * 9 * 4
    assert compound.PAPER.flops_factor == pytest.approx(1.2 * 1.21 * 1.3225)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compound.Coefficients(alpha=0.9), "alpha=0.9"),
        (lambda: compound.scale("efficientnet-b0", float("nan")), "phi=nan"),
        (lambda: compound.multiply("efficientnet-b0", width=0), "width=0"),
        (lambda: compound.scale("efficientnet-b99", 1), "efficientnet-b99"),
        (lambda: compound.round_resolution(224, 0), "resolution_step=0"),
        (lambda: budget.fit_to_budget("mobilenet-v1"), "none"),
        (lambda: budget.fit_to_budget("mobilenet-v1", macs=-1), "macs=-1"),
        (
            lambda: budget.fit_to_budget("mobilenet-v1", macs=1, params=1),
            "macs, params",
        ),
        (lambda: budget.fit_to_budget("mobilenet-v1", params=1000), "smallest"),
        (
            lambda: budget.fit_to_budget("mobilenet-v1", latency_ms=9),
            "latency_ms=9: measure is missing",
        ),
        (
            lambda: budget.fit_to_budget("mobilenet-v1", tpu_memory=9e9),
            "tpu_memory=.*: measure is missing; .*experiments.measures.tpu_memory",
        ),
        (lambda: coefficient_search.grid(step=0.9, tolerance=0.01), "step=0.9"),
        (lambda: coefficient_search.grid(step=0), "step=0"),
    ],
)
def test_errors_name_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("macs", [1e8, 3.9e8, 6.25e8, 1e9, 4.4e9, 2e10])
@pytest.mark.parametrize("base", ["efficientnet-b0", "mobilenet-v1", "resnet-50"])
def test_a_mac_budget_is_met_within_3_percent(base, macs):
    if base == "resnet-50" and macs < 5e8:
        macs *= 10
    fit = budget.fit_to_budget(base, macs=macs)
    assert fit.cost == counting.count(fit.variant).macs
    assert 0.97 * macs <= fit.cost <= macs


def test_a_fit_stays_near_the_curve():
    fit = budget.fit_to_budget("efficientnet-b0", macs=4.4e9)
    depth, width, resolution = compound.PAPER.at(fit.phi)
    assert fit.variant.depth == pytest.approx(depth, rel=0.01)
    assert fit.variant.width == pytest.approx(width, rel=0.1)
    assert fit.variant.resolution == pytest.approx(224 * resolution, rel=0.13)


def test_a_parameter_budget_is_not_exceeded():
    fit = budget.fit_to_budget("efficientnet-b0", params=12e6)
    assert fit.cost == counting.count(fit.variant).params
    assert 0.95 * 12e6 <= fit.cost <= 12e6


def test_a_latency_budget_is_met_as_measured():
    measured = []

    def milliseconds(variant):
        # Not proportional to MACs: small networks wait for memory.
        measured.append(2 + 50 * (counting.count(variant).macs / 1e9) ** 0.8)
        return measured[-1]

    fit = budget.fit_to_budget("efficientnet-b0", latency_ms=100, measure=milliseconds)
    assert fit.cost in measured
    assert fit.cost == pytest.approx(100, rel=0.05)
    assert len(measured) <= 7


# A guess in proportion to the cost comes out below, or a little above.
@pytest.mark.parametrize("exponent", [0.8, 1.02, 1.3])
@pytest.mark.parametrize("most", [8.0, 15.75, 31.25])
def test_a_memory_budget_is_not_exceeded(most, exponent):
    def gigabytes(variant):
        return 10 * (counting.count(variant).macs / 1e9) ** exponent

    fit = budget.fit_to_budget("efficientnet-b0", tpu_memory=most, measure=gigabytes)
    assert 0.95 * most <= fit.cost <= most
    assert fit.cost == gigabytes(fit.variant)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed"
)
def test_a_memory_budget_is_met_as_planned(tmp_path, monkeypatch):
    from efficientnet_tf.experiments import measures

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fit = budget.fit_to_budget(
        "efficientnet-test", tpu_memory=100e6, measure=measures.tpu_memory
    )
    assert 70e6 <= fit.cost <= 100e6


def test_the_grid_holds_the_papers_choice_and_only_what_doubles_flops():
    grid = coefficient_search.grid()
    assert compound.PAPER in grid
    assert all(abs(c.flops_factor - 2) <= 0.1 + 1e-9 for c in grid)
    assert len(set(grid)) == len(grid) == 111
    assert compound.Coefficients(2.0, 1.0, 1.0) in grid


def test_a_candidates_row_has_the_exact_growth():
    b0 = variants.get_variant("efficientnet-b0")
    row = coefficient_search.row(b0, CONSTANT)
    repeats = expansion.customize(b0, depth=2.0)
    assert row["formula"] == 2
    assert row["macs"] == counting.count(repeats).macs
    assert row["exact"] == row["macs"] / counting.count(b0).macs
    assert row["resolution"] == 224


def test_the_tool_prints_and_draws(tmp_path):
    plot = tmp_path / "a.png"
    arguments = ("--base=18,64,224", "--phi=0:7", "--json", f"--plot={plot}")
    rows = tool("compound_scaling", *arguments).checked().json["rows"]
    assert (rows[1]["layers"], rows[1]["filters"], rows[1]["resolution"]) == (
        22,
        70,
        256,
    )
    assert [row["phi"] for row in rows] == list(range(8))
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--phi=a"], "--phi=a"),
        (["--base=18,64"], "--base=18,64"),
        (["--base=18,64,224", "--macs=1e9"], "a budget needs a network"),
        (["--base=r1_k3_s11_e1_i16_o16"], "--resolution"),
        (["--base=mobilenet-v1", "--resolution=64"], "--resolution=64"),
        (["--beta=0.5"], "beta=0.5"),
    ],
)
def test_the_tool_refuses_in_one_line(arguments, message):
    done = tool("compound_scaling", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and message in done.stderr
    assert done.stderr.count("\n") == 1
