from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from targets import Context, host_facts, load_target, make_context

X86 = (
    "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon\nflags\t\t: sse2 avx\n\n"
    "processor\t: 1\nmodel name\t: B\n"
)
ARM = "processor\t: 0\nFeatures\t: asimd fp\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n"


def test_hash_is_that_of_the_canonical_json() -> None:
    # sha256 of the text written out by hand, whatever the order of the facts
    expected = hashlib.sha256(b'{"a":1,"b":"x"}').hexdigest()[:16]
    assert Context({"b": "x", "a": 1}).hash == Context({"a": 1, "b": "x"}).hash == expected


def test_differences_name_changed_added_and_removed_facts() -> None:
    a, b = Context({"same": 1, "changed": 1, "gone": None}), Context({"same": 1, "changed": 2, "new": None})
    assert a.differences(b) == ("changed", "gone", "new")
    assert a.differences(a) == ()
    assert "changed: 1 here, 2 there" in a.explain(b)


def test_facts_that_are_no_json_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        _ = Context({"x": float("nan")}).hash


def test_first_processor_counts_and_flags_are_sorted(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(X86)
    facts = host_facts(file)
    assert (facts["cpu_model"], facts["cpu_flags"]) == ("Xeon", "avx sse2")
    file.write_text(ARM)
    assert host_facts(file)["cpu_part"] == "0xd08"
    assert host_facts(tmp_path / "absent")["machine"]


def test_each_option_of_the_target_and_each_runtime_fact_changes_the_hash() -> None:
    import dataclasses

    host = load_target("host")
    base = make_context(host, {"ort_version": "1"}, "exporter a")
    others = [
        make_context(host, {"ort_version": "2"}, "exporter a"),
        make_context(host, {"ort_version": "1"}, "exporter b"),
        *(
            make_context(dataclasses.replace(host, **change), {"ort_version": "1"}, "exporter a")
            for change in ({"threads": 2}, {"graph_level": "basic"}, {"spinning": True}, {"provider": "dnnl"})
        ),
    ]
    assert len({base.hash, *(o.hash for o in others)}) == 7
    renamed = make_context(dataclasses.replace(host, name="other"), {"ort_version": "1"}, "exporter a")
    assert renamed.hash == base.hash  # a name is no fact
