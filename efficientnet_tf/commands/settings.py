"""The settings of the modes: what they read and write beside a run's configuration."""

import dataclasses
import re
from typing import Literal

from efficientnet_tf.export import formats
from efficientnet_tf.settings import Allowed, Section, setting


def _is_slice(value: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,4}(x[0-9]{1,4}){0,2}", value))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command(Section):
    """What one command reads, writes and plans; see each field's help."""

    model_dir: str | None = setting(
        "the run's folder; default runs/MODEL-DATASET", default=None
    )
    export_dir: str | None = setting(
        "folder of the export; default MODEL_DIR/saved_model", default=None
    )
    export_formats: str = setting(
        "formats of the export, comma-separated: " + ", ".join(formats.FORMATS) + "; "
        "8-bit ones take photos after the flags",
        default="saved_model",
    )
    gate: Literal["fail", "warn"] = setting(
        "what to do about a format whose predictions differ too much from the model's",
        default="fail",
    )
    cam_dir: str | None = setting(
        "folder for class activation maps; default MODEL_DIR/cam, or ./cam with "
        "--weights",
        default=None,
    )
    report: bool | None = setting(
        "whether to write report.html, a page of the results (default: train_and_eval "
        "does, eval does not unless --report_dir is given)",
        default=None,
    )
    report_dir: str | None = setting(
        "folder for report.html, predictions.csv and classes.csv; default MODEL_DIR, "
        "or ./report with --weights",
        default=None,
    )
    cam_class: str | None = setting(
        "the class to map, by its name or as predict numbers it; default the most "
        "likely",
        default=None,
    )
    output: str | None = setting(
        "CSV file for predictions, a line for each image; local or gs://",
        Allowed("a file named *.csv", lambda value: value.endswith(".csv")),
        default=None,
    )
    chip: str | None = setting(
        "the TPU to plan for: v2, v3, v4, v5e, v5p or v6e; or cpu, or gpu", default=None
    )
    slice: str | None = setting(
        "the slice to plan for, such as 4x4 chips; default one device",
        Allowed("chips along each axis, such as 4x4", _is_slice),
        default=None,
    )
    plan_step: Literal["train", "eval", "serve"] = setting(
        "the step to plan", default="train"
    )
    find_batch: bool = setting(
        "plan the largest batch that fits one device", default=False
    )
    effort: float = setting(
        "effort of the TPU's compiler in plans",
        Allowed("-1 to 1", lambda value: -1 <= value <= 1),
        default=-1.0,
    )
    dump: str | None = setting(
        "folder for a plan's HLO and tables by layer and fusion", default=None
    )
    json: bool = setting("print the result as one last line of JSON", default=False)
