// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <span>

#include "base/numeric.h"
#include "bench/harness.h"
#include "bench/workspace.h"
#include "cpu/device.h"
#include "ops/attention.h"
#include "ops/element.h"
#include "ops/kv_layout.h"

namespace veloz::bench {
namespace {

constexpr int64_t kHeadDim = 64;
constexpr int64_t kBlockSize = 64;
constexpr int64_t kNumHeads = 32;
constexpr int64_t kWidth = kNumHeads * kHeadDim;

struct AttentionShape {
  std::string_view name;
  int64_t num_seqs;
  int64_t q_len;  // of each sequence
  int64_t kv_len;
  int64_t num_kv_heads = 4;  // of a Llama of 1.1 billion weights; 32: each head has its own
  DType cache = DType::bf16;
  bool shares_blocks = false;  // sequences are beams that did not part yet
};
constexpr AttentionShape kShapes[] = {{"prefill", 1, 512, 512},
                                      {"prefill", 1, 512, 512, 4, DType::fp8_e4m3},
                                      {"prefill", 1, 512, 512, 4, DType::int8},
                                      {"chunk", 1, 512, 2048},
                                      {"decode", 1, 1, 2048},
                                      {"decode", 4, 1, 2048},
                                      {"decode", 16, 1, 512},
                                      {"decode", 4, 1, 4096},
                                      {"decode", 4, 1, 4096, 4, DType::fp8_e4m3},
                                      {"decode", 4, 1, 4096, 4, DType::int8},
                                      {"decode", 1, 1, 4096, 16},
                                      {"decode", 1, 1, 4096, 16, DType::fp8_e4m3},
                                      {"decode", 1, 1, 4096, 16, DType::int8},
                                      {"decode", 1, 1, 4096, 32},
                                      {"decode", 1, 1, 4096, 32, DType::fp8_e4m3},
                                      {"decode", 1, 1, 4096, 32, DType::int8},
                                      {"beams", 4, 1, 4096, 4, DType::bf16, true},
                                      {"beams", 4, 1, 4096, 4, DType::fp8_e4m3, true}};

int64_t bytes_of_block(const AttentionShape& shape) {
  return 2 * shape.num_kv_heads * kBlockSize * ops::kv_row_extent(shape.cache, kHeadDim) *
         static_cast<int64_t>(dtype_bytes(shape.cache));
}

std::span<std::byte> bytes_of(const Buffer& buffer) {
  return {static_cast<std::byte*>(buffer.data()), buffer.bytes()};
}

/// A cache larger than the processor's: a few blocks of what kv_append makes of random bf16 rows,
/// again and again. In bf16 the machine's arena is one already.
Buffer make_codes(Machine& machine, const AttentionShape& shape) {
  constexpr int64_t kCacheBytes = int64_t{256} << 20;
  constexpr int64_t kNumBlocks = 4;
  if (shape.cache == DType::bf16) return {};
  const int64_t block_bytes = bytes_of_block(shape);
  Buffer cache = cpu::CpuDevice().allocate(
      static_cast<size_t>(kCacheBytes / block_bytes / kNumBlocks * kNumBlocks * block_bytes));
  cpu::touch_pages(machine.pool(), bytes_of(cache));
  const TensorView first(
      cache.data(), shape.cache,
      {kNumBlocks, 2, shape.num_kv_heads, kBlockSize, ops::kv_row_extent(shape.cache, kHeadDim)});
  const Shape rows{kNumBlocks * kBlockSize, shape.num_kv_heads * kHeadDim};
  std::vector<int64_t> slots(static_cast<size_t>(rows[0]));
  std::iota(slots.begin(), slots.end(), 0);
  const TensorView k(machine.arena().data(), DType::bf16, rows);
  const TensorView v(machine.arena().data() + k.num_bytes(), DType::bf16, rows);
  const std::vector<TensorView> inputs = {first, k, v,
                                          TensorView(slots.data(), DType::int64, {rows[0]})};
  const std::vector<TensorView> outputs = {first};
  ops::OpContext context;
  ops::op_def(ops::Op::kv_append)
      .reference(context,
                 {.inputs = inputs,
                  .outputs = outputs,
                  .attrs = {{"num_kv_heads", shape.num_kv_heads}, {"head_dim", kHeadDim}}});
  const std::span<std::byte> all = bytes_of(cache);
  for (size_t at = first.num_bytes(); at < all.size(); at += first.num_bytes())
    std::copy_n(all.data(), first.num_bytes(), all.data() + at);
  return cache;
}

/// One step's attention on successive blocks of a cache in the arena, so that none is still in the
/// processor's.
class AttentionRun {
 public:
  AttentionRun(Machine& machine, const AttentionShape& shape)
      : machine_(machine),
        blocks_per_seq_(ceil_div(shape.kv_len, kBlockSize)),
        shares_blocks_(shape.shares_blocks),
        codes_(make_codes(machine, shape)),
        cache_(codes_ ? bytes_of(codes_) : machine.arena()),
        num_blocks_(std::ssize(cache_) / bytes_of_block(shape)),
        q_(static_cast<size_t>(shape.num_seqs * shape.q_len * kWidth)),
        y_(q_.size()),
        tables_(static_cast<size_t>(shape.num_seqs * blocks_per_seq_)) {
    const int64_t s = shape.num_seqs;
    for (int64_t i = 0; i < s; ++i) {
      q_starts_.push_back(narrow<int32_t>(i * shape.q_len));
      q_lens_.push_back(narrow<int32_t>(shape.q_len));
      kv_lens_.push_back(narrow<int32_t>(shape.kv_len));
    }
    for (size_t i = 0; i < q_.size(); ++i)
      q_[i] = BFloat16(static_cast<float>(static_cast<int>(i * 7919 % 255) - 127) / 128.0f);
    attrs_.set("num_kv_heads", shape.num_kv_heads);
    const Shape q_shape{s * shape.q_len, kWidth};
    inputs_ = {TensorView(q_.data(), DType::bf16, q_shape),
               TensorView(cache_.data(), shape.cache,
                          {num_blocks_, 2, shape.num_kv_heads, kBlockSize,
                           ops::kv_row_extent(shape.cache, kHeadDim)}),
               TensorView(q_starts_.data(), DType::int32, {s}),
               TensorView(q_lens_.data(), DType::int32, {s}),
               TensorView(kv_lens_.data(), DType::int32, {s}),
               TensorView(tables_.data(), DType::int32, {s, blocks_per_seq_})};
    outputs_ = {TensorView(y_.data(), DType::bf16, q_shape)};
    for (const TensorView& view : inputs_) types_.push_back(type_of(view));
    types_.push_back(types_[0]);  // y is as q
    kernel_ = &machine.registry().choose(
        {ops::Op::paged_attention, std::span(types_).first(6), std::span(types_).last(1), attrs_});
    if (kernel_->workspace_bytes != nullptr)
      workspace_ = Workspace(kernel_->workspace_bytes(call(), machine.pool().num_threads()));
  }

  std::string_view kernel_name() const { return kernel_->name; }

  void run(int64_t call_idx) {
    const int64_t first = call_idx * std::ssize(tables_);
    const int64_t distinct = shares_blocks_ ? blocks_per_seq_ : std::ssize(tables_);
    for (size_t i = 0; i < tables_.size(); ++i)
      tables_[i] = narrow<int32_t>((first + static_cast<int64_t>(i) % distinct) % num_blocks_);
    ops::OpContext context{.pool = &machine_.pool(), .workspace = workspace_.span()};
    kernel_->run(context, call());
  }

  /// A few channels of the last row of the first sequence against the reference.
  std::string check() {
    run(0);
    const int64_t row = q_lens_[0] - 1;
    const int32_t start = 0, one = 1;
    std::vector<TensorView> inputs = inputs_;
    inputs[0] = TensorView(q_.data() + row * kWidth, DType::bf16, {1, kWidth});
    inputs[2] = TensorView(const_cast<int32_t*>(&start), DType::int32, {1});
    inputs[3] = TensorView(const_cast<int32_t*>(&one), DType::int32, {1});
    inputs[4].shape = {1};
    inputs[5].shape = {1, blocks_per_seq_};
    std::vector<BFloat16> want(static_cast<size_t>(kWidth));
    const std::vector<TensorView> outputs = {TensorView(want.data(), DType::bf16, {1, kWidth})};
    const ops::OpCall reference{.inputs = inputs, .outputs = outputs, .attrs = attrs_};
    const ops::OpDef& def = ops::op_def(ops::Op::paged_attention);
    ops::OpContext context;
    def.reference(context, reference);
    for (int64_t column = 5; column < kWidth; column += kWidth / 8 + 1) {
      const double expected = ops::load_element(outputs[0], 0, column);
      const double got = ops::load_element(outputs_[0], row, column);
      if (!(std::abs(got - expected) <= def.tolerance(reference, 0, 0, column)))
        return fmt::format("y[{}, {}] is {}, expected {}", row, column, got, expected);
    }
    return {};
  }

 private:
  static ops::ValueType type_of(const TensorView& view) {
    ops::ValueType type{view.dtype, {}};
    for (const int64_t extent : view.shape.dims()) type.dims.emplace_back(extent);
    return type;
  }
  ops::OpCall call() const { return {.inputs = inputs_, .outputs = outputs_, .attrs = attrs_}; }

  Machine& machine_;
  int64_t blocks_per_seq_;
  bool shares_blocks_;
  Buffer codes_;  // of a cache that is not the machine's arena
  std::span<std::byte> cache_;
  int64_t num_blocks_;
  std::vector<BFloat16> q_, y_;
  std::vector<int32_t> q_starts_, q_lens_, kv_lens_, tables_;
  ops::Attrs attrs_{{"num_heads", kNumHeads}, {"head_dim", kHeadDim}, {"scale", 0.125}};
  std::vector<TensorView> inputs_, outputs_;
  std::vector<ops::ValueType> types_;
  const ops::Kernel* kernel_ = nullptr;
  Workspace workspace_;
};

/// Pairs of a query and a position that it sees, times channels, over all heads.
double products_of(const AttentionShape& shape) {
  const double first = static_cast<double>(shape.kv_len - shape.q_len + 1);
  const double mean = (first + static_cast<double>(shape.kv_len)) / 2;
  return static_cast<double>(shape.num_seqs * shape.q_len * kWidth) * mean;
}

}  // namespace

std::vector<Case> attention_cases(Machine& machine) {
  std::vector<Case> cases;
  for (const AttentionShape& shape : kShapes) {
    // Built when it is checked, gone when the next one is.
    auto run = std::make_shared<std::unique_ptr<AttentionRun>>();
    const std::string kernel(AttentionRun(machine, shape).kernel_name());
    const int64_t num_caches = shape.shares_blocks ? 1 : shape.num_seqs;
    const auto cache_bytes =
        static_cast<double>(num_caches * shape.kv_len / kBlockSize * bytes_of_block(shape));
    cases.push_back(
        {.bench = fmt::format("attention_{}", shape.name),
         .shape = fmt::format("seqs={} q={} kv={} heads={}/{} {}", shape.num_seqs, shape.q_len,
                              shape.kv_len, kNumHeads, shape.num_kv_heads, to_string(shape.cache)),
         .kernel = kernel,
         .flops = 2 * products_of(shape),  // scores
         .loop = machine.has(cpu::PeakLoop::bf16_dot) && kernel.ends_with("dot")
                     ? cpu::PeakLoop::bf16_dot
                     : cpu::PeakLoop::fp32_fma,
         .extra_fp32_flops = 2 * products_of(shape),  // weights in fp32 times values
         .bytes = cache_bytes + 4.0 * static_cast<double>(shape.num_seqs * shape.q_len * kWidth),
         .calls = shape.q_len > 1 ? 1 : 32,
         .run = [run](int64_t call) { (*run)->run(call); },
         .check =
             [run, &machine, &shape] {
               *run = std::make_unique<AttentionRun>(machine, shape);
               return (*run)->check();
             }});
  }
  return cases;
}

}  // namespace veloz::bench
