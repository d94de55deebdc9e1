// SPDX-License-Identifier: Apache-2.0
// A loss of a batch: shapes are matched as Keras matches them, the batch is cut into lines along the loss's axis, blocks of
// lines are computed (loss_functions.cc), weighted and added up in double. A line's value and gradient do not depend on
// the lines beside it, so a batch may be evaluated in pieces.
#include "upconv/loss.h"

#include <algorithm>

#include "base/lines.h"
#include "nn/loss_functions.h"
#include "nn/loss_shapes.h"

namespace upconv {

namespace {

/// Where the lines of a tensor are: one after another, or gathered.
class LineAccess {
 public:
  LineAccess(const Shape& shape, const std::vector<int>& axes) {
    lines_ = length_ = 1;
    bool last = true;                                       // the axes are the last ones: lines lie one after another
    for (std::size_t axis = shape.rank(); axis-- > 0;) {
      const bool along = std::find(axes.begin(), axes.end(), static_cast<int>(axis)) != axes.end();
      (along ? length_ : lines_) *= shape[axis];
      if (!along) last = false;
      contiguous_ = contiguous_ && (last || !along || shape[axis] == 1);
    }
    if (!contiguous_) offsets_ = base::lines_along(shape, axes);
  }

  std::int64_t lines() const { return lines_; }
  std::int64_t length() const { return length_; }

  /// Lines first, ..., first + count - 1 one after another: in place, or in `room`.
  template <class T>
  const T* read(const T* data, std::int64_t first, std::int64_t count, std::vector<T>& room) const {
    if (contiguous_) return data + first * length_;
    room.resize(static_cast<std::size_t>(count * length_));
    for (std::int64_t k = 0; k < length_; ++k)              // neighbouring lines are neighbours in memory
      for (std::int64_t i = 0; i < count; ++i) room[static_cast<std::size_t>(i * length_ + k)] = data[offset(first + i, k)];
    return room.data();
  }
  /// Where to write these lines' gradient; `write` puts it in place.
  template <class T>
  T* room_for(T* data, std::int64_t first, std::int64_t count, std::vector<T>& room) const {
    if (!data || contiguous_) return data ? data + first * length_ : nullptr;
    room.resize(static_cast<std::size_t>(count * length_));
    return room.data();
  }
  template <class T>
  void write(T* data, std::int64_t first, std::int64_t count, const std::vector<T>& room) const {
    if (!data || contiguous_) return;
    for (std::int64_t k = 0; k < length_; ++k)
      for (std::int64_t i = 0; i < count; ++i) data[offset(first + i, k)] = room[static_cast<std::size_t>(i * length_ + k)];
  }

 private:
  std::int64_t offset(std::int64_t line, std::int64_t k) const {
    return offsets_.starts[static_cast<std::size_t>(line)] + offsets_.steps[static_cast<std::size_t>(k)];
  }
  std::int64_t lines_ = 1, length_ = 1;
  bool contiguous_ = true;
  base::Lines offsets_;
};

template <class T>
struct Batch {
  const LossFunction& function;
  const nn::LossShapes& shapes;
  const nn::LineWeights& weights;
  const T *y_true, *y_pred;

  /// Adds up weight * value over all lines. `values` (a line each, unweighted) and `gradient` (that of the sum, times
  /// `factor`) may be null.
  double run(double factor, T* values, T* gradient) const {
    constexpr std::int64_t kBlock = 4096;                   // elements: three such blocks stay in L1
    const LineAccess access(shapes.y_pred, shapes.axes);
    const std::int64_t lines = access.lines(), length = access.length();
    const nn::LossContext context = nn::loss_context(function, shapes, y_true);
    const std::int64_t block = std::max<std::int64_t>(1, kBlock / std::max<std::int64_t>(1, length));
    std::vector<T> t_room, p_room, d_room, block_values(static_cast<std::size_t>(std::min(block, lines)));
    double total = 0;
    for (std::int64_t first = 0; first < lines; first += block) {
      const std::int64_t count = std::min(block, lines - first);
      nn::LossLines<T> l{count, length, shapes.class_numbers ? y_true + first : access.read(y_true, first, count, t_room),
                         access.read(y_pred, first, count, p_room), block_values.data(), access.room_for(gradient, first, count, d_room),
                         factor, weights.weight.empty() ? nullptr : weights.weight.data() + first};
      nn::evaluate_lines(function, context, l);
      for (std::int64_t i = 0; i < count; ++i) {
        T& value = block_values[static_cast<std::size_t>(i)];
        if (weights.masked(first + i)) {
          value = 0;
          if (l.gradient) std::fill_n(l.gradient + i * length, length, T(0));
        }
        total += weights.of(first + i) * static_cast<double>(value);
      }
      access.write(gradient, first, count, d_room);
      if (values) std::copy_n(block_values.data(), count, values + first);
    }
    return total;
  }
};

/// `view` itself, or its copy in another dtype.
ConstTensorView converted(ConstTensorView view, DType dtype, Tensor& room) {
  if (view.dtype == dtype) return view;
  room = Tensor::uninitialized(view.shape, dtype);
  convert(view, room);
  return room;
}

/// Everything that a loss is computed from, in the dtype it is computed in.
struct Prepared {
  Tensor room[2];
  ConstTensorView y_true, y_pred;
  nn::LossShapes shapes;
  nn::LineWeights weights;

  Prepared(const LossFunction& function, Reduction reduction, ConstTensorView t, ConstTensorView p, const Tensor* sample_weight)
      : shapes(nn::match_shapes(function, t.shape, p.shape)) {
    const DType dtype = p.dtype == DType::float64 ? DType::float64 : DType::float32;
    y_true = converted(t, dtype, room[0]), y_pred = converted(p, dtype, room[1]);
    weights = nn::line_weights(function, reduction, shapes, y_true, sample_weight);
  }

  double run(const LossFunction& function, double factor, void* values, void* gradient) const {
    const auto of = [&]<class T>(T) {
      return Batch<T>{function, shapes, weights, y_true.data<T>(), y_pred.data<T>()}.run(factor, static_cast<T*>(values), static_cast<T*>(gradient));
    };
    return y_pred.dtype == DType::float64 ? of(double()) : of(float());
  }
};

/// 1 / denominator; a sum that nothing divides is 0, as Keras's divide_no_nan has it.
double share_of(double denominator) { return denominator == 0 ? 0 : 1 / denominator; }

}  // namespace

Tensor Loss::values(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight) const {
  const Prepared batch(function_, Reduction::none, y_true, y_pred, sample_weight);
  Tensor values(batch.shapes.values, batch.y_pred.dtype);
  batch.run(function_, 1, values.bytes(), nullptr);
  return nn::weighted(std::move(values), sample_weight);
}

double Loss::denominator(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight) const {
  return Prepared(function_, reduction_, y_true, y_pred, sample_weight).weights.denominator;
}

double Loss::operator()(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight) const {
  const Prepared batch(function_, reduction_, y_true, y_pred, sample_weight);
  const double share = share_of(batch.weights.denominator);
  return share == 0 ? 0 : share * batch.run(function_, 0, nullptr, nullptr);
}

Loss::Evaluation Loss::evaluate(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight, double denominator,
                                double scale) const {
  const Prepared batch(function_, reduction_, y_true, y_pred, sample_weight);
  const double share = share_of(denominator > 0 ? denominator : batch.weights.denominator);
  Evaluation result{0, share == 0 ? Tensor(y_pred.shape, batch.y_pred.dtype) : Tensor::uninitialized(y_pred.shape, batch.y_pred.dtype)};
  if (share != 0) result.value = share * batch.run(function_, share * scale, nullptr, result.gradient.bytes());
  if (y_pred.dtype != result.gradient.dtype()) result.gradient = result.gradient.cast(y_pred.dtype);
  return result;
}

bool Loss::separable() const noexcept {
  const auto axes = nn::loss_axes(function_);
  return axes && std::find(axes->begin(), axes->end(), 0) == axes->end();
}

}  // namespace upconv
