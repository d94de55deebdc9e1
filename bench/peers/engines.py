# SPDX-License-Identifier: Apache-2.0
"""The engines behind one interface. Each runs in a process of its own and imports its library in `setup`.

setup(threads) -> what it calls itself
build(s, x, k, b, aux) -> (run, output, info): run() is the timed call, output() the last result as NHWC
train(s, x, k, b, dy) -> (run, info): forward + dX + dW + db, for the engines that train
x: (n, h, w, c), k: Keras's kernel (kh, kw, f, c), b: (f,), dy: (n, oh, ow, f), all float32.
Each engine gets the layout and the prepared weights that it likes best; conversions are not timed.
"""
import ctypes
import os
import tempfile
from pathlib import Path

import numpy as np


class Jax:
    def setup(self, threads):
        import jax
        self.jax = jax
        return f"jax {jax.__version__}"

    def op(self, s, x, k, b):
        jax, lax = self.jax, self.jax.lax
        pads = ((s.kh - 1 - s.top, s.kh - 1 - s.bottom), (s.kw - 1 - s.left, s.kw - 1 - s.right))
        # as keras.backend.jax.nn.conv_transpose: kernel is (kh, kw, F, C)
        y = lax.conv_transpose(x, k, (s.sh, s.sw), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"),
                               transpose_kernel=True) + b
        return jax.numpy.maximum(y, 0) if s.relu else y

    def build(self, s, x, k, b, aux):
        jax = self.jax
        xd, kd, bd = map(jax.device_put, (x, k, b))
        fn = jax.jit(lambda x: self.op(s, x, kd, bd))
        box = [None]

        def run():
            box[0] = fn(xd).block_until_ready()
        return run, (lambda: box[0]), ""

    def train(self, s, x, k, b, dy):
        jax = self.jax
        args = [jax.device_put(v) for v in (x, k, b, dy)]

        @jax.jit
        def step(x, k, b, dy):
            y, back = jax.vjp(lambda *a: self.op(s, *a), x, k, b)
            return y, back(dy)
        return (lambda: jax.block_until_ready(step(*args))), ""


class TF:
    jit = False

    def setup(self, threads):
        import tensorflow as tf
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self.tf = tf
        return f"tensorflow {tf.__version__}"

    def op(self, s, x, k, b):
        tf = self.tf
        y = tf.nn.conv2d_transpose(x, k, (s.n, s.oh, s.ow, s.f), (s.sh, s.sw), s.padding.upper())
        y = tf.nn.bias_add(y, b)
        return tf.nn.relu(y) if s.relu else y

    def build(self, s, x, k, b, aux):
        tf = self.tf
        xd, kd, bd = map(tf.constant, (x, k, b))
        fn = tf.function(lambda x: self.op(s, x, kd, bd), jit_compile=self.jit)
        fn = fn.get_concrete_function(tf.TensorSpec(x.shape, tf.float32))
        box = [None]

        def run():
            box[0] = fn(xd)
        return run, (lambda: box[0].numpy()), ""

    def train(self, s, x, k, b, dy):
        tf = self.tf
        args = [tf.constant(v) for v in (x, k, b, dy)]

        def step(x, k, b, dy):
            with tf.GradientTape() as tape:
                tape.watch([x, k, b])
                y = self.op(s, x, k, b)
            return y, tape.gradient(y, [x, k, b], output_gradients=dy)
        fn = tf.function(step, jit_compile=self.jit).get_concrete_function(
            *[tf.TensorSpec(v.shape, tf.float32) for v in args])
        return (lambda: fn(*args)), ""


class TFXla(TF):
    jit = True


class TFLiteExport(TF):
    """Not a peer: writes the .tflite file that the litert peer loads."""

    def export(self, s, x, k, b, path):
        tf = self.tf
        kd, bd = tf.constant(k), tf.constant(b)
        fn = tf.function(lambda x: self.op(s, x, kd, bd),
                         input_signature=[tf.TensorSpec(x.shape, tf.float32)])
        conv = tf.lite.TFLiteConverter.from_concrete_functions([fn.get_concrete_function()], fn)
        Path(path).write_bytes(conv.convert())


class LiteRT:
    def setup(self, threads):
        from importlib.metadata import version
        from ai_edge_litert.interpreter import Interpreter
        self.Interpreter, self.threads = Interpreter, threads
        return f"ai-edge-litert {version('ai-edge-litert')} (XNNPACK delegate)"

    def build(self, s, x, k, b, aux):
        it = self.Interpreter(model_path=aux["tflite"], num_threads=self.threads)
        it.allocate_tensors()
        it.set_tensor(it.get_input_details()[0]["index"], x)
        out = it.get_output_details()[0]["index"]
        ops = [o["op_name"] for o in it._get_ops_details()]
        return it.invoke, (lambda: it.get_tensor(out)), "+".join(ops)


def onnx_model(s, k, b):
    from onnx import TensorProto, helper, numpy_helper
    w = np.ascontiguousarray(k.transpose(3, 2, 0, 1))  # (C, F, kh, kw)
    extra = [max(-s.bottom, 0), max(-s.right, 0)]
    attr = dict(kernel_shape=[s.kh, s.kw], strides=[s.sh, s.sw],
                pads=[s.top, s.left, max(s.bottom, 0), max(s.right, 0)])
    if any(extra):
        attr["output_padding"] = extra
    nodes = [helper.make_node("ConvTranspose", ["x", "w", "b"], ["c" if s.relu else "y"], **attr)]
    if s.relu:
        nodes.append(helper.make_node("Relu", ["c"], ["y"]))
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [s.n, s.c, s.h, s.w])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [s.n, s.f, s.oh, s.ow])],
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def nchw(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


class Ort:
    def setup(self, threads):
        import onnxruntime as ort
        self.ort, self.threads = ort, threads
        return f"onnxruntime {ort.__version__}"

    def build(self, s, x, k, b, aux):
        ort = self.ort
        so = ort.SessionOptions()
        so.intra_op_num_threads, so.inter_op_num_threads = self.threads, 1
        so.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        sess = ort.InferenceSession(onnx_model(s, k, b).SerializeToString(), so,
                                    providers=["CPUExecutionProvider"])
        io = sess.io_binding()
        xv = ort.OrtValue.ortvalue_from_numpy(nchw(x))
        yv = ort.OrtValue.ortvalue_from_shape_and_type([s.n, s.f, s.oh, s.ow], np.float32)
        io.bind_ortvalue_input("x", xv)
        io.bind_ortvalue_output("y", yv)
        return (lambda: sess.run_with_iobinding(io)), (lambda: yv.numpy().transpose(0, 2, 3, 1)), "NCHW"


class OpenVino:
    """Plain NCHW in and out, as an ONNX model would have it."""
    nhwc = False

    def setup(self, threads):
        import openvino as ov
        self.ov, self.threads = ov, threads
        return f"openvino {ov.__version__.split('-')[0]}"

    def build(self, s, x, k, b, aux):
        import openvino.opset13 as op
        ov = self.ov
        w = op.constant(np.ascontiguousarray(k.transpose(3, 2, 0, 1)))
        x = x if self.nhwc else nchw(x)
        y = p = op.parameter(list(x.shape), np.float32)
        if self.nhwc:
            y = op.transpose(y, op.constant(np.array([0, 3, 1, 2])))
        y = op.convolution_backprop_data(
            y, w, strides=[s.sh, s.sw], pads_begin=[s.top, s.left],
            pads_end=[max(s.bottom, 0), max(s.right, 0)], dilations=[1, 1], auto_pad="explicit",
            output_padding=[max(-s.bottom, 0), max(-s.right, 0)])
        y = op.add(y, op.constant(b.reshape(1, -1, 1, 1)))
        y = op.relu(y) if s.relu else y
        if self.nhwc:
            y = op.transpose(y, op.constant(np.array([0, 2, 3, 1])))
        cm = ov.Core().compile_model(ov.Model([y], [p]), "CPU", {
            "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": "f32"})
        req = cm.create_infer_request()
        req.set_input_tensor(ov.Tensor(x))
        info = []
        for node in cm.get_runtime_model().get_ops():
            rt = node.get_rt_info()
            kind = rt["layerType"].astype(str) if "layerType" in rt else node.get_type_name()
            if kind not in ("Input", "Output", "Const", "Parameter", "Result", "Constant"):
                prim = rt["primitiveType"].astype(str) if "primitiveType" in rt else ""
                info.append(f"{kind}:{prim}")

        def output():
            y = req.get_output_tensor().data
            return y if self.nhwc else y.transpose(0, 2, 3, 1)
        return req.infer, output, " ".join(info)


class OpenVinoNhwc(OpenVino):
    """NHWC in and out through Transpose nodes, which the plugin turns into no-ops."""
    nhwc = True


class Ncnn:
    def setup(self, threads):
        import ncnn
        self.ncnn, self.threads, self.dir = ncnn, threads, tempfile.mkdtemp(prefix="peers_ncnn_")
        ncnn.set_omp_num_threads(threads)
        return f"ncnn {ncnn.__version__}"

    def build(self, s, x, k, b, aux):
        ncnn = self.ncnn
        w = np.ascontiguousarray(k.transpose(2, 3, 0, 1))  # (F, C, kh, kw)
        args = {0: s.f, 1: s.kw, 11: s.kh, 2: 1, 12: 1, 3: s.sw, 13: s.sh, 4: s.left, 14: s.top,
                15: max(s.right, 0), 16: max(s.bottom, 0), 18: max(-s.right, 0), 19: max(-s.bottom, 0),
                5: 1, 6: w.size, 9: int(s.relu)}
        text = "7767517\n2 2\nInput x 0 1 x\nDeconvolution d 1 1 x y " + " ".join(
            f"{i}={v}" for i, v in args.items()) + "\n"
        base = Path(self.dir) / "m"
        base.with_suffix(".param").write_text(text)
        base.with_suffix(".bin").write_bytes(b"\0\0\0\0" + w.tobytes() + b.tobytes())
        net = ncnn.Net()
        net.opt.num_threads = self.threads
        for flag in ("use_vulkan_compute", "use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic",
                     "use_bf16_storage", "use_bf16_packed"):
            if hasattr(net.opt, flag):
                setattr(net.opt, flag, False)
        net.load_param(str(base.with_suffix(".param")))
        net.load_model(str(base.with_suffix(".bin")))
        # One image a call: ncnn has no batch axis.  Inputs are handed over already packed and
        # outputs are left packed (extract type 1), so layout changes are not timed.
        ins = []
        for img in nchw(x):
            m = ncnn.Mat(img).clone()
            pack = 8 if s.c % 8 == 0 else 4 if s.c % 4 == 0 else 1
            if pack > 1:
                q = ncnn.Mat()
                ncnn.convert_packing(m, q, pack)
                m = q
            ins.append(m)
        keep = [None] * s.n

        def run():
            for i, m in enumerate(ins):
                ex = net.create_extractor()
                ex.input("x", m)
                keep[i] = ex.extract("y", 1)[1]

        def output():
            outs = []
            for m in keep:
                q = ncnn.Mat()
                ncnn.convert_packing(m, q, 1)
                outs.append(np.array(q).reshape(s.f, s.oh, s.ow))
            return np.stack(outs).transpose(0, 2, 3, 1)
        return run, output, f"in elempack {ins[0].elempack}"


class Mnn:
    def setup(self, threads):
        import MNN
        self.MNN, self.threads, self.dir = MNN, threads, tempfile.mkdtemp(prefix="peers_mnn_")
        from importlib.metadata import version
        return f"MNN {version('MNN')}"

    def build(self, s, x, k, b, aux):
        MNN = self.MNN
        src, dst = f"{self.dir}/m.onnx", f"{self.dir}/m.mnn"
        Path(src).write_bytes(onnx_model(s, k, b).SerializeToString())
        import _tools  # the converter behind the mnnconvert script
        _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", src, "--MNNModel", dst,
                           "--bizCode", "x"])
        net = MNN.Interpreter(dst)
        sess = net.createSession({"backend": "CPU", "numThread": self.threads, "precision": "high",
                                  "memory": "high", "power": "high"})
        xt = net.getSessionInput(sess)
        host = nchw(x)
        xt.copyFrom(MNN.Tensor((s.n, s.c, s.h, s.w), MNN.Halide_Type_Float, host,
                               MNN.Tensor_DimensionType_Caffe))

        def output():
            t = net.getSessionOutput(sess)
            y = np.zeros((s.n, s.f, s.oh, s.ow), np.float32)
            h = MNN.Tensor(y.shape, MNN.Halide_Type_Float, y, MNN.Tensor_DimensionType_Caffe)
            t.copyToHostTensor(h)
            return np.array(h.getNumpyData()).reshape(y.shape).transpose(0, 2, 3, 1)
        return (lambda: net.runSession(sess)), output, ""


class OneDnn:
    layout = 0

    def setup(self, threads):
        lib = ctypes.CDLL(os.environ["ONEDNN_SO"])
        lib.od_create.restype = ctypes.c_void_p
        lib.od_info.restype = lib.od_error.restype = ctypes.c_char_p
        for f in (lib.od_info, lib.od_run, lib.od_destroy):
            f.argtypes = [ctypes.c_void_p]
        lib.od_output.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        self.lib, self.op = lib, None
        buf = ctypes.create_string_buffer(64)
        lib.od_version(buf, 64)
        return "oneDNN " + buf.value.decode()

    def build(self, s, x, k, b, aux):
        lib = self.lib
        if self.op:
            lib.od_destroy(self.op)
        d = (ctypes.c_int64 * 11)(s.n, s.h, s.w, s.c, s.f, s.kh, s.kw, s.sh, s.sw, s.oh, s.ow)
        crop = (ctypes.c_int64 * 4)(s.top, s.left, s.bottom, s.right)
        self.op = op = lib.od_create(d, crop, int(s.relu), self.layout, x.ctypes.data_as(ctypes.c_void_p),
                                     k.ctypes.data_as(ctypes.c_void_p), b.ctypes.data_as(ctypes.c_void_p))
        if not op:
            raise RuntimeError(lib.od_error().decode())

        def output():
            y = np.empty((s.n, s.oh, s.ow, s.f), np.float32)
            lib.od_output(op, y.ctypes.data)
            return y
        return (lambda: lib.od_run(op)), output, lib.od_info(op).decode()


class OneDnnAny(OneDnn):
    layout = 1


class Torch:
    def setup(self, threads):
        import torch
        torch.set_num_threads(threads)
        self.torch = torch
        return f"torch {torch.__version__} (" + next(
            line.strip(" -") for line in torch.__config__.show().splitlines() if "MKL-DNN" in line
        ).split(" (Git")[0] + ")"

    def tensors(self, s, x, k, b):
        torch = self.torch
        cl = torch.channels_last
        xt = torch.from_numpy(nchw(x)).contiguous(memory_format=cl)
        wt = torch.from_numpy(k.transpose(3, 2, 0, 1).copy()).contiguous(memory_format=cl)
        return xt, wt, torch.from_numpy(b)

    @staticmethod
    def pads(s):
        return (s.top, s.left), (max(0, s.top - s.bottom), max(0, s.left - s.right))

    def build(self, s, x, k, b, aux):
        torch = self.torch
        xt, wt, bt = self.tensors(s, x, k, b)
        call = self.caller(s, xt, wt, bt)
        exact = tuple(call().shape[2:]) == (s.oh, s.ow)
        box = [None]

        def run():
            with torch.inference_mode():
                y = call()
                if not exact:  # torch pads symmetrically: slice the extra right/bottom line off
                    y = y[:, :, :s.oh, :s.ow]
                box[0] = y.relu_() if s.relu and not self.fused else y
        return run, (lambda: box[0].permute(0, 2, 3, 1).contiguous().numpy()), "" if exact else "sliced"

    fused = False

    def caller(self, s, xt, wt, bt):
        pad, extra = self.pads(s)
        fn = self.torch.nn.functional.conv_transpose2d
        return lambda: fn(xt, wt, bt, (s.sh, s.sw), pad, extra)

    def train(self, s, x, k, b, dy):
        torch = self.torch
        xt, wt, bt = self.tensors(s, x, k, b)
        dyt = torch.from_numpy(nchw(dy)).contiguous(memory_format=torch.channels_last)
        for t in (xt, wt, bt):
            t.requires_grad_()
        call = self.caller(s, xt, wt, bt)

        def run():
            y = call()[:, :, :s.oh, :s.ow]
            y = y.relu() if s.relu else y
            torch.autograd.grad(y, (xt, wt, bt), dyt)
        return run, ""


class TorchPacked(Torch):
    """What torch.compile lowers to with freezing: oneDNN with prepacked weights and fused ReLU."""
    fused = True

    def caller(self, s, xt, wt, bt):
        pad, extra = self.pads(s)
        ops, stride, one = self.torch.ops.mkldnn, [s.sh, s.sw], [1, 1]
        with self.torch.inference_mode():
            packed = ops._reorder_convolution_transpose_weight(
                wt, list(pad), list(extra), stride, one, 1, list(xt.shape))
        act = "relu" if s.relu else "none"
        return lambda: ops._convolution_transpose_pointwise(
            xt, packed, bt, list(pad), list(extra), stride, one, 1, act, [], "")


class Upconv:
    """Our own package, called from Python as a user calls it: layer(x, out=y), NHWC, weights packed at set_weights.
    y is an array that the layer gave before: such begin at cache lines, as the other engines' own memory does and NumPy's does not."""

    def setup(self, threads):
        import upconv
        self.up = upconv
        upconv.set_threads(threads)
        return f"upconv {upconv.__version__}"

    def layer(self, s, k, b):
        up = self.up.layers.Conv2DTranspose(s.f, (s.kh, s.kw), (s.sh, s.sw), s.padding, data_format="channels_last",
                                            activation="relu" if s.relu else None)
        up.build((s.n, s.h, s.w, s.c))
        up.set_weights([k, b])
        return up

    def build(self, s, x, k, b, aux):
        up = self.layer(s, k, b)
        y = up(x)
        return lambda: up(x, out=y), lambda: y, ""

    def train(self, s, x, k, b, dy):
        up = self.layer(s, k, b)

        def step():
            y, tape = up.forward(x)
            up.backward(dy, tape)
        return step, ""


CLASSES = dict(jax=Jax, tf=TF, tf_xla=TFXla, tf_onednn=TF, litert=LiteRT, ort=Ort, openvino=OpenVino, openvino_nhwc=OpenVinoNhwc,
               ncnn=Ncnn, mnn=Mnn, onednn=OneDnn, onednn_any=OneDnnAny, onednn_old=OneDnn, torch=Torch,
               torch_packed=TorchPacked, upconv=Upconv, _export=TFLiteExport)
