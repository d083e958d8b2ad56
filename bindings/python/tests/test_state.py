"""States of rows in memory."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import layout

import nckit
from nckit import State

pytestmark = pytest.mark.filterwarnings("default::nckit.RemarkWarning")


def made(features: Any, labels: Any, **settings: Any) -> State:
    state = State(**settings)
    state.update(features, labels)
    return state


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("metrics", [None, "nc2"])
def test_sizes_of_batches_change_no_bit(rows: Any, dtype: Any, metrics: Any) -> None:
    features, labels = rows[0].astype(dtype), rows[1]
    # More than a chunk.
    features, labels = np.tile(features, (40, 1)), np.tile(labels, 40)
    whole = made(features, labels, metrics=metrics)
    for sizes in ([1000], [1, 4095, 7, 70_000], [2048]):
        state, start = State(metrics=metrics), 0
        for number in range(len(labels)):
            size = sizes[number % len(sizes)]
            state.update(features[start : start + size], labels[start : start + size])
            start += size
            if start >= len(labels):
                break
        assert state.rows == len(labels)
        assert state.to_bytes() == whole.to_bytes()


@pytest.mark.parametrize("seed", range(25))
def test_any_interleaving_equals_one_update(seed: int, tmp_path: Path) -> None:
    """Batches, refused batches, copies, pickles, files, merges and subtractions, in a random order.

    Types, threads, blocks and how arrays lie in memory change from seed to seed.
    """
    rng = np.random.default_rng(seed)
    dim = int(rng.integers(1, 40))
    features, labels = layout(rng, int(rng.integers(200, 3000)), dim, int(rng.integers(2, 12)))
    features = features.astype([np.float16, np.float32, np.float64][seed % 3])
    settings: dict[str, Any] = {"grid": -18, "metrics": None if seed % 4 else "nc2", "normalize": seed % 5 == 0}
    settings["threads"] = int(rng.integers(1, 4))
    whole = made(features, labels, **settings)
    plain, state, start = State(**settings), State(dim if seed % 2 else None, **settings), 0
    kept: list[State] = []
    while start < len(labels):
        size = int(rng.integers(0, 400))
        batch = lying(features[start : start + size], rng), lying(labels[start : start + size], rng)
        start += size
        plain.update(*batch)
        action = rng.integers(0, 9)
        if action == 0:
            state = pickle.loads(pickle.dumps(state))
        elif action == 1:
            state.save(tmp_path / "s.ncst", overwrite=True)
            state = State.load(tmp_path / "s.ncst")
        elif action == 2:
            state = copy.deepcopy(state)
        elif action == 3:
            bad = features[:3].copy()
            bad[2, -1] = np.nan
            with pytest.raises(nckit.DataError, match="not finite"):
                state.update(bad, labels[:3])
            with pytest.raises(nckit.DataError):
                state.update(features[:3], [0, 1, -1])
        elif action == 4:
            other = made(*batch, **settings)
            state = state + other
            continue
        elif action == 5 and size:
            # Rows that come and go again.
            guest = made(features[:50] + 1, labels[:50], **settings)
            state = (state + guest) - guest
        elif action == 6:
            state.merge(State(**settings))
            state.update(features[:0], labels[:0])
        elif action == 7:
            kept.append(made(*batch, **settings))
            continue
        state.update(*batch)
    state = sum([state, *kept])
    assert state == whole
    assert plain.to_bytes() == whole.to_bytes()
    assert state.rows == whole.rows == len(labels)
    key = "nc2_etf_error"
    assert state.finish(metrics=key)[key] == whole.finish(metrics=key)[key]


def lying(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the same values in another order of memory."""
    wide = np.repeat(array, 2, axis=0)
    kinds = [array, np.asfortranarray(array), wide[::2], array[::-1].copy()[::-1], array.astype(array.dtype.newbyteorder())]
    return kinds[rng.integers(0, len(kinds))]


def test_a_state_is_the_one_of_the_file_with_these_rows(digits: Path, tmp_path: Path) -> None:
    features = np.load(digits / "arrays" / "test_features.npy")
    labels = np.load(digits / "arrays" / "test_labels.npy")
    nckit.accumulate(digits / "arrays" / "test_features.npy", tmp_path / "a.ncst")
    state = State()
    for start in range(0, len(labels), 77):
        state.update(features[start : start + 77], labels[start : start + 77])
    assert state == State.load(tmp_path / "a.ncst")


def test_statistics_are_those_of_the_rows(rows: Any) -> None:
    features, labels = rows
    found = made(features, labels).statistics()
    wide = features.astype(np.float64)
    means = np.stack([wide[labels == k].mean(axis=0) for k in range(7)])
    off = wide - means[labels]
    assert found["labels"] == list(range(7))
    np.testing.assert_array_equal(found["counts"], np.bincount(labels))
    np.testing.assert_allclose(found["means"], means, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found["scatter"], off.T @ off, rtol=1e-5, atol=1e-3)
    variances = [(off[labels == k] ** 2).sum(axis=1).mean() for k in range(7)]
    np.testing.assert_allclose(found["variances"], variances, rtol=1e-6)
    assert "scatter" not in made(features, labels, metrics="nc2").statistics()
    empty = State().statistics()
    assert empty["labels"] == [] and empty["means"].shape == (0, 0)


def test_arrays_of_many_kinds_are_the_same_rows(rows: Any) -> None:
    features, labels = rows[0][:500], rows[1][:500]
    expected = made(features, labels)
    wide = np.zeros((1000, 24), dtype=np.float32)
    wide[::2] = features
    read_only = features.copy()
    read_only.flags.writeable = False
    for same in [
        np.asfortranarray(features),
        wide[::2],
        features.astype(">f4"),
        read_only,
        features[None, :, :][0],
        features.view(np.ndarray),
        Foreign(features),
        Exchanged(features),
        memoryview(features),
    ]:
        assert made(same, labels) == expected
    for same in [
        labels.tolist(),
        labels.astype(np.uint8),
        labels.astype(np.uint64),
        labels.astype(">i2"),
        labels.astype(np.float32),
        labels.astype(object),
        labels[:, None],
        tuple(labels),
        np.repeat(labels, 2)[::2],
    ]:
        assert made(features, same) == expected
    texts = np.array(["cat", "dog", "eel", "fox", "gnu", "hen", "ibis"])[labels]
    assert made(features, texts) == made(features, texts.tolist()) == made(features, texts.astype(object))
    assert made(features, texts).labels == ["cat", "dog", "eel", "fox", "gnu", "hen", "ibis"]
    assert made(features, labels > 3).labels == [False, True]
    large = made(features[:2], np.array([0, 2**63 + 5], dtype=np.uint64))
    assert large.labels == [0, 2**63 + 5]


class Foreign:
    def __init__(self, array: Any) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self._array, dtype=dtype)


class Exchanged:
    def __init__(self, array: Any) -> None:
        self._array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.zeros(4, np.float32), [0, 1, 2, 3], r"rows × D, and these have the shape \(4,\)"),
        (np.zeros((2, 2, 2), np.float32), [0, 1], "rows × D"),
        (np.zeros((2, 3), np.int64), [0, 1], r"int64: convert them with astype\('float32'\)"),
        (np.zeros((2, 3), complex), [0, 1], "complex128"),
        (np.zeros((2, 3), np.longdouble), [0, 1], "float"),
        ([["a", "b"]], [0], "<U1"),
        (np.zeros((2, 3), np.float32), [0], "not one label a row"),
        (np.zeros((2, 3), np.float32), [[0, 1]], "one a row"),
        (np.zeros((2, 3), np.float32), [0.5, 1], "label 0 is 0.5"),
        (np.zeros((2, 3), np.float32), [0, np.nan], "label of row 1 is null"),
        (np.zeros((2, 3), np.float32), [0, -1], "negative label"),
        (np.zeros((2, 3), np.float32), ["a", None], "label of row 1 is null"),
        (np.zeros((2, 3), np.float32), [1j, 2], "complex"),
        (np.zeros((2, 3), np.float32), ["a", "b"], "the labels have several types"),
        (np.zeros((2, 4), np.float32), [0, 1], "wrong length"),
        (np.zeros((0, 4), np.float32), [], "wrong length"),
        (np.zeros((2, 3), np.float64), [0, 1], "another type than those before"),
        (np.array([[0, 0, 0], [0, np.inf, 0]], np.float32), [0, 1], "not finite"),
        (np.ma.masked_equal(np.zeros((2, 3), np.float32), 0), [0, 1], "masked"),
    ],
)
def test_bad_batches_are_refused_and_change_nothing(features: Any, labels: Any, message: str) -> None:
    state = made(np.ones((4, 3), np.float32), [0, 1, 0, 1], grid=-10)
    before = state.to_bytes()
    with pytest.raises(nckit.DataError, match=message):
        state.update(features, labels)
    assert state.to_bytes() == before
    state.update(np.ones((1, 3), np.float32), [1])
    assert state.rows == 5


def test_a_bad_value_is_located() -> None:
    bad = np.zeros((3000, 5))
    bad[2222, 3] = np.inf
    with pytest.raises(nckit.DataError) as error:
        State().update(bad, np.arange(3000) % 10)
    assert error.value.facts == {"row": "2222", "dimension": "3", "class": "2"}


def test_settings_are_checked() -> None:
    for settings in [{"dim": 0}, {"grid": 2000}, {"extra_bits": 21}, {"grid": 1, "extra_bits": 1}, {"metrics": "nc9"}]:
        with pytest.raises(nckit.UsageError):
            State(**settings)  # type: ignore[arg-type]
    with pytest.raises(nckit.DataError, match="several types"):
        made(np.zeros((2, 2)), [True, False]).update(np.zeros((1, 2)), [3])


def test_states_that_do_not_belong_together_are_refused(rows: Any) -> None:
    features, labels = rows
    one, other = made(features[:100], labels[:100]), made(features[100:], labels[100:])
    before = one.to_bytes()
    for wrong, message in [
        (made(features[:9, :5], labels[:9]), "dim|length|differ"),
        (made(features[:9], labels[:9] > 1), "label_kind"),
        (made(features[:9], labels[:9], metrics="nc2"), "scatter"),
        (made(features[:100], labels[:100]), "counted twice"),
    ]:
        with pytest.raises(nckit.DataError, match=message):
            one.merge(wrong)
        assert one.to_bytes() == before
    with pytest.raises(nckit.DataError, match="not in the state"):
        one.subtract(other)
    assert one.to_bytes() == before
    assert (one + other) - other == one
    assert sum([one, other]) == other + one
    with pytest.raises(TypeError):
        one + 1  # type: ignore[operator]


def test_copies_go_on_by_themselves(rows: Any) -> None:
    features, labels = rows
    state = made(features[:1000], labels[:1000])
    twin = copy.copy(state)
    twin.update(features[1000:], labels[1000:])
    assert (state.rows, twin.rows) == (1000, 6000)
    # A copy goes on in the middle of a chunk.
    assert twin.to_bytes() == made(features, labels).to_bytes()


def test_empty_states() -> None:
    state = State()
    assert (state.rows, state.classes, state.dim, state.labels) == (0, 0, None, [])
    assert pickle.loads(pickle.dumps(state)) == state
    state.update(np.zeros((0, 3), np.float32), [])
    assert state.rows == 0
    with pytest.raises(nckit.MissingError):
        state.finish()
    assert State(5).dim == 5


def test_saving(rows: Any, tmp_path: Path) -> None:
    state = made(*rows)
    state.save(tmp_path / "a.ncst")
    with pytest.raises(nckit.OutputError, match="already exists"):
        state.save(tmp_path / "a.ncst")
    assert (tmp_path / "a.ncst").read_bytes() == state.to_bytes()
    (tmp_path / "b.ncst").write_bytes(state.to_bytes()[:-3])
    with pytest.raises(nckit.DataError) as damaged:
        State.load(tmp_path / "b.ncst")
    assert damaged.value.facts["file"].endswith("b.ncst")
    with pytest.raises(nckit.DataError):
        State.from_bytes(b"nothing")
    with pytest.raises(nckit.MissingError):
        State.load(tmp_path / "c.ncst")


def test_states_of_several_groups_are_finished_but_take_no_rows(digits: Path, tmp_path: Path) -> None:
    path = tmp_path / "g.ncst"
    nckit.accumulate(digits / "hive", path, where={"split": "train", "layer": "h3"}, group_by="epoch")
    state = State.load(path)
    assert len(state.finish()) == 5
    with pytest.raises(nckit.UsageError, match="several groups"):
        state.statistics()
    with pytest.raises(nckit.UsageError, match="cannot be added"):
        state.update(np.zeros((2, 64), np.float32), [0, 1])
    assert len(state.finish()) == 5


def test_a_value_too_large_for_the_grid_is_an_error(rows: Any) -> None:
    state = State(grid=-60)
    with pytest.raises(nckit.DataError):
        state.update(np.full((200_000, 30), 1e30), np.zeros(200_000, dtype=int))
        state.to_bytes()


def test_heads_in_memory_are_checked(rows: Any) -> None:
    state = made(*rows)
    weights = np.ones((7, 24))
    for head, message in [
        (np.ones((7, 23)), "not as wide as the features"),
        (weights.T.copy(), "head-transposed"),
        ((weights, np.ones(6)), "bias and weights of the head do not fit"),
        (np.full((7, 24), np.nan), "head is not finite"),
        (np.ones((5, 24)), "class|row"),
        (np.ones(7), "weights are classes × D"),
        ((weights, np.ones((7, 1))), "one number a class"),
    ]:
        with pytest.raises(nckit.Error, match=message):
            state.finish(head=head)
    assert state.finish(head=weights, head_rows="label")["nc3_dot_mean"] is not None


def test_torch_tensors_are_the_same_rows(rows: Any) -> None:
    torch = pytest.importorskip("torch")
    features, labels = rows
    expected = made(features, labels)
    tensor = torch.tensor(features)
    for same in [tensor, tensor.clone().requires_grad_(), tensor.t().contiguous().t()]:
        assert made(same, torch.tensor(labels)) == expected
    short = tensor.to(torch.bfloat16)
    assert made(short, torch.tensor(labels)) == made(short.float().numpy(), labels)
    assert made(tensor.half(), labels) == made(features.astype(np.float16), labels)
    layer = torch.nn.Linear(24, 7)
    made_with = expected.finish(head=layer)
    weights, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    assert dict(made_with.only) == dict(expected.finish(head=(weights, bias)).only)
