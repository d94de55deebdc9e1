// SPDX-License-Identifier: Apache-2.0
// Sums over ranks by recursive doubling: in round k a rank exchanges its partial sum with rank ^ 2^k and adds the two. Both
// sides add the same two numbers, and addition commutes, so after log2(ranks) rounds every rank holds the same bits: those
// of a binary tree over the ranks, which is the upper part of the tree over the chunks of a batch (nn/trainer.cc). Rounds of
// different sums run at once; progress() moves each on as far as its messages have come.
#include <mpi.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <vector>

#include "base/text.h"
#include "nn/tensor_sum.h"
#include "upconv/error.h"
#include "upconv/mpi.h"

namespace upconv {

namespace {

struct Span {
  double start, end;
  const char* what;
};

/// A sum on its way.
struct RunningSum {
  TensorView values;
  Tensor received = {};
  std::vector<float> widened = {};           // half types through MPI_Allreduce
  MPI_Request requests[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
  int round = 0, tag = 0;
  double start = 0, end = 0;
  bool done = false;
};

class World final : public MpiCommunicator {
 public:
  explicit World(bool fast_reduce) : fast_(fast_reduce) {
    int initialized = 0;
    MPI_Initialized(&initialized);
    if (!initialized) {
      int provided = 0;
      if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS)
        throw StateError("MPI could not be initialised.", StateError::Kind::distributed);
      finalizes_ = true;
    }
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    begin_ = MPI_Wtime();
  }
  ~World() override {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (finalizes_ && !finalized) MPI_Finalize();
  }

  int rank() const noexcept override { return rank_; }
  int size() const noexcept override { return size_; }

  void begin_sum(TensorView values) override {
    if (size_ == 1) return;
    RunningSum& sum = sums_.emplace_back();
    sum.values = values, sum.tag = next_tag(), sum.start = MPI_Wtime();
    if (sums_.size() == 1) pass_start_ = sum.start;
    if (fast_) start_allreduce(sum);
    else start_round(sum);
  }

  void progress() override {
    for (RunningSum& sum : sums_)
      while (!sum.done) {
        int arrived = 0;
        MPI_Testall(2, sum.requests, &arrived, MPI_STATUSES_IGNORE);
        if (!arrived) break;
        advance(sum);
      }
  }

  void finish_sums() override {
    const double called = MPI_Wtime();
    if (!sums_.empty()) spans_.push_back({pass_start_, called, "backward"});
    for (RunningSum& sum : sums_) {
      while (!sum.done) {
        MPI_Waitall(2, sum.requests, MPI_STATUSES_IGNORE);
        advance(sum);
        progress();
      }
    }
    for (const RunningSum& sum : sums_) {
      ++report_.sums;
      report_.seconds += sum.end - sum.start;
      report_.overlapped_seconds += std::max(0.0, std::min(sum.end, called) - sum.start);
      spans_.push_back({sum.start, sum.end, "sum"});
    }
    sums_.clear();
    report_.waited_seconds += MPI_Wtime() - called;
  }

  void sum(std::span<double> values) override {
    const double called = MPI_Wtime();
    std::vector<double> other(values.size());
    const int count = static_cast<int>(values.size()), tag = next_tag();
    if (fast_) {
      MPI_Allreduce(MPI_IN_PLACE, values.data(), count, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    } else {
      for (int bit = 1; bit < size_; bit *= 2) {
        MPI_Sendrecv(values.data(), count, MPI_DOUBLE, rank_ ^ bit, tag, other.data(), count, MPI_DOUBLE, rank_ ^ bit, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        for (std::size_t i = 0; i < other.size(); ++i) values[i] += other[i];
      }
    }
    waited(called);
  }

  void broadcast(TensorView values) override {
    constexpr std::size_t kPiece = std::size_t{1} << 30;                // MPI counts in int
    auto* bytes = static_cast<std::byte*>(values.bytes);
    for (std::size_t at = 0; at < values.byte_size(); at += kPiece)
      MPI_Bcast(bytes + at, static_cast<int>(std::min(kPiece, values.byte_size() - at)), MPI_BYTE, 0, MPI_COMM_WORLD);
  }

  void check(const std::string& error) override {
    const double called = MPI_Wtime();
    const int mine = error.empty() ? size_ : rank_;
    int first = size_;
    MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    waited(called);
    if (first == size_) return;
    int length = static_cast<int>(error.size());
    MPI_Bcast(&length, 1, MPI_INT, first, MPI_COMM_WORLD);
    std::string message = error;
    message.resize(static_cast<std::size_t>(length));
    MPI_Bcast(message.data(), length, MPI_CHAR, first, MPI_COMM_WORLD);
    throw StateError(base::cat("rank ", first, " of ", size_, ": ", message), StateError::Kind::distributed);
  }

  CommunicationReport report() const override { return report_; }

  std::string trace_json() const override {
    std::string json = "{\"traceEvents\": [";
    for (std::size_t i = 0; i < spans_.size(); ++i)
      json += base::cat(i ? ",\n" : "\n", "{\"name\": \"", spans_[i].what, "\", \"ph\": \"X\", \"pid\": ", rank_, ", \"tid\": ", spans_[i].what[0] == 'b' ? 0 : 1,
                        ", \"ts\": ", static_cast<std::int64_t>((spans_[i].start - begin_) * 1e6), ", \"dur\": ",
                        static_cast<std::int64_t>((spans_[i].end - spans_[i].start) * 1e6), "}");
    return json + "\n]}\n";
  }

  void abort(int exit_code) override {
    MPI_Abort(MPI_COMM_WORLD, exit_code);
    std::abort();
  }

 private:
  /// A message of a few bytes that everybody waited for, outside the backward pass.
  void waited(double since) {
    const double now = MPI_Wtime();
    report_.waited_seconds += now - since;
    if (size_ > 1) spans_.push_back({since, now, "wait"});
  }

  int next_tag() { return tag_ = (tag_ + 1) % 30000; }

  void start_round(RunningSum& sum) {
    const int bit = 1 << sum.round, bytes = static_cast<int>(sum.values.byte_size());
    if (bit >= size_) return finish(sum);
    if (sum.received.elements() == 0) sum.received = Tensor::uninitialized(sum.values.shape, sum.values.dtype);
    report_.bytes += bytes;
    MPI_Irecv(sum.received.bytes(), bytes, MPI_BYTE, rank_ ^ bit, sum.tag, MPI_COMM_WORLD, &sum.requests[0]);
    MPI_Isend(sum.values.bytes, bytes, MPI_BYTE, rank_ ^ bit, sum.tag, MPI_COMM_WORLD, &sum.requests[1]);
  }
  /// The messages of a round, or of the whole reduction, have come.
  void advance(RunningSum& sum) {
    if (fast_) {
      if (!sum.widened.empty()) convert({sum.widened.data(), sum.values.shape}, sum.values);
      return finish(sum);
    }
    nn::add_view_into(sum.values, sum.received);
    ++sum.round;
    start_round(sum);
  }
  void start_allreduce(RunningSum& sum) {
    const auto count = static_cast<int>(sum.values.elements());
    const bool doubles = sum.values.dtype == DType::float64, half = !doubles && sum.values.dtype != DType::float32;
    void* buffer = sum.values.bytes;
    if (half) {
      sum.widened.resize(static_cast<std::size_t>(count));
      convert(sum.values, {sum.widened.data(), sum.values.shape});
      buffer = sum.widened.data();
    }
    report_.bytes += static_cast<double>(sum.values.byte_size());
    MPI_Iallreduce(MPI_IN_PLACE, buffer, count, doubles ? MPI_DOUBLE : MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &sum.requests[0]);
  }
  static void finish(RunningSum& sum) { sum.done = true, sum.end = MPI_Wtime(); }

  bool fast_, finalizes_ = false;
  int rank_ = 0, size_ = 1, tag_ = 0;
  double begin_ = 0, pass_start_ = 0;
  std::deque<RunningSum> sums_;              // addresses stay while messages run
  CommunicationReport report_;
  std::vector<Span> spans_;
};

}  // namespace

std::shared_ptr<MpiCommunicator> MpiCommunicator::world(bool fast_reduce) { return std::make_shared<World>(fast_reduce); }

bool MpiCommunicator::launched() noexcept {
  return std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr || std::getenv("PMI_SIZE") != nullptr || std::getenv("PMIX_RANK") != nullptr;
}

}  // namespace upconv
