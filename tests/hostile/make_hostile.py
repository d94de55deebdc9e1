#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write hostile, broken and a few valid control files for a Keras-file reader.

It is longer than 500 lines because it is a table: one entry a case, and the byte layouts that the cases bend.

    python make_hostile.py OUTDIR [--list]

Everything derives from one tiny valid Sequential model (two Conv2DTranspose layers with small
integer weights, so every summation order gives the same output bits).  Only numpy, h5py and the
standard library are used; the same version of h5py gives the same bytes on every run.

OUTDIR receives base/ (the valid files, an input and the right output), one folder per family and
expect.json:

  base    paths of the valid files, input.npy and output.npy
  secret  a text that lies in secret.txt / secret.h5 beside hostile files and must never be printed
  budget  seconds and peak-RSS growth allowed per case
  cases   [{file, kind, what, expect, theme, stage, if_accepted}]

  kind    keras | legacy_h5 | weights_h5 | shards | npy | npz   (npy/npz: used as the input file)
  expect  error  a typed error: exit code not 0, no signal, one line on stderr
          loads  must load; the output equals base output
          any    may load or be refused, within budget and without a crash
  theme   lower-case words of which a good error message holds at least one
  stage   where the fault can be seen first: file (from the file alone), model (file against its
          config), run (only when a computation is asked for)
  if_accepted (for "any")  equal: the output must equal the base output; free: any output
"""
import argparse
import copy
import io
import json
import os
import re
import struct
import zlib

import h5py
import numpy as np

SECRET = "TOP-SECRET-9b1d4c7e-do-not-print"          # 32 bytes
UNDEF = 0xFFFFFFFFFFFFFFFF
MiB = 1 << 20
V110 = ("v110", "v110")                               # the new format, pinned


# ------------------------------------------------------------------ base model
class Model:
    """A small Sequential model: its config, weights and every file form of it."""

    def __init__(self, name="tiny", input_shape=(3, 3, 2), seed=1, layers=None):
        self.name, self.input_shape, self.seed = name, tuple(input_shape), seed
        self.layers = layers or [
            dict(name="up1", filters=4, kernel=(3, 3), strides=(2, 2), padding="same", activation="relu", bias=True),
            dict(name="up2", filters=3, kernel=(3, 3), strides=(2, 2), padding="same", activation="linear", bias=True)]
        rng = np.random.RandomState(seed)
        self.weights, channels = [], self.input_shape[-1]
        for ly in self.layers:
            w = [rng.randint(-3, 4, ly["kernel"] + (ly["filters"], channels)).astype("<f4")]
            if ly["bias"]:
                w.append(rng.randint(-3, 4, (ly["filters"],)).astype("<f4"))
            self.weights.append(w)
            channels = ly["filters"]
        self.input = rng.randint(-3, 4, (1,) + self.input_shape).astype("<f4")

    @staticmethod
    def _axis(n, k, s, padding):
        """Output length and left crop of the full scatter."""
        if padding == "valid":
            return (n - 1) * s + max(k, s), 0
        pad = s + k - 2
        return n * s, k - 1 - min(-(-pad // 2), k - 1)

    def output(self, x=None):
        x = (self.input if x is None else x).astype(np.float64)
        for ly, w in zip(self.layers, self.weights):
            (kh, kw), (sh, sw) = ly["kernel"], ly["strides"]
            n, h, wd, _ = x.shape
            full = np.zeros((n, h * sh + kh, wd * sw + kw, ly["filters"]))
            for i in range(h):
                for j in range(wd):
                    full[:, i * sh:i * sh + kh, j * sw:j * sw + kw] += np.einsum("nc,abfc->nabf", x[:, i, j], w[0])
            oh, ch = self._axis(h, kh, sh, ly["padding"])
            ow, cw = self._axis(wd, kw, sw, ly["padding"])
            x = full[:, ch:ch + oh, cw:cw + ow] + (w[1] if ly["bias"] else 0)
            if ly["activation"] == "relu":
                x = np.maximum(x, 0)
        return x.astype("<f4")

    # ---- configs
    def _wrap(self, module, cls, config, **extra):
        return {"module": module, "class_name": cls, "config": config, "registered_name": None, **extra}

    def _policy(self):
        return self._wrap("keras", "DTypePolicy", {"name": "float32"})

    def layer_configs(self):
        out = [self._wrap("keras.layers", "InputLayer", {
            "batch_shape": [None, *self.input_shape], "dtype": "float32", "sparse": False, "ragged": False,
            "name": "input_layer", "optional": False})]
        shape = self.input_shape
        for ly in self.layers:
            out.append(self._wrap("keras.layers", "Conv2DTranspose", {
                "name": ly["name"], "trainable": True, "dtype": self._policy(), "filters": ly["filters"],
                "kernel_size": list(ly["kernel"]), "strides": list(ly["strides"]), "padding": ly["padding"],
                "output_padding": None, "data_format": "channels_last", "dilation_rate": [1, 1],
                "activation": ly["activation"], "use_bias": ly["bias"],
                "kernel_initializer": self._wrap("keras.initializers", "GlorotUniform",
                                                 {"seed": None, "input_axes": None, "output_axes": None}),
                "bias_initializer": self._wrap("keras.initializers", "Zeros", {}),
                "kernel_regularizer": None, "bias_regularizer": None, "activity_regularizer": None,
                "kernel_constraint": None, "bias_constraint": None},
                build_config={"input_shape": [None, *shape]}))
            shape = tuple(self._axis(n, k, s, ly["padding"])[0]
                          for n, k, s in zip(shape, ly["kernel"], ly["strides"])) + (ly["filters"],)
        return out

    def config(self):
        shape = [None, *self.input_shape]
        return self._wrap("keras", "Sequential", {
            "name": self.name, "trainable": True, "dtype": self._policy(), "layers": self.layer_configs(),
            "build_input_shape": shape}, build_config={"input_shape": shape}, compile_config={})

    def functional_config(self):
        layers, prev, shapes = self.layer_configs(), None, None
        for ly in layers:
            ly["name"] = ly["config"]["name"]
            ly["inbound_nodes"] = []
            if prev is not None:
                shape = ly["build_config"]["input_shape"]
                ly["inbound_nodes"] = [{"args": [{"class_name": "__keras_tensor__", "config": {
                    "shape": shape, "dtype": "float32", "keras_history": [prev, 0, 0]}}], "kwargs": {}}]
            prev = ly["name"]
        return {"module": "keras.src.models.functional", "class_name": "Functional", "config": {
            "name": self.name, "trainable": True, "layers": layers,
            "input_layers": [["input_layer", 0, 0]], "output_layers": [[prev, 0, 0]]},
            "registered_name": "Functional", "build_config": {"input_shape": None}, "compile_config": {}}

    def metadata(self):
        return json.dumps({"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}).encode()

    def keys(self):
        return ["conv2d_transpose" + (f"_{i}" if i else "") for i in range(len(self.layers))]

    # ---- containers
    def h5(self, replace=None, post=None, skip=(), only=None, **kw):
        """model.weights.h5 as bytes.  replace: {path: f(group, key, array)} makes one dataset itself."""
        bio, replace = io.BytesIO(), replace or {}
        with h5py.File(bio, "w", **kw) as f:
            for i, key in enumerate(self.keys()):
                if only is not None and i not in only:
                    continue
                g = f.create_group(f"layers/{key}/vars")
                g.attrs["name"] = self.layers[i]["name"]
                for j, a in enumerate(self.weights[i]):
                    path = f"layers/{key}/vars/{j}"
                    if path in skip:
                        continue
                    replace.get(path, lambda grp, k, arr: grp.create_dataset(k, data=arr))(g, str(j), a)
            f.create_group("vars").attrs["name"] = self.name
            if post:
                post(f)
        return scrub(bio.getvalue())

    def legacy(self, config=None, post=None, fixed=False, **kw):
        """Legacy whole-model .h5 as bytes."""
        bio = io.BytesIO()
        if config is None:
            config = {"class_name": "Sequential", "config": copy.deepcopy(self.config()["config"])}
            for ly in config["config"]["layers"]:
                for k in ("module", "registered_name", "build_config"):
                    ly.pop(k, None)
        text = config if isinstance(config, (str, bytes)) else json.dumps(config)
        names = (lambda v: np.array([n.encode() for n in v])) if fixed else (lambda v: np.array(v, dtype=h5py.string_dtype()))
        one = (lambda s: np.bytes_(s)) if fixed else (lambda s: s)
        with h5py.File(bio, "w", **kw) as f:
            f.attrs["backend"], f.attrs["keras_version"] = one("jax"), one("3.15.1")
            f.attrs["model_config"] = one(text)
            g = f.create_group("model_weights")
            g.attrs["backend"], g.attrs["keras_version"] = one("jax"), one("3.15.1")
            g.attrs["layer_names"] = names([ly["name"] for ly in self.layers])
            g.create_group("top_level_model_weights").attrs["weight_names"] = np.zeros((0,))
            for ly, ws in zip(self.layers, self.weights):
                lg = g.create_group(ly["name"])
                wn = [f"{self.name}/{ly['name']}/{v}" for v in ("kernel", "bias")[:len(ws)]]
                lg.attrs["weight_names"] = names(wn)
                for n, w in zip(wn, ws):
                    lg.create_dataset(n, data=w)
            if post:
                post(f)
        return scrub(bio.getvalue())

    def keras(self, config=None, h5=None, metadata=None, method=0, **kw):
        """.keras archive as bytes; config may be an object or raw bytes."""
        config = self.config() if config is None else config
        raw = config if isinstance(config, bytes) else json.dumps(config).encode()
        big = len(raw) > 200_000
        return build_zip([
            Member("metadata.json", self.metadata() if metadata is None else metadata, method),
            Member("config.json", raw, 8 if big else method),
            Member("model.weights.h5", self.h5() if h5 is None else h5, method)], **kw)

    def edited(self, edit):
        """.keras with a changed config: edit(config, first conv config, second conv config)."""
        c = self.config()
        r = edit(c, c["config"]["layers"][1]["config"], c["config"]["layers"][2]["config"])
        return self.keras(c if r is None else r)

    def shards(self, prefix="model"):
        """{file name: bytes} of a sharded weights set."""
        files, wmap = {}, {}
        for i, key in enumerate(self.keys()):
            fn = f"{prefix}_{i:05d}.weights.h5"
            files[fn] = self.h5(only=(i,))
            wmap[f"/layers/{key}/vars"] = [fn]
        total = float(sum(a.nbytes for w in self.weights for a in w))
        index = {"metadata": {"total_size": total}, "weight_map": wmap}
        return index, files


# ------------------------------------------------------------------ zip
def zeros_deflate(n, fill=b"\0"):
    """Raw deflate of n equal bytes, made by repeating one compressed MiB (no big buffers)."""
    c = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = c.compress(fill * MiB) + c.flush(zlib.Z_FULL_FLUSH)
    return head * (n // MiB) + b"\x03\x00"


def zeros_crc(n, fill=b"\0"):
    crc, block = 0, fill * (8 * MiB)
    for _ in range(n // len(block)):
        crc = zlib.crc32(block, crc)
    return crc


class Member:
    """One zip member; every field of the local (l*) and central (c*) header can be overridden."""

    def __init__(self, name, data=b"", method=0, raw=None, **over):
        self.name = name if isinstance(name, bytes) else name.encode()
        self.method, self.over = method, over
        if raw is None:
            if method == 8:
                c = zlib.compressobj(9, zlib.DEFLATED, -15)
                raw = c.compress(data) + c.flush()
            else:
                raw = data
        self.raw = raw
        self.vals = dict(crc=zlib.crc32(data), csize=len(raw), usize=len(data), method=method, flags=0,
                         name=self.name, extra=b"", disk=0, attr=0o600 << 16, ver=20)

    def field(self, side, key):
        for k in (side + key, key):
            if k in self.over:
                return self.over[k]
        return self.vals[key]

    def local(self):
        g = lambda k: self.field("l", k)
        nlen = self.over.get("lnamelen", len(g("name")))
        xlen = self.over.get("lextralen", len(g("extra")))
        return struct.pack("<4s5HIIIHH", b"PK\3\4", g("ver"), g("flags"), g("method"), 0, 0x21,
                           g("crc"), g("csize"), g("usize"), nlen, xlen) + g("name") + g("extra") + self.raw

    def central(self, offset):
        g = lambda k: self.field("c", k)
        nlen = self.over.get("cnamelen", len(g("name")))
        xlen = self.over.get("cextralen", len(g("extra")))
        return struct.pack("<4s6HIIIHHHHHII", b"PK\1\2", 0x314, g("ver"), g("flags"), g("method"), 0, 0x21, g("crc"),
                           g("csize"), g("usize"), nlen, xlen, 0, g("disk"), 0, g("attr"),
                           self.over.get("offset", offset)) + g("name") + g("extra")


def build_zip(members, prefix=b"", comment=b"", tail=b"", gap=b"", zip64=False, after_local=None, **eocd):
    """A zip archive; eocd keys count, total, cdsize, cdoffset, disk override the end record."""
    out, offsets = bytearray(prefix), []
    for m in members:
        offsets.append(len(out))
        if not m.over.get("nolocal"):
            out += m.local() + m.over.get("descriptor", b"")
    out += gap
    cd_at = len(out)
    for m, off in zip(members, offsets):
        out += m.central(off)
    size, n = len(out) - cd_at, len(members)
    if zip64:
        z_at = len(out)
        z = dict(count=n, size=size, offset=cd_at, eocd=z_at)
        z.update(zip64 if isinstance(zip64, dict) else {})
        out += struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, z["count"], z["count"], z["size"], z["offset"])
        out += struct.pack("<4sIQI", b"PK\6\7", 0, z["eocd"], 1)
        eocd = {"count": 0xFFFF, "total": 0xFFFF, "cdsize": 0xFFFFFFFF, "cdoffset": 0xFFFFFFFF, **eocd}
    n16 = min(n, 0xFFFF)
    out += struct.pack("<4sHHHHIIH", b"PK\5\6", eocd.get("disk", 0), eocd.get("disk", 0), eocd.get("count", n16),
                       eocd.get("total", eocd.get("count", n16)), eocd.get("cdsize", size) & 0xFFFFFFFF,
                       eocd.get("cdoffset", cd_at) & 0xFFFFFFFF, eocd.get("commentlen", len(comment))) + comment
    return bytes(out) + tail


# ------------------------------------------------------------------ HDF5 bytes
def lookup3(data, init=0):
    """Jenkins' checksum of version 2 object headers and superblocks."""
    mask = 0xFFFFFFFF
    rot = lambda v, k: ((v << k) | (v >> (32 - k))) & mask
    a = b = c = (0xDEADBEEF + len(data) + init) & mask
    p, n = 0, len(data)
    while n > 12:
        x, y, z = struct.unpack_from("<3I", data, p)
        a, b, c = (a + x) & mask, (b + y) & mask, (c + z) & mask
        a = ((a - c) & mask) ^ rot(c, 4); c = (c + b) & mask
        b = ((b - a) & mask) ^ rot(a, 6); a = (a + c) & mask
        c = ((c - b) & mask) ^ rot(b, 8); b = (b + a) & mask
        a = ((a - c) & mask) ^ rot(c, 16); c = (c + b) & mask
        b = ((b - a) & mask) ^ rot(a, 19); a = (a + c) & mask
        c = ((c - b) & mask) ^ rot(b, 4); b = (b + a) & mask
        p, n = p + 12, n - 12
    if n:
        x, y, z = struct.unpack("<3I", bytes(data[p:]).ljust(12, b"\0"))
        a, b, c = (a + x) & mask, (b + y) & mask, (c + z) & mask
        c = ((c ^ b) - rot(b, 14)) & mask; a = ((a ^ c) - rot(c, 11)) & mask
        b = ((b ^ a) - rot(a, 25)) & mask; c = ((c ^ b) - rot(b, 16)) & mask
        a = ((a ^ c) - rot(c, 4)) & mask; b = ((b ^ a) - rot(a, 14)) & mask
        c = ((c ^ b) - rot(b, 24)) & mask
    return c


def v2_headers(data):
    """(start, times offset or None, checksum offset) of every version 2 object header."""
    for hit in re.finditer(rb"OHDR\x02", data):
        at, flags = hit.start(), data[hit.start() + 5]
        p = at + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        w = 1 << (flags & 3)
        end = p + w + int.from_bytes(data[p:p + w], "little")
        yield at, (at + 6 if flags & 0x20 else None), end


def seal(data):
    """Recompute the checksum of every version 2 object header."""
    data = bytearray(data)
    for at, _, end in list(v2_headers(data)):
        struct.pack_into("<I", data, end, lookup3(data[at:end]))
    return bytes(data)


def scrub(data):
    """Zero the time stamps HDF5 writes, so that the same script gives the same bytes."""
    data = bytearray(re.sub(rb"(\x12\0\x08\0[\0-\x0f]\0\0\0\x01\0\0\0)....", rb"\1\0\0\0\0", data, flags=re.S))
    stamped = False
    for _, times, _ in list(v2_headers(data)):
        if times is not None:
            data[times:times + 16], stamped = bytes(16), True
    return seal(data) if stamped else bytes(data)


class H5Edit:
    """Byte-level edits of an old-format (superblock 0, object header 1) HDF5 file."""

    def __init__(self, data):
        self.b = bytearray(data)
        self.f = h5py.File(io.BytesIO(bytes(data)), "r")

    def header(self, path):
        return h5py.h5o.get_info(self.f[path].id).addr

    def u(self, fmt, off):
        return struct.unpack_from("<" + fmt, self.b, off)[0]

    def put(self, fmt, off, *vals):
        struct.pack_into("<" + fmt, self.b, off, *vals)
        return self

    def messages(self, addr):
        """(type, data offset, size) of a version 1 object header, continuations followed."""
        n, blocks, out = self.u("H", addr + 2), [(addr + 16, self.u("I", addr + 8))], []
        while blocks and len(out) < n:
            p, left = blocks.pop(0)
            while left >= 8 and len(out) < n:
                t, s = self.u("H", p), self.u("H", p + 2)
                out.append((t, p + 8, s))
                if t == 0x10:
                    blocks.append((self.u("Q", p + 8), self.u("Q", p + 16)))
                p, left = p + 8 + s, left - 8 - s
        return out

    def msg(self, path, kind):
        for t, off, _ in self.messages(self.header(path)):
            if t == kind:
                return off
        raise KeyError((path, kind))

    def space(self, path): return self.msg(path, 0x01)
    def dtype(self, path): return self.msg(path, 0x03)
    def layout(self, path): return self.msg(path, 0x08)
    def filters(self, path): return self.msg(path, 0x0B)
    def attr(self, path): return self.msg(path, 0x0C)
    def btree(self, path): return self.u("Q", self.msg(path, 0x11))
    def heap(self, path): return self.u("Q", self.msg(path, 0x11) + 8)
    def snod(self, path): return self.u("Q", self.btree(path) + 24 + 8)

    def done(self):
        self.f.close()
        return bytes(self.b)


# ------------------------------------------------------------------ npy
def npy(header, data=b"", version=(1, 0), hlen=None, pad=True):
    h = header if isinstance(header, bytes) else header.encode("latin1")
    size = 2 if version[0] == 1 else 4
    if pad:
        h += b" " * (-(6 + 2 + size + len(h) + 1) % 64) + b"\n"
    n = len(h) if hlen is None else hlen
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if size == 2 else "<I", n & 0xFFFFFFFF) + h + data


def npy_head(shape, descr="<f4", fortran="False"):
    return "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }" % (descr, fortran, shape)


def npz(members):
    return build_zip([m if isinstance(m, Member) else Member(*m) for m in members])


# ------------------------------------------------------------------ output folder
class Out:
    def __init__(self, root, model, title):
        self.root, self.model, self.cases = root, model, []
        self.title = title
        os.makedirs(root, exist_ok=True)

    def write(self, rel, data):
        path = os.path.join(self.root, rel)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)

    def secrets(self, folder):
        text = (SECRET + "\n").encode()
        self.write(f"{folder}/secret.txt", text * 128)
        blob = np.frombuffer((SECRET.encode() * 128), "<f4")

        def fill(f):
            for i, key in enumerate(self.model.keys()):
                for j, a in enumerate(self.model.weights[i]):
                    f[f"layers/{key}/vars/{j}"][...] = np.resize(blob, a.shape)
        self.write(f"{folder}/secret.h5", self.model.h5(post=fill))

    def add(self, rel, data, kind, expect, theme, what, stage="file", if_accepted="equal", **more):
        if data is not None:
            self.write(rel, data)
        case = dict(file=rel, kind=kind, what=what, expect=expect,
                    theme=[theme] if isinstance(theme, str) else list(theme), stage=stage)
        if expect == "any":
            case["if_accepted"] = if_accepted
        case.update(more)
        assert not any(c["file"] == rel for c in self.cases), rel
        self.cases.append(case)

    def base_files(self):
        m = self.model
        self.write("base/model.keras", m.keras())
        self.write("base/model.h5", m.legacy())
        self.write("base/model.weights.h5", m.h5())
        np.save(os.path.join(self.root, "base/input.npy"), m.input)
        np.save(os.path.join(self.root, "base/output.npy"), m.output())

    def finish(self):
        doc = {"title": self.title, "secret": SECRET,
               "base": {"model": "base/model.keras", "weights": "base/model.weights.h5", "legacy": "base/model.h5",
                        "input": "base/input.npy", "output": "base/output.npy"},
               "budget": {"seconds": 2.0, "rss_growth_mib": 256}, "cases": self.cases}
        with open(os.path.join(self.root, "expect.json"), "w") as f:
            json.dump(doc, f, indent=1)
            f.write("\n")


# ================================================================== the cases
def zip_cases(out, m):
    conf, h5, meta = json.dumps(m.config()).encode(), m.h5(), m.metadata()

    def add(name, data, expect, theme, what, **kw):
        out.add(f"zip/{name}.keras", data, "keras", expect, theme, what, **kw)

    def three(c=None, w=None, md=None, extra=(), **kw):
        ms = [md or Member("metadata.json", meta), c or Member("config.json", conf), w or Member("model.weights.h5", h5)]
        return build_zip(ms + list(extra), **kw)

    good = three()
    eocd = len(good) - 22
    cd = struct.unpack_from("<I", good, eocd + 16)[0]

    # valid controls
    add("ok_stored", good, "loads", [], "control: plain archive")
    add("ok_deflated", m.keras(method=8), "loads", [], "control: all members deflated")
    add("ok_comment", three(comment=b"x" * 65535), "loads", [], "control: archive comment of 65,535 bytes")
    add("ok_zip64_end", three(zip64=True), "loads", [], "control: valid zip64 end record")
    dd = struct.pack("<4sIII", b"PK\7\x08", zlib.crc32(conf), len(conf), len(conf))
    add("ok_descriptor", three(c=Member("config.json", conf, flags=8, lcrc=0, lcsize=0, lusize=0, descriptor=dd)),
        "loads", [], "control: config.json written with a data descriptor")

    # not an archive, cut archive
    add("empty", b"", "error", ["empty", "zip", "truncated", "too short", "too small"], "file of 0 bytes")
    add("text", b"this is not a zip file\n" * 20, "error", ["zip", "archive", "format", "magic"], "plain text")
    add("end_record_only", good[eocd:eocd + 8] + bytes(14), "error", ["config.json", "missing", "empty"], "archive of no members")
    add("cut_half", good[:len(good) // 2], "error", ["zip", "truncated", "end of central"], "cut in the middle")
    add("cut_last_byte", good[:-1], "error", ["zip", "truncated", "end of central"], "last byte of the end record lost")
    add("cut_in_directory", good[:cd + 40], "error", ["zip", "truncated", "end of central"], "cut inside the central directory")
    add("directory_removed", good[:cd] + good[eocd:], "error", ["central directory", "zip", "directory"], "central directory bytes removed, end record kept")

    # members
    add("no_config", build_zip([Member("metadata.json", meta), Member("model.weights.h5", h5)]), "error",
        ["config.json"], "config.json missing")
    add("no_metadata", build_zip([Member("config.json", conf), Member("model.weights.h5", h5)]), "any",
        ["metadata.json"], "metadata.json missing")
    add("no_weights", build_zip([Member("metadata.json", meta), Member("config.json", conf)]), "error",
        ["model.weights.h5", "weights"], "weights missing")
    add("npz_weights", build_zip([Member("metadata.json", meta), Member("config.json", conf), Member(
        "model.weights.npz", npz([("0.npy", npy(npy_head("(1,)"), bytes(4)))]))]), "error", ["npz", "weights"],
        "weights stored as model.weights.npz")
    evil = json.dumps(m.config()).replace('"relu"', '"tanh"').encode()
    add("dup_config", three(extra=[Member("config.json", evil)]), "error", ["duplicate", "twice"], "config.json twice, contents differ")
    add("dup_weights", three(extra=[Member("model.weights.h5", h5)]), "error", ["duplicate", "twice"], "model.weights.h5 twice")
    add("case_collision", three(extra=[Member("CONFIG.JSON", evil)]), "any", ["duplicate", "member"], "CONFIG.JSON beside config.json")
    add("nested_archive", build_zip([Member("model.keras", good)]), "error", ["config.json", "missing"], "archive holding only an archive")
    for tag, name in [("dotdot", b"../evil.txt"), ("absolute", b"/evil.txt"), ("drive", b"C:\\evil.txt"),
                      ("backslash", b"..\\evil.txt"), ("assets_dotdot", b"assets/../../evil.txt")]:
        add("name_" + tag, three(extra=[Member(name, b"x")]), "error", ["path", "name", "member", "unsafe"],
            f"extra member named {name.decode()!r}")
    add("name_nul", three(c=Member(b"config.json\0.txt", conf)), "error", ["name", "nul", "config.json", "member"], "NUL inside a member name")
    add("name_escape", three(extra=[Member(b"\x1b[2J\x1b]0;owned\x07", b"x")]), "error", ["name", "member", "control"],
        "terminal escape bytes in a member name (must not be echoed raw)")
    add("name_differs", three(c=Member(b"config.json", conf, lname=b"konfig.json")), "error", ["name", "mismatch", "differ", "local"],
        "local and central names differ")
    add("name_length_past_end", three(w=Member("model.weights.h5", h5, cnamelen=60000)), "error",
        ["central directory", "name", "truncated", "zip"], "central name length runs past the file")
    add("extra_length_past_end", three(w=Member("model.weights.h5", h5, lextralen=65535)), "error",
        ["extra", "local", "truncated", "outside", "range"], "local extra length runs past the file")
    add("symlink_config", three(c=Member("config.json", b"secret.txt", attr=0o120777 << 16)), "error",
        ["symlink", "link", "json"], "config.json is a symbolic link to secret.txt")
    add("assets_member", three(extra=[Member("assets/readme.txt", b"hello")]), "any", ["assets", "member"], "harmless assets/ member")

    # sizes, crc, method
    add("crc_weights", three(w=Member("model.weights.h5", h5, crc=1)), "error", ["crc", "checksum"], "CRC of the weights wrong")
    add("crc_config", three(c=Member("config.json", conf, 8, crc=1)), "error", ["crc", "checksum"], "CRC of a deflated config wrong")
    for n, label in [(1, "shrink"), (12, "bzip2"), (14, "lzma"), (93, "zstd"), (99, "aes")]:
        add(f"method_{n}", three(w=Member("model.weights.h5", h5, method=n)), "error", ["method", "compression", "unsupported"],
            f"compression method {n} ({label})")
    add("encrypted", three(c=Member("config.json", conf, flags=1)), "error", ["encrypt"], "encrypted flag set")
    add("sizes_differ", three(w=Member("model.weights.h5", h5, lusize=len(h5) - 64, lcsize=len(h5) - 64)), "error",
        ["size", "mismatch", "differ"], "local and central sizes differ")
    add("stored_sizes_unequal", three(w=Member("model.weights.h5", h5, usize=len(h5) + 4096)), "error", ["size", "stored"],
        "stored member with unequal sizes")
    add("size_ffffffff", three(w=Member("model.weights.h5", h5, csize=0xFFFFFFFF, usize=0xFFFFFFFF)), "error",
        ["zip64", "size", "truncated"], "sizes 2^32-1 without a zip64 field")
    add("size_4g_declared", three(w=Member("model.weights.h5", h5, csize=0xFFFFFFF0, usize=0xFFFFFFF0)), "error",
        ["size", "truncated", "outside", "past"], "stored member declared as 4 GiB")
    add("zip64_short", three(w=Member("model.weights.h5", h5, usize=0xFFFFFFFF, extra=struct.pack("<HHI", 1, 4, 7))), "error",
        ["zip64", "extra", "size"], "zip64 field of 4 bytes")
    z = struct.pack("<HHQQ", 1, 16, len(h5), len(h5))
    add("zip64_twice", three(w=Member("model.weights.h5", h5, csize=0xFFFFFFFF, usize=0xFFFFFFFF, extra=z + struct.pack(
        "<HHQQ", 1, 16, 1 << 40, 1 << 40))), "error", ["zip64", "extra", "duplicate"], "two zip64 fields that disagree")
    add("zip64_negative", three(w=Member("model.weights.h5", h5, csize=0xFFFFFFFF, usize=0xFFFFFFFF, extra=struct.pack(
        "<HHQQ", 1, 16, UNDEF - 15, UNDEF - 15))), "error", ["zip64", "size", "outside"], "zip64 sizes near 2^64")
    add("zip64_offset_negative", three(w=Member("model.weights.h5", h5, offset=0xFFFFFFFF, cextra=struct.pack(
        "<HHQ", 1, 8, UNDEF - 15))), "error", ["zip64", "offset", "outside", "range"], "zip64 offset near 2^64")
    add("zip64_end_loop", three(zip64={"eocd": 0}), "error", ["zip64", "zip", "end"], "zip64 locator points at offset 0")
    add("zip64_count_huge", three(zip64={"count": 1 << 40}), "error", ["count", "members", "limit", "directory", "zip"], "zip64 count 2^40")
    add("count_65535", three(count=65535), "error", ["count", "members", "directory", "zip"], "end record count 65,535, three present")
    add("count_1", three(count=1), "error", ["config.json", "count", "directory"], "end record count 1, three present")
    add("directory_outside", three(cdoffset=0x7FFFFFFF), "error", ["central directory", "offset", "outside", "zip"], "directory offset 2^31-1")
    add("disk_1", three(disk=1), "error", ["disk", "multi", "span"], "multi-disk archive")
    add("two_end_records", three(comment=build_zip([Member("config.json", evil)])), "any",
        ["zip", "end", "comment", "ambiguous", "metadata", "weights", "missing", "duplicate", "offset"], "a second archive inside the comment")
    add("tail_70000", good + b"\0" * 70000, "error", ["zip", "end of central", "trailing"], "70,000 bytes after the end record")
    add("tail_100", good + b"\0" * 100, "any", ["trailing", "zip"], "100 bytes after the end record")
    add("prefix_512", b"#!junk" + bytes(506) + good, "any", ["prefix", "offset", "zip"], "512 bytes before the archive (offsets not moved)")
    add("descriptor_lies", three(c=Member("config.json", conf, flags=8, lcrc=0, lcsize=0, lusize=0,
        descriptor=struct.pack("<4sIII", b"PK\7\x08", 1, 2, 3))), "any", ["descriptor", "mismatch", "crc"], "data descriptor disagrees with the directory")

    # bombs
    gib = 1024 * MiB
    raw = zeros_deflate(gib)
    add("bomb_weights_1g", three(w=Member("model.weights.h5", raw=raw, method=8, usize=gib, crc=zeros_crc(gib))), "error",
        ["limit", "ratio", "large", "hdf5", "signature"], "1 GiB of zeros as the weights (ratio 1000)")
    raw = zeros_deflate(256 * MiB, b" ")
    add("bomb_config_256m", three(c=Member("config.json", raw=raw, method=8, usize=256 * MiB, crc=zeros_crc(256 * MiB, b" "))), "error",
        ["limit", "ratio", "large", "json"], "256 MiB of blanks as config.json")
    raw = zeros_deflate(512 * MiB)
    add("bomb_declared_small", three(w=Member("model.weights.h5", raw=raw, method=8, usize=4096, crc=0)), "error",
        ["size", "declared", "inflate", "longer", "crc"], "deflate stream of 512 MiB declared as 4 KiB")
    add("declared_large", three(w=Member("model.weights.h5", h5, 8, usize=3 * gib)), "error",
        ["size", "limit", "ratio", "declared"], "small deflate stream declared as 3 GiB")
    add("deflate_garbage", three(w=Member("model.weights.h5", h5, 8, raw=b"\xff" * 500)), "error", ["inflate", "deflate", "corrupt"], "deflate stream of 0xFF")
    c = Member("config.json", conf, 8).raw
    add("deflate_cut", three(c=Member("config.json", conf, 8, raw=c[:len(c) // 2])), "error", ["inflate", "deflate", "truncated", "corrupt", "size"], "deflate stream cut in half")
    add("overlap", three(extra=[Member(f"assets/{i}", h5, nolocal=True, lname=b"model.weights.h5", offset=30 + 13 + len(meta) + 30 + 11 + len(conf))
                                for i in range(1000)]), "error", ["overlap", "limit", "name", "member", "mismatch"], "1,000 members sharing one local header")
    add("members_60000", three(extra=[Member(f"assets/{i}", nolocal=True, offset=0) for i in range(60000)]), "error",
        ["limit", "members", "too many", "overlap", "mismatch", "name"], "60,000 directory entries")


def json_cases(out, m):
    conf = json.dumps(m.config())

    def add(name, raw, expect, theme, what, **kw):
        raw = raw if isinstance(raw, bytes) else raw.encode()
        out.add(f"json/{name}.keras", m.keras(raw), "keras", expect, theme, what, **kw)

    def sub(a, b):
        assert a in conf
        return conf.replace(a, b, 1)

    F = '"filters": 4'
    js = ["json", "parse"]
    add("ok_indented", json.dumps(m.config(), indent=3, sort_keys=True), "loads", [], "control: other spacing, sorted keys")
    add("ok_functional", json.dumps(m.functional_config()), "loads", [], "control: the same layers as a Functional model")
    add("empty", b"", "error", js + ["empty"], "config.json of 0 bytes")
    add("cut", conf[:len(conf) // 2], "error", js, "config.json cut in half")
    add("null", "null", "error", js + ["object"], "top level null")
    add("array", "[" + conf + "]", "error", js + ["object"], "top level array")
    add("number", "4", "error", js + ["object"], "top level number")
    add("tail", conf + " {}", "error", js + ["trailing"], "second value after the first")
    add("trailing_comma", conf[:-1] + ",}", "error", js, "trailing comma")
    add("comment", "/* x */" + conf, "error", js, "comment")
    add("single_quotes", conf.replace('"', "'"), "error", js, "Python literal quotes")
    add("nul_inside", sub(F, '"fil\0ters": 4'), "error", js + ["control"], "raw NUL inside a key")
    add("bad_utf8", conf.encode().replace(b'"tiny"', b'"ti\xff\xc0ny"', 1), "error", js + ["utf-8", "utf8"], "invalid UTF-8 in the model name")
    add("overlong_utf8", conf.encode().replace(b'"tiny"', b'"\xc0\xaf\xe0\x80\xaf"', 1), "error", js + ["utf-8", "utf8"], "overlong UTF-8 slash")
    add("lone_surrogate", sub('"up1"', '"\\ud800"'), "error", js + ["surrogate", "utf", "name"], "lone surrogate as a layer name")
    add("bom", b"\xef\xbb\xbf" + conf.encode(), "any", js + ["bom"], "UTF-8 byte order mark")
    add("utf16", conf.encode("utf-16"), "any", js + ["utf"], "UTF-16 text")
    add("depth_100000", sub(F, F + ', "x": ' + "[" * 100000 + "]" * 100000), "error", ["nest", "depth", "deep", "limit"], "100,000 nested arrays")
    add("depth_open_1e6", "[" * 1000000, "error", ["nest", "depth", "deep", "limit", "json"], "1,000,000 opening brackets")
    add("depth_objects", '{"a":' * 50000 + "1" + "}" * 50000, "error", ["nest", "depth", "deep", "limit"], "50,000 nested objects")
    add("string_20m", sub('"tiny"', '"' + "A" * 20_000_000 + '"'), "error", ["limit", "large", "long", "json"], "model name of 20,000,000 letters")
    add("keys_500000", sub(F, F + "," + ",".join(f'"k{i}":0' for i in range(500000))), "error",
        ["unknown", "unrecognized", "unexpected", "limit", "key"], "500,000 unknown keys in a layer config")
    add("dup_filters", sub(F, '"filters": 4, "filters": 8'), "error", ["duplicate", "twice"], '"filters" twice')
    add("dup_class", sub('"class_name": "Sequential"', '"class_name": "Sequential", "class_name": "Lambda"'), "error",
        ["duplicate", "twice", "lambda"], '"class_name" twice')
    for tag, val in [("nan", "NaN"), ("infinity", "Infinity"), ("1e999", "1e999"), ("2p63", str(2 ** 63)), ("2p64", str(2 ** 64 + 4)),
                     ("2p53", str(2 ** 53 + 1)), ("fraction", "4.5"), ("true", "true"), ("string", '"4"'), ("list", "[4]"),
                     ("null", "null"), ("object", "{}"), ("hex", "0x4"), ("leading_zero", "04"), ("plus", "+4"), ("digits", "4" * 5000)]:
        add("filters_" + tag, sub(F, f'"filters": {val}'), "error", ["filters", "json", "parse", "integer", "number"], f"filters is {val[:30]}")


def layer_cases(out, m):
    def add(name, data, theme, what, expect="error", **kw):
        kw.setdefault("stage", "model")
        out.add(f"layer/{name}.keras", data, "keras", expect, theme, what, **kw)

    def key(name, key, value, theme, what=None, **kw):
        add(name, m.edited(lambda c, a, b: a.__setitem__(key, value)), theme, what or f"{key} = {value!r}", **kw)

    out.secrets("layer")
    big = ["limit", "large", "overflow", "range", "shape", "size", "filters", "kernel"]
    for tag, v in [("0", 0), ("neg", -1), ("2p31", 2 ** 31), ("2p62", 2 ** 62), ("5", 5)]:
        key("filters_" + tag, "filters", v, ["filters"] + big)
    for tag, v in [("0", [0, 3]), ("neg", [-3, -3]), ("2p20", [2 ** 20, 2 ** 20]), ("one", [3]), ("four", [3, 3, 3, 3]), ("string", "33"), ("object", {"h": 3})]:
        key("kernel_" + tag, "kernel_size", v, ["kernel"] + big)
    for tag, v in [("0", [0, 2]), ("neg", [-2, 2]), ("three", [2, 2, 2]), ("2p31", [2 ** 31, 2 ** 31])]:
        key("strides_" + tag, "strides", v, ["stride"] + big, stage="run" if tag == "2p31" else "model")
    key("dilation_0", "dilation_rate", [0, 1], ["dilation"])
    add("dilation_2p31", m.edited(lambda c, a, b: a.update(strides=[1, 1], dilation_rate=[2 ** 31, 2 ** 31])), ["dilation"] + big,
        "dilation 2^31 with stride 1", stage="run")
    key("dilation_and_stride", "dilation_rate", [2, 2], ["dilation", "stride"], "stride 2 with dilation 2")
    key("output_padding_large", "output_padding", [2, 2], ["output_padding", "output padding"], "output_padding equal to the stride")
    key("output_padding_neg", "output_padding", [-1, 0], ["output_padding", "output padding"])
    key("groups_2", "groups", 2, ["groups", "unknown", "unrecognized", "unexpected"], "a groups key")
    key("unknown_key", "fliters", 4, ["fliters", "unknown", "unrecognized", "unexpected"], "misspelt key")
    key("padding_causal", "padding", "causal", ["padding"])
    key("data_format_junk", "data_format", "channels_middle", ["data_format", "data format"])
    key("use_bias_string", "use_bias", "false", ["use_bias", "bool"])
    key("trainable_number", "trainable", 1, ["trainable", "bool"], expect="any")
    key("dtype_unknown", "dtype", "float33", ["dtype", "policy", "float33"])
    key("dtype_float8", "dtype", {"module": "keras", "class_name": "QuantizedFloat8DTypePolicy", "config": {"mode": "float8", "source_name": "float32"},
                                  "registered_name": None}, ["dtype", "policy", "float8", "quantiz"], "float8 dtype policy")
    key("name_slash", "name", "../../up1", ["name"])
    key("name_number", "name", 17, ["name", "string"])
    add("name_twice", m.edited(lambda c, a, b: b.__setitem__("name", "up1")), ["name", "duplicate", "unique"], "two layers of the same name")
    add("no_filters", m.edited(lambda c, a, b: a.pop("filters") and None), ["filters", "missing"], "filters missing")
    add("no_kernel", m.edited(lambda c, a, b: a.pop("kernel_size") and None), ["kernel_size", "missing"], "kernel_size missing")
    add("product_overflow", m.edited(lambda c, a, b: a.update(filters=2 ** 31, kernel_size=[2 ** 16, 2 ** 16])), big, "filters*kernel wraps in 64 bits")
    add("filters_disagree", m.edited(lambda c, a, b: (a.__setitem__("filters", 6), None)[1]), ["shape", "filters", "mismatch", "expect"], "filters 6, stored kernel has 4")
    add("use_bias_off", m.edited(lambda c, a, b: a.__setitem__("use_bias", False)), ["bias", "variables", "weights", "expect"], "use_bias false, a bias is stored")

    # classes
    def swap(cls, module, config, registered=None):
        def f(c, a, b):
            c["config"]["layers"][2] = {"module": module, "class_name": cls, "config": {"name": "x", **config}, "registered_name": registered,
                                        "build_config": {"input_shape": [None, 6, 6, 4]}}
        return m.edited(f)

    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAAAAAAA", "defaults": None, "closure": None}}
    add("class_lambda", swap("Lambda", "keras.layers", {"function": code, "trainable": True, "dtype": "float32", "arguments": {}}), ["lambda"], "Lambda layer", stage="model")
    add("class_tfsm", swap("TFSMLayer", "keras.layers", {"filepath": "secret.txt", "call_endpoint": "serve"}), ["tfsmlayer", "unsupported", "unknown"], "TFSMLayer naming a file")
    add("class_torch", swap("TorchModuleWrapper", "keras.layers", {"module": "gASVAAAAAA=="}), ["torchmodulewrapper", "unsupported", "unknown"], "TorchModuleWrapper with a pickle")
    add("class_lookup", swap("StringLookup", "keras.layers", {"vocabulary": "secret.txt"}), ["stringlookup", "unsupported", "unknown"], "StringLookup reading a local file")
    add("class_unknown", swap("Conv2DTransposeX", "keras.layers", {}), ["conv2dtransposex", "unsupported", "unknown"], "unknown class")
    add("class_os_system", swap("system", "os", {"command": "cat secret.txt"}), ["module", "os", "unsupported", "unknown"], "module os, class system")
    add("class_popen", swap("Popen", "subprocess", {"args": ["cat", "secret.txt"]}), ["module", "subprocess", "unsupported", "unknown"], "module subprocess, class Popen")
    add("class_unsafe_switch", swap("enable_unsafe_deserialization", "keras.config", {}), ["module", "unsupported", "unknown"], "config calls enable_unsafe_deserialization")
    add("class_get_file", swap("function", "builtins", {}, "function"), ["module", "function", "unsupported", "unknown"], "a function as a layer")
    add("class_registered", swap("Conv2DTranspose", "builtins", {}, "evil>Conv2DTranspose"), ["registered", "module", "custom", "missing", "unsupported"], "registered custom class under a known name")
    add("class_number", m.edited(lambda c, a, b: c["config"]["layers"][1].__setitem__("class_name", 7)), ["class_name", "string"], "class_name is a number")
    add("class_missing", m.edited(lambda c, a, b: c["config"]["layers"][1].pop("class_name") and None), ["class_name", "missing"], "class_name missing")
    add("config_missing", m.edited(lambda c, a, b: c["config"]["layers"][1].pop("config") and None), ["config", "missing"], "layer without config")
    add("activation_lambda", m.edited(lambda c, a, b: a.__setitem__("activation", code)), ["activation", "lambda"], "activation is a __lambda__ object")
    add("activation_eval", m.edited(lambda c, a, b: a.__setitem__("activation", {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"})),
        ["activation", "function", "unsupported"], "activation is builtins.eval")
    key("activation_unknown", "activation", "releu", ["activation", "releu"])
    key("activation_path", "activation", "secret.txt", ["activation"])
    key("initializer_function", "kernel_initializer", {"module": "builtins", "class_name": "function", "config": "exec", "registered_name": "function"},
        ["initializer", "function"], "initializer is a function")
    key("initializer_tensor", "bias_initializer", {"class_name": "__tensor__", "config": {"value": [1, 2, 3, 4], "dtype": "float32"}}, ["initializer", "__tensor__"], "__tensor__ object as initializer", expect="any")
    key("regularizer_numpy", "kernel_regularizer", {"class_name": "__numpy__", "config": {"value": [1.0], "dtype": "object"}}, ["regularizer", "__numpy__"], "__numpy__ object as regularizer")
    key("constraint_module", "kernel_constraint", {"module": "shutil", "class_name": "rmtree", "config": {"path": "."}, "registered_name": None}, ["constraint", "module", "shutil"], "constraint names shutil.rmtree")

    # model level
    add("layers_empty", m.edited(lambda c, a, b: c["config"].__setitem__("layers", [])), ["layers", "empty", "no "], "empty layer list")
    add("layers_object", m.edited(lambda c, a, b: c["config"].__setitem__("layers", {"0": 1})), ["layers"], "layers is an object")
    add("layers_20000", m.edited(lambda c, a, b: c["config"]["layers"].extend([{"module": "keras.layers", "class_name": "Activation", "config": {
        "name": f"a{i}", "activation": "linear"}, "registered_name": None} for i in range(20000)])), ["limit", "layers", "too many"], "20,000 layers")
    add("input_dim_neg", m.edited(lambda c, a, b: c["config"]["layers"][0]["config"].__setitem__("batch_shape", [None, -3, 3, 2])), ["shape", "batch_shape"], "negative input height")
    add("input_dim_string", m.edited(lambda c, a, b: c["config"]["layers"][0]["config"].__setitem__("batch_shape", [None, "3", 3, 2])), ["shape", "batch_shape"], "input height is a string")
    add("input_rank_2", m.edited(lambda c, a, b: c["config"]["layers"][0]["config"].__setitem__("batch_shape", [None, 2])), ["shape", "rank", "dim", "ndim"], "rank 2 input")
    add("input_channels", m.edited(lambda c, a, b: c["config"]["layers"][0]["config"].__setitem__("batch_shape", [None, 3, 3, 9])), ["shape", "channel", "mismatch"], "9 input channels, the kernel has 2")
    add("build_shape_disagrees", m.edited(lambda c, a, b: c["config"]["layers"][1]["build_config"].__setitem__("input_shape", [None, 3, 3, 7])), ["shape", "build", "channel"],
        "build_config disagrees with the weights", expect="any")
    add("output_2p40", m.edited(lambda c, a, b: a.update(strides=[2 ** 18, 2 ** 18])), big, "first output would hold about 2^40 values", stage="run")
    add("version_absurd", m.keras(metadata=b'{"keras_version": "999999.0.0", "date_saved": "x"}'), ["version"], "keras_version 999999", expect="any")
    add("metadata_junk", m.keras(metadata=b"\0\1\2"), ["metadata"], "metadata.json is not JSON", expect="any")

    # functional graphs
    def fun(edit):
        c = m.functional_config()
        edit(c["config"]["layers"], c["config"])
        return m.keras(c)

    hist = lambda ly: ly["inbound_nodes"][0]["args"][0]["config"]
    graph = ["cycle", "inbound", "graph", "layer", "node"]
    add("graph_cycle", fun(lambda l, c: hist(l[1]).__setitem__("keras_history", ["up2", 0, 0])), graph, "up1 takes its input from up2")
    add("graph_self", fun(lambda l, c: hist(l[1]).__setitem__("keras_history", ["up1", 0, 0])), graph, "up1 takes its input from itself")
    add("graph_missing", fun(lambda l, c: hist(l[2]).__setitem__("keras_history", ["nope", 0, 0])), graph, "inbound layer does not exist")
    add("graph_node_index", fun(lambda l, c: hist(l[2]).__setitem__("keras_history", ["up1", 2 ** 31, -1])), graph, "node index 2^31")
    add("graph_output_missing", fun(lambda l, c: c.__setitem__("output_layers", [["nope", 0, 0]])), graph + ["output"], "output layer does not exist")


def h5_cases(out, m):
    K1, B1, K2 = ("layers/conv2d_transpose/vars/0", "layers/conv2d_transpose/vars/1", "layers/conv2d_transpose_1/vars/0")
    V1, V2 = "layers/conv2d_transpose/vars", "layers/conv2d_transpose_1/vars"
    good = m.h5()
    out.secrets("h5")

    def add(name, data, theme, what, expect="error", bare=False, **kw):
        """bare: a .weights.h5 file; otherwise the same bytes inside a .keras archive."""
        if bare:
            out.add(f"h5/{name}.weights.h5", data, "weights_h5", expect, theme, what, **kw)
        else:
            out.add(f"h5/{name}.keras", m.keras(h5=data), "keras", expect, theme, what, **kw)

    def rep(fn, path=K1, **kw):
        return m.h5(replace={path: fn}, **kw)

    def edit(fn, data=good):
        e = H5Edit(data)
        fn(e)
        return e.done()

    # valid controls
    add("ok_bare", good, [], "control: plain weights file", "loads", bare=True)
    add("ok_chunked_gzip", rep(lambda g, k, a: g.create_dataset(k, data=a, chunks=(2, 2, 4, 2), compression="gzip", shuffle=True)),
        [], "control: chunked, shuffle and gzip", "loads")

    def compact(g, k, a):
        p = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        p.set_layout(h5py.h5d.COMPACT)
        h5py.h5d.create(g.id, k.encode(), h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple(a.shape), p).write(h5py.h5s.ALL, h5py.h5s.ALL, a)
    add("ok_compact", rep(compact), [], "control: compact layout", "loads")
    add("ok_optimizer_group", m.h5(post=lambda f: f.create_dataset("optimizer/vars/0", data=np.int32(5))), [], "control: an optimizer group besides", "loads")
    add("big_endian", rep(lambda g, k, a: g.create_dataset(k, data=a.astype(">f4"))), ["endian", "type"], "big-endian kernel", "any")
    add("float64", rep(lambda g, k, a: g.create_dataset(k, data=a.astype("<f8"))), ["float64", "type", "dtype"], "float64 kernel", "any")
    add("user_block", m.h5(userblock_size=512), ["user block", "signature", "base"], "512-byte user block", "any")
    add("latest_format", m.h5(libver=V110), ["superblock", "version", "unsupported"], "superblock 3 and new-style groups", "any")
    nan = Model(m.name, m.input_shape, m.seed, m.layers)
    nan.weights[0][0][0, 0, 0, 0] = np.nan
    add("nan_weight", nan.h5(), ["nan", "finite"], "NaN in the kernel", "any", if_accepted="free")

    # links and foreign files
    def other(path):
        return lambda g, k, a: g.__setitem__(k, path)
    add("soft_link", rep(lambda g, k, a: (g.create_dataset("9", data=a), g.__setitem__(k, h5py.SoftLink("9")))), ["soft link", "link"], "kernel behind a soft link", bare=True)
    add("soft_loop", rep(other(h5py.SoftLink("/" + K1))), ["soft link", "link"], "soft link to itself", bare=True)
    add("soft_dangling", rep(other(h5py.SoftLink("/nowhere/at/all"))), ["soft link", "link"], "soft link to nothing")
    add("external_link_dataset", rep(other(h5py.ExternalLink("secret.h5", "/" + K1))), ["external link", "link"], "external link for the kernel", bare=True, secret=True)
    add("external_link_group", m.h5(post=lambda f: (f.__delitem__("layers"), f.__setitem__("layers", h5py.ExternalLink("secret.h5", "/layers")))),
        ["external link", "link"], "external link for /layers", bare=True, secret=True)
    add("external_link_self", m.h5(post=lambda f: (f.__delitem__("layers"), f.__setitem__("layers", h5py.ExternalLink("external_link_self.weights.h5", "/layers")))),
        ["external link", "link"], "external link to itself", bare=True)

    def ud(e):
        for t, off, _ in e.messages(e.header(V1)):
            if t == 6 and e.b[off + 1] & 8 and e.b[off + 2] == 64:
                e.b[off + 2] = 65
    add("user_link", edit(ud, rep(other(h5py.ExternalLink("secret.h5", "/" + K1)))), ["user-defined", "user defined", "link"], "user-defined link class 65", bare=True)
    ext = lambda name: (lambda g, k, a: g.create_dataset(k, a.shape, a.dtype, external=[(name, 0, a.nbytes)]))
    add("external_storage", rep(ext("secret.txt")), ["external"], "raw data of the kernel in secret.txt", bare=True, secret=True)
    add("external_storage_dotdot", rep(ext("../h5/secret.txt")), ["external"], "raw data in ../h5/secret.txt", bare=True, secret=True)
    add("external_storage_environ", rep(ext("/proc/self/environ")), ["external"], "raw data in the process environment", bare=True, secret=True)
    add("external_storage_zip", rep(ext("secret.txt"), path=B1), ["external"], "raw data of the bias in secret.txt, inside an archive", secret=True)

    def virtual(src):
        def f(g, k, a):
            lay = h5py.VirtualLayout(a.shape, a.dtype)
            lay[...] = h5py.VirtualSource(src, "/" + K1, a.shape, a.dtype)
            g.create_virtual_dataset(k, lay)
        return f
    add("virtual", rep(virtual("secret.h5")), ["virtual"], "virtual dataset over secret.h5", bare=True, secret=True)
    add("virtual_self", rep(virtual(".")), ["virtual"], "virtual dataset over itself", bare=True)
    add("hard_cycle", m.h5(post=lambda f: f[V1].__setitem__("loop", f["layers"])), ["cycle", "loop", "unexpected", "link"], "hard link back to /layers", "any")
    add("hard_alias", m.h5(post=lambda f: (f[V2].__delitem__("1"), f[V2].__setitem__("1", f[B1]))), ["shape", "alias", "twice", "overlap"], "bias of the second layer is the first layer's bias (wrong shape)", stage="model")

    # sizes
    big = (50_000_000, 50_000_000)
    sz = ["shape", "size", "large", "limit", "overflow", "rank", "declared"]
    add("bomb_shape_gzip", rep(lambda g, k, a: g.create_dataset(k, big, "<f4", chunks=(1000, 1000), compression="gzip")), sz, "50M x 50M chunked, nothing stored")
    add("bomb_shape_plain", edit(lambda e: [e.put("Q", e.space(K1) + 8 + 8 * i, 1 << 15) for i in range(4)]), sz, "contiguous kernel claims (2^15)^4")
    add("bomb_overflow", edit(lambda e: [e.put("Q", e.space(K1) + 8 + 8 * i, 1 << 62) for i in range(4)]), sz, "dimensions 2^62 wrap in 64 bits")
    add("bomb_wrap_exact", edit(lambda e: [e.put("Q", e.space(K1) + 8 + 8 * i, v) for i, v in enumerate((1 << 32, 1 << 31, 2, 72))]), sz, "product of dimensions wraps to 0")
    add("bomb_layout_size", edit(lambda e: e.put("Q", e.layout(K1) + 10, 1 << 40)), sz + ["layout", "contiguous"], "contiguous size 2^40", "any")

    def consistent(c, a, b):
        a["filters"] = 50_000_000
        b["filters"] = 3
    c = m.config()
    consistent(c, c["config"]["layers"][1]["config"], c["config"]["layers"][2]["config"])
    out.add("h5/bomb_consistent.keras", m.keras(c, m.h5(replace={
        K1: lambda g, k, a: g.create_dataset(k, (3, 3, 50_000_000, 2), "<f4", chunks=(1, 1, 1_000_000, 2), compression="gzip"),
        B1: lambda g, k, a: g.create_dataset(k, (50_000_000,), "<f4", chunks=(1_000_000,), compression="gzip"),
        K2: lambda g, k, a: g.create_dataset(k, (3, 3, 3, 50_000_000), "<f4", chunks=(1, 1, 1, 1_000_000), compression="gzip")})),
        "keras", "error", sz, "config and empty chunked weights agree on 50M filters")
    zz = struct.pack(">H", 0x78DA) + zeros_deflate(256 * MiB) + struct.pack(">I", (((256 * MiB) % 65521) << 16) | 1)
    add("bomb_chunk_deflate", rep(lambda g, k, a: g.create_dataset(k, a.shape, "<f4", chunks=(1024, 1024, 64, 1), maxshape=(None,) * 4,
        compression="gzip").id.write_direct_chunk((0, 0, 0, 0), zz)), sz + ["chunk", "ratio"], "one chunk of 256 MiB zeros behind a small kernel")
    gz = rep(lambda g, k, a: g.create_dataset(k, data=a, chunks=a.shape, compression="gzip"))
    add("chunk_dims_huge", edit(lambda e: [e.put("I", e.layout(K1) + 11 + 4 * i, 0xFFFFFFFF) for i in range(4)], gz), sz + ["chunk"], "chunk dimensions 2^32-1")
    add("chunk_dims_zero", edit(lambda e: e.put("I", e.layout(K1) + 11, 0), gz), sz + ["chunk"], "chunk dimension 0")
    add("chunk_garbage", rep(lambda g, k, a: g.create_dataset(k, a.shape, a.dtype, chunks=a.shape, compression="gzip").id.write_direct_chunk((0,) * 4, b"\xaa" * 300)),
        ["deflate", "inflate", "chunk", "filter", "corrupt"], "gzip chunk of garbage")
    add("chunk_short", rep(lambda g, k, a: g.create_dataset(k, a.shape, a.dtype, chunks=a.shape, compression="gzip").id.write_direct_chunk((0,) * 4, zlib.compress(bytes(40)))),
        ["chunk", "size", "short", "deflate"], "gzip chunk that inflates to 40 bytes")
    add("chunk_unwritten", rep(lambda g, k, a: g.create_dataset(k, a.shape, a.dtype, chunks=a.shape)), ["chunk", "missing", "unwritten", "stored", "address"], "chunked kernel never written", "any", if_accepted="free")

    def chunk_loop(e):
        t = e.u("Q", e.layout(K1) + 3)
        e.put("B", t + 5, 1).put("Q", t + 24 + 8 + 8 * 5, t)
    add("chunk_tree_loop", edit(chunk_loop, gz), ["b-tree", "btree", "cycle", "loop", "chunk"], "chunk B-tree node is its own child")
    add("filter_unknown", edit(lambda e: e.put("H", e.filters(K1) + 8, 32015), gz), ["filter"], "filter id 32015")
    add("filter_count_255", edit(lambda e: e.put("B", e.filters(K1) + 1, 255), gz), ["filter"], "255 filters declared")
    add("filter_lzf", rep(lambda g, k, a: g.create_dataset(k, data=a, chunks=a.shape, compression="lzf")), ["filter", "lzf"], "LZF filter")
    add("filter_scaleoffset", rep(lambda g, k, a: g.create_dataset(k, data=a, chunks=a.shape, scaleoffset=2)), ["filter", "scale"], "scale-offset filter")
    add("shuffle_size_0", edit(lambda e: e.put("I", e.filters(K1) + 8 + 8 + 8, 0), rep(lambda g, k, a: g.create_dataset(k, data=a, chunks=a.shape, shuffle=True))),
        ["filter", "shuffle"], "shuffle element size 0", "any", if_accepted="free")

    # types and shapes
    ty = ["type", "dtype", "class", "float"]
    odd = {"int32": lambda a: a.astype("<i4"), "bool": lambda a: a > 0, "complex": lambda a: a.astype("<c8"),
           "compound": lambda a: a.view([("x", "<f4")])[..., :], "strings": lambda a: a.astype("S8"), "opaque": lambda a: a.view("V4")}
    for tag, fn in odd.items():
        add("type_" + tag, rep(lambda g, k, a, fn=fn: g.create_dataset(k, data=fn(a))), ty, f"kernel of type {tag}",
            "any" if tag == "int32" else "error", if_accepted="equal", stage="model")
    add("type_vlen", rep(lambda g, k, a: g.create_dataset(k, a.shape, h5py.vlen_dtype("f4"))), ty + ["vlen", "variable"], "variable-length kernel")
    add("type_reference", rep(lambda g, k, a: g.create_dataset(k, a.shape, h5py.ref_dtype)), ty + ["reference"], "object references as the kernel")
    add("type_committed", rep(lambda g, k, a: (g.file.__setitem__("t", a.dtype), g.create_dataset(k, data=a, dtype=g.file["t"]))), ty + ["committed", "named", "shared"], "committed datatype", "any")
    add("type_size_0", edit(lambda e: e.put("I", e.dtype(K1) + 4, 0)), ty + ["size"], "float of 0 bytes")
    add("type_size_huge", edit(lambda e: e.put("I", e.dtype(K1) + 4, 0xFFFFFFFF)), ty + ["size"], "float of 2^32-1 bytes")
    add("type_class_15", edit(lambda e: e.put("B", e.dtype(K1), 0x1F)), ty, "datatype class 15")
    add("type_exponent_odd", edit(lambda e: e.put("B", e.dtype(K1) + 13, 31)), ty + ["exponent"], "float with a 31-bit exponent")
    add("rank_3", rep(lambda g, k, a: g.create_dataset(k, data=a[0])), ["rank", "shape", "dimension"], "kernel of rank 3", stage="model")
    add("rank_0", rep(lambda g, k, a: g.create_dataset(k, data=np.float32(1))), ["rank", "shape", "dimension", "scalar"], "scalar kernel", stage="model")
    add("dims_0", rep(lambda g, k, a: g.create_dataset(k, (0, 3, 4, 2), "<f4")), ["shape", "zero", "empty", "dimension"], "kernel with a zero dimension", stage="model")
    add("null_space", rep(lambda g, k, a: g.create_dataset(k, data=h5py.Empty("f4"))), ["null", "shape", "empty", "dataspace"], "kernel with a null dataspace", stage="model")
    add("transposed", rep(lambda g, k, a: g.create_dataset(k, data=a.swapaxes(2, 3))), ["shape", "expect"], "kernel axes swapped", stage="model")
    add("rank_33", edit(lambda e: e.put("B", e.space(K1) + 1, 33)), ["rank", "dataspace", "dimension"], "rank 33")

    # groups
    gp = ["missing", "not found", "expect", "weights", "layer", "variable"]
    add("no_bias", m.h5(skip=(B1,)), gp + ["bias"], "bias dataset missing", stage="model")
    add("extra_variable", m.h5(post=lambda f: f[V1].create_dataset("2", data=np.zeros(3, "<f4"))), gp + ["extra", "unexpected"], "a third variable", stage="model")
    add("no_layer", m.h5(only=(0,)), gp, "second layer missing", stage="model")
    add("no_layers_group", m.h5(only=()), gp, "/layers missing", bare=True, stage="model")
    add("extra_layer", m.h5(post=lambda f: f.create_group("layers/conv2d_transpose_2/vars").create_dataset("0", data=np.ones(3, "<f4"))), gp + ["extra", "unexpected"], "weights of a layer the config lacks", "any")
    add("vars_is_dataset", m.h5(post=lambda f: (f.__delitem__(V1), f.create_dataset(V1, data=np.ones(3, "<f4")))), gp + ["group"], "vars is a dataset", stage="model")
    add("zero_is_group", rep(lambda g, k, a: g.create_group(k)), gp + ["dataset", "group"], "variable 0 is a group", stage="model")
    add("links_30000", m.h5(post=lambda f: [f["vars"].__setitem__(str(i), f["layers"]) for i in range(30000)] and None), ["limit", "objects", "cycle", "links", "unexpected"], "30,000 hard links in one group", "any")

    # bytes: superblock
    sb = ["superblock", "signature", "hdf5", "version", "offset", "address", "end of file", "truncated", "size"]
    add("sig_broken", edit(lambda e: e.put("B", 1, 0x49)), sb, "signature broken", bare=True)
    for v in (1, 4, 255):
        add(f"sb_version_{v}", edit(lambda e: e.put("B", 8, v)), sb, f"superblock version byte {v}", "any" if v == 1 else "error", bare=True)
    for v in (0, 1, 16):
        add(f"sb_offset_size_{v}", edit(lambda e: e.put("B", 13, v)), sb, f"size of offsets {v}", bare=True)
    add("sb_base_address", edit(lambda e: e.put("Q", 24, 96)), sb + ["base"], "base address 96", "any", bare=True)
    add("sb_eof_past", edit(lambda e: e.put("Q", 40, 1 << 40)), sb, "end-of-file address 2^40", bare=True)
    add("sb_eof_small", edit(lambda e: e.put("Q", 40, 64)), sb, "end-of-file address 64", bare=True)
    for tag, v in [("undefined", UNDEF), ("past", 1 << 40), ("zero", 0), ("odd", 97)]:
        add("root_" + tag, edit(lambda e: e.put("Q", 64, v)), sb + ["object header", "root"], f"root object header at {v:#x}", bare=True)
    for n in (0, 7, 8, 95, 96, 200, 800, len(good) // 2, len(good) - 1):
        add(f"cut_{n}", good[:n], sb, f"cut to {n} bytes", bare=True)

    # bytes: groups
    tr = ["b-tree", "btree", "symbol", "heap", "group", "object header", "address", "cycle", "name", "corrupt", "link"]

    def self_child(e):
        t = e.btree(V1)
        e.put("B", t + 5, 1).put("Q", t + 32, t)
    add("tree_loop", edit(self_child), tr, "group B-tree node is its own child")
    add("tree_level_255", edit(lambda e: e.put("B", e.btree("layers") + 5, 255)), tr, "group B-tree level 255")
    add("tree_count", edit(lambda e: e.put("H", e.btree("layers") + 6, 65535)), tr, "group B-tree of 65,535 entries")
    add("tree_past", edit(lambda e: e.put("Q", e.msg("layers", 0x11), 1 << 50)), tr, "group B-tree address past the end")
    add("tree_signature", edit(lambda e: e.put("4s", e.btree("layers"), b"TREX")), tr, "group B-tree signature broken")
    add("snod_count", edit(lambda e: e.put("H", e.snod(V1) + 6, 65535)), tr, "symbol node of 65,535 entries")
    add("snod_name_past", edit(lambda e: e.put("Q", e.snod(V1) + 8, 1 << 40)), tr, "link name offset outside the heap")
    add("snod_name_negative", edit(lambda e: e.put("Q", e.snod(V1) + 8, UNDEF - 7)), tr, "link name offset near 2^64")
    add("snod_object_past", edit(lambda e: e.put("Q", e.snod(V1) + 16, 1 << 40)), tr, "object header address past the end")
    add("snod_object_parent", edit(lambda e: e.put("Q", e.snod(V1) + 16, e.header("layers"))), tr + ["dataset"], "variable 0 is the parent group")
    add("heap_past", edit(lambda e: e.put("Q", e.heap(V1) + 24, 1 << 40)), tr, "heap data address past the end")
    add("heap_size", edit(lambda e: e.put("Q", e.heap(V1) + 8, 1 << 60)), tr + ["size"], "heap size 2^60")
    add("heap_no_nul", edit(lambda e: e.b.__setitem__(slice(e.u("Q", e.heap(V1) + 24), e.u("Q", e.heap(V1) + 24) + e.u("Q", e.heap(V1) + 8)),
                                                      b"A" * e.u("Q", e.heap(V1) + 8))), tr, "heap without a NUL")

    # bytes: object headers
    oh = ["object header", "message", "continuation", "corrupt", "address", "layout", "dataspace", "datatype", "truncated", "size", "version", "missing"]

    def nil_to_continuation(e, target, length):
        for t, off, size in e.messages(e.header(K1)):
            if t == 0 and size >= 16:
                return e.put("H", off - 8, 0x10).put("QQ", off, target, length)
        raise KeyError("no NIL message")
    add("header_loop", edit(lambda e: (nil_to_continuation(e, e.header(K1) + 16, e.u("I", e.header(K1) + 8)), e.put("H", e.header(K1) + 2, 65535))), oh, "continuation back to the same header, 65,535 messages", "any")
    add("header_continuation_past", edit(lambda e: nil_to_continuation(e, 1 << 40, 512)), oh, "continuation past the end", "any")
    add("header_continuation_long", edit(lambda e: nil_to_continuation(e, e.header(K1), 1 << 40)), oh, "continuation of 2^40 bytes", "any")
    add("header_version", edit(lambda e: e.put("B", e.header(K1), 77)), oh, "object header version 77")
    add("header_size", edit(lambda e: e.put("I", e.header(K1) + 8, 0xFFFFFFF0)), oh, "object header of 4 GiB")
    add("header_message_size", edit(lambda e: e.put("H", e.space(K1) - 6, 65528)), oh, "message of 65,528 bytes")
    add("header_zero_messages", edit(lambda e: e.put("H", e.header(K1) + 2, 0)), oh, "no messages")
    add("header_unknown_must", edit(lambda e: e.put("HHB", e.space(K1) - 8, 0xFFF0, 40, 0x08)), oh + ["unknown"], "dataspace replaced by an unknown message")
    add("header_shared_flag", edit(lambda e: e.put("B", e.dtype(K1) - 4, 0x02)), oh + ["shared"], "shared flag set on the datatype message")
    for tag, v in [("undefined", UNDEF), ("past", 1 << 40), ("minus", UNDEF - 63)]:
        add("layout_" + tag, edit(lambda e: e.put("Q", e.layout(K1) + 2, v)), oh + ["data", "allocated", "outside"], f"kernel data at {v:#x}",
            **({"expect": "any", "if_accepted": "free"} if tag == "undefined" else {}))
    add("layout_header", edit(lambda e: e.put("Q", e.layout(K1) + 2, 0)), oh + ["overlap"], "kernel data overlaps the superblock")
    add("layout_overlap", edit(lambda e: e.put("Q", e.layout(K1) + 2, e.u("Q", e.layout(K2) + 2) + 8)), oh + ["overlap"], "two kernels share bytes")
    add("layout_class", edit(lambda e: e.put("B", e.layout(K1) + 1, 9)), oh + ["class"], "layout class 9")
    add("attr_heap_past", edit(lambda e: e.put("Q", e.attr(V1) + 8 + 8 + 24 + 8 + 4 - 4, 1 << 40)), oh + ["heap", "attribute"], "global heap address of the name attribute damaged", "any")

    # plain bit flips in the first headers
    rng = np.random.RandomState(7)
    for i in range(12):
        b = bytearray(good)
        pos = int(rng.randint(8, 2000))
        b[pos] ^= 1 << int(rng.randint(8))
        add(f"flip_{i:02d}", bytes(b), [], f"bit flip at byte {pos}", "any", bare=True, if_accepted="free")


def legacy_cases(out, m):
    names = [ly["name"] for ly in m.layers]
    MW, UP1 = "model_weights", "model_weights/up1"
    S = lambda v: np.array(v, dtype=h5py.string_dtype())
    out.secrets("legacy")

    def add(name, data, theme, what, expect="error", **kw):
        out.add(f"legacy/{name}.h5", data, "legacy_h5", expect, theme, what, **kw)

    def cfg(edit):
        c = {"class_name": "Sequential", "config": copy.deepcopy(m.config()["config"])}
        for ly in c["config"]["layers"]:
            for k in ("module", "registered_name", "build_config"):
                ly.pop(k, None)
        edit(c, c["config"]["layers"][1]["config"])
        return c

    def attr(path, key, value, **kw):
        return m.legacy(post=lambda f: f[path].attrs.__setitem__(key, value), **kw)

    def drop(path, key):
        return m.legacy(post=lambda f: f[path].attrs.__delitem__(key))

    ln, wn = ["layer_names"], ["weight_names"]
    add("ok", m.legacy(), [], "control: legacy file", "loads")
    add("ok_fixed_strings", m.legacy(fixed=True), [], "control: fixed-length string attributes", "loads")
    add("ok_groups_1", m.legacy(cfg(lambda c, a: a.__setitem__("groups", 1))), [], "control: Keras 2 groups = 1", "loads")

    def chunked(f):
        del f[MW].attrs["layer_names"]
        for i, n in enumerate(names):
            f[MW].attrs[f"layer_names{i}"] = S([n])
    add("ok_chunked_names", m.legacy(post=chunked), [], "control: layer_names split in layer_names0, layer_names1", "loads")
    add("chunked_gap", m.legacy(post=lambda f: (chunked(f), f[MW].attrs.__delitem__("layer_names0"))), ln, "layer_names1 without layer_names0")
    add("names_missing", drop(MW, "layer_names"), ln, "layer_names missing")
    add("names_int", attr(MW, "layer_names", np.arange(2)), ln + ["string", "type"], "layer_names are integers")
    add("names_scalar", attr(MW, "layer_names", "up1"), ln, "layer_names is one string")
    add("names_2d", attr(MW, "layer_names", S([["up1", "up2"]])), ln, "layer_names of rank 2")
    add("names_1e6", m.legacy(post=lambda f: f[MW].attrs.create("layer_names", np.full(1_000_000, b"up1")), libver=V110), ln + ["limit", "too many", "superblock"], "layer_names of 1,000,000 entries")
    add("names_chunks_3000", m.legacy(post=lambda f: [f[MW].attrs.__delitem__("layer_names")] and [f[MW].attrs.create(f"layer_names{i}", np.array([b"up1"])) for i in range(3000)] and None,
        libver=V110), ln + ["duplicate", "limit", "mismatch", "layers"], "layer_names split in 3,000 attributes")
    add("names_dotdot", attr(MW, "layer_names", S(["../model_weights/up1", "up2"])), ln + ["path", "name", "not found"], "layer name with ..")
    add("names_absolute", attr(MW, "layer_names", S(["/model_weights/up1", "up2"])), ln + ["path", "name", "not found"], "absolute layer name", "any")
    add("names_unknown", attr(MW, "layer_names", S(["up1", "up9"])), ln + ["up9", "not found", "missing"], "layer that does not exist")
    add("names_twice", attr(MW, "layer_names", S(["up1", "up1"])), ln + ["duplicate", "shape", "twice"], "the same layer twice")
    add("names_three", attr(MW, "layer_names", S(["up1", "up2", "up1"])), ln + ["count", "layers", "duplicate"], "three names for two layers")
    add("names_swapped", attr(MW, "layer_names", S(["up2", "up1"])), ["shape", "expect", "layer"], "layer order swapped", stage="model")
    add("weights_missing", drop(UP1, "weight_names"), wn, "weight_names missing")
    add("weights_int", attr(UP1, "weight_names", np.arange(2)), wn + ["string", "type"], "weight_names are integers")
    add("weights_empty", attr(UP1, "weight_names", np.zeros((0,))), wn + ["expect", "count", "layer"], "weight_names empty", stage="model")
    add("weights_twice", attr(UP1, "weight_names", S(["tiny/up1/kernel"] * 2)), wn + ["duplicate", "shape", "twice"], "kernel named twice")
    add("weights_outside", attr(UP1, "weight_names", S(["/model_weights/up2/tiny/up2/kernel", "tiny/up1/bias"])), wn + ["path", "name", "shape", "outside"], "weight name outside the group")
    add("weights_dotdot", attr(UP1, "weight_names", S(["../up2/tiny/up2/kernel", "tiny/up1/bias"])), wn + ["path", "name", "not found"], "weight name with ..")
    add("weights_group", attr(UP1, "weight_names", S(["tiny/up1", "tiny/up1/bias"])), wn + ["dataset", "group"], "weight name is a group")
    add("weights_escape", attr(UP1, "weight_names", S(["\x1b[31mtiny/up1/kernel", "tiny/up1/bias"])), wn + ["name", "not found"], "terminal escape in a weight name (must not be echoed raw)")
    add("config_missing", drop("/", "model_config"), ["model_config", "config"], "model_config missing")
    add("config_int", attr("/", "model_config", 17), ["model_config", "string", "type"], "model_config is a number")
    add("config_text", m.legacy("hello"), ["model_config", "json"], "model_config is not JSON")
    add("config_deep", m.legacy("[" * 30000 + "]" * 30000), ["model_config", "json", "nest", "depth", "deep"], "model_config of 30,000 nested arrays")
    add("config_array", m.legacy(json.dumps([1, 2])), ["model_config", "object", "json"], "model_config is an array")
    code = {"class_name": "Lambda", "config": {"name": "l", "function": ["4wEAAAAAAAAA", None, None], "function_type": "lambda", "module": "builtins"}}
    add("config_lambda", m.legacy(cfg(lambda c, a: c["config"]["layers"].append(code))), ["lambda"], "Lambda layer in a legacy file")
    add("config_groups_2", m.legacy(cfg(lambda c, a: a.__setitem__("groups", 2))), ["groups"], "groups = 2")
    add("no_weights_group", m.legacy(post=lambda f: f.__delitem__(MW)), ["model_weights", "weights"], "model_weights missing")
    add("weights_is_dataset", m.legacy(post=lambda f: (f.__delitem__(MW), f.create_dataset(MW, data=np.ones(3)))), ["model_weights", "group"], "model_weights is a dataset")
    add("version_int", attr("/", "keras_version", 3), ["keras_version", "version"], "keras_version is a number", "any")
    add("soft_link", m.legacy(post=lambda f: (f.__delitem__(UP1), f.__setitem__(UP1, h5py.SoftLink("/model_weights/up2")))), ["soft link", "link"], "soft link for a layer")
    add("external_link", m.legacy(post=lambda f: (f.__delitem__(UP1), f.__setitem__(UP1, h5py.ExternalLink("secret.h5", "/layers/conv2d_transpose")))),
        ["external link", "link"], "external link for a layer", secret=True)

    def ext(f):
        p = UP1 + "/tiny/up1/kernel"
        del f[p]
        f.create_dataset(p, (3, 3, 4, 2), "<f4", external=[("secret.txt", 0, 288)])
    add("external_storage", m.legacy(post=ext), ["external"], "raw data of the kernel in secret.txt", secret=True)

    good = m.legacy()

    def heap_edit(fn):
        e = H5Edit(good)
        at = bytes(e.b).index(b"GCOL")
        fn(e, at)
        return e.done()
    add("heap_size_0", heap_edit(lambda e, a: e.put("Q", a + 8, 0)), ["heap", "global", "attribute"], "global heap of size 0")
    add("heap_size_past", heap_edit(lambda e, a: e.put("Q", a + 8, 1 << 40)), ["heap", "global", "attribute"], "global heap of 2^40 bytes")
    add("heap_object_size", heap_edit(lambda e, a: e.put("Q", a + 16 + 8, 1 << 40)), ["heap", "global", "attribute"], "global heap object of 2^40 bytes")
    add("heap_object_negative", heap_edit(lambda e, a: e.put("Q", a + 16 + 8, UNDEF - 15)), ["heap", "global", "attribute"], "global heap object size near 2^64")
    add("heap_signature", heap_edit(lambda e, a: e.put("4s", a, b"GCOX")), ["heap", "global", "attribute"], "global heap signature broken")
    add("cut_half", good[:len(good) // 2], ["truncated", "end of file", "hdf5"], "cut in the middle")


def npy_cases(out, m):
    x = m.input
    data, shape = x.tobytes(), str(x.shape)

    def add(name, data, expect, theme, what, **kw):
        kind = "npz" if kw.pop("z", False) else "npy"
        out.add(f"npy/{name}.{kind}", data, kind, expect, theme, what, stage="run", **kw)

    h = ["npy", "header"]
    add("ok_v1", npy(npy_head(shape), data), "loads", [], "control: plain .npy")
    add("ok_v2", npy(npy_head(shape), data, (2, 0)), "loads", [], "control: version 2")
    add("ok_fortran", npy(npy_head(shape, fortran="True"), x.tobytes("F")), "loads", [], "control: Fortran order")
    add("big_endian", npy(npy_head(shape, ">f4"), x.astype(">f4").tobytes()), "any", h + ["endian"], "big-endian data")
    add("float64", npy(npy_head(shape, "<f8"), x.astype("<f8").tobytes()), "any", h + ["dtype", "float64"], "float64 data")
    add("empty", b"", "error", h + ["empty", "magic", "truncated"], "file of 0 bytes")
    add("magic", b"\x93NUMPX" + npy(npy_head(shape), data)[6:], "error", h + ["magic"], "magic broken")
    add("version_9", npy(npy_head(shape), data, (9, 9)), "error", h + ["version"], "version 9.9")
    add("pickle", npy(npy_head(shape, "|O"), b"\x80\x04cos\nsystem\n(S'cat secret.txt'\ntR."), "error", h + ["dtype", "object", "pickle"], "object dtype with a pickle")
    add("structured", npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': %s, }" % shape, data), "error", h + ["dtype", "structured", "descr"], "structured dtype")
    add("header_4g", npy(npy_head(shape), data, (2, 0), hlen=0xFFFFFFF0), "error", h + ["limit", "truncated"], "header length 4 GiB")
    add("header_64k_missing", npy(npy_head(shape), data, hlen=65535), "error", h + ["truncated"], "header length past the file")
    add("header_import", npy("__import__('os').system('cat secret.txt')", data), "error", h, "header is an expression")
    add("header_parens", npy("(" * 60000, data), "error", h, "header of 60,000 parentheses")
    add("header_no_newline", npy(npy_head(shape).encode(), data, pad=False), "any", h, "header not padded, no newline")
    add("key_extra", npy(npy_head(shape)[:-1] + "'x': 1, }", data), "error", h + ["key"], "extra header key")
    add("key_missing", npy("{'descr': '<f4', 'shape': %s, }" % shape, data), "error", h + ["key", "fortran"], "fortran_order missing")
    add("key_twice", npy("{'descr': '<f8', 'descr': '<f4', 'fortran_order': False, 'shape': %s, }" % shape, data), "error", h + ["key", "duplicate", "twice"], "descr twice")
    for tag, s in [("negative", "(1, -3, 3, 2)"), ("float", "(1, 3.0, 3, 2)"), ("huge", "(1, 1000000, 1000000, 2)"), ("wrap", "(4294967296, 4294967296, 1, 1)"),
                   ("string", "('1', 3, 3, 2)"), ("number", "18"), ("digits", "(1%s,)" % ("0" * 400)), ("rank_40", "(" + "1, " * 40 + ")")]:
        add("shape_" + tag, npy(npy_head(s), data), "error", h + ["shape", "size", "overflow", "rank"], f"shape {s[:40]}")
    add("fortran_string", npy(npy_head(shape, fortran="'False'"), data), "error", h + ["fortran"], "fortran_order is a string")
    add("itemsize_0", npy(npy_head(shape, "|V0"), data), "error", h + ["dtype"], "dtype of 0 bytes")
    add("descr_junk", npy(npy_head(shape, "<f4444444444"), data), "error", h + ["dtype"], "dtype f4444444444")
    add("data_short", npy(npy_head(shape), data[:-1]), "error", h + ["size", "truncated", "short"], "one byte short")
    add("data_long", npy(npy_head(shape), data + bytes(16)), "any", h + ["size", "trailing", "long"], "16 bytes too many")
    add("zero_d", npy(npy_head("()"), bytes(4)), "error", ["rank", "shape", "dim"], "rank 0 input")
    add("rank_3", npy(npy_head("(3, 3, 2)"), data), "any", ["rank", "shape", "dim"], "rank 3 input", if_accepted="free")
    add("channels", npy(npy_head("(1, 3, 3, 5)"), bytes(180)), "error", ["channel", "shape"], "5 channels, model wants 2")
    good = npy(npy_head(shape), data)
    add("npz_ok", npz([("x.npy", good)]), "loads", [], "control: one array in an .npz", z=True)
    add("npz_dotdot", npz([("../x.npy", good)]), "any", ["name", "path"], "member ../x.npy", z=True)
    add("npz_empty", npz([]), "error", ["empty", "no array", "member", "array"], "no arrays", z=True)
    add("npz_text", npz([("x.npy", b"hello")]), "error", h + ["magic"], "member is not .npy", z=True)
    g = 512 * MiB
    add("npz_bomb", npz([Member("x.npy", raw=zeros_deflate(g), method=8, usize=g, crc=zeros_crc(g))]), "error", h + ["limit", "ratio", "magic", "large"], "512 MiB of zeros", z=True)
    big = npy(npy_head("(1, 8192, 16384, 1)"), b"")
    add("npz_bomb_valid", npz([Member("x.npy", raw=zeros_deflate(0)[:-2] + zlib_block(big) + zeros_deflate(g), method=8, usize=g + len(big),
        crc=zeros_crc_after(big, g))]), "error", ["limit", "ratio", "large", "channel", "shape"], "valid header, 512 MiB of zero data (ratio 1000)", z=True)
    add("npz_cut", npz([("x.npy", good)])[:100], "error", ["zip", "npz", "truncated"], "cut archive", z=True)


def zlib_block(data):
    c = zlib.compressobj(9, zlib.DEFLATED, -15)
    return c.compress(data) + c.flush(zlib.Z_FULL_FLUSH)


def zeros_crc_after(head, n):
    crc, block = zlib.crc32(head), bytes(8 * MiB)
    for _ in range(n // len(block)):
        crc = zlib.crc32(block, crc)
    return crc


def shard_cases(out, m):
    def add(name, theme, what, expect="error", index=None, files=None, raw=None, drop=(), **kw):
        idx, fs = m.shards()
        if index:
            idx = index(idx) or idx
        fs.update(files or {})
        folder = f"shards/{name}"
        for fn, data in fs.items():
            if fn not in drop:
                out.write(f"{folder}/{fn}", data)
        data = raw if raw is not None else json.dumps(idx, indent=4).encode()
        out.add(f"{folder}/model.weights.json", data, "shards", expect, theme, what, **kw)

    K1, K2 = ("/layers/conv2d_transpose/vars", "/layers/conv2d_transpose_1/vars")
    setk = lambda v, k=K1: (lambda i: i["weight_map"].__setitem__(k, v))
    path = ["path", "name", "shard", "outside"]
    out.secrets("shards")
    add("ok", [], "control: two shards", "loads")
    add("ok_string", [], "control: shard given as a string", "loads", setk("model_00000.weights.h5"))
    add("path_dotdot", path, "shard ../secret.h5", index=setk(["../secret.h5"]), secret=True)
    add("path_text", path + ["hdf5"], "shard ../secret.txt", index=setk(["../secret.txt"]), secret=True)
    add("path_absolute", path, "shard /proc/self/environ", index=setk(["/proc/self/environ"]), secret=True)
    add("path_backslash", path + ["not found", "open"], "shard ..\\secret.h5", index=setk(["..\\secret.h5"]))
    add("path_nul", path + ["nul"], "NUL in a shard name", index=setk(["model_00000.weights.h5\0.txt"]))
    add("path_sub", path + ["not found", "open"], "shard in a folder that does not exist", index=setk(["a/b/c.weights.h5"]))
    add("path_dot", path + ["directory", "open", "hdf5"], "shard is the folder itself", index=setk(["."]))
    add("path_self", path + ["hdf5", "signature"], "shard is the index itself", index=setk(["model.weights.json"]))
    add("path_long", path + ["long"], "shard name of 5,000 letters", index=setk(["a" * 5000]))
    add("shard_missing", path + ["not found", "missing", "open"], "second shard missing", drop=("model_00001.weights.h5",))
    add("shard_cut", ["hdf5", "truncated", "shard"], "second shard cut", files={"model_00001.weights.h5": m.h5(only=(1,))[:900]})
    add("shard_empty", ["hdf5", "empty", "shard"], "second shard of 0 bytes", files={"model_00001.weights.h5": b""})
    add("map_missing", ["weight_map"], "weight_map missing", index=lambda i: i.pop("weight_map") and None)
    add("map_array", ["weight_map"], "weight_map is an array", index=lambda i: i.__setitem__("weight_map", []))
    add("map_number", ["weight_map", "string", "shard"], "shard is a number", index=setk(7))
    add("map_nested", ["weight_map", "string", "shard"], "shard is a nested list", index=setk([[["model_00000.weights.h5"]]]))
    add("map_empty_list", ["weight_map", "shard", "empty"], "empty shard list", index=setk([]))
    add("map_no_layer", ["layer", "missing", "weight_map", "not found"], "first layer not in the map", index=lambda i: i["weight_map"].pop(K1) and None, stage="model")
    add("map_wrong_shard", ["layer", "missing", "not found", "shard"], "first layer mapped to the second shard", index=setk(["model_00001.weights.h5"]), stage="model")
    add("map_repeat_200000", ["duplicate", "limit", "shard", "too many"], "the same shard 200,000 times", "any", index=setk(["model_00000.weights.h5"] * 200000))
    add("index_text", ["json"], "index is not JSON", raw=b"hello")
    add("index_empty", ["json", "empty"], "index of 0 bytes", raw=b"")
    add("index_deep", ["json", "nest", "depth", "deep"], "index of 200,000 nested arrays", raw=b"[" * 200000)
    add("total_absurd", ["total_size"], "total_size 1e300", "any", lambda i: i["metadata"].__setitem__("total_size", 1e300))
    add("total_string", ["total_size", "metadata"], "total_size is a string", "any", lambda i: i["metadata"].__setitem__("total_size", "x"))


def env_cases(out, m):
    out.write("env/target.keras", m.keras())

    def special(name, make, expect, theme, what):
        path = os.path.join(out.root, "env", name)
        if not os.path.lexists(path):
            make(path)
        out.add("env/" + name, None, "keras", expect, theme, what)

    special("folder.keras", os.mkdir, "error", ["directory", "folder", "open", "zip"], "a folder")
    special("fifo.keras", os.mkfifo, "error", ["regular", "fifo", "open", "pipe"], "a FIFO nobody writes to")
    special("loop.keras", lambda p: os.symlink("loop.keras", p), "error", ["open", "symbolic", "link", "level"], "symbolic link to itself")
    special("dangling.keras", lambda p: os.symlink("nothing.keras", p), "error", ["open", "no such", "not found", "exist"], "dangling symbolic link")
    special("ok_link.keras", lambda p: os.symlink("target.keras", p), "loads", [], "control: symbolic link to a valid file")
    special("absent.keras", lambda p: None, "error", ["open", "no such", "not found", "exist"], "file does not exist")
    out.add("env/h5_named_keras.keras", m.legacy(), "keras", "any", ["zip", "format"], "legacy HDF5 file named .keras")
    out.add("env/keras_named_h5.h5", m.keras(), "legacy_h5", "any", ["hdf5", "signature", "format"], "archive named .h5")


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("outdir")
    ap.add_argument("--list", action="store_true", help="print one line per case")
    args = ap.parse_args()
    model = Model()
    out = Out(args.outdir, model, "hostile files, set 1")
    out.base_files()
    out.secrets("zip")
    for family in (zip_cases, json_cases, layer_cases, h5_cases, legacy_cases, npy_cases, shard_cases, env_cases):
        family(out, model)
    out.finish()
    if args.list:
        for c in out.cases:
            print(f"{c['expect']:6} {c['kind']:10} {c['file']:48} {c['what']}")
    print(len(out.cases), "cases:", {e: sum(c["expect"] == e for c in out.cases) for e in ("error", "loads", "any")})


if __name__ == "__main__":
    main()
