"""Small files whose pages carry checksums, one for each way of laying values out: to be damaged bit by bit.

Made with Python 3.11, pyarrow 26.0.1 and numpy 2.4.6: python make.py, in this directory.
"""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS, DIM = 24, 3
random = np.random.default_rng(8)
normal = random.standard_normal((ROWS, DIM)).astype(np.float32)
# Few different values stay in dictionaries.
coarse = np.round(normal)
numbers = pa.array(np.arange(ROWS) % 3, pa.int64())
words = pa.array(["cat", "horse", "ox"] * (ROWS // 3))
# One value in the first row group, two in the second.
epochs = pa.array([7] * 18 + [8] * 6, pa.int32())


def fixed(values, nullable=True):
    item = pa.field("element", pa.from_numpy_dtype(values.dtype), nullable)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=pa.list_(item, DIM))


def ragged(values):
    return pa.ListArray.from_arrays(pa.array(np.arange(0, values.size + 1, DIM), pa.int32()), pa.array(values.ravel()))


def binary(values):
    return pa.array([row.astype("<f4").tobytes() for row in values], pa.binary(4 * DIM))


def write(name, features, labels=numbers, epochs=None, nullable=True, **options):
    fields = [pa.field("feature", features.type, nullable), pa.field("label", labels.type, nullable)]
    columns = [features, labels]
    if epochs is not None:
        fields.append(pa.field("epoch", epochs.type, nullable))
        columns.append(epochs)
    defaults = {
        "row_group_size": 12, "data_page_size": 60, "write_batch_size": 4, "store_schema": False,
        "write_page_checksum": True, "compression": "none", "use_dictionary": False,
    }
    table = pa.Table.from_arrays(columns, schema=pa.schema(fields))
    pq.write_table(table, f"{name}.parquet", **{**defaults, **options})


nulls = pa.array([None if row == 5 else list(vector) for row, vector in enumerate(normal)], pa.list_(pa.float32()))
write("plain", ragged(normal), nullable=False)
write("plain-epochs", fixed(normal, False), epochs=epochs, nullable=False)
write("plain-v2", ragged(normal), epochs=epochs, data_page_version="2.0")
write("plain-binary", binary(normal), words)
write("dictionary", ragged(coarse), words, use_dictionary=True, compression="snappy", store_schema=True)
write("dictionary-v2", fixed(coarse.astype(np.float16)), words, use_dictionary=True, data_page_version="2.0", compression="zstd")
write("split", fixed(normal.astype(np.float64)), use_byte_stream_split=["feature"], compression="lz4", data_page_size=200)
write("nulls", nulls, pa.array([None, *numbers.to_pylist()[1:]], pa.int64()), compression="gzip")
write("nulls-v2", nulls, pa.array(numbers, pa.float32()), data_page_version="2.0")
write("differences", ragged(normal), use_dictionary=False, column_encoding={"label": "DELTA_BINARY_PACKED"}, nullable=False)
