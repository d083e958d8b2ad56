"""Compiles the kernels beside this script to PTX: python3 ptx.py LIBNVRTC

LIBNVRTC is libnvrtc.so.12 of the wheel nvidia-cuda-nvrtc-cu12==12.0.140. Its PTX needs a driver of CUDA 12.0 or later. The
same sources always give the same bytes. The first line of each PTX file is the CRC-32 of its sources, which a test checks.
"""
import ctypes
import pathlib
import sys
import zlib

OPTIONS = [b"--gpu-architecture=compute_80", b"--fmad=false", b"--ftz=false", b"--std=c++17"]


def compiled(nvrtc, source):
    here = str(source.parent).encode()
    options = OPTIONS + [b"-I" + here]
    program = ctypes.c_void_p()
    text = source.read_bytes()
    code = nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, source.name.encode(), 0, None, None)
    if code == 0:
        code = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    if log.value.strip():
        sys.stderr.write(log.value.decode())
    if code:
        raise SystemExit(f"{source.name}: NVRTC error {code}")
    nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size))
    ptx = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetPTX(program, ptx)
    return ptx.value


def main():
    nvrtc = ctypes.CDLL(sys.argv[1])
    folder = pathlib.Path(__file__).resolve().parent
    header = (folder / "device.h").read_bytes()
    for source in sorted(folder.glob("*.cu")):
        crc = zlib.crc32(header + source.read_bytes())
        source.with_suffix(".ptx").write_bytes(b"// sources crc32 %08x\n" % crc + compiled(nvrtc, source))


main()
