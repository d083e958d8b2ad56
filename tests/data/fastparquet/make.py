"""Writes the files of this folder: pip install fastparquet pandas."""

import numpy as np
import pandas as pd

row = np.arange(60)
label = row * 7 % 4
table = pd.DataFrame(
    {f"f{j}": (label * (5 if j == 0 else 1) + (row * (j + 3)) % 11 / 8).astype("f4") for j in range(3)}
)
table["label"] = np.array(["ant", "bee", "cat", "dog"])[label]
table.to_parquet("texts.parquet", engine="fastparquet", compression="SNAPPY")
table["label"] = pd.Categorical(table["label"])
table.to_parquet("categories.parquet", engine="fastparquet", compression=None)
