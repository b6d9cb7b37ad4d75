"""What a dry run says to a person."""

from __future__ import annotations

from typing import Any

from hwnas.commands.planned import plan_lines

TIME = {
    "forecast_minutes": 18.2,
    "forecast_low_minutes": 11.8,
    "forecast_high_minutes": 24.6,
    "forecast_s": {"table": 48.0, "front": 528.0, "training": 420.0, "gradient": 0.0, "report": 1.0},
}


def lines_of(**work: Any) -> str:
    return "\n".join(plan_lines({"config": {"budgets": ["latency_ms<=12"]}, "work": work}))


def test_a_search_says_data_counts_time_and_memory() -> None:
    classes = {f"c{i}": {"train": 1200, "val": 0, "test": 34} for i in range(10)}
    data = {
        "name": "photos",
        "kind": "image",
        "n_images": 12_340,
        "in_channels": 3,
        "image_size": 48,
        "splits": {"train": 12_000, "val": 0, "test": 340},
        "classes": classes,
        "counted": "class",
        "notes": ["images of more than 8 bits are scaled by the range of the set, 0 (black) to 4095 (white)"],
    }
    said = lines_of(
        data=data,
        objectives=["val_accuracy", "latency_ms"],
        strategy="bo",
        in_words="14 networks trained for 308 steps",
        minutes=20,
        too_little_time=True,
        memory_gb=2.06,
        **TIME,
    )
    for words in (
        "12,340 images of photos, colour at 48 x 48 px; 12,000 train, 0 val, 340 test",
        "each class: c0 1,234, c1 1,234,",
        "c7 1,234, and 2 more",
        "note: images of more than 8 bits are scaled by the range of the set, 0 (black) to 4095 (white)",
        "of val_accuracy, latency_ms, by strategy bo; budget: latency_ms<=12",
        "plan: 14 networks trained for 308 steps",
        "time: about 18 minutes (12 to 25); front 8.8, training 7, table 0.8",
        "limit: --minutes 20",
        "too little time",
        "memory: at most 2.1 GB",
    ):
        assert words in said, words
    assert said.endswith("with --json lists every option")


def test_a_continued_search_names_its_networks() -> None:
    said = lines_of(continue_from="runs/a", networks=["x", "y"], train_epochs=100, minutes=None, **TIME)
    assert "networks: x, y, from their weights in runs/a" in said and "100 epochs more" in said
    assert "memory" not in said and "limit" not in said


def test_a_table_has_nothing_to_forecast() -> None:
    said = list(plan_lines({"config": {"budgets": []}}))
    assert said[0].startswith("the table can be read") and len(said) == 2
