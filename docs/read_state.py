"""Reads a state file of nckit, as state-file.md describes it, and prints what is in it as JSON."""
import json, struct, sys, zlib

class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0
    def bytes(self, n):
        assert self.at + n <= len(self.data), "too short"
        self.at += n
        return self.data[self.at - n:self.at]
    def int(self, n, signed=False):
        return int.from_bytes(self.bytes(n), "little", signed=signed)
    def text(self):
        return self.bytes(self.int(4)).decode()
    def list(self, item):
        return [item() for _ in range(self.int(8))]
    def label(self):
        return [lambda: bool(self.int(1)), lambda: self.int(16, True), self.text][self.int(1)]()
    def packed(self, n):
        width = self.int(1)
        return [self.int(width, True) for _ in range(n)]

def sections(r):
    global version
    head = r.bytes(10)
    version = head[8]
    known = head[:8] == b"\x89NCST\r\n\n" and head[8:] in (b"\1\0", b"\2\0", b"\3\0")
    assert known and r.int(4) == zlib.crc32(head), "no state file of version 1 to 3"
    while r.at < len(r.data):
        start = r.at
        kind, payload = r.bytes(4).decode(), r.bytes(r.int(8))
        assert zlib.crc32(r.data[start:r.at]) == r.int(4), "damaged"
        yield kind, Reader(payload)

def state(r):
    assert r.bytes(4) == b"NCST"
    version, scatter, d, k = r.int(2), r.int(1), r.int(4), r.int(8)
    history = [[(r.int(2, True), *(r.int(8) for _ in range(version + 1))) for _ in range(r.int(4))] for _ in range(d)]
    step = [2.0 ** min((steps[0] for steps in dimension), default=0) for dimension in history]
    labels, n = [r.label() for _ in range(k)], [r.int(8) for _ in range(k)]
    c, s = [r.packed(d) for _ in range(k)], [r.packed(d) for _ in range(k)]
    low = [r.packed(d) if version > 1 else [0] * d for _ in range(k)]
    t = [r.int(32, True) for _ in range(k)]
    means = [[step[j] * (c[i][j] + (s[i][j] + low[i][j] / 2 ** 20) / n[i]) for j in range(d)] for i in range(k)]
    squares = [r.packed(d - j)[0] for j in range(d)] if scatter else []
    within = [step[j] ** 2 * (q - sum(s[i][j] ** 2 / n[i] for i in range(k))) for j, q in enumerate(squares)]
    assert r.at == len(r.data)
    return {"classes": dict(zip(map(str, labels), n)), "means": means, "within_scatter_diagonal": within}

out = {"groups": []}
for kind, r in sections(Reader(open(sys.argv[1], "rb").read())):
    if kind == "SETS":
        keys, out["settings"] = r.list(r.text), dict(r.list(lambda: (r.text(), r.list(r.text))))
        # Rows that were dealt into blocks have a state for each block.
        keys += ["block"] * ("blocks" in out["settings"])
    elif kind == "LEDG":
        unit = lambda: dict(zip(("row_group", "used", "skipped", "digest"), struct.unpack("<IQQQ", r.bytes(28))))
        out["files"] = r.list(lambda: {"name": r.text(), "size": r.int(8), "footer": r.int(8), "units": r.list(unit)})
        out["left_out"] = r.list(r.text)
    elif kind == "GRUP":
        group = {"key": {name: r.label() for name in keys}}
        group |= {"skipped": [r.int(8) for _ in range(3)], "not_finite": r.list(lambda: (r.label(), r.int(8)))}
        group["rows"] = sum(r.int(8) for _ in range(4 if version > 2 else 3))
        out["groups"].append(group | (state(r) if r.at < len(r.data) else {}))
print(json.dumps(out, indent=1))
