"""The twins' section of the benchmark, at sizes at which nothing is timed."""

from experiments.benchmarks import twins


def test_every_number_of_copies_has_a_row_and_too_many_a_reason(monkeypatch):
    found = twins.rows(quick=True)
    assert [row["copies"] for row in found] == [1, 1, 4, 4]  # ours, then C's
    assert all(row["value"] > 0 for row in found)
    assert [row["compile_s"] is None for row in found] == [False, True, False, True]
    assert found[0]["memory_mb"] > 0
    monkeypatch.setattr(twins, "CPU_LIMIT", 0)
    assert [row["value"] for row in twins.rows(quick=True)] == [None, None]
