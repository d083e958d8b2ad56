"""Rows in memory of every kind: how they lie, which are left out, and what is looked at once more."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nckit
import nckit.neural_collapse.accumulate

pytestmark = pytest.mark.filterwarnings("default::nckit.RemarkWarning")


def unaligned(array: Any) -> Any:
    """Return the same values one byte after where numbers of their type lie."""
    return np.frombuffer(b"\0" + np.ascontiguousarray(array).tobytes(), array.dtype, offset=1).reshape(array.shape)


def packed(features: Any, labels: Any) -> Any:
    """Return records as files have them, without room between their fields."""
    records = np.zeros(len(labels), np.dtype([("label", "u1"), ("x", features.dtype, features.shape[1:])]))
    records["label"], records["x"] = labels, features
    return records


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rows_that_are_not_aligned_count(rows: Any, dtype: Any) -> None:
    features, labels = rows[0].astype(dtype), rows[1]
    whole = nckit.State()
    whole.update(features, labels)
    records = packed(features, labels)
    kinds = [
        (unaligned(features), labels),
        (features, unaligned(labels)),
        (features, unaligned(labels.astype(np.uint64))),
        (features, unaligned(labels.astype(np.int32))),
        (records["x"], records["label"]),
    ]
    for some, their_labels in kinds:
        state = nckit.State()
        state.update(some[:100], their_labels[:100])
        for row in range(100, 110):
            # One row of a record is in C order.
            state.update(some[row : row + 1], their_labels[row : row + 1])
        state.update(some[110:], their_labels[110:])
        assert state.rows == len(labels)
        assert state.to_bytes() == whole.to_bytes()
    means = nckit.neural_collapse.accumulate.MeanAccumulator(7, 24)
    means.accumulate(unaligned(features), labels)
    assert means.ns_samples.sum() == len(labels)


def test_heads_and_blocks_that_are_not_aligned_count(rows: Any, tmp_path: Path) -> None:
    features, labels = rows
    weights, bias = np.random.default_rng(1).normal(size=(7, 24)), np.arange(7.0, dtype=np.float32)
    expected = dict(nckit.measure(features, labels=labels, head=(weights, bias)).only)
    assert dict(nckit.measure(features, labels=labels, head=(unaligned(weights), unaligned(bias))).only) == expected
    key = labels * 3 + 1
    bars: Any = {"error_bars": "jackknife:4", "metrics": "nc1_cdnv"}
    of_blocks = [nckit.measure(features, labels=labels, block_by=by, **bars) for by in (key, unaligned(key))]
    assert of_blocks[0].only.detail("nc1_cdnv") == of_blocks[1].only.detail("nc1_cdnv")
    (tmp_path / "x.bin").write_bytes(b"seven b" + features.tobytes())
    mapped = np.memmap(tmp_path / "x.bin", dtype="f4", mode="r", offset=7, shape=features.shape)
    assert dict(nckit.measure(mapped, labels=labels, head=(weights, bias)).only) == expected


@pytest.fixture
def with_defects(rows: Any) -> tuple[Any, Any]:
    """Rows of which one in ten is of the label −100, and some are not finite; a few are both."""
    features, labels = rows[0].copy(), rows[1].copy()
    labels[::10] = -100
    features[5::70, 3] = np.nan
    features[6::90, 0] = np.inf
    return features, labels


def on_disk(path: Path, features: Any, labels: Any) -> dict[str, Any]:
    np.savez(path, features=features, labels=labels)
    return {"features": "features", "labels": "labels"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_are_left_out_as_of_files(with_defects: Any, dtype: Any, tmp_path: Path) -> None:
    features, labels = with_defects[0].astype(dtype), with_defects[1]
    flags: Any = {"ignore_label": -100, "nonfinite": "skip", "grid": -24, "head": np.eye(7, 24)}
    columns = on_disk(tmp_path / "x.npz", features, labels)
    of_file = nckit.measure(tmp_path / "x.npz", **columns, **flags)
    of_arrays = nckit.measure(features, labels=labels, **flags)
    assert of_arrays.only.skipped == of_file.only.skipped
    assert of_arrays.only.skipped["ignored"] == 600 and sum(of_arrays.only.skipped["nonfinite"].values()) > 100
    assert dict(of_arrays.only) == dict(of_file.only)
    assert of_arrays["nc4_agreement"] is not None
    for name in ("ignore_label", "grid", "head"):
        assert of_arrays.options[name] == of_file.options[name]
    # A state does the same, batch by batch, and goes on doing so from a file.
    state = nckit.State(ignore_label=-100, nonfinite="skip", grid=-24)
    for start in range(0, len(labels), 700):
        state.update(features[start : start + 700], labels[start : start + 700])
        state = pickle.loads(pickle.dumps(state))
    finished = state.finish(metrics="nc1,nc2").only
    assert finished.skipped == of_file.only.skipped and finished.rows == of_file.only.rows
    assert finished["nc1_pinv"] == of_file["nc1_pinv"]


def test_what_is_not_left_out_is_refused_with_its_row(with_defects: Any) -> None:
    features, labels = with_defects
    for flags, message in [
        ({}, "not finite\n  row 5: .*\n  help: nonfinite=\"skip\""),
        ({"nonfinite": "skip"}, "negative label -100 in row 0: ignore_label=-100"),
        ({"ignore_label": "-100"}, 'row 5 is not finite: nonfinite="skip"'),
        ({"ignore_label": "cat", "nonfinite": "skip"}, "ignore_label is 'cat', and the labels are integers"),
    ]:
        with pytest.raises(nckit.Error, match=message):
            nckit.measure(features, labels=labels, **flags)
    with pytest.raises(nckit.MissingError, match="every row is left out") as error:
        nckit.measure(features[:1], labels=labels[:1], ignore_label=-100)
    assert error.value.facts == {"rows ignored": "1"} and "--" not in str(error.value)
    with pytest.raises(nckit.UsageError, match='nulls is "fail" or "skip"'):
        nckit.measure(features, labels=labels, nulls="drop")


def test_rows_of_zeros_are_left_out_where_they_have_no_direction(rows: Any) -> None:
    features, labels = rows[0].copy(), rows[1]
    features[4] = 0
    left = nckit.measure(features, labels=labels, normalize=True, nonfinite="skip", metrics="nc1").only
    assert left.rows == len(labels) - 1 and left.skipped["nonfinite"] == {str(labels[4]): 1}
    with pytest.raises(nckit.DataError, match="a row of zeros"):
        nckit.measure(features, labels=labels, normalize=True)


def test_labels_may_be_missing(rows: Any) -> None:
    features, labels = rows[0][:50], rows[1][:50]
    some = np.ones(50, dtype=bool)
    some[[3, 8]] = False
    expected = dict(nckit.measure(features[some], labels=labels[some], metrics="nc1").only)
    kinds: list[Any] = [
        [None if not there else int(label) for label, there in zip(labels, some, strict=True)],
        [None if not there else f"k{label}" for label, there in zip(labels, some, strict=True)],
        np.ma.masked_array(labels, ~some),
        np.ma.masked_array(labels, ~some)[:, None],
        np.where(some, labels, np.nan),
    ]
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    pa = pytest.importorskip("pyarrow")
    kinds += [pa.array(kinds[0]), pa.array(kinds[1]), pa.chunked_array([kinds[0][:9], kinds[0][9:]])]
    kinds += [polars.Series(kinds[0]), polars.Series(kinds[1]).cast(polars.Categorical)]
    kinds += [pandas.Series(kinds[0], dtype="Int64"), pandas.Series(kinds[1]), pandas.Series(kinds[0])]
    for kind in kinds:
        result = nckit.measure(features, labels=kind, nulls="skip", metrics="nc1").only
        assert dict(result) == expected and result.skipped["nulls"] == 2
        with pytest.raises(nckit.DataError, match='the label of row 3 is null.*nulls="skip"'):
            nckit.measure(features, labels=kind, metrics="nc1")


def test_labels_of_every_kind_are_labels_or_an_error_that_says_why(rows: Any) -> None:
    features, labels = rows[0][:6], np.arange(6) % 2
    expected = dict(nckit.measure(features, labels=labels, metrics="nc1").only)
    good = [
        (labels == 1).astype(object),
        np.array([np.int32(label) for label in labels], dtype=object),
        np.array([np.bool_(label) for label in labels], dtype=object),
        labels.astype(float).astype(object),
        labels.astype(object) + 2**63,
        [int(label) + 2**63 for label in labels],
        [bool(label) for label in labels],
        labels.astype(str).astype(object),
        labels.astype(np.float16),
    ]
    for kind in good:
        assert dict(nckit.measure(features, labels=kind, metrics="nc1").only) == expected
    for kind, message in [
        ([2**64] * 6, "from 0 to 2⁶⁴ − 1: label 0 is 18446744073709551616"),
        ([0, 1, 0, 1, 0, 10**30], "label 5 is 1000000000000000000000000000000"),
        (["a", "\ud800", "a", "b", "a", "b"], r"texts of Unicode: label 1 is '\\ud800'"),
        (np.array([0, np.inf, 0, 1, 0, 1], dtype=np.float16), "whole numbers: label 1 is inf"),
        ([1, "a", 1, "a", 1, "a"], "label 1 is 'a'"),
        ([True, "a", 1, "a", 1, "a"], "label 1 is 'a'"),
        ({1: 2}, "labels are one a row"),
        ([[1, 2], [3]], "cannot be read as an array"),
        (labels[:5], "rows and 5 labels|not one label a row"),
    ]:
        with pytest.raises(nckit.DataError, match=message):
            nckit.measure(features, labels=kind, metrics="nc1")
    pa = pytest.importorskip("pyarrow")
    with pytest.raises(nckit.DataError, match="the label of row 0 is null"):
        nckit.measure(features, labels=pa.array([None, "1", "0", "1", "0", "1"]))


def test_rows_are_decided_as_those_of_files(rows: Any, tmp_path: Path) -> None:
    features, labels = np.tile(rows[0], (30, 1)), np.tile(rows[1], 30)
    further, their_labels = rows[0][:900] + 0.5, rows[1][:900]
    outside = rows[0][:300] * 3 - 1
    weights = np.random.default_rng(2).normal(size=(7, 24))
    np.save(tmp_path / "own_features.npy", features)
    np.save(tmp_path / "own_labels.npy", labels)
    (tmp_path / "further").mkdir()
    np.save(tmp_path / "further" / "x_features.npy", further)
    np.save(tmp_path / "further" / "x_labels.npy", their_labels)
    np.save(tmp_path / "outside.npy", outside)
    file = tmp_path / "own_features.npy"
    flags: Any = {"head": weights, "metrics": "all"}
    plain = nckit.measure(features, labels=labels, **flags)
    assert plain["nc4_agreement"] is not None
    assert plain.only._metrics == nckit.measure(file, **flags).only._metrics
    of_files = nckit.measure(file, decisions=tmp_path / "further" / "x_features.npy", ood=tmp_path / "outside.npy", **flags)
    of_arrays = nckit.measure(features, labels=labels, decisions=(further, their_labels), ood=outside, **flags)
    assert of_arrays.only._metrics == of_files.only._metrics
    assert of_arrays["nc5_ortho_dev"] is not None and of_arrays["nc4_agreement"] != plain["nc4_agreement"]
    assert of_arrays.options["decisions"] == of_arrays.options["ood"] == "in memory"
    assert of_arrays.options["ood_labels"] == of_files.options["ood_labels"]
    # Files with rows in memory beside them, and states.
    mixed = nckit.measure(file, decisions=[further, their_labels], ood=outside, **flags)
    assert mixed.only._metrics == of_files.only._metrics
    state = nckit.State()
    state.update(features, labels)
    assert state.finish(head=weights)["nc4_agreement"] is None
    assert state.finish(head=weights).only.reason("nc4_agreement") == "no_decisions"
    decided = state.finish(head=weights, decisions=(further, their_labels), metrics="nc4")
    assert decided["nc4_agreement"] == of_files["nc4_agreement"]
    # Labels of out-of-distribution rows change their mean.
    of_classes = nckit.measure(features, labels=labels, ood=(outside, -their_labels[:300]), metrics="nc5")
    np.save(tmp_path / "named_features.npy", outside)
    np.save(tmp_path / "named_labels.npy", -their_labels[:300])
    of_files = nckit.measure(file, ood=tmp_path / "named_features.npy", metrics="nc5")
    assert of_classes.only._metrics == of_files.only._metrics


def test_further_rows_are_left_out_by_the_same_flags(with_defects: Any, rows: Any) -> None:
    weights = np.eye(7, 24)
    flags: Any = {"head": weights, "metrics": "nc4", "ignore_label": -100, "nonfinite": "skip"}
    result = nckit.measure(*rows[:1], labels=rows[1], decisions=with_defects, **flags)
    used = np.isfinite(with_defects[0]).all(axis=1) & (with_defects[1] >= 0)
    expected = nckit.measure(rows[0], labels=rows[1], decisions=(with_defects[0][used], with_defects[1][used]), **flags)
    assert result["nc4_agreement"] == expected["nc4_agreement"]
    assert any("rows of --decisions are left out: 600 by --ignore-label" in note for note in result.notes + [str(result)])
    for decisions, message in [
        (with_defects, "negative label -100 in row 0"),
        (rows[0], "decisions is a path, a table, or a pair of features and labels, and this is ndarray"),
        (nckit.State(), "and this is State"),
        ((rows[0][:, :3], rows[1]), "D = 3 and D = 24"),
        ((rows[0], rows[1].astype(str)), "labels of another kind"),
    ]:
        with pytest.raises(nckit.Error, match=message):
            nckit.measure(rows[0], labels=rows[1], head=weights, decisions=decisions)


def test_keys_of_rows_in_memory_are_refused_with_advice(rows: Any) -> None:
    for name in ("group_by", "where"):
        with pytest.raises(nckit.UsageError, match=f"{name} is for files: rows in memory have no keys; choose the rows"):
            nckit.measure(rows[0], labels=rows[1], **{name: "epoch"})


WIDE = """
import sys, numpy as np, nckit
import nckit.neural_collapse as nc
rows = np.random.default_rng(0).normal(size=(6, int(sys.argv[1]))).astype("f4")
labels = np.arange(6) % 2
try:
    {}
except nckit.ResourceError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("work", "dim"),
    [
        ("nckit.measure(rows, labels=labels)", 200_000),
        ("nckit.State(grid=-20).update(rows, labels)", 200_000),
        ("nc.accumulate.CovarAccumulator(2, rows.shape[1]).accumulate(rows, labels)", 200_000),
        ("nckit.measure(rows, labels=labels, memory='100MiB')", 8000),
        ("nckit.State(memory=100 << 20).update(rows, labels)", 8000),
        ("s = nckit.State(); s.update(rows, labels); s.finish(memory='10MiB')", 1000),
    ],
)
def test_rows_that_need_too_much_memory_are_refused(work: str, dim: int) -> None:
    ran = subprocess.run([sys.executable, "-c", WIDE.format(work), str(dim)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "more memory than" in ran.stdout and "needed" in ran.stdout


def test_wide_rows_need_no_matrix_where_no_metric_does() -> None:
    rows, labels = np.random.default_rng(0).normal(size=(6, 200_000)), np.arange(6) % 2
    assert nckit.measure(rows, labels=labels, metrics="nc2_etf_error")["nc2_etf_error"] is not None


def test_heads_of_every_kind(rows: Any) -> None:
    features, labels = rows[0], rows[1] % 2
    weights, bias = np.random.default_rng(3).normal(size=(2, 24)), np.array([0.5, 1.0])
    plain = dict(nckit.measure(features, labels=labels, head=weights).only)
    for head in [list(weights), tuple(weights), weights.tolist(), (weights, None), {"weight": weights}]:
        assert dict(nckit.measure(features, labels=labels, head=head).only) == plain
    biased = dict(nckit.measure(features, labels=labels, head=(weights, bias)).only)
    assert biased != plain
    assert dict(nckit.measure(features, labels=labels, head={"weight": weights, "bias": bias}).only) == biased
    for head, message in [
        ((weights * 10).astype(int), "weights are float16.*int64: convert them"),
        ((weights, np.arange(2)), "biases are float16.*int64"),
        ((weights, bias[:, None]), "a bias has one number a class"),
        ((weights, bias, bias), "cannot be read as an array"),
        (weights[0], "weights are classes × D"),
    ]:
        with pytest.raises(nckit.DataError, match=message):
            nckit.measure(features, labels=labels, head=head)


def test_classes_have_names(rows: Any, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("".join(f"name {at}\n" for at in range(7)))
    flags: Any = {"class_names": tmp_path / "names.txt", "per_class": True, "metrics": "nc1"}
    on_disk(tmp_path / "x.npz", *rows)
    file = nckit.measure(tmp_path / "x.npz", features="features", labels="labels", **flags)
    for result in (nckit.measure(rows[0], labels=rows[1], **flags), file):
        assert [record["name"] for record in result.classes] == [f"name {at}" for at in range(7)]
    with pytest.raises(nckit.UsageError, match="no effect without a head or output"):
        nckit.measure(rows[0], labels=rows[1], class_names=tmp_path / "names.txt")


def test_states_without_rows_say_so() -> None:
    with pytest.raises(nckit.MissingError, match="no rows to measure") as error:
        nckit.State().finish()
    assert "--" not in str(error.value)
    for call in (nckit.measure, nckit.inspect):
        with pytest.raises(nckit.UsageError, match="^no input is given$"):
            call([])
    state = nckit.State()
    state.update(np.ones((2, 3)), [0, 1])
    state.update(np.zeros((0, 0)), [])
    state.update(np.zeros((0, 3)), [])
    assert state.rows == 2
    with pytest.raises(nckit.DataError, match="wrong length"):
        state.update(np.zeros((0, 4)), [])


def test_the_type_of_rows_belongs_to_a_state(rows: Any) -> None:
    single, double = nckit.State(grid=-20), nckit.State(grid=-20)
    single.update(rows[0], rows[1])
    double.update(rows[0].astype(np.float64), rows[1])
    assert single != double
    np.testing.assert_array_equal(single.statistics()["means"], double.statistics()["means"])


def test_grouped_states_take_no_rows(digits: Path, tmp_path: Path) -> None:
    nckit.accumulate(digits / "hive", tmp_path / "g.ncst", group_by="layer,epoch", where="split=train", metrics="nc2")
    state = nckit.State.load(tmp_path / "g.ncst")
    before = state.to_bytes()
    with pytest.raises(nckit.UsageError, match="cannot be added to the states of several groups"):
        state.update(np.ones((3, state.dim or 1)), [0, 1, 2])
    # Nor does a state take what does not fit it, and is as before.
    nckit.accumulate(digits / "flat" / "h3_final.parquet", tmp_path / "one.ncst", where="split=train")
    one = nckit.State.load(tmp_path / "one.ncst")
    bytes_of_one = one.to_bytes()
    with pytest.raises(nckit.DataError):
        one.update(np.ones((3, 64), dtype=np.float32), ["a", "b", "c"])
    assert state.to_bytes() == before and one.to_bytes() == bytes_of_one
    one.update(np.ones((3, 64), dtype=np.float32), [0, 1, 2])
    assert one.rows == 1260 and one.finish(metrics="nc2")["nc2_etf_error"] is not None


def test_results_pickle_and_copy(rows: Any) -> None:
    result = nckit.measure(rows[0], labels=rows[1], per_class=True)
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(result))))
    assert again.to_dict() == result.to_dict() and again.classes == result.classes and again.notes == result.notes
    assert str(again) == str(result) and again.table(80) == result.table(80) and again.table() == result.table()
    assert again._repr_html_() == result._repr_html_() and again.to_csv() == result.to_csv()
    assert len(again.table(30)) > 0 and again["nc1_pinv"] == result["nc1_pinv"]
    assert copy.copy(result) is result and copy.deepcopy(result) is result


def test_tensors_are_rows_of_every_kind(rows: Any) -> None:
    torch = pytest.importorskip("torch")
    features, labels = torch.tensor(rows[0], requires_grad=True), torch.tensor(rows[1])
    layer = torch.nn.Linear(24, 7)
    further = features[:100].detach() + 1, labels[:100]
    weights, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    flags: Any = {"metrics": "nc1,nc3,nc4,nc5"}
    of_tensors = nckit.measure(features, labels=labels, head=layer, decisions=further, ood=further[0] * 2, **flags)
    of_arrays = nckit.measure(
        rows[0],
        labels=rows[1],
        head=(weights, bias),
        decisions=(further[0].numpy(), rows[1][:100]),
        ood=(further[0] * 2).numpy(),
        **flags,
    )
    assert of_tensors.only._metrics == of_arrays.only._metrics
    assert of_tensors["nc4_agreement"] is not None
    marked = torch.where(labels == 3, -100, labels)
    left = nckit.measure(features, labels=marked, ignore_label=-100, **flags).only
    assert left.skipped["ignored"] == int((labels == 3).sum())
    two = nckit.measure(features, labels=labels % 2, head=list(layer.weight[:2]), metrics="nc3")
    assert two["nc3_duality_error"] is not None
    means = torch.zeros(7, 24)
    accumulator = nckit.neural_collapse.accumulate.CovarAccumulator(7, 24, M=means)
    accumulator.accumulate(features, labels, means)
    means += 1
    with pytest.raises(nckit.UsageError, match="M differs"):
        accumulator.accumulate(features, labels, means)
