"""Small files as pyarrow lays them out, one for each way in which vectors are stored.

Made with Python 3.11, pyarrow 26.0.1 and numpy 2.4.6: python make.py, in this directory.
"""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS, DIM = 230, 19
random = np.random.default_rng(5)
normal = random.standard_normal((ROWS, DIM)).astype(np.float32)
# Few different values, many of them zero, as after a ReLU and a rounding: these stay in dictionaries.
coarse = np.maximum(np.round(4 * normal) / 4, 0)
labels = pa.array(np.arange(ROWS) % 7, pa.int64())


def fixed(values, nullable=True):
    item = pa.field("element", pa.from_numpy_dtype(values.dtype), nullable)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=pa.list_(item, DIM))


def ragged(values, large=False):
    offsets = np.arange(0, values.size + 1, DIM)
    if large:
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(values.ravel()))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values.ravel()))


def binary(values):
    return pa.array([row.astype("<f4").tobytes() for row in values], pa.binary(4 * DIM))


def write(name, features, nullable=True, **options):
    schema = pa.schema([pa.field("feature", features.type, nullable), pa.field("label", pa.int64(), False)])
    table = pa.Table.from_arrays([features, labels], schema=schema)
    defaults = {"row_group_size": 120, "data_page_size": 2000, "write_batch_size": 16}
    pq.write_table(table, f"{name}.parquet", **{**defaults, **options})


plain = {"use_dictionary": False, "compression": "none"}
write("defaults-list", ragged(normal), row_group_size=ROWS, data_page_size=None, write_batch_size=1024)
write("defaults-fixed", fixed(normal), row_group_size=ROWS, data_page_size=None, write_batch_size=1024)
write("plain-fixed", fixed(normal, False), False, **plain)
write("plain-list", ragged(normal), **plain)
write("plain-large", ragged(normal, True), **plain)
write("plain-v2", ragged(normal), data_page_version="2.0", **plain)
write("plain-binary", binary(normal), **plain)
write("plain-f16", fixed(normal.astype(np.float16)), **plain)
write("plain-f64", ragged(normal.astype(np.float64)), **plain)
write("dictionary", ragged(coarse))
write("dictionary-v2", fixed(coarse), data_page_version="2.0", compression="zstd")
write("dictionary-overflow", ragged(normal), dictionary_pagesize_limit=3000)
write("dictionary-f16", fixed(coarse.astype(np.float16)), compression="lz4")
write("dictionary-f64", fixed(coarse.astype(np.float64)), compression="gzip")
write("dictionary-binary", binary(np.repeat(coarse[:23], 10, axis=0)))
for codec in ["snappy", "gzip", "zstd", "lz4"]:
    write(f"split-{codec}", fixed(normal), use_dictionary=False, use_byte_stream_split=["feature"], compression=codec)
split = {"use_dictionary": False, "use_byte_stream_split": ["feature"], "compression": "none"}
write("split-f16", ragged(normal.astype(np.float16)), data_page_version="2.0", **split)
write("split-f64", ragged(normal.astype(np.float64)), **split)
write("constant", ragged(np.full((ROWS, DIM), 2.5, np.float32)))
write("checksums", fixed(normal), write_page_checksum=True)
with_nulls = [None if row == 200 else list(vector) for row, vector in enumerate(normal)]
write("null-row", pa.array(with_nulls, pa.list_(pa.float32())), write_statistics=False)
with_nulls = [[None if (row, j) == (137, 4) else x for j, x in enumerate(vector)] for row, vector in enumerate(normal)]
write("null-element", pa.array(with_nulls, pa.list_(pa.float32(), DIM)), write_statistics=False)
