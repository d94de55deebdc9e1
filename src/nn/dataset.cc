// SPDX-License-Identifier: Apache-2.0
// Datasets, logs, and the destructors that give the interfaces of training a home.
#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "upconv/error.h"
#include "upconv/training.h"

namespace upconv {

Dataset::~Dataset() = default;
Communicator::~Communicator() = default;
Callback::~Callback() = default;

namespace {

std::int64_t samples(const Tensor& t, const char* what) {
  if (t.shape().rank() == 0) throw ArgumentError(what, base::cat("The first axis of ", what, " counts samples. Received a scalar."));
  return t.shape()[0];
}

/// The samples with these numbers, in their order.
Tensor gather(const Tensor& from, std::span<const std::int64_t> indices) {
  Shape shape = from.shape();
  shape[0] = static_cast<std::int64_t>(indices.size());
  Tensor out = Tensor::uninitialized(shape, from.dtype());
  const std::size_t bytes = from.shape()[0] ? from.byte_size() / static_cast<std::size_t>(from.shape()[0]) : 0;
  auto* to = static_cast<std::byte*>(out.bytes());
  const auto* source = static_cast<const std::byte*>(from.bytes());
  for (std::size_t i = 0; i < indices.size() && bytes; ++i)
    std::memcpy(to + i * bytes, source + static_cast<std::size_t>(indices[i]) * bytes, bytes);
  return out;
}

}  // namespace

ArrayDataset::ArrayDataset(std::vector<Tensor> inputs, std::vector<Tensor> targets, std::optional<Tensor> sample_weight)
    : inputs_(std::move(inputs)), targets_(std::move(targets)), sample_weight_(std::move(sample_weight)) {
  if (inputs_.empty()) throw ArgumentError("inputs", "A dataset needs at least one input array.");
  const std::int64_t n = samples(inputs_.front(), "inputs");
  std::vector<std::int64_t> sizes;
  for (const Tensor& t : inputs_) sizes.push_back(samples(t, "inputs"));
  for (const Tensor& t : targets_) sizes.push_back(samples(t, "targets"));
  if (sample_weight_) sizes.push_back(samples(*sample_weight_, "sample_weight"));
  if (std::any_of(sizes.begin(), sizes.end(), [&](std::int64_t size) { return size != n; })) {
    std::vector<std::string> texts;
    for (const std::int64_t size : sizes) texts.push_back(std::to_string(size));
    throw ArgumentError("inputs", base::cat("Data cardinality is ambiguous. Make sure all arrays contain the same number of samples. Received sizes: ",
                                            base::join(texts, ", "), "."));
  }
}

std::int64_t ArrayDataset::size() const { return inputs_.front().shape()[0]; }

Batch ArrayDataset::batch(std::span<const std::int64_t> indices, std::int64_t) const {
  Batch batch;
  for (const Tensor& t : inputs_) batch.inputs.push_back(gather(t, indices));
  for (const Tensor& t : targets_) batch.targets.push_back(gather(t, indices));
  if (sample_weight_) batch.sample_weight = gather(*sample_weight_, indices);
  return batch;
}

const double* find_log(const Logs& logs, const std::string& name) noexcept {
  for (const auto& [key, value] : logs)
    if (key == name) return &value;
  return nullptr;
}

}  // namespace upconv
