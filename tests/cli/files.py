# SPDX-License-Identifier: Apache-2.0
"""Reading and writing .npy and .png with nothing but the standard library, so that the tests need no packages."""
import ast
import pathlib
import struct
import zlib

FORMS = {"f2": "e", "f4": "f", "f8": "d", "i4": "i"}


def write_npy(path, shape, values, descr="<f4", fortran=False, version=1):
    header = repr({"descr": descr, "fortran_order": fortran, "shape": tuple(shape)}).encode()
    size = 2 if version == 1 else 4
    header += b" " * (-(8 + size + len(header) + 1) % 64) + b"\n"
    body = struct.pack(f"{descr[0]}{len(values)}{FORMS[descr[1:]]}", *values)
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(size, "little") + header + body)


def read_npy(path):
    """(shape, values) of a C-ordered array."""
    data = pathlib.Path(path).read_bytes()
    assert data[:8] == b"\x93NUMPY\x01\x00", data[:8]
    end = 10 + int.from_bytes(data[8:10], "little")
    header = ast.literal_eval(data[10:end].decode())
    assert not header["fortran_order"]
    form = FORMS[header["descr"][1:]]
    count = len(data[end:]) // struct.calcsize(form)
    return header["shape"], struct.unpack(f"{header['descr'][0]}{count}{form}", data[end:])


def _unfilter(kind, row, above, step):
    for i in range(len(row)):
        left = row[i - step] if i >= step else 0
        up, corner = above[i], above[i - step] if i >= step else 0
        if kind == 1: guess = left
        elif kind == 2: guess = up
        elif kind == 3: guess = (left + up) // 2
        elif kind == 4:
            p = left + up - corner
            guess = min((abs(p - left), 0, left), (abs(p - up), 1, up), (abs(p - corner), 2, corner))[2]
        else: return row
        row[i] = (row[i] + guess) & 255
    return row


def read_png(path):
    """(width, height, channels, bits, bytes of all samples) of a picture that is not interlaced and has no palette."""
    data = pathlib.Path(path).read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        chunk = data[at + 8:at + 8 + length]
        assert zlib.crc32(kind + chunk) == struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0]
        if kind == b"IHDR": width, height, bits, colour = struct.unpack(">IIBB", chunk[:10])
        if kind == b"IDAT": packed += chunk
        at += 12 + length
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    raw, step = zlib.decompress(packed), channels * bits // 8
    rows, above = bytearray(), bytearray(width * step)
    for y in range(height):
        start = y * (width * step + 1)
        above = _unfilter(raw[start], bytearray(raw[start + 1:start + 1 + width * step]), above, step)
        rows += above
    return width, height, channels, bits, bytes(rows)


def write_png(path, width, height, channels, samples, bits=8):
    rows = width * channels * bits // 8
    raw = b"".join(b"\0" + bytes(samples[y * rows:(y + 1) * rows]) for y in range(height))
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    colour = {1: 0, 3: 2, 2: 4, 4: 6}[channels]
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))
