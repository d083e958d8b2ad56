"""Results in all their forms."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import nckit

pytestmark = pytest.mark.filterwarnings("default::nckit.RemarkWarning")


@pytest.fixture(scope="module")
def result(digits: Path) -> nckit.Result:
    return nckit.measure(digits / "hive", where="split=train", group_by="layer,epoch", metrics="nc1,nc2,nc3")


def test_a_result_is_a_sequence_of_groups(result: nckit.Result) -> None:
    assert len(result) == 7 == len(list(result)) == len(result.records)
    assert result[0].key == {"layer": "h1", "epoch": 4000}
    assert result[-1]["nc1_pinv"] == result.records[-1]["nc1_pinv"]
    with pytest.raises(nckit.UsageError, match="7 groups"):
        result["nc1_pinv"]
    with pytest.raises(KeyError):
        result[0]["nc9"]
    assert result[0].detail("nc3_cos_mean") == {"value": None, "floor": None, "reason": "no_head", "flags": []}
    assert (result[0].rows, result[0].classes, result[0].dim) == (1257, 10, 128)


def test_a_result_prints_as_the_table(result: nckit.Result) -> None:
    assert "nc1_pinv" in str(result) and "h3" in str(result)
    assert repr(result) == str(result)
    assert len(result.table(60).splitlines()) > len(result.table().splitlines())


def test_a_result_converts(result: nckit.Result, tmp_path: Path) -> None:
    document = result.to_dict()
    assert json.loads(result.to_json(tmp_path / "a.json")) == document
    assert json.loads((tmp_path / "a.json").read_text()) == document
    assert result.to_csv().count("\n") == 8
    result.to_parquet(tmp_path / "a.parquet")
    result.to_html(tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text().startswith("<!DOCTYPE html>")
    # What is given out does not change what is kept.
    document["groups"].clear()
    assert len(result.to_dict()["groups"]) == 7


@pytest.mark.parametrize("package", ["pandas", "polars", "pyarrow"])
def test_frames_hold_the_records(result: nckit.Result, package: str) -> None:
    pytest.importorskip(package)
    frame: Any = {"pandas": result.to_pandas, "polars": result.to_polars, "pyarrow": result.to_arrow}[package]()
    values = frame["nc1_pinv"].to_pylist() if package == "pyarrow" else list(frame["nc1_pinv"])
    assert values == [group["nc1_pinv"] for group in result]
    if package == "pandas":
        assert str(frame["nc3_cos_mean"].dtype) == "float64"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        if tag not in ("br", "wbr", "meta", "hr", "img", "line", "path", "rect", "circle", "polyline", "polygon"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()


def test_a_notebook_gets_a_part_of_a_page(result: nckit.Result) -> None:
    tags = Tags()
    html = result._repr_html_()
    tags.feed(html)
    assert not tags.open
    assert {"table", "svg", "style"} <= tags.seen
    assert not {"html", "head", "body", "iframe", "script"} & tags.seen
    # The records of a page are not there.
    assert "<code>records</code>" in result.to_html() and "records</code>" not in html
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert style.startswith("@scope (.nckit-result){") and ":root" not in style and "body{" not in style
    assert style.count("{") == style.count("}")
