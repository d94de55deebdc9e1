// SPDX-License-Identifier: Apache-2.0
// The memory of a training step: no more than activations, their gradients and parameters * (4 + the optimiser's slots), and a
// tenth. The model is trained in a process of its own, whose peak the system reports.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "upconv/conv2d_transpose.h"
#include "upconv/training.h"

namespace upconv {
namespace {

std::shared_ptr<Layer> up(std::int64_t filters, Conv2DTransposeOptions options, std::int64_t kernel = 4) {
  options.padding = "same";
  return std::make_shared<Conv2DTranspose>(filters, kernel, options);
}

/// The generator of DCGAN behind its first reshape: 11 million weights.
Model generator() {
  return Model({up(512, {.strides = 2, .activation = "relu"}), up(256, {.strides = 2, .activation = "relu"}), up(128, {.strides = 2, .activation = "relu"}),
                up(3, {.strides = 2, .activation = "tanh"})}, "generator", Shape{4, 4, 1024});
}

/// Few weights, large pictures.
Model pictures() {
  return Model({up(32, {.activation = "relu"}, 3), up(32, {.activation = "relu"}, 3), up(32, {.activation = "relu"}, 3), up(3, {.strides = 2})}, "pictures",
               Shape{192, 192, 3});
}

std::int64_t peak_kib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

struct Memory {
  std::int64_t bound, peak;                            // KiB
};

/// Three steps of Adam, which has two slots, on a batch of eight.
Memory train(Model (*make)(), const Shape& in, const Shape& out) {
  const std::int64_t before = peak_kib();
  Model model = make();
  std::int64_t activations = in.elements();
  Shape shape = in;
  for (const auto& layer : model.layers())
    if (layer->count_params() > 0) shape = layer->compute_output_shape(shape), activations += shape.elements();
  const std::int64_t parameters = model.count_params();
  Trainer trainer(std::move(model), optimizers::Adam{}, {"mse"}, {.execution = {.threads = 1}});
  const Batch batch_of_zeros{{Tensor(in)}, {Tensor(out)}, {}};
  for (int i = 0; i < 3; ++i) trainer.train_on_batch(batch_of_zeros);
  return {(2 * activations + parameters * (4 + 2)) * 4 * 11 / 10 / 1024, peak_kib() - before};
}

Memory in_a_process_of_its_own(Model (*make)(), const Shape& in, const Shape& out) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    const Memory memory = train(make, in, out);
    _exit(write(ends[1], &memory, sizeof memory) == sizeof memory ? 0 : 1);
  }
  close(ends[1]);
  Memory memory{};
  EXPECT_EQ(read(ends[0], &memory, sizeof memory), static_cast<ssize_t>(sizeof memory));
  close(ends[0]);
  waitpid(child, nullptr, 0);
  std::printf("peak %ld MiB, bound %ld MiB\n", static_cast<long>(memory.peak / 1024), static_cast<long>(memory.bound / 1024));
  return memory;
}

TEST(TrainingMemory, ManyWeights) {
  const Memory memory = in_a_process_of_its_own(&generator, {8, 4, 4, 1024}, {8, 64, 64, 3});
  EXPECT_LE(memory.peak, memory.bound);
}

TEST(TrainingMemory, LargePictures) {
  const Memory memory = in_a_process_of_its_own(&pictures, {8, 192, 192, 3}, {8, 384, 384, 3});
  EXPECT_LE(memory.peak, memory.bound);
}

}  // namespace
}  // namespace upconv
