// SPDX-License-Identifier: Apache-2.0
// oneDNN deconvolution behind a small C interface, which engines.py calls through ctypes; environments.sh builds it.
//
// layout 0: activations are plain NHWC, what a Keras user holds; layout 1: whatever oneDNN prefers, reordered outside the timed call.
// Weights are always format_tag::any, reordered once in od_create.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "dnnl.hpp"

using namespace dnnl;
using dt = memory::data_type;
using tag = memory::format_tag;

namespace {

struct Op {
  engine eng;
  stream str;
  deconvolution_forward prim;
  memory src, wei, bias, dst;  // in the layouts of the primitive
  memory user_dst;             // plain NHWC
  std::unordered_map<int, memory> args;
  std::string info;
};

void put(memory& m, const float* p) {
  float* q = m.map_data<float>();
  std::memcpy(q, p, m.get_desc().get_size());
  m.unmap_data(q);
}

memory move_to(Op& op, memory from, const memory::desc& want) {
  if (from.get_desc() == want) return from;
  memory to(want, op.eng);
  reorder(from, to).execute(op.str, from, to);
  op.str.wait();
  return to;
}

thread_local std::string last_error;

}  // namespace

extern "C" {

const char* od_error() { return last_error.c_str(); }

void od_version(char* buf, int n) {
  auto v = dnnl_version();
  std::snprintf(buf, n, "%d.%d.%d (cpu runtime %u)", v->major, v->minor, v->patch, v->cpu_runtime);
}

// x: NHWC, k: Keras kernel (kh, kw, F, C), b: F.  crop: top, left, bottom, right.
void* od_create(const int64_t* d, const int64_t* crop, int relu, int layout, const float* x,
                const float* k, const float* b) {
  const int64_t n = d[0], h = d[1], w = d[2], c = d[3], f = d[4], kh = d[5], kw = d[6], sh = d[7],
                sw = d[8], oh = d[9], ow = d[10];
  try {
    auto* op = new Op;
    op->eng = engine(engine::kind::cpu, 0);
    op->str = stream(op->eng);
    memory::dims sd{n, c, h, w}, wd{f, c, kh, kw}, bd{f}, od{n, f, oh, ow};
    auto at = layout ? tag::any : tag::nhwc;
    primitive_attr attr;
    if (relu) {
      post_ops po;
      po.append_eltwise(algorithm::eltwise_relu, 0.f, 0.f);
      attr.set_post_ops(po);
    }
    deconvolution_forward::primitive_desc pd(
        op->eng, prop_kind::forward_inference, algorithm::deconvolution_direct,
        memory::desc(sd, dt::f32, at), memory::desc(wd, dt::f32, tag::any),
        memory::desc(bd, dt::f32, tag::x), memory::desc(od, dt::f32, at), {sh, sw},
        {crop[0], crop[1]}, {crop[2], crop[3]}, attr);
    op->info = pd.impl_info_str();
    op->prim = deconvolution_forward(pd);

    memory ux(memory::desc(sd, dt::f32, tag::nhwc), op->eng);
    // (kh, kw, F, C) over logical dims (F, C, kh, kw)
    memory uk(memory::desc(wd, dt::f32, memory::dims{c, 1, kw * f * c, f * c}), op->eng);
    memory ub(memory::desc(bd, dt::f32, tag::x), op->eng);
    put(ux, x);
    put(uk, k);
    put(ub, b);
    op->src = move_to(*op, ux, pd.src_desc());
    op->wei = move_to(*op, uk, pd.weights_desc());
    op->bias = ub;
    op->user_dst = memory(memory::desc(od, dt::f32, tag::nhwc), op->eng);
    op->dst = pd.dst_desc() == op->user_dst.get_desc() ? op->user_dst : memory(pd.dst_desc(), op->eng);
    op->args = {{DNNL_ARG_SRC, op->src}, {DNNL_ARG_WEIGHTS, op->wei}, {DNNL_ARG_BIAS, op->bias},
                {DNNL_ARG_DST, op->dst}};
    return op;
  } catch (const std::exception& e) {
    last_error = e.what();
    return nullptr;
  }
}

const char* od_info(void* p) { return static_cast<Op*>(p)->info.c_str(); }

void od_run(void* p) {
  auto* op = static_cast<Op*>(p);
  op->prim.execute(op->str, op->args);
  op->str.wait();
}

void od_output(void* p, float* y) {
  auto* op = static_cast<Op*>(p);
  if (op->dst.get_desc() != op->user_dst.get_desc()) {
    reorder(op->dst, op->user_dst).execute(op->str, op->dst, op->user_dst);
    op->str.wait();
  }
  float* q = op->user_dst.map_data<float>();
  std::memcpy(y, q, op->user_dst.get_desc().get_size());
  op->user_dst.unmap_data(q);
}

void od_destroy(void* p) { delete static_cast<Op*>(p); }
}
