"""The paper's tables: exact cells, honest marks, and files that say the same."""

import csv
import json
import pathlib

import networks
import numpy as np
import pytest
from command_line import tool
from PIL import Image

from efficientnet_tf.paper import (
    cells,
    contents,
    counted_cells,
    ledger,
    measurements,
    printed_numbers,
    submission,
    trained_cells,
)
from efficientnet_tf.paper.cells import EXACT, MEASURED, Cell

ROOT = pathlib.Path(__file__).parents[2]


def reference(name):
    path = ROOT.parent / "shared" / "reference" / name
    if not path.exists():
        pytest.skip(f"{name} is not part of the repository")
    return json.loads(path.read_text())


def ours(found, row, quantity):
    (cell,) = [c for c in found if c.row == row and c.quantity == quantity]
    return cell.ours


@pytest.mark.parametrize(
    ("paper", "value", "agrees"),
    [
        ("0.39", 0.3858, True),
        ("0.39", 0.3949, True),
        ("0.39", 0.395, False),
        ("12", 12.2332, True),
        ("12", 12.5, False),
        ("13", 12.5, True),
        ("16.2", 14.57, False),
        ("k3x3", "k3x3", True),
        ("k3x3", "k5x5", False),
    ],
)
def test_agreement_is_to_the_printed_digits(paper, value, agrees):
    assert Cell("T", "r", "q", paper, value, EXACT).agrees is agrees


def test_what_is_measured_is_never_said_to_agree():
    assert Cell("T", "r", "q", "5.7", 5.7, MEASURED).agrees is None
    assert Cell("T", "r", "q", None, 5.7, EXACT).agrees is None
    assert Cell("T", "r", "q", "5.7").agrees is None


def test_table_1_is_the_papers():
    assert all(cell.agrees for cell in counted_cells.table1())
    assert len(counted_cells.table1()) == 36


def test_exact_cells_are_the_references():
    variants = reference("variants.json")["variants"]
    found = counted_cells.table2()
    for name in printed_numbers.TABLE_2:
        flops = ours(found, name, "FLOPS, G")
        assert round(flops, 3) == variants[name]["gmacs"]
        params = ours(found, name, "parameters, M")
        assert round(params * 1e6) == variants[name]["trainable_params"]


@pytest.mark.parametrize("table", ["table3", "table7"])
def test_scaled_flops_are_the_references(table):
    paper = reference("paper.json")
    families = {"rows": "efficientnet-b0"}
    families |= {"mobilenet_v1": "mobilenet-v1", "mobilenet_v2": "mobilenet-v2"}
    families |= {"resnet_50": "resnet-50"}
    found = getattr(counted_cells, table)()
    checked = 0
    for key, base in families.items():
        rows = paper[table].get(key, [])
        flops = [c for c in found if c.row.startswith(base) and "FLOPS" in c.quantity]
        for (_, shown, top_1, exact), cell in (
            zip(rows, flops, strict=bool(rows)) if rows else ()
        ):
            assert float(cell.paper) == shown
            accuracy = [c for c in found if c.row == cell.row and "top-1" in c.quantity]
            assert float(accuracy[0].paper) == top_1
            if exact is not None:
                assert float(f"{cell.ours:.4g}") == pytest.approx(exact, rel=1e-3)
                checked += 1
    assert checked == {"table3": 12, "table7": 5}[table]


def test_printed_numbers_are_the_references():
    paper = reference("paper.json")
    assert [list(row[1:]) for row in printed_numbers.TABLE_1] == [
        row[1:] for row in paper["table1_b0"]
    ]
    for name, row in paper["table2_others"].items():
        top_1, params, flops = printed_numbers.TABLE_2_OTHERS[name]
        assert (float(top_1), float(params) * 1e6) == tuple(row[:2])
        assert (flops and float(flops)) == row[2]
    assert {k: list(v) for k, v in printed_numbers.TABLE_6.items()} == paper["table6"]
    for name, rows in paper["table5_top1"].items():
        assert {k: float(v) for k, v in printed_numbers.TABLE_5[name].items()} == rows
    for number, name in enumerate(printed_numbers.TABLE_8):
        top_1, test, top_5 = (float(value) for value in printed_numbers.TABLE_8[name])
        assert [top_1, test] == paper["table8_val_test_top1"][f"B{number}"]
        assert top_5 == paper["table8_val_top5"][number]
    assert {k: list(v) for k, v in printed_numbers.FIGURE_3.items()} == paper[
        "figure3_points"
    ]


def test_the_known_discrepancies_are_found_and_no_others():
    found = [*counted_cells.table2(), *counted_cells.table3(), *counted_cells.table7()]
    differing = {(c.item, c.row) for c in cells.disagreements(found)}
    assert ("Table 3", "resnet-50 d=4 w=1 r=1") in differing
    assert ("Table 3", "resnet-50 d=1 w=2 r=1") in differing
    assert ("Table 7", "efficientnet-b0 d=4 w=1 r=1") in differing
    assert ("Table 7", "efficientnet-b0 d=1.4 w=1.2 r=1.3") not in differing
    assert len(differing) == 13


def test_the_walk_throughs_network_has_more_parameters_than_its_text_says():
    (cell,) = [c for c in counted_cells.section3() if c.row == "its plain CNN"]
    # 896 + 18496 + 73856 + 295168 + 12 * 12 * 256 * 64 + 64 + 650
    assert cell.ours == "2748426"
    assert cell.agrees is False


STUDY = [
    {"curve": "base", "label": "d1-w1-r1", "macs": 1e6, "top_1": [50.0, 52.0]},
    {"curve": "width", "label": "d1-w1.5-r1", "macs": 2e6, "top_1": [53.0, 54.0]},
    {"curve": "depth", "label": "d2-w1-r1", "macs": 2e6, "top_1": [51.0, 51.0]},
    {"curve": "resolution", "label": "d1-w1-r1.4", "macs": 2e6, "top_1": [50.0, 51.0]},
    {
        "curve": "compound",
        "label": "d1.2-w1.1-r1.2",
        "macs": 2e6,
        "top_1": [55.0, 57.0],
    },
]


def study(compound=None):
    rows = [dict(row) for row in STUDY]
    if compound:
        rows[-1]["top_1"] = compound
    for row in rows:
        row["mean"] = float(np.mean(row["top_1"]))
        row["stddev"] = float(np.std(row["top_1"], ddof=1))
    return rows


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([55.0, 57.0], ["compound scaling wins", "compound 56.0 ± 1.4", "2.5 points"]),
        ([40.0, 41.0], ["does not win", "compound 40.5 ± 0.7", "13.0 points", "more"]),
        ([53.6, 53.8], ["wins", "0.2 points", "less than a standard deviation"]),
    ],
)
def test_the_verdict_says_what_was_measured(scores, words):
    text = trained_cells.verdict(study(scores))
    for word in words:
        assert word in text, text


def test_widening_is_judged_from_each_base():
    widths = [(1.0, 50.0, 1e6), (1.4, 51.0, 2e6), (2.0, 53.5, 4e6)]
    rows = [
        {"curve": curve, "width": width, "mean": mean, "stddev": 0.5, "macs": macs}
        for curve in ("d=1", "d=2")
        for width, mean, macs in widths
    ]
    text = trained_cells.width_verdict(rows)
    assert "- d=1: +3.5 points (50.0 ± 0.5 to 53.5 ± 0.5) for 4.0 times" in text
    assert text.count("points (") == 2


def test_a_transfer_is_judged_against_none():
    rows = [{"params": 1e5, "finetuned": 60.0, "scratch": 55.5}]
    assert "+4.5 at 0.10 M parameters" in trained_cells.transfer_verdict(rows)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("docs") / "reproduction")
    measurements.save(directory, "scaling_study", {"figure8": study()})
    rows = {"mean_s": 0.5, "stddev_s": 0.01, "runs": 20}
    fast = rows | {"mean_s": 0.1}
    pair = {"ResNet-152": rows, "EfficientNet-B1": fast}
    measurements.save(directory, "latency", {"saved_model": pair})
    found = {name: contents.write(name, directory) for name in contents.ITEMS}
    ledger.write(f"{directory}.md", directory)
    return directory, found


def test_every_item_is_written_with_its_plot(written):
    directory, found = written
    for name, numbers in found.items():
        if numbers:
            with open(f"{directory}/{name}.csv") as file:
                rows = list(csv.DictReader(file))
            assert [row["row"] for row in rows] == [cell.row for cell in numbers]
            saved = json.loads(pathlib.Path(f"{directory}/{name}.json").read_text())
            assert [row["ours"] for row in saved] == [cell.ours for cell in numbers]
        # Figures of what was not measured have no plot.
        if name not in ("section4", "figure4", "figure6", "figure7"):
            with Image.open(f"{directory}/{name}.png") as image:
                assert min(image.size) > 300


def test_speedups_are_ratios_of_what_was_measured(written):
    _, found = written
    cell = next(c for c in found["table4"] if c.quantity == "speedup")
    assert cell.ours == pytest.approx(5.0)
    assert cell.how == MEASURED
    assert "mean of 20" in cell.note
    other = [c for c in found["table4"] if "litert" in c.row]
    assert all(c.ours is None for c in other)


def test_the_ledger_has_every_number_and_every_discrepancy(written):
    directory, found = written
    page = pathlib.Path(f"{directory}.md").read_text()
    everything = [cell for numbers in found.values() for cell in numbers]
    assert f"{len(everything)} numbers" in page
    for cell in everything:
        assert f"| {cell.row} | {cell.quantity} | {cell.paper or ''} |" in page
    assert page.count("- Table ") == 14
    assert "printed 16.2, counted 14.57" in page
    assert "compound scaling wins" in page
    assert "![table1](reproduction/table1.png)" in page
    assert str(ROOT) not in page


def test_the_search_is_told_with_its_winner(tmp_path):
    random = {"best": [0.25, 0.75], "mean": 0.5, "stddev": 0.125}
    winner = {"blocks": "r1_k3", "macs": 1000, "reward": 0.75, "top_1": 0.5}
    measurements.save(
        str(tmp_path),
        "baseline_search",
        {
            "trials_of_each_search": 9,
            "samplers": {"random": random},
            "best": winner,
        },
    )
    found = trained_cells.section4(str(tmp_path))
    assert [cell.ours for cell in found] == [0.5, 1000, 0.75, 0.5]
    assert found[0].quantity == "best reward of 9 trials"
    assert "± 0.125 over 2 seeds; 0.250, 0.750" in found[0].note
    assert found[1].note == "`--blocks=r1_k3`"


def test_a_measurement_names_its_machine(written):
    directory, _ = written
    assert measurements.load(directory, "latency")["machine"] == measurements.machine()
    assert measurements.load(directory, "nothing") == {}


def test_a_damaged_measurement_is_named(tmp_path):
    (tmp_path / "latency.json").write_text("{")
    with pytest.raises(ValueError, match=r"latency\.json: .*delete it"):
        measurements.load(str(tmp_path), "latency")


def test_predictions_go_out_as_the_server_numbers_classes(tmp_path):
    import efficientnet_tf as en

    model = en.EfficientNet("efficientnet-test", blocks=(networks.ONE,), classes=6)
    en.save_weights(model, str(tmp_path / "a.weights.h5"))
    photos = []
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 50, 3), "uint8")
        photos.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(pixels).save(photos[-1])
    ids = tmp_path / "ids.txt"
    ids.write_text("6\n5\n4\n3\n2\n1\n")
    arguments = {
        "model": "efficientnet-test",
        "weights": str(tmp_path / "a.weights.h5"),
    }
    plain, mapped = (str(tmp_path / name) for name in ("plain.txt", "mapped.txt"))
    submission.write(plain, photos, **arguments)
    submission.write(mapped, photos, **arguments, class_ids=str(ids))
    lines = [
        [
            list(map(int, line.split()))
            for line in pathlib.Path(path).read_text().splitlines()
        ]
        for path in (plain, mapped)
    ]
    assert len(lines[0]) == 3
    assert all(
        len(set(line)) == 5 and set(line) <= set(range(1, 7)) for line in lines[0]
    )
    assert [[7 - number for number in line] for line in lines[0]] == lines[1]
    ids.write_text("1\n1\n2\n3\n4\n5\n")
    with pytest.raises(ValueError, match="each once"):
        submission.write(mapped, photos, **arguments, class_ids=str(ids))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table9"], "table9: allowed are table1"),
        ([], "no item"),
        (["table8", "--test_dir=nowhere", "--weights=x"], "no images"),
    ],
)
def test_the_tool_refuses_in_one_line(arguments, message, tmp_path):
    out = f"--output_dir={tmp_path / 'out'}"
    done = tool("reproduce_paper", *arguments, out)
    assert done.returncode == 1
    assert message in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()
