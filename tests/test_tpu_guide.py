"""The guide's figures are those of the plans they are made from."""

import json
import pathlib

ROOT = pathlib.Path(__file__).parents[1]
GUIDE = (ROOT / "docs/tpu_guide.md").read_text()
CHIPS = ("v3", "v4", "v5e", "v6e")
IMAGES = 350 * (1_281_167 - 25_022)  # 20 of the 1,024 shards hold 25,022


def chip_hours():
    """By model: the least chip-hours of a run on each chip."""
    plans = json.loads((ROOT / "docs/plans.json").read_text())["models"]

    def hours(cell):
        bound = max(plan["roofline_images_per_s"] for plan in cell.values() if plan)
        return IMAGES / bound / 3600

    return {m: [hours(plans[m][chip]) for chip in CHIPS] for m in sorted(plans)}


def test_the_table_of_cost_is_that_of_the_plans():
    lines = GUIDE.split("<!-- cost -->\n")[1].split("\n\n")[0].splitlines()
    assert lines[0] == "| model | " + " | ".join(CHIPS) + " |"
    printed = {}
    for line in lines[2:]:
        model, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        printed[model] = cells
    assert printed == {
        model: [f"{h:,.1f}" if h < 100 else f"{h:,.0f}" for h in hours]
        for model, hours in chip_hours().items()
    }


def test_the_example_of_cost_follows_from_the_table():
    v3, v4, v5e, _ = chip_hours()["efficientnet-b7"]
    text = " ".join(GUIDE.split())
    assert f"takes {v3:,.0f} / 4 = {v3 / 4:.0f} hours there" in text
    assert (
        f"{v4 / 4:.0f} on a v4-8, and a v5e slice of 64 chips takes {v5e / 64:.0f}."
        in text
    )
    assert f"{IMAGES:,} training images" in text
