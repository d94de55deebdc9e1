// SPDX-License-Identifier: Apache-2.0
#include "nn/tensor_sum.h"

#include <algorithm>
#include <bit>
#include <span>

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

/// to[i] = terms[0][i] + (terms[1][i] + ... + term[i]), in one pass: a pass a sum would cost more than computing the gradients
/// of a large layer. `to` may be one of them.
template <int M>
static void chain_pass(const float* const* terms, const float* term, float* to, std::int64_t count) {
  const float* t[M];
  for (int k = 0; k < M; ++k) t[k] = terms[k];
#pragma GCC ivdep
  for (std::int64_t i = 0; i < count; ++i) {
    float sum = term[i];
    for (int k = M; k-- > 0;) sum = t[k][i] + sum;
    to[i] = sum;
  }
}

/// Up to three float32 sums and a term, block by block on the call's threads, into the first sum. False for anything else.
static bool chain_in_one_pass(std::span<Tensor> sums, const Tensor& term, const ExecutionOptions& execution) {
  constexpr std::int64_t kBlock = 1 << 16;
  const auto pass = sums.size() == 1 ? chain_pass<1> : sums.size() == 2 ? chain_pass<2> : sums.size() == 3 ? chain_pass<3> : nullptr;
  if (!pass || term.elements() == 0 || term.dtype() != DType::float32) return false;
  std::vector<const float*> from;
  for (const Tensor& sum : sums) {
    if (sum.elements() == 0) return false;
    from.push_back(sum.data<float>());
  }
  const std::int64_t count = term.elements();
  const float* const last = term.data<float>();
  float* const to = sums.front().data<float>();
  each_piece(static_cast<std::size_t>((count + kBlock - 1) / kBlock), execution, [&](std::size_t block, const ExecutionOptions&) {
    const std::int64_t first = static_cast<std::int64_t>(block) * kBlock;
    std::vector<const float*> at;
    for (const float* sum : from) at.push_back(sum + first);
    pass(at.data(), last + first, to + first, std::min(kBlock, count - first));
  });
  return true;
}

/// The term added to the last `nodes` sums, from right to left; these are gone then.
Tensor TreeSum::merged(std::size_t nodes, Tensor term) {
  const std::span<Tensor> last = std::span(nodes_).last(nodes);
  Tensor sum;
  if (chain_in_one_pass(last, term, execution_)) {
    sum = std::move(last.front());
  } else {
    for (std::size_t k = nodes; k-- > 0;) term = pair_sum(std::move(last[k]), std::move(term));
    sum = std::move(term);
  }
  nodes_.resize(nodes_.size() - nodes);
  return sum;
}

/// As a binary counter: the number of ones at its end is the number of subtrees that this term completes.
void TreeSum::add(Tensor term) {
  nodes_.push_back(merged(static_cast<std::size_t>(std::countr_one(count_)), std::move(term)));
  ++count_;
}

Tensor TreeSum::finish() && {
  if (nodes_.empty()) return {};
  Tensor last = std::move(nodes_.back());
  nodes_.pop_back();
  return merged(nodes_.size(), std::move(last));
}

Tensor tree_sum(std::vector<Tensor> terms, const ExecutionOptions& execution) {
  TreeSum sum(execution);
  for (Tensor& term : terms) sum.add(std::move(term));
  return std::move(sum).finish();
}

std::vector<double> tree_sum(std::vector<std::vector<double>> terms) {
  if (terms.empty()) return {};
  for (std::size_t width = 1; width < terms.size(); width *= 2)
    for (std::size_t i = 0; i + width < terms.size(); i += 2 * width) {
      std::vector<double>&a = terms[i], &b = terms[i + width];
      a.resize(std::max(a.size(), b.size()));
      for (std::size_t k = 0; k < b.size(); ++k) a[k] += b[k];
    }
  return std::move(terms.front());
}

}  // namespace upconv::nn
