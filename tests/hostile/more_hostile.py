#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A second hostile corpus, of the kinds of make_hostile.py with other models, places and parameters.

    python more_hostile.py OUTDIR

Writes the same folder layout and expect.json (see make_hostile.py). Each case that once gave something else than it should stays here.
"""
import copy
import io
import json
import struct
import sys
import zlib

import h5py
import numpy as np

import make_hostile as base
from make_hostile import MiB, Member, Model, Out, build_zip, npy, npy_head, npz

SHAPE = ["shape", "kernel", "filters", "expect", "size", "limit", "large", "range", "overflow"]
ZIP = ["zip", "archive", "member", "name", "size", "directory", "limit", "crc", "decoded", "config.json"]
JSON = ["json", "config", "nest", "twice", "utf", "number"]
H5 = ["hdf5", "link", "group", "read", "size", "stores", "filter", "elements", "byte", "object", "virtual", "file", "type", "address", "holds", "chunk", "dimension", "shape", "deeper"]

LAYERS = [
    dict(name="a", filters=5, kernel=(2, 4), strides=(2, 3), padding="valid", activation="relu", bias=False),
    dict(name="b", filters=2, kernel=(4, 1), strides=(1, 2), padding="same", activation="linear", bias=True),
    dict(name="c", filters=1, kernel=(1, 1), strides=(1, 1), padding="valid", activation="relu", bias=True)]


def hdf5(fill, **options):
    bio = io.BytesIO()
    with h5py.File(bio, "w", **options) as f:
        fill(f)
    return bio.getvalue()


def zip_cases(out, m):
    conf, h5, meta = json.dumps(m.config()).encode(), m.h5(), m.metadata()

    def add(name, data, expect, what, **kw):
        out.add(f"zip/{name}.keras", data, "keras", expect, ZIP, what, **kw)

    def three(c=None, w=None, extra=(), **kw):
        members = [Member("metadata.json", meta), c or Member("config.json", conf), w or Member("model.weights.h5", h5)]
        return build_zip(members + list(extra), **kw)

    add("ok", three(), "loads", "control")
    add("ok_order", build_zip([Member("model.weights.h5", h5, 8), Member("config.json", conf), Member("metadata.json", meta, 8)]), "loads", "control: other order, mixed methods")
    wide = struct.pack("<HHQQ", 1, 16, len(h5), len(h5))
    add("ok_zip64_member", three(w=Member("model.weights.h5", h5, csize=0xFFFFFFFF, usize=0xFFFFFFFF, extra=wide)), "loads", "control: zip64 sizes of a stored member")
    place = 30 + 13 + len(meta) + 30 + 11 + len(conf)
    all_wide = dict(csize=0xFFFFFFFF, usize=0xFFFFFFFF, offset=0xFFFFFFFF, lextra=wide, cextra=struct.pack("<HHQQQ", 1, 24, len(h5), len(h5), place))
    add("ok_zip64_offset", three(w=Member("model.weights.h5", h5, **all_wide)), "loads", "control: zip64 sizes and place")
    only_place = dict(offset=0xFFFFFFFF, cextra=struct.pack("<HHQ", 1, 8, place))
    add("ok_zip64_only_offset", three(w=Member("model.weights.h5", h5, **only_place)), "any", "zip64 place alone")
    add("extra_other_first", three(w=Member("model.weights.h5", h5, csize=0xFFFFFFFF, usize=0xFFFFFFFF, extra=struct.pack("<HHI", 0x5455, 4, 0) + wide)), "any", "a time stamp before the zip64 field")
    add("zip64_offset_metadata", three(w=Member("model.weights.h5", h5, offset=0xFFFFFFFF, cextra=struct.pack("<HHQ", 1, 8, 0))), "error", "zip64 place of the weights is that of metadata.json")
    add("zip64_swapped", three(w=Member("model.weights.h5", h5, csize=0xFFFFFFFF, usize=0xFFFFFFFF, extra=struct.pack("<HHQQ", 1, 16, len(h5), 1 << 62))), "error", "zip64 stored size 2^62")
    add("zip64_size_minus", three(w=Member("model.weights.h5", h5, usize=0xFFFFFFFF, extra=struct.pack("<HHQ", 1, 8, 1 << 63))), "error", "zip64 size 2^63")
    add("zip64_extra_past", three(w=Member("model.weights.h5", h5, usize=0xFFFFFFFF, extra=struct.pack("<HHQ", 1, 65000, len(h5)))), "error", "zip64 field longer than the extra field")
    add("extra_odd_tail", three(w=Member("model.weights.h5", h5, extra=b"\1\0\3")), "any", "extra field of three bytes")
    add("weights_in_config", three(w=Member("model.weights.h5", h5, offset=30 + 13 + len(meta))), "error", "the weights' place is the config's header")
    inner = build_zip([Member("config.json", b'{"class_name": "Lambda"}'), Member("metadata.json", meta), Member("model.weights.h5", h5)])
    add("archive_in_stored", three(extra=[Member("assets/inner.zip", inner)]), "any", "a whole archive as a stored member")
    add("archive_in_tail", three() + inner, "error", "two archives in a row, offsets of the second not moved")
    add("archive_in_prefix", inner + three(), "any", "an archive before the archive")
    add("comment_end_record", three(comment=b"PK\5\6" + bytes(18)), "any", "an empty end record in the comment")
    add("comment_short", three(comment=b"abc", commentlen=2), "any", "comment one byte longer than said")
    add("comment_long", three(comment=b"abc", commentlen=4), "error", "comment one byte shorter than said")
    for tag, name in [("upper", b"Model.Weights.H5"), ("nfd", "mode\u0301l".encode()), ("nfc", "mod\u00e9l".encode()), ("latin1", b"mod\xe9l"), ("space", b"config.json "), ("dot", b"./config.json"),
                      ("slashes", b"assets//x"), ("dir", b"assets/")]:
        add("extra_" + tag, three(extra=[Member(name, b"x" if not name.endswith(b"/") else b"")]), "any", f"extra member {name!r}")
    for tag, name in [("up", b"a/../../x"), ("up_end", b"a/.."), ("tab", b"a\tb"), ("newline", b"a\nFAIL b"), ("del", b"a\x7f"), ("unc", b"\\\\host\\share"), ("root", b"/"), ("empty", b"")]:
        add("bad_" + tag, three(extra=[Member(name, b"x")]), "error", f"extra member {name!r}")
    add("dup_deflated", three(extra=[Member("metadata.json", meta, 8)]), "error", "metadata.json twice, once deflated")
    add("dup_directory", three(extra=[Member("model.weights.h5/", b"")]), "any", "a folder called model.weights.h5/")
    for method in (2, 6, 8, 9, 19, 95, 98):
        add(f"method_{method}_config", three(c=Member("config.json", conf, raw=conf, method=method)), "error", f"stored config said to be of method {method}")
    add("method_differs", three(w=Member("model.weights.h5", h5, cmethod=0, lmethod=8)), "error", "local header says deflated, the directory stored")
    add("strong_encryption", three(w=Member("model.weights.h5", h5, flags=0x41)), "error", "strong encryption flag")
    add("descriptor_zip", three(w=Member("model.weights.h5", h5, flags=8, lcrc=0, lcsize=0, lusize=0, descriptor=b"")), "any", "data descriptor announced but absent")
    add("crc_metadata", build_zip([Member("metadata.json", meta, crc=5), Member("config.json", conf), Member("model.weights.h5", h5)]), "error", "CRC of metadata.json wrong")
    add("crc_deflated_weights", three(w=Member("model.weights.h5", h5, 8, crc=7)), "error", "CRC of deflated weights wrong")
    body = bytearray(h5)
    body[-3] ^= 1
    add("crc_last_byte", three(w=Member("model.weights.h5", h5, raw=bytes(body))), "error", "last bytes of the stored weights changed")
    add("size_one_less", three(w=Member("model.weights.h5", h5, csize=len(h5) - 1, usize=len(h5) - 1)), "error", "stored weights one byte longer than said")
    add("deflate_one_more", three(w=Member("model.weights.h5", h5, 8, usize=len(h5) + 1)), "error", "deflated weights one byte shorter than said")
    add("deflate_one_less", three(w=Member("model.weights.h5", h5, 8, usize=len(h5) - 1)), "error", "deflated weights one byte longer than said")
    add("deflate_tail", three(w=Member("model.weights.h5", h5, 8, raw=Member("x", h5, 8).raw + b"junk")), "any", "junk behind the deflate stream")
    add("deflate_empty", three(c=Member("config.json", b"", 8, raw=b"")), "error", "deflated member of no bytes")
    metadata_bomb = Member("metadata.json", raw=base.zeros_deflate(64 * MiB, b" "), method=8, usize=64 * MiB, crc=base.zeros_crc(64 * MiB, b" "))
    add("bomb_metadata", build_zip([metadata_bomb, Member("config.json", conf), Member("model.weights.h5", h5)]), "error", "64 MiB of blanks as metadata.json")
    add("bomb_asset", three(extra=[Member("assets/x", raw=base.zeros_deflate(512 * MiB), method=8, usize=512 * MiB, crc=base.zeros_crc(512 * MiB))]), "error", "512 MiB of zeros as an asset")
    add("members_1025", three(extra=[Member(f"assets/{i}", b"") for i in range(1022)]), "error", "1,025 members")
    add("ok_members_1024", three(extra=[Member(f"assets/{i}", b"") for i in range(1021)]), "loads", "control: 1,024 members")


def json_cases(out, m):
    conf = json.dumps(m.config())

    def add(name, raw, expect, what, theme=(), **kw):
        out.add(f"json/{name}.keras", m.keras(raw if isinstance(raw, bytes) else raw.encode()), "keras", expect, JSON + list(theme), what, **kw)

    def put(text, after='"use_bias": false'):
        assert after in conf
        return conf.replace(after, after + ", " + text, 1)

    add("ok_escapes", conf.replace('"a"', '"\\u0061"'), "loads", "control: a name written with an escape")
    add("dup_escaped", put('"f\\u0069lters": 9'), "error", "filters twice, once escaped")
    add("dup_deep", conf.replace('"batch_shape"', '"batch_shape": [null, 1, 1, 3], "batch_shape"', 1), "error", "batch_shape twice")
    add("dup_root", conf[:-1] + ', "config": {}}', "error", "the model's config twice")
    add("depth_65", put('"x": ' + "[" * 61 + "]" * 61), "error", "nested beyond 64", ["unrecognized", "unknown", "unexpected"])
    for depth in (1000, 10 ** 6):
        add(f"depth_mixed_{depth}", put('"x": ' + '[{"a":' * depth + "1" + "}]" * depth), "error", f"{depth} arrays of objects")
    for tag, value in [("tiny", "1e-400"), ("minus_zero", "-0"), ("minus_huge", "-1e999"), ("int_float", "5.0"), ("exponent", "5e0"), ("digits", "5" + "0" * 100000), ("fraction", "5.0000000001"),
                       ("minus_nan", "-NaN"), ("nan_text", '"NaN"'), ("infinity", "Infinity"), ("arabic", '"\\u0665"'), ("underscore", "5_0"), ("dot", "5."), ("no_digit", ".5")]:
        value_ok = tag in ("int_float", "exponent")
        add("filters_" + tag, conf.replace('"filters": 5', f'"filters": {value}', 1), "any" if value_ok else "error", f"filters is {value[:20]}", ["filters", "integer"])
    add("surrogates_swapped", put('"x": "\\udc00\\ud800"'), "error", "surrogates in the wrong order", ["surrogate", "unrecognized", "unknown"])
    add("surrogate_raw", conf.encode().replace(b'"tiny2"', b'"\xed\xa0\x80"', 1), "error", "a surrogate as raw bytes")
    add("utf8_beyond", conf.encode().replace(b'"tiny2"', b'"\xf4\x90\x80\x80"', 1), "error", "beyond U+10FFFF")
    add("utf8_cut", conf.encode().replace(b'"tiny2"', b'"\xe2\x82"', 1), "error", "cut UTF-8 sequence")
    add("utf32", conf.encode("utf-32"), "error", "UTF-32 text")
    add("bom_inside", b"{" + b"\xef\xbb\xbf" + conf.encode()[1:], "error", "byte order mark inside")
    add("name_bidi", conf.replace('"tiny2"', '"\\u202eevil\\u0000\\u001b[31m"'), "any", "name with control characters", ["name"])
    add("form_feed", conf[:1] + "\f" + conf[1:], "error", "form feed between tokens")
    add("nul_tail", conf.encode() + b"\0", "error", "a NUL behind the text")
    add("blank_1m", " " * 1_000_000 + conf, "loads", "control: a million blanks first")
    add("true_case", conf.replace('"use_bias": false', '"use_bias": False', 1), "error", "Python's False")
    add("proto", put('"__proto__": {"filters": 9}'), "error", "__proto__", ["unrecognized", "unknown", "unexpected"])


def layer_cases(out, m):
    def add(name, data, what, expect="error", theme=(), **kw):
        kw.setdefault("stage", "model")
        out.add(f"layer/{name}.keras", data, "keras", expect, SHAPE + ["unknown", "lambda", "class", "module", "registered", "function", "name", "layer", "stride", "padding"] + list(theme), what, **kw)

    def edit(at, **values):
        def f(c, first, second):
            c["config"]["layers"][at]["config"].update(values)
        return m.edited(f)

    def serial(at, **values):
        return m.edited(lambda c, a, b: c["config"]["layers"][at].update(values))

    out.secrets("layer")
    for at in (1, 3):
        for tag, values in [("filters_2p53", dict(filters=2 ** 53)), ("kernel_huge", dict(kernel_size=[2 ** 40, 1])), ("kernel_bool", dict(kernel_size=[True, 4])), ("strides_float", dict(strides=[1.5, 1])),
                            ("strides_empty", dict(strides=[])), ("padding_number", dict(padding=1)), ("padding_upper", dict(padding="VALID ")), ("bias_null", dict(use_bias=None)),
                            ("format_first", dict(data_format="channels_first")), ("op_list", dict(output_padding=[0, 0, 0])), ("op_2p62", dict(output_padding=[2 ** 62, 0])),
                            ("groups_0", dict(groups=0)), ("dtype_list", dict(dtype=["float32"])), ("name_nul", dict(name="a\0b")), ("name_empty", dict(name="")), ("name_long", dict(name="n" * 100000)),
                            ("name_object", dict(name={"a": 1}))]:
            add(f"{tag}_{at}", edit(at, **values), f"layer {at}: {tag}", "any" if tag in ("name_empty", "name_long", "name_nul", "padding_upper", "op_list") else "error",
                ["output_padding", "groups", "data_format", "use_bias", "dtype", "channels"], if_accepted="free")
    fn = {"module": "builtins", "class_name": "function", "config": "open", "registered_name": "function"}
    for key in ("kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer", "activity_regularizer", "kernel_constraint", "bias_constraint", "activation"):
        add(f"function_{key}", edit(2, **{key: fn}), f"{key} is builtins.open", theme=[key.split("_")[-1]])
        add(f"lambda_{key}", edit(3, **{key: {"class_name": "__lambda__", "config": {"code": "4wEAAAAA", "defaults": None, "closure": None}}}), f"{key} is a __lambda__", theme=[key.split("_")[-1]])
        add(f"registered_{key}", edit(1, **{key: {"module": "keras.initializers", "class_name": "Zeros", "config": {}, "registered_name": "evil>Zeros"}}), f"{key} is registered elsewhere",
            theme=[key.split("_")[-1], "zeros"])
    for tag, values in [("lambda_first", dict(class_name="Lambda", module="keras.layers")), ("module_number", dict(module=5)), ("module_src", dict(module="keras.src.utils.file_utils")),
                        ("module_shared", dict(module="ctypes", class_name="CDLL")), ("registered_list", dict(registered_name=["x"])), ("registered_package", dict(registered_name="pkg>Conv2DTranspose")),
                        ("config_list", dict(config=[])), ("config_text", dict(config="a")), ("class_dotted", dict(class_name="keras.layers.Conv2DTranspose")), ("class_case", dict(class_name="conv2dtranspose")),
                        ("class_nul", dict(class_name="Conv2DTranspose\0Lambda")), ("class_typespec", dict(class_name="__typespec__")), ("build_evil", dict(build_config={"input_shape": [None, -1, 2 ** 62, 3]})),
                        ("build_text", dict(build_config="x"))]:
        add(tag, serial(2, **values), tag, "any" if tag.startswith("build") else "error", ["config", "build"], if_accepted="equal")
    nested = copy.deepcopy(m.config())
    for i in range(80):
        nested = {"module": "keras", "class_name": "Sequential", "config": {"name": f"s{i}", "layers": [nested]}, "registered_name": None}
    add("models_80_deep", m.keras(nested), "models in models, 80 deep", theme=["nest", "deep"])
    add("layers_20000", m.edited(lambda c, a, b: c["config"]["layers"].extend([dict(copy.copy(c["config"]["layers"][3]), config=dict(c["config"]["layers"][3]["config"], name=f"x{i}")) for i in range(20000)])),
        "20,000 layers", theme=["limit", "layers"])
    add("input_only", m.edited(lambda c, a, b: c["config"].__setitem__("layers", c["config"]["layers"][:1])), "the input layer alone", "any", if_accepted="free")
    add("input_twice", m.edited(lambda c, a, b: c["config"]["layers"].insert(1, c["config"]["layers"][0])), "two input layers", "any", ["input"])
    add("batch_shape_huge", m.edited(lambda c, a, b: c["config"]["layers"][0]["config"].__setitem__("batch_shape", [None, 2 ** 62, 2 ** 62, 3])), "input of 2^124 pixels")
    add("batch_shape_deep", m.edited(lambda c, a, b: c["config"]["layers"][0]["config"].__setitem__("batch_shape", [[None]])), "batch_shape of lists")

    def wiring(name, edit_functional, what, expect="error"):
        c = m.functional_config()
        edit_functional(c["config"])
        add("functional_" + name, m.keras(c), what, expect, ["inbound", "input", "output", "cycle", "tensor", "node"])

    node = lambda layer: {"args": [{"class_name": "__keras_tensor__", "config": {"shape": [None, 2, 4, 3], "dtype": "float32", "keras_history": layer}}], "kwargs": {}}
    wiring("ok", lambda c: None, "control", "loads")
    wiring("cycle_three", lambda c: c["layers"][1].__setitem__("inbound_nodes", [node(["c", 0, 0])]), "a cycle of three layers")
    wiring("self", lambda c: c["layers"][2].__setitem__("inbound_nodes", [node(["b", 0, 0])]), "a layer feeds itself")
    wiring("node_far", lambda c: c["layers"][2].__setitem__("inbound_nodes", [node(["a", 2 ** 62, 0])]), "node number 2^62")
    wiring("node_negative", lambda c: c["layers"][2].__setitem__("inbound_nodes", [node(["a", -1, 0])]), "node number -1")
    wiring("history_text", lambda c: c["layers"][2].__setitem__("inbound_nodes", [node("a")]), "history is a text")
    wiring("nodes_many", lambda c: c["layers"][2].__setitem__("inbound_nodes", [node(["a", 0, 0])] * 5000), "5,000 nodes of one layer", "any")
    wiring("outputs_none", lambda c: c.__setitem__("output_layers", []), "no outputs")
    wiring("outputs_ghost", lambda c: c.__setitem__("output_layers", [["ghost", 0, 0]]), "an output that does not exist")
    wiring("inputs_ghost", lambda c: c.__setitem__("input_layers", [["b", 0, 0]]), "an input that is no input layer")


def h5_cases(out, m):
    K, V = "layers/conv2d_transpose/vars/0", "layers/conv2d_transpose/vars"
    K3, B3 = "layers/conv2d_transpose_2/vars/0", "layers/conv2d_transpose_2/vars/1"

    def add(name, data, what, expect="error", **kw):
        out.add(f"h5/{name}.keras", m.keras(h5=data), "keras", expect, H5 + ["weights", "variable"], what, **kw)

    def rep(make, path=K3, **kw):
        return m.h5(replace={path: make}, **kw)

    out.secrets("h5")
    add("ok_latest", m.h5(libver=("latest", "latest")), "control: the latest format", "any")
    add("ok_big_endian", rep(lambda g, k, a: g.create_dataset(k, data=a.astype(">f4"))), "control: big-endian kernel", "loads")
    add("ok_float64", rep(lambda g, k, a: g.create_dataset(k, data=a.astype(">f8"))), "control: big-endian float64 kernel", "loads")
    add("ok_chunks", rep(lambda g, k, a: g.create_dataset(k, data=a, chunks=(1, 1, 1, 1), compression="gzip", shuffle=True), K), "control: a chunk an element", "loads")
    add("ok_compact", rep(lambda g, k, a: g.create_dataset(k, data=a, maxshape=(None,) * 4)), "control: growing dataset", "loads")
    links = {"soft_self": h5py.SoftLink(f"/{K3}"), "soft_dangling": h5py.SoftLink("/nowhere"), "soft_relative": h5py.SoftLink("../../conv2d_transpose/vars/0"),
             "external_self": h5py.ExternalLink(".", f"/{K}"), "external_secret": h5py.ExternalLink("secret.h5", f"/{K}"), "external_absolute": h5py.ExternalLink("/etc/passwd", "/"),
             "external_proc": h5py.ExternalLink("/proc/self/fd/0", f"/{K}"), "external_url": h5py.ExternalLink("https://example.invalid/x.h5", "/")}
    for tag, link in links.items():
        for place in ((K3, "vars/extra", "layers") if tag.startswith("ext") else (K3, "vars/extra")):
            def post(f, link=link, place=place):
                if place in f:
                    del f[place]
                f[place] = link
            add(f"link_{tag}_{place.split('/')[-1]}", m.h5(post=post), f"{tag} at {place}", secret="secret" in tag)
    add("hard_cycle", m.h5(post=lambda f: f["layers"].__setitem__("up", f["/"])), "a group that holds its parent")
    add("hard_same", m.h5(post=lambda f: f[V].__setitem__("1", f[K3])), "one dataset under two names")
    add("groups_500_deep", m.h5(post=lambda f: f.create_group("vars/" + "/".join(["d"] * 500))), "500 nested groups")
    add("groups_150000", hdf5(lambda f: [f.create_group(str(i)) for i in range(12000)] and None), "12,000 groups, no weights")
    for count in (1, 7):
        def virtual(g, k, a, count=count):
            layout = h5py.VirtualLayout(a.shape, a.dtype)
            for i in range(count):
                layout[0, 0, 0, i % a.shape[3]] = h5py.VirtualSource("secret.h5", K, (1,))[0]
            return g.create_virtual_dataset(k, layout, fillvalue=1)
        add(f"virtual_{count}", rep(virtual), f"virtual dataset of {count} sources", secret=True)
    add("external_two", rep(lambda g, k, a: g.create_dataset(k, a.shape, "<f4", external=[("secret.txt", 0, 4), ("secret.txt", 4, h5py.h5f.UNLIMITED)])), "data in two external files", secret=True)
    for tag, dtype in {"u8": "u1", "u64": "<u8", "f16_be": ">f2", "longdouble": np.longdouble, "enum": h5py.enum_dtype({"a": 1}), "regref": h5py.regionref_dtype, "array": np.dtype(("<f4", (2,))),
                       "vstr": h5py.string_dtype(), "nested": np.dtype([("x", [("y", "<f4")])])}.items():
        add("type_" + tag, rep(lambda g, k, a, dtype=dtype: g.create_dataset(k, a.shape, dtype)), f"kernel of type {tag}", "any" if tag in ("f16_be",) else "error", if_accepted="free", stage="model")
    for tag, options in {"fletcher": dict(fletcher32=True), "szip_no": dict(scaleoffset=0), "lzf": dict(compression="lzf", shuffle=True)}.items():
        add("filter_" + tag, rep(lambda g, k, a, o=options: g.create_dataset(k, data=a if tag != "szip_no" else a.astype("<i4"), chunks=a.shape, **o)), f"filter {tag}", stage="model")
    add("shape_2p40", rep(lambda g, k, a: g.create_dataset(k, (1, 1, 1, 2 ** 40), "<f4", chunks=(1, 1, 1, 1024), compression="gzip")), "2^40 elements in chunks, none stored")
    add("shape_2p31_chunks", rep(lambda g, k, a: g.create_dataset(k, (1, 1, 1, 2 ** 31), "<f4", chunks=(1, 1, 1, 1))), "2^31 chunks, none stored")
    add("shape_contiguous", rep(lambda g, k, a: g.create_dataset(k, (2 ** 20, 2 ** 20), "<f4")), "4 TiB contiguous, not stored")
    add("shape_rank_32", rep(lambda g, k, a: g.create_dataset(k, (1,) * 32, "<f4", data=np.zeros((1,) * 32))), "rank 32", stage="model")

    def bomb(g, k, a):
        d = g.create_dataset(k, (64 * MiB,), "<f4", chunks=(64 * MiB,), compression="gzip")
        c = zlib.compressobj(9)
        d.id.write_direct_chunk((0,), b"".join(c.compress(bytes(MiB)) for _ in range(256)) + c.flush())
    add("bomb_one_chunk", rep(bomb), "one chunk of 256 MiB of zeros")
    add("chunk_mask", rep(lambda g, k, a: g.create_dataset(k, a.shape, a.dtype, chunks=a.shape, compression="gzip").id.write_direct_chunk((0,) * 4, a.tobytes(), filter_mask=1)), "a chunk that skips its filter", "any")
    add("chunk_long", rep(lambda g, k, a: g.create_dataset(k, a.shape, a.dtype, chunks=a.shape, compression="gzip").id.write_direct_chunk((0,) * 4, zlib.compress(bytes(MiB)))), "a chunk that inflates to 1 MiB")
    add("chunk_raw_short", rep(lambda g, k, a: g.create_dataset(k, a.shape, a.dtype, chunks=a.shape).id.write_direct_chunk((0,) * 4, b"\1")), "an unfiltered chunk of one byte")
    add("attribute_60k", m.h5(post=lambda f: f[V].attrs.__setitem__("note", "x" * 60000)), "an attribute of 60,000 letters", "any")
    add("attributes_5000", m.h5(post=lambda f: [f["vars"].attrs.__setitem__(f"k{i}", i) for i in range(5000)] and None), "5,000 attributes", "any")
    add("attribute_ref", m.h5(post=lambda f: f["vars"].attrs.create("x", f[K].ref, dtype=h5py.ref_dtype)), "attribute with a reference", "any")
    add("bias_swapped", m.h5(replace={B3: lambda g, k, a: g.create_dataset(k, data=np.ones((1, 1), "<f4"))}), "bias of rank 2", stage="model")
    add("user_block", hdf5(lambda f: None, userblock_size=512), "a user block")
    edits = {"space_version": ("space", 0, "B", 9), "space_flags": ("space", 2, "B", 255), "type_version": ("dtype", 0, "B", 0xF1), "type_bits": ("dtype", 1, "B", 0xFF), "type_offset": ("dtype", 8, "H", 65535),
             "type_precision": ("dtype", 10, "H", 0), "type_mantissa": ("dtype", 15, "B", 255), "layout_version": ("layout", 0, "B", 77), "layout_size": ("layout", 10, "Q", 2 ** 63), "layout_small": ("layout", 10, "Q", 1)}
    for tag, (message, offset, fmt, value) in edits.items():
        e = base.H5Edit(m.h5())
        e.put(fmt, getattr(e, message)(K3) + offset, value)
        add("edit_" + tag, e.done(), f"{message} + {offset} = {value}", "any" if tag in ("space_flags", "type_bits") else "error", if_accepted="free")
    shuffled = rep(lambda g, k, a: g.create_dataset(k, data=a, chunks=a.shape, shuffle=True))
    places = {"no_size": lambda e: e.layout(K3) + 11, "rank": lambda e: e.layout(K3) + 2, "shuffle_size": lambda e: e.filters(K3) + 24, "place": lambda e: e.u("Q", e.layout(K3) + 3) + 32}
    for tag, (fmt, value) in {"no_size": ("I", 0), "rank": ("B", 4), "shuffle_size": ("I", 8), "place": ("Q", 3)}.items():
        e = base.H5Edit(shuffled)
        e.put(fmt, places[tag](e), value)
        add("chunk_" + tag, e.done(), f"a chunk whose {tag} is {value}")
    add("chunk_missing", rep(lambda g, k, a: g.create_dataset(k, a.shape, a.dtype, chunks=(1, 1, 1, 1)).__setitem__((0, 0, 0, 0), 1)), "one chunk of many stored")
    e = base.H5Edit(m.h5())
    heap = e.heap("/")
    e.put("Q", e.u("Q", heap + 24) + e.u("Q", heap + 16), e.u("Q", heap + 16))
    add("names_in_a_circle", e.done(), "a free block of the names that is its own next")
    rng = np.random.RandomState(11)
    good = m.h5()
    for i in range(40):
        b = bytearray(good)
        for _ in range(1 + i % 4):
            b[rng.randint(8, len(b))] ^= 1 << rng.randint(8)
        add(f"flip_{i:02d}", bytes(b), f"{1 + i % 4} bits flipped", "any", if_accepted="free")


def npy_cases(out, m):
    data, shape = m.input.tobytes(), str(m.input.shape)

    def add(name, data, expect, what, kind="npy", **kw):
        out.add(f"npy/{name}.{kind}", data, kind, expect, ["npy", "header", "shape", "zip", "member", "array", "dtype", "bytes", "large", "limit", "size"], what, stage="run", **kw)

    add("ok", npy(npy_head(shape), data), "loads", "control")
    add("ok_v3", npy(npy_head(shape), data, (3, 0)), "loads", "control: version 3")
    add("header_0", npy(b"", data, pad=False), "error", "no header")
    add("header_nul", npy(npy_head(shape).encode() + b"\0", data), "error", "NUL in the header")
    for tag, s in [("zero", "(1, 0, 4, 3)"), ("octal", "(01, 2, 4, 3)"), ("bool", "(True, 2, 4, 3)"), ("long", "(1L, 2, 4, 3)"), ("hex", "(0x1, 2, 4, 3)"), ("list", "[1, 2, 4, 3]"), ("open", "(1, 2, 4, 3"),
                   ("2p63", "(9223372036854775808,)"), ("comma", "(1,,2)"), ("many", "(1, 1, 1, 1, 1, 2, 4, 3, 1)")]:
        add("shape_" + tag, npy(npy_head(s), data), "any" if tag in ("octal", "long") else "error", f"shape {s}", if_accepted="equal")
    for d in ("<i4", "<c8", "<U4", "|b1", "<M8[ns]", "<f16", ">V4", "f4", "=f4", "<f4,<f4", ""):
        add("descr_" + (d.encode().hex() or "none"), npy(npy_head(shape, d), data), "any" if d in ("f4", "=f4") else "error", f"descr {d!r}")
    good = npy(npy_head(shape), data)
    add("two_arrays", npz([("a.npy", good), ("b.npy", good)]), "any", "two arrays", "npz", if_accepted="free")
    add("pickle_member", npz([("x.npy", npy(npy_head("(1,)", "|O"), b"cos\nsystem\n."))]), "error", "a pickle in a member", "npz")
    add("crc", npz([Member("x.npy", good, crc=3)]), "error", "CRC of a member wrong", "npz")
    add("deflated", npz([Member("x.npy", good, 8)]), "loads", "control: deflated member", "npz")


def shard_cases(out, m):
    def add(name, what, expect="error", edit=None, files=None, raw=None, **kw):
        index, present = m.shards()
        if edit:
            edit(index)
        for file, data in {**present, **(files or {})}.items():
            out.write(f"shards/{name}/{file}", data)
        out.add(f"shards/{name}/model.weights.json", raw if raw is not None else json.dumps(index).encode(), "shards", expect,
                ["shard", "weight_map", "json", "hdf5", "missing", "name", "limit", "layer", "no such", "link", "object"], what, **kw)

    out.secrets("shards")
    first = "/layers/conv2d_transpose/vars"
    to = lambda value: (lambda index: index["weight_map"].__setitem__(first, value))
    add("ok", "control", "loads")
    add("unicode", "digits of another script", edit=to("model_0000\u0660.weights.h5"))
    add("case", "MODEL_00000", edit=to("MODEL_00000.weights.h5"))
    add("minus", "model_-0001", edit=to("model_-0001.weights.h5"))
    add("slash_in_digits", "model_0/../", edit=to("model_0/../.weights.h5"))
    add("object", "a shard that is an object", edit=to({"file": "model_00000.weights.h5"}))
    add("null", "a shard that is null", edit=to(None))
    add("dup_key", "weight_map twice", raw=b'{"weight_map": {}, "weight_map": {}}')
    add("map_empty", "weight_map empty", edit=lambda index: index.__setitem__("weight_map", {}), stage="model")
    add("external", "a link to secret.h5 in a shard", files={"model_00000.weights.h5": m.h5(only=(0,), post=lambda f: f.__setitem__("x", h5py.ExternalLink("../secret.h5", "/")))}, secret=True)
    add("cut", "first shard cut", files={"model_00000.weights.h5": m.h5(only=(0,))[:-7]})


def legacy_cases(out, m):
    root, up = "model_weights", "model_weights/b"
    strings = lambda v: np.array(v, dtype=h5py.string_dtype())

    def add(name, data, what, expect="error", **kw):
        out.add(f"legacy/{name}.h5", data, "legacy_h5", expect, H5 + JSON + ["layer_names", "weight_names", "model_config", "lambda", "weights"], what, **kw)

    def attr(path, key, value):
        return m.legacy(post=lambda f: f[path].attrs.__setitem__(key, value))

    out.secrets("legacy")
    add("ok", m.legacy(), "control", "loads")
    add("twice_bias", attr(up, "weight_names", strings(["tiny2/b/bias", "tiny2/b/bias"])), "bias named twice")
    add("names_nul", attr(root, "layer_names", np.array([b"a\0b", b"b", b"c"], dtype="S3")), "NUL in a layer name")
    add("names_float", attr(root, "layer_names", np.zeros(3)), "layer_names are floats")
    add("names_empty", attr(root, "layer_names", np.zeros(0)), "layer_names empty")
    add("weights_root", attr(up, "weight_names", strings(["/", "tiny2/b/bias"])), "weight name /")
    add("weights_dot", attr(up, "weight_names", strings([".", "tiny2/b/bias"])), "weight name .")
    add("weights_int", attr(up, "weight_names", np.arange(2)), "weight_names are integers")
    add("config_latin1", m.legacy(b'{"class_name": "S\xe9quential"}'), "model_config in Latin-1")
    add("config_list", attr("/", "model_config", strings(["{}", "{}"])), "model_config is a list")
    add("config_nan", m.legacy('{"class_name": NaN, "config": {}}'), "class_name is NaN")
    add("training_text", attr("/", "training_config", "{broken"), "training_config is broken JSON", "any")
    add("training_lambda", attr("/", "training_config", json.dumps({"loss": {"class_name": "__lambda__", "config": {}}})), "loss is a __lambda__", "any")
    heap = bytearray(m.legacy())
    at = heap.index(b"GCOL")
    for tag, offset, fmt, value in [("version", 4, "B", 9), ("size_one", 8, "Q", 1), ("size_minus", 8, "Q", 2 ** 64 - 1), ("id_repeat", 16, "H", 2), ("refcount", 18, "H", 65535), ("object_big", 24, "Q", 2 ** 40)]:
        edited = bytearray(heap)
        struct.pack_into("<" + fmt, edited, at + offset, value)
        add("heap_" + tag, bytes(edited), f"global heap + {offset} = {value}", "any" if tag in ("refcount", "id_repeat") else "error", if_accepted="equal")


def main():
    model = Model("tiny2", (2, 4, 3), 5, [dict(layer) for layer in LAYERS])
    out = Out(sys.argv[1], model, "hostile files, set 2")
    out.base_files()
    out.secrets("zip")
    for family in (zip_cases, json_cases, layer_cases, h5_cases, legacy_cases, npy_cases, shard_cases):
        family(out, model)
    out.finish()
    print(len(out.cases), "cases")


if __name__ == "__main__":
    main()
