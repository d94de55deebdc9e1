// SPDX-License-Identifier: Apache-2.0
#include "nn/tensor_sum.h"

#include "base/element.h"

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

Tensor tree_sum(std::vector<Tensor> terms) { return tree(std::move(terms)); }
std::vector<double> tree_sum(std::vector<std::vector<double>> terms) { return tree(std::move(terms)); }

}  // namespace upconv::nn
