// SPDX-License-Identifier: Apache-2.0
#include "compiler/pack_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <mutex>
#include <span>

#include "base/error.h"
#include "base/numeric.h"
#include "checkpoint/convert.h"
#include "compiler/check_quantized.h"

namespace veloz::compiler {
namespace {

using checkpoint::TensorInfo;
using checkpoint::TensorSource;
using graph::WeightSegment;

constexpr int64_t kPieceBytes = int64_t{4} << 20;  // of one thread's converted rows

/// Rows [row_begin, row_end) of one weight of the plan: what a thread does in one go.
struct Piece {
  size_t weight = 0;
  int64_t row_begin = 0;
  int64_t row_end = 0;
};

int64_t num_columns(const Shape& shape) { return shape.rank() > 1 ? shape[1] : 1; }

std::vector<Piece> cut_into_pieces(const engine::Plan& plan, const ops::KernelRegistry& target) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < plan.weights.size(); ++i) {
    const engine::PlanWeight& weight = plan.weights[i];
    const int64_t row_bytes =
        num_columns(weight.shape) * static_cast<int64_t>(dtype_bytes(weight.dtype));
    const int64_t granularity = target.layout(weight.layout, weight.dtype).row_granularity;
    const int64_t rows = std::max(granularity, kPieceBytes / row_bytes / granularity * granularity);
    for (int64_t begin = 0; begin < weight.shape[0]; begin += rows)
      pieces.push_back({i, begin, std::min(begin + rows, weight.shape[0])});
  }
  return pieces;
}

/// Weights of these dtypes are made of any floating-point tensor; those of others, codes, hold what
/// their tensors hold.
bool is_converted(DType dtype) { return dtype == DType::fp32 || dtype == DType::bf16; }
bool is_floating_point(DType dtype) { return is_converted(dtype) || dtype == DType::fp16; }

/// Counts of values that are no numbers, by tensor; filled from many threads.
class Findings {
 public:
  void add(const std::string& tensor, int64_t num_nan, int64_t num_inf) {
    if (num_nan + num_inf == 0) return;
    const std::scoped_lock lock(mutex_);
    Counts& counts = counts_[tensor];
    counts.num_nan += num_nan;
    counts.num_inf += num_inf;
  }
  std::vector<std::string> warnings() const {
    std::vector<std::string> warnings;
    for (const auto& [tensor, counts] : counts_)
      warnings.push_back(
          fmt::format("tensor \"{}\" has {} NaN and {} infinite values; outputs that meet them are "
                      "not numbers either",
                      tensor, counts.num_nan, counts.num_inf));
    return warnings;
  }

 private:
  struct Counts {
    int64_t num_nan = 0;
    int64_t num_inf = 0;
  };
  std::mutex mutex_;
  std::map<std::string, Counts> counts_;
};

class Packer {
 public:
  Packer(const graph::Graph& graph, const engine::Plan& plan, const TensorSource& source,
         const ops::KernelRegistry& target, engine::EngineWriter& writer)
      : graph_(graph),
        plan_(plan),
        source_(source),
        target_(target),
        writer_(writer),
        quantized_(quantized_operands(graph)) {}

  /// Scratch of one thread, reused from piece to piece.
  struct Scratch {
    std::vector<std::byte> raw, plain, packed;
  };

  void pack(const Piece& piece, Scratch& scratch) {
    const engine::PlanWeight& weight = plan_.weights[piece.weight];
    const ops::WeightLayout& layout = target_.layout(weight.layout, weight.dtype);
    read_rows(weight, piece, scratch);
    const size_t begin = layout.packed_offset(weight.shape, piece.row_begin);
    const size_t end = piece.row_end == weight.shape[0]
                           ? layout.packed_bytes(weight.shape)
                           : layout.packed_offset(weight.shape, piece.row_end);
    scratch.packed.resize(end - begin);
    layout.pack({weight.dtype, weight.shape, piece.row_begin, piece.row_end}, scratch.plain.data(),
                scratch.packed.data());
    writer_.write_weight(piece.weight, begin, scratch.packed);
  }

  std::vector<std::string> warnings() const { return findings_.warnings(); }

 private:
  /// The piece's rows in the weight's dtype, gathered from the segments they lie in.
  void read_rows(const engine::PlanWeight& weight, const Piece& piece, Scratch& scratch) {
    const int64_t columns = num_columns(weight.shape);
    const size_t row_bytes = static_cast<size_t>(columns) * dtype_bytes(weight.dtype);
    scratch.plain.resize(static_cast<size_t>(piece.row_end - piece.row_begin) * row_bytes);
    const graph::ValueId id = *graph_.try_find(weight.name, graph::ValueKind::weight);
    const std::vector<WeightSegment>& segments = graph_.value(id).segments;
    int64_t segment_begin = 0;
    for (size_t i = 0; i < segments.size(); ++i) {
      const WeightSegment& segment = segments[i];
      const int64_t begin = std::max(piece.row_begin, segment_begin);
      const int64_t end = std::min(piece.row_end, segment_begin + segment.rows);
      if (begin < end) {
        const std::span<std::byte> to(
            scratch.plain.data() + static_cast<size_t>(begin - piece.row_begin) * row_bytes,
            static_cast<size_t>(end - begin) * row_bytes);
        read_segment(segment, begin - segment_begin, end - segment_begin, columns, weight.dtype,
                     scratch.raw, to);
        const Shape shape{end - begin, columns};
        check_read(id, i, begin - segment_begin, TensorView(to.data(), weight.dtype, shape));
      }
      segment_begin += segment.rows;
    }
  }

  void read_segment(const WeightSegment& segment, int64_t begin, int64_t end, int64_t columns,
                    DType to_dtype, std::vector<std::byte>& raw, std::span<std::byte> to) {
    const TensorInfo info = *source_.find(segment.tensor);
    const int64_t count = (end - begin) * columns;
    if (info.dtype == to_dtype && !is_converted(to_dtype)) {
      source_.read_rows(segment.tensor, begin, end, to);
      return;
    }
    raw.resize(static_cast<size_t>(count) * dtype_bytes(info.dtype));
    source_.read_rows(segment.tensor, begin, end, raw);
    const checkpoint::NonFinite found = checkpoint::convert(info.dtype, raw, to_dtype, to);
    findings_.add(segment.tensor, found.num_nan, found.num_inf);
  }

  /// Rows [row_begin, ...) of segment `segment_idx` of a weight, as they were read.
  void check_read(graph::ValueId weight, size_t segment_idx, int64_t row_begin,
                  const TensorView& rows) {
    const std::string& tensor = segment_of(weight, segment_idx);
    if (rows.dtype == DType::int32) {
      check_permutation(TensorView(rows.data, rows.dtype, {rows.shape[0]}), tensor);
    } else if (rows.dtype == DType::fp8_e4m3) {
      findings_.add(tensor, count_nan(rows), 0);
    } else if (const auto found = quantized_.find(weight); found != quantized_.end()) {
      const QuantizedOperands& operands = found->second;
      check_scales(rows, row_begin,
                   {.codes = segment_of(operands.codes, segment_idx),
                    .scales = tensor,
                    .zeros = operands.zeros ? segment_of(*operands.zeros, segment_idx) : ""},
                   source_);
    }
  }

  const std::string& segment_of(graph::ValueId weight, size_t segment_idx) const {
    return graph_.value(weight).segments.at(segment_idx).tensor;
  }

  static int64_t count_nan(const TensorView& codes) {
    constexpr uint8_t kNaN = 0x7f;
    return std::count_if(codes.as<const uint8_t>(),
                         codes.as<const uint8_t>() + codes.shape.num_elements(),
                         [](uint8_t bits) { return (bits & kNaN) == kNaN; });
  }

  const graph::Graph& graph_;
  const engine::Plan& plan_;
  const TensorSource& source_;
  const ops::KernelRegistry& target_;
  engine::EngineWriter& writer_;
  const std::map<graph::ValueId, QuantizedOperands> quantized_;  // by the scales
  Findings findings_;
};

}  // namespace

std::vector<size_t> packed_sizes(const engine::Plan& plan, const ops::KernelRegistry& target) {
  std::vector<size_t> sizes;
  for (const engine::PlanWeight& weight : plan.weights)
    sizes.push_back(target.layout(weight.layout, weight.dtype).packed_bytes(weight.shape));
  return sizes;
}

void check_tensors(const graph::Graph& graph, const TensorSource& source) {
  const std::map<graph::ValueId, QuantizedOperands> scales = quantized_operands(graph);
  for (const graph::ValueId id : graph.values_of_kind(graph::ValueKind::weight)) {
    const graph::Value& weight = graph.value(id);
    for (const WeightSegment& segment : weight.segments) {
      const std::optional<TensorInfo> info = source.find(segment.tensor);
      if (!info)
        throw Error(
            ErrorKind::not_found,
            fmt::format("tensor \"{}\" is missing from the checkpoint", segment.tensor),
            "the checkpoint is incomplete or of another architecture than its config.json says");
      Shape wanted = weight.type.bind({});
      wanted[0] = segment.rows;
      if (info->shape != wanted)
        throw Error(
            ErrorKind::invalid_input,
            fmt::format("tensor \"{}\" has shape {}, config.json asks for {}", segment.tensor,
                        to_string(info->shape), to_string(wanted)),
            "config.json and the weights disagree; check that both come from the same revision");
      const bool is_exact = scales.contains(id) || !is_converted(weight.type.dtype);
      if (is_exact && info->dtype != weight.type.dtype)
        throw Error(
            ErrorKind::invalid_input,
            fmt::format("tensor \"{}\" has dtype {}, its quantization asks for {}", segment.tensor,
                        to_string(info->dtype), to_string(weight.type.dtype)),
            "config.json and the weights disagree; check that both come from the same revision");
      if (!is_exact && !is_floating_point(info->dtype))
        throw Error(ErrorKind::unsupported,
                    fmt::format("tensor \"{}\" has dtype {}, weights are F32, F16 or BF16",
                                segment.tensor, to_string(info->dtype)),
                    "convert the checkpoint to one of these");
    }
  }
}

std::vector<std::string> pack_weights(const graph::Graph& graph, const engine::Plan& plan,
                                      const TensorSource& source, const ops::KernelRegistry& target,
                                      ThreadPool& pool, const ProgressSink& progress,
                                      engine::EngineWriter& writer) {
  const std::vector<Piece> pieces = cut_into_pieces(plan, target);
  uint64_t total_bytes = 0;
  for (const size_t bytes : packed_sizes(plan, target)) total_bytes += bytes;

  Packer packer(graph, plan, source, target, writer);
  std::atomic<size_t> next_piece{0};
  std::atomic<uint64_t> done_bytes{0};
  std::mutex failure_mutex;
  std::exception_ptr failure;
  // Pieces are taken in turn: where a piece lands in the file depends on itself alone, so the order
  // does not show.
  pool.run([&](int thread_idx) {
    Packer::Scratch scratch;
    try {
      for (size_t i = next_piece++; i < pieces.size(); i = next_piece++) {
        packer.pack(pieces[i], scratch);
        done_bytes += scratch.packed.size();
        if (thread_idx == 0 && progress)
          progress({.stage = "packing weights",
                    .done = done_bytes,
                    .total = total_bytes,
                    .unit = "bytes"});
      }
    } catch (...) {
      next_piece = pieces.size();
      const std::scoped_lock lock(failure_mutex);
      if (!failure) failure = std::current_exception();
    }
  });
  if (failure) std::rethrow_exception(failure);
  return packer.warnings();
}

}  // namespace veloz::compiler
