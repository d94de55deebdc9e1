// SPDX-License-Identifier: Apache-2.0
#include "nn/tensor_sum.h"

#include <algorithm>

#include "base/element.h"
#include "nn/pieces.h"

namespace upconv::nn {

void add_view_into(TensorView to, ConstTensorView from) {
  const std::int64_t count = to.elements();
  if (to.dtype == DType::float32) {
    float* sum = to.data<float>();
    const float* term = from.data<float>();
    for (std::int64_t i = 0; i < count; ++i) sum[i] += term[i];
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) base::write_element(to, i, base::read_element(to, i) + base::read_element(from, i));
}

void add_into(Tensor& sum, Tensor&& term) {
  if (sum.elements() == 0) sum = std::move(term);
  else add_view_into(sum, term);
}

static Tensor pair_sum(Tensor a, Tensor b) {
  if (a.elements() == 0 && b.elements() == 0) return a;
  if (a.elements() == 0) std::swap(a, b);
  if (b.elements() == 0) b = Tensor(a.shape(), a.dtype());
  add_into(a, std::move(b));
  return a;
}

static std::vector<double> pair_sum(std::vector<double> a, const std::vector<double>& b) {
  a.resize(std::max(a.size(), b.size()));
  for (std::size_t i = 0; i < b.size(); ++i) a[i] += b[i];
  return a;
}

template <class Term>
static Term tree(std::vector<Term> terms) {
  if (terms.empty()) return {};
  for (std::size_t width = 1; width < terms.size(); width *= 2)
    for (std::size_t i = 0; i + width < terms.size(); i += 2 * width)
      terms[i] = pair_sum(std::move(terms[i]), std::move(terms[i + width]));
  return std::move(terms.front());
}

/// out[i] = the tree over M terms, in one pass: of eight gradients of a large layer, seven passes would cost more than computing
/// them. out may be the first term.
template <int M>
static void tree_pass(const float* const* terms, float* out, std::int64_t count) {
  const float* t[M];
  for (int k = 0; k < M; ++k) t[k] = terms[k];
  const auto pair = [&](int k, std::int64_t i) { return t[k][i] + t[k + 1][i]; };
#pragma GCC ivdep
  for (std::int64_t i = 0; i < count; ++i) {
    if constexpr (M == 2) out[i] = pair(0, i);
    if constexpr (M == 4) out[i] = pair(0, i) + pair(2, i);
    if constexpr (M == 8) out[i] = (pair(0, i) + pair(2, i)) + (pair(4, i) + pair(6, i));
  }
}

/// 2, 4 or 8 whole float32 terms, block by block on the call's threads. False for anything else.
static bool tree_in_one_pass(std::vector<Tensor>& terms, const ExecutionOptions& execution) {
  constexpr std::int64_t kBlock = 1 << 16;
  const auto pass = terms.size() == 8 ? tree_pass<8> : terms.size() == 4 ? tree_pass<4> : terms.size() == 2 ? tree_pass<2> : nullptr;
  if (!pass) return false;
  std::vector<const float*> from;
  for (const Tensor& term : terms) {
    if (term.elements() == 0 || term.dtype() != DType::float32) return false;
    from.push_back(term.data<float>());
  }
  const std::int64_t count = terms.front().elements();
  float* const out = terms.front().data<float>();
  each_piece(static_cast<std::size_t>((count + kBlock - 1) / kBlock), execution, [&](std::size_t block, const ExecutionOptions&) {
    const std::int64_t first = static_cast<std::int64_t>(block) * kBlock;
    std::vector<const float*> at;
    for (const float* term : from) at.push_back(term + first);
    pass(at.data(), out + first, std::min(kBlock, count - first));
  });
  return true;
}

Tensor tree_sum(std::vector<Tensor> terms, const ExecutionOptions& execution) {
  if (tree_in_one_pass(terms, execution)) return std::move(terms.front());
  return tree(std::move(terms));
}
std::vector<double> tree_sum(std::vector<std::vector<double>> terms) { return tree(std::move(terms)); }

}  // namespace upconv::nn
