"""Figures of a result."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nckit

matplotlib = pytest.importorskip("matplotlib")
pytestmark = pytest.mark.filterwarnings("default::nckit.RemarkWarning")


@pytest.fixture(scope="module")
def result(digits: Path) -> nckit.Result:
    flags: dict[str, Any] = {"where": "split=train", "metrics": "nc1_pinv,nc1_cdnv_q50,nc2_max_angle,nc3_cos_mean"}
    return nckit.measure(digits / "hive", group_by="layer,epoch", error_bars="jackknife:4", **flags)


@pytest.fixture(autouse=True)
def no_display() -> Iterator[None]:
    matplotlib.use("Agg")
    yield
    matplotlib.pyplot.close("all")


def test_a_metric_has_a_line_for_each_of_the_other_keys(result: nckit.Result) -> None:
    ax = result.plot("nc1_pinv", linewidth=3)
    assert [line.get_label() for line in ax.get_lines()] == ["h1", "h2", "h3"]
    h3 = ax.get_lines()[2]
    assert list(h3.get_xdata()) == [0, 9, 53, 300, 4000]
    assert list(h3.get_ydata()) == [group["nc1_pinv"] for group in result if group.key["layer"] == "h3"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("epoch", "nc1_pinv ↓", "log")
    assert h3.get_linewidth() == 3
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["h1", "h2", "h3"]
    assert ax.get_xlim()[0] < 0 and ax.get_xlim()[1] > 4000
    # The band of h3 ends where its intervals do.
    [band] = [patch for patch in ax.collections if len(patch.get_paths()[0].vertices) > 5]
    heights = band.get_paths()[0].vertices[:, 1]
    ends = [group.detail("nc1_pinv") for group in result if group.key["layer"] == "h3"]
    assert heights.max() == max(end["hi"] for end in ends)
    assert heights.min() == min(end["lo"] for end in ends)
    assert not result.plot("nc1_pinv", bars=False).collections
    # A quantile has no error bar.
    assert not result.plot("nc1_cdnv_q50").collections


def test_units_are_at_the_axes(result: nckit.Result) -> None:
    units = {card["key"]: card["unit"] for card in nckit.metrics() if card["unit"]}
    for ax in result.plot():
        key = ax.get_ylabel().split()[0]
        assert (f"({units.get(key)})" in ax.get_ylabel()) == (key in units)


def test_several_metrics_have_axes_of_their_own(result: nckit.Result) -> None:
    axes = result.plot(["nc1", "nc2_max_angle"], figsize=(9, 3))
    assert axes.shape == (3,)
    assert [ax.get_ylabel().split()[0] for ax in axes] == ["nc1_pinv", "nc1_cdnv_q50", "nc2_max_angle"]
    assert tuple(axes[0].figure.get_size_inches()) == (9, 3)
    # Without metrics those that have numbers.
    assert len(result.plot()) == 2
    _, own = matplotlib.pyplot.subplots()
    assert result.plot("nc1_pinv", ax=own) is own
    with pytest.raises(nckit.UsageError, match="1 axes for 2 metrics"):
        result.plot(["nc1"], ax=own)


def test_groups_without_numbers_stand_side_by_side(digits: Path) -> None:
    flags: dict[str, Any] = {"where": {"layer": "h3", "epoch": 4000}, "metrics": "nc1_pinv,nc2_etf_error"}
    result = nckit.measure(digits / "hive", group_by="split", error_bars="jackknife:4", **flags)
    ax = result.plot("nc2_etf_error")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["ood", "test", "train"]
    assert ax.get_lines()[0].get_linestyle() == "None"
    assert len(ax.collections[0].get_segments()) == 3
    # The least attainable value, where the axis holds it.
    assert (ax.get_lines()[1].get_ydata()[0], ax.get_lines()[1].get_linestyle()) == (0, "--")


def test_what_cannot_be_drawn_is_said(result: nckit.Result, digits: Path) -> None:
    one = nckit.measure(digits / "flat" / "h3_final.parquet", where="split=train", metrics="nc1")
    for call, message in [
        (lambda: one.plot(), "one group"),
        (lambda: result.plot("nc9"), "no metric 'nc9'"),
        (lambda: result.plot("nc3_cos_mean"), "no number in any group: no_head"),
        (lambda: result.plot(x="depth"), "no key 'depth': they have layer, epoch"),
        (lambda: result.plot(x="layer"), "values of layer are no numbers"),
    ]:
        with pytest.raises(nckit.UsageError, match=message):
            call()


def test_many_lines_share_a_bar_of_colours(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [(layer, epoch, label) for layer in range(30) for epoch in (0, 1) for label in (0, 0, 1, 1)]
    columns = dict(zip(("layer", "epoch", "label"), map(list, zip(*rows, strict=True)), strict=True))
    vectors = [[float(at % 7), float(at % 5) + label] for at, (_, _, label) in enumerate(rows)]
    parquet.write_table(pa.table({**columns, "feature": vectors}), tmp_path / "many.parquet")
    result = nckit.measure(tmp_path / "many.parquet", group_by="layer,epoch", metrics="nc1_cdnv")
    ax = result.plot("nc1_cdnv", x="epoch")
    assert len(ax.get_lines()) == 30 and ax.get_legend() is None
    assert [text.get_text() for text in ax.figure.axes[1].get_yticklabels()] == ["layer 0", "layer 29"]


def test_without_matplotlib_the_error_says_what_to_install(digits: Path) -> None:
    code = """
    import sys, warnings, nckit
    sys.modules["matplotlib"] = None
    warnings.simplefilter("ignore")
    result = nckit.measure(sys.argv[1], where="layer=h3", group_by="epoch", metrics="nc1_cdnv")
    try:
        result.plot()
    except ImportError as error:
        print(type(error).__name__, error)
    """
    words = [sys.executable, "-c", "\n".join(line[4:] for line in code.splitlines()), str(digits / "hive")]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert said == "PackageError Result.plot needs the package matplotlib: pip install matplotlib\n"
