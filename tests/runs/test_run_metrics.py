"""metrics.jsonl tells every step, evaluation and rollback once."""

import math

from efficientnet_tf.runs import metrics


def test_lines_of_steps_and_rollbacks_that_come_again_are_dropped(tmp_path):
    folder = str(tmp_path)
    for kind, step, told in (
        ("train", 2, {"loss": 1.0}),
        ("rollback", 2, {"rate_factor": 0.5}),
        ("rollback", 2, {"rate_factor": 0.25}),
        ("train", 4, {"loss": 0.5}),
        ("train", 6, {"loss": math.nan}),
    ):
        metrics.append(folder, kind, step=step, epoch=0.0, **told)

    def left():
        return [(line["kind"], line["step"]) for line in metrics.read(folder)]

    metrics.drop_after(folder, 4, rate_factor=0.25)
    assert left() == [("train", 2), ("rollback", 2), ("rollback", 2), ("train", 4)]
    # The checkpoint of step 2 was saved before the rate was halved.
    metrics.drop_after(folder, 2, rate_factor=0.5)
    assert left() == [("train", 2), ("rollback", 2)]
    metrics.drop_after(folder, 2)
    assert left() == [("train", 2)]


def test_a_line_with_a_damaged_key_stops_nothing(tmp_path):
    path = tmp_path / "metrics.jsonl"
    whole = '{"kind": "train", "step": 2}\n'
    path.write_text(
        whole
        + '{"kild": "train", "step": 2}\n'
        + '{"kind": "rollback", "step": 2, "rate_fa#tor": 0.5}\n'
    )
    assert metrics.damage(str(tmp_path)) == (
        "1 of 3 lines are damaged, the first is line 2"
    )
    metrics.drop_after(str(tmp_path), 4)
    assert path.read_text() == whole
    assert "kild" in (tmp_path / "metrics.jsonl.damaged").read_text()
