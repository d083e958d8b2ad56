"""Commands as functions: the same numbers, bit for bit, as the program, and as the goldens."""

from __future__ import annotations

import json
import re
import threading
import warnings
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nckit

#: Keys of the goldens, and of the metrics.
GOLDEN = {
    "nc1_pinv": "nc1_pinv",
    "nc1_quotient": "nc1_trace_ratio",
    "cdnv_mean": "nc1_cdnv",
    "norms_mean": "nc2_norm_mean",
    "etf_error": "nc2_etf_error",
    "cos_mean": "nc2_cos_mean",
    "dist_mean": "gnc2_distance_mean",
    "self_duality_error": "nc3_duality_error",
    "simcos_mean": "nc3_cos_mean",
    "nc5_ood_deviation": "nc5_ortho_dev",
}

pytestmark = pytest.mark.filterwarnings("default::nckit.RemarkWarning")


def of_h3(digits: Path) -> dict[str, Any]:
    return {
        "where": {"layer": "h3", "split": "train"},
        "group_by": ["epoch"],
        "head": digits / "classifier" / "epoch={epoch}" / "classifier.parquet",
        "decisions": f"{digits}/hive?layer=h3&split=test",
        "ood": f"{digits}/hive?layer=h3&split=ood",
    }


def test_digits_have_their_goldens(digits: Path, goldens: Any) -> None:
    result = nckit.measure(digits / "hive", **of_h3(digits))
    truths = {golden["epoch"]: golden["truth"] for golden in goldens["goldens"] if golden["layer"] == "h3"}
    assert [group.key["epoch"] for group in result] == sorted(truths)
    for group in result:
        truth = truths[group.key["epoch"]]
        for name, key in GOLDEN.items():
            assert group[key] == pytest.approx(truth[name], rel=1e-5), (group.key, key)


def test_the_program_finds_the_same_bits(digits: Path, program: Callable[..., str]) -> None:
    flags = of_h3(digits)
    words = ["--where=layer=h3", "--where=split=train", "--group-by=epoch", f"--head={flags['head']}"]
    words += [f"--decisions={flags['decisions']}", f"--ood={flags['ood']}", "--grid=-30", "--format=json"]
    expected = json.loads(program("measure", digits / "hive", *words, "--metrics=nc1,nc2,nc3,nc4,nc5"))
    made = nckit.measure(digits / "hive", grid=-30, metrics=["nc1", "nc2,nc3", "nc4", "nc5"], **flags)
    assert made.to_dict()["groups"] == expected["groups"]
    assert made.options == expected["options"]


def test_states_of_files_and_of_memory_are_finished(digits: Path, tmp_path: Path) -> None:
    rows = {"where": "split=train", "grid": -30}
    file = digits / "flat" / "h3_final.parquet"
    nckit.accumulate(file, tmp_path / "a.ncst", **rows)
    head = digits / "classifier" / "epoch=4000" / "classifier.safetensors"
    of_file = nckit.finish(tmp_path / "a.ncst", head=f"{head}:")
    measured = nckit.measure(file, head=head, **rows, metrics="nc1,nc2,nc3")
    state = nckit.State.load(tmp_path / "a.ncst")
    assert (state.rows, state.classes, state.dim) == (1257, 10, 64)
    for result in (of_file, nckit.finish([state], head=head), state.finish(head=str(head))):
        for key, value in measured.only.items():
            assert result[key] == value, key
    with pytest.raises(nckit.OutputError, match="already exists"):
        nckit.accumulate(file, tmp_path / "a.ncst", **rows)
    nckit.accumulate(file, tmp_path / "a.ncst", overwrite=True, checkpoint_every=30, **rows)
    assert nckit.State.load(tmp_path / "a.ncst") == state


def test_arrays_are_measured_like_the_file_that_holds_them(digits: Path, tmp_path: Path) -> None:
    features = np.load(digits / "arrays" / "test_features.npy")
    labels = np.load(digits / "arrays" / "test_labels.npy")
    weights = np.load(digits / "classifier" / "epoch=4000" / "weight.npy")
    bias = np.load(digits / "classifier" / "epoch=4000" / "bias.npy")
    np.save(tmp_path / "w.npy", weights)
    np.save(tmp_path / "b.npy", bias)
    metrics = "nc1,nc2,gnc2,nc3"
    of_files = nckit.measure(
        digits / "arrays" / "test_features.npy", head=f"{tmp_path}/w.npy,{tmp_path}/b.npy", metrics=metrics
    )
    for head in [(weights, bias), (weights.astype(np.float64), bias.astype(np.float64)), [weights, bias], Layer(weights, bias)]:
        of_arrays = nckit.measure(features, labels=labels, head=head, metrics=metrics)
        assert dict(of_arrays.only) == dict(of_files.only)
    transposed = nckit.measure(features, labels=labels, head=(weights.T.copy(), bias), head_transposed=True, metrics=metrics)
    assert dict(transposed.only) == dict(of_files.only)
    assert of_arrays.options["head"] == "in memory"
    alone = nckit.measure(features, labels=labels, metrics=metrics)
    assert alone["nc3_duality_error"] is None
    assert alone.only.reason("nc3_duality_error") == "no_head"


class Layer:
    """What a layer of torch looks like."""

    def __init__(self, weight: Any, bias: Any) -> None:
        self.weight, self.bias = weight, bias


def test_classes_and_pairs(digits: Path, tmp_path: Path) -> None:
    file = digits / "flat" / "h3_final.parquet"
    result = nckit.measure(file, where={"split": ["train", "test"]}, per_class=True, worst_pairs=3)
    assert [record["class"] for record in result.classes] == list(range(10))
    assert sum(record["count"] for record in result.classes) == result.only.rows == 1797
    assert len(result.only.worst_pairs) == 3
    nckit.measure(file, where={"split": "train"}, per_class=tmp_path / "classes.csv", output=tmp_path / "nc.json")
    assert (tmp_path / "classes.csv").read_text().startswith("class,count")
    assert json.loads((tmp_path / "nc.json").read_text())["groups"][0]["rows"] == 1257


def test_unknown_keywords_have_a_near_name() -> None:
    with pytest.raises(TypeError, match=r"nckit.measure\(\) has no keyword argument 'groupby': did you mean group_by\?"):
        nckit.measure("x.parquet", groupby="epoch")
    with pytest.raises(TypeError, match="did you mean min_count"):
        nckit.measure(np.zeros((2, 2)), labels=[0, 1], mincount=3)
    with pytest.raises(TypeError, match="has no keyword argument 'format'"):
        nckit.measure("x.parquet", format="json")
    with pytest.raises(TypeError, match="overwrite is True or False"):
        nckit.accumulate("x.parquet", "y", overwrite="yes")
    with pytest.raises(TypeError, match="cannot pass"):
        nckit.measure("x.parquet", metrics=object())


def test_errors_say_what_the_program_says(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(nckit.MissingError) as missing:
        nckit.measure(tmp_path / "none.parquet")
    assert isinstance(missing.value, FileNotFoundError)
    assert missing.value.facts and str(tmp_path) in str(missing.value)
    with pytest.raises(nckit.UsageError, match=r"invalid value 'x' for '--grid") as usage:
        nckit.measure(digits / "hive", grid="x")
    assert isinstance(usage.value, ValueError)
    with pytest.raises(nckit.UsageError) as near:
        nckit.measure(digits / "hive", metrics="nc1_pinw")
    assert near.value.help and "nc1_pinv" in near.value.help
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and nothing else PAR1")
    with pytest.raises(nckit.DataError) as bad:
        nckit.measure(tmp_path / "bad.parquet")
    assert bad.value.facts["file"].endswith("bad.parquet")
    assert "\n  " in str(bad.value) and not str(bad.value).startswith("error")
    # A path that looks like a flag is a path.
    with pytest.raises(nckit.MissingError, match="--help"):
        nckit.measure("--help")


def test_files_and_memory_do_not_mix() -> None:
    rows = np.zeros((2, 2))
    for call, message in [
        (lambda: nckit.measure(rows), "labels are missing"),
        (lambda: nckit.measure("x.parquet", labels=np.zeros(2)), "labels of files are a column"),
        (lambda: nckit.measure(rows, labels=[0, 1], group_by="epoch"), "group_by is for files"),
        (lambda: nckit.measure(rows, labels=[0, 1], features="x"), "an array has none"),
        (lambda: nckit.finish([]), "no state"),
    ]:
        with pytest.raises(nckit.UsageError, match=message):
            call()


def test_inspect_and_metrics(digits: Path, program: Callable[..., str]) -> None:
    text = nckit.inspect(digits / "hive", group_by="epoch")
    assert text == program("inspect", digits / "hive", "--group-by=epoch")
    assert repr(text) == str(text)
    cards = nckit.metrics()
    assert {"nc1_pinv", "nc5_ortho_dev"} <= {card["key"] for card in cards}
    assert [card["key"] for card in nckit.metrics("nc1_pinv")] == ["nc1_pinv"]
    with pytest.raises(nckit.UsageError):
        nckit.metrics("nc9")


def test_warnings_of_the_program_are_warnings(digits: Path) -> None:
    # Without a filter, all splits are pooled, which the program says.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = nckit.measure(digits / "hive", where={"layer": "h3"}, group_by="epoch")
    told = [str(warning.message) for warning in caught if warning.category is nckit.RemarkWarning]
    assert told == result.notes
    assert any("split" in text for text in told)
    assert all(warning.filename == __file__ for warning in caught)


class Bucket(BaseHTTPRequestHandler):
    """A store with one object, or with none."""

    content: bytes | None = None

    def do_HEAD(self) -> None:
        self.answer(False)

    def do_GET(self) -> None:
        self.answer(True)

    def answer(self, with_body: bool) -> None:
        content = self.content if self.path == "/bucket/x.parquet" else None
        whole = b"<Error><Code>NoSuchKey</Code></Error>" if content is None else content
        if self.path.startswith("/bucket?"):
            content = whole = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
        found = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = (int(found[1]), int(found[2])) if found else (0, len(whole) - 1)
        body = whole[first : last + 1]
        self.send_response(404 if content is None else 206 if found else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(whole)}")
        self.send_header("ETag", '"a"')
        self.send_header("Last-Modified", "Sat, 01 Aug 2026 10:00:00 GMT")
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_stores_follow_the_environment(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that was wrong is put right within the process."""
    file = digits / "flat" / "h3_final.parquet"
    full = type("Full", (Bucket,), {"content": file.read_bytes()})
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION"):
        monkeypatch.setenv(f"AWS_{name}", "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), kind) for kind in (Bucket, full)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    flags: Any = {"where": "split=train", "metrics": "nc1"}
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{servers[0].server_port}")
        with pytest.raises(nckit.MissingError):
            nckit.measure("s3://bucket/x.parquet", **flags)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{servers[1].server_port}")
        assert dict(nckit.measure("s3://bucket/x.parquet", **flags).only) == dict(nckit.measure(file, **flags).only)
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
