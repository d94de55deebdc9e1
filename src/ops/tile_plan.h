// SPDX-License-Identifier: Apache-2.0
// The plan of the direct algorithms; what they do is at the head of tile_plan.cc.
#pragma once

#include <string>

#include "kernels/row_tiles.h"
#include "ops/blocks.h"
#include "ops/pixels.h"
#include "ops/plan.h"
#include "ops/tile_layout.h"

namespace upconv::ops {

/// The input as the tiles read it: channel 0 of pixel (n, i, j) at base + n*image + i*row + j*column.
template <class T>
struct InputView {
  const T* base;
  std::int64_t image, row, column;
};

template <class T>
class TilePlan final : public ForwardPlan {
 public:
  TilePlan(const Problem& problem, const Execution& execution, std::size_t algorithm, std::string reason, Merge merge);

  const std::string& algorithm() const noexcept override { return algorithm_names()[algorithm_]; }
  const std::string& reason() const noexcept override { return reason_; }
  std::size_t workspace_bytes() const noexcept override {
    return static_cast<std::size_t>(shared_bytes_ + workers_ * slot_bytes_);
  }
  std::size_t unpacked_workspace_bytes() const noexcept override {
    return workspace_bytes() + static_cast<std::size_t>(layout_.packed_elements) * sizeof(T) + 64;
  }
  std::string packing_key() const override { return layout_.key(); }
  std::shared_ptr<const PackedKernel> pack(const void* kernel) const override;
  void run(const void* x, const PackedKernel& kernel, const void* bias, void* y, void* workspace) const noexcept override;
  void run_unpacked(const void* x, const void* kernel, const void* bias, void* y, void* workspace) const noexcept override;

 private:
  struct Packed final : PackedKernel {
    explicit Packed(std::int64_t elements) : data(Tensor::uninitialized({elements + 64}, dtype_of<T>)) {}
    std::size_t bytes() const noexcept override { return data.byte_size(); }
    Tensor data;
  };
  struct Call {
    const void* x;
    const T* kernel;
    const T* bias;     // spread over the packed columns
    const T* zeros;    // ci of them
    void* y;
  };
  /// A thread's scratch: staged input, sums that wait [pixel][widest panel] or null, row pointers [tap][pixel], places [pixel].
  struct Slot {
    T* staged;
    T* carry;
    const T** table;
    Place* places;
  };
  void choose_blocks();
  bool fits(const Blocking& b) const noexcept;
  std::int64_t staged_elements(const Blocking& b) const noexcept;
  Slot slot(char* memory) const noexcept;
  void pack_all(const void* kernel, T* packed) const noexcept;
  void run_packed(const Call& call, char* slots) const noexcept;
  void run_block(const Call& call, const Block& block, std::int64_t first_panel, std::int64_t last_panel, const Slot& slot) const noexcept;
  InputView<T> input(const Call& call, const Block& block, T* staged) const noexcept;
  std::int64_t fill_tables(const Call& call, const InputView<T>& in, const Block& unit_block, const TileUnit& unit,
                           const Slot& slot) const noexcept;
  bool run_rows(const Call& call, const InputView<T>& in, const Block& unit_block, const TileUnit& unit, std::int64_t first,
                std::int64_t last, const Slot& slot) const noexcept;
  void run_tables(const Call& call, const InputView<T>& in, const Block& unit_block, const TileUnit& unit, std::int64_t first,
                  std::int64_t last, bool by_rows, const Slot& slot) const noexcept;
  std::int64_t fill_pieces(const TileUnit& unit, const TilePanel& panel, kernels::RowPiece* pieces) const noexcept;
  void set_steps(const TileUnit& unit, std::int64_t q, const kernels::TileStep*& steps, std::int64_t& count) const noexcept;
  void run_panel(const Call& call, const Block& unit_block, const TileUnit& unit, const TilePanel& panel, std::int64_t pixels,
                 bool by_rows, const Slot& slot) const noexcept;
  void run_taps(const Call& call, const TileUnit& unit, const TilePanel& panel, std::int64_t pixels, const Slot& slot) const noexcept;
  kernels::TileTask<T> task_of(const Call& call, const TilePanel& panel) const noexcept;
  void run_tile(const Call& call, const TilePanel& panel, kernels::TileTask<T>& task, const Place* places, std::int64_t count,
                std::int64_t phases) const noexcept;

  Problem p_;
  Execution e_;
  std::size_t algorithm_;
  std::string reason_;
  const kernels::TileKernels<T>& kernels_;
  const kernels::RowTiles<T>& row_tiles_;
  TileLayout<T> layout_;
  Image in_, out_;
  std::int64_t y_first_ = 0, y_last_ = 0, x_first_ = 0, x_last_ = 0;   // blocks of the whole output
  std::int64_t y_reach_ = 0, x_reach_ = 0;                             // largest shifts
  Blocking blocking_;
  bool linear_ = false, relu_ = false, direct_ = false, by_rows_ = true, padded_ = false, streamed_ = false, far_ = false, far_output_ = false;
  std::int64_t shares_ = 1, workers_ = 1, shared_bytes_ = 0, slot_bytes_ = 0, carried_ = 0;
};

}  // namespace upconv::ops
