// SPDX-License-Identifier: Apache-2.0
#include "bench/cuda_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>
#include <utility>

#include "base/numeric.h"
#include "cuda/attention.h"
#include "ops/attention.h"
#include "ops/kv_layout.h"

namespace veloz::bench {
namespace {

constexpr int64_t kBlockSize = 64;

/// The attention of a model.
struct Heads {
  const char* model;
  int64_t num_heads;
  int64_t num_kv_heads;
  int64_t head_dim;
};
constexpr Heads kLlama70b{"70b", 64, 8, 128};
constexpr Heads kLlama8b{"8b", 32, 8, 128};
constexpr Heads kGptJ{"gptj", 16, 16, 256};

CaseOperand matrix(DType dtype, int64_t rows, int64_t columns, int64_t row_stride = 0) {
  return {.dtype = dtype, .shape = {rows, columns}, .row_stride = row_stride};
}

template <typename T>
CaseOperand listed(DType dtype, const Shape& shape,
                   std::function<std::vector<T>(int64_t call_idx, int64_t num_blocks)> values) {
  return {.dtype = dtype,
          .shape = shape,
          .content = Content::listed,
          .list = [values = std::move(values)](int64_t call_idx, int64_t num_blocks) {
            const std::vector<T> all = values(call_idx, num_blocks);
            std::vector<std::byte> bytes(all.size() * sizeof(T));
            std::memcpy(bytes.data(), all.data(), bytes.size());
            return bytes;
          }};
}

/// The same for every call.
template <typename T>
CaseOperand fixed(DType dtype, const Shape& shape, std::vector<T> values) {
  return listed<T>(dtype, shape, [values = std::move(values)](int64_t, int64_t) { return values; });
}

/// What one case may read of the pool, so that it fits beside the rest on any GPU that is a target.
constexpr size_t kMostPoolBytes = size_t{20} << 30;
size_t position_bytes(const Heads& heads, DType dtype) {
  return static_cast<size_t>(2 * heads.num_kv_heads * ops::kv_row_extent(dtype, heads.head_dim)) *
         dtype_bytes(dtype);
}

CaseOperand cache_of(const Heads& heads, DType dtype) {
  return {
      .dtype = dtype,
      .shape = {1, 2, heads.num_kv_heads, kBlockSize, ops::kv_row_extent(dtype, heads.head_dim)},
      .content = Content::cache};
}

/// The idx-th of `count` in an order that jumps about: a block table of a pool long in use.
int64_t scattered(int64_t idx, int64_t count) {
  constexpr int64_t kStep = 7'368'787;  // a prime
  return idx % count * kStep % count;
}

/// Sequences of one step: each has q_len new tokens at the end of kv_len.
struct Step {
  int64_t num_seqs;
  int64_t q_len;
  int64_t kv_len;
  int64_t num_beams = 1;  // neighbours that share all but the last block
};

CudaCase attention(const char* bench, const Heads& heads, DType dtype, const Step& step) {
  const int64_t blocks_per_seq = ceil_div(step.kv_len, kBlockSize);
  const int64_t num_groups = step.num_seqs / step.num_beams;
  const int64_t blocks_per_group = blocks_per_seq - 1 + step.num_beams;
  const int64_t num_tokens = step.num_seqs * step.q_len;
  std::vector<int32_t> starts, q_lens, kv_lens;
  for (int64_t seq = 0; seq < step.num_seqs; ++seq) {
    starts.push_back(narrow<int32_t>(seq * step.q_len));
    q_lens.push_back(narrow<int32_t>(step.q_len));
    kv_lens.push_back(narrow<int32_t>(step.kv_len));
  }
  const auto tables = [=](int64_t call_idx, int64_t num_blocks) {
    std::vector<int32_t> table;
    for (int64_t seq = 0; seq < step.num_seqs; ++seq) {
      const int64_t first = (call_idx * num_groups + seq / step.num_beams) * blocks_per_group;
      for (int64_t b = 0; b < blocks_per_seq; ++b) {
        const int64_t own = b + 1 == blocks_per_seq ? seq % step.num_beams : 0;
        table.push_back(narrow<int32_t>(scattered(first + b + own, num_blocks)));
      }
    }
    return table;
  };
  const Shape per_seq{step.num_seqs};
  const double shared = static_cast<double>(num_groups * blocks_per_group) /
                        static_cast<double>(step.num_seqs * blocks_per_seq);
  return {.bench = bench,
          .shape = fmt::format("{} seqs={} q={} kv={} {}{}", heads.model, step.num_seqs, step.q_len,
                               step.kv_len, to_string(dtype),
                               step.num_beams > 1 ? fmt::format(" beams={}", step.num_beams) : ""),
          .op = ops::Op::paged_attention,
          .attrs = {{"num_heads", heads.num_heads},
                    {"num_kv_heads", heads.num_kv_heads},
                    {"head_dim", heads.head_dim},
                    {"scale", 1.0 / 16}},
          .inputs = {matrix(DType::bf16, num_tokens, heads.num_heads * heads.head_dim),
                     cache_of(heads, dtype), fixed(DType::int32, per_seq, starts),
                     fixed(DType::int32, per_seq, q_lens), fixed(DType::int32, per_seq, kv_lens),
                     listed<int32_t>(DType::int32, {step.num_seqs, blocks_per_seq}, tables)},
          .cost =
              [q_lens, kv_lens, shared](const ops::OpCall& call) {
                ops::Cost cost = ops::paged_attention_cost(call, q_lens, kv_lens);
                const double activations = 2 * static_cast<double>(call.inputs[0].num_bytes());
                cost.bytes = activations + (cost.bytes - activations) * shared;
                return cost;
              },
          .num_blocks = num_groups * blocks_per_group,
          .tokens = static_cast<double>(num_tokens)};
}

void add_decode(std::vector<CudaCase>& cases, bool is_quick) {
  constexpr auto kDecode = "decode";
  // What the targets are about comes first.
  cases.push_back(attention(kDecode, kLlama70b, DType::fp8_e4m3, {128, 1, 2048}));
  cases.push_back(attention(kDecode, kLlama70b, DType::bf16, {128, 1, 2048}));
  cases.push_back(attention("decode_beams", kGptJ, DType::fp8_e4m3, {128, 1, 1024, 4}));
  if (is_quick) return;
  for (const int64_t num_seqs : {4, 64, 256})
    for (const int64_t kv_len : {512, 1024, 1984})
      cases.push_back(attention("decode_beams", kGptJ, DType::fp8_e4m3, {num_seqs, 1, kv_len, 4}));
  for (const DType dtype : {DType::fp8_e4m3, DType::bf16})
    for (const Heads& heads : {kLlama70b, kGptJ, kLlama8b})
      for (const int64_t num_seqs : {128, 32, 8, 1, 256})
        for (const int64_t kv_len : {2048, 1024, 256, 4096, 16384}) {
          const int64_t positions = num_seqs * kv_len;
          const bool fits =
              static_cast<size_t>(positions) * position_bytes(heads, dtype) <= kMostPoolBytes;
          const bool is_first = heads.model == kLlama70b.model && num_seqs == 128 && kv_len == 2048;
          if (fits && !is_first)
            cases.push_back(attention(kDecode, heads, dtype, {num_seqs, 1, kv_len}));
        }
}

/// Tile after tile (kBlocksPerLeaf 0), or in clusters of so many thread blocks for a leaf, of
/// shapes that have them.
template <int64_t kBlocksPerLeaf>
cuda::DecodePlan plan_of(const ops::PagedAttentionArgs& args) {
  return kBlocksPerLeaf == 0 ? cuda::plan_decode(args, 1, std::numeric_limits<int64_t>::max())
                             : cuda::plan_clusters(args, kBlocksPerLeaf).value();
}
template <int64_t kBlocksPerLeaf>
ops::Kernel planned_attention(const char* name) {
  ops::Kernel kernel{};
  kernel.name = name;
  kernel.op = ops::Op::paged_attention;
  kernel.run = [](ops::OpContext& context, const ops::OpCall& call) noexcept {
    const auto args = ops::PagedAttentionArgs::from(call);
    cuda::paged_attention_as_planned(context, args, plan_of<kBlocksPerLeaf>(args));
  };
  kernel.workspace_bytes = [](const ops::OpCall& call, int) {
    return plan_of<kBlocksPerLeaf>(ops::PagedAttentionArgs::from(call)).partial_bytes;
  };
  return kernel;
}

/// What plan_decode chooses among for few sequences.
void add_decode_plans(std::vector<CudaCase>& cases) {
  const std::pair<int64_t, ops::Kernel> kernels[] = {{0, planned_attention<0>("tile_after_tile")},
                                                     {1, planned_attention<1>("leaf_by_1")},
                                                     {2, planned_attention<2>("leaf_by_2")},
                                                     {4, planned_attention<4>("leaf_by_4")}};
  const auto add = [&](const Heads& heads, DType dtype, int64_t num_seqs, int64_t kv_len) {
    const int64_t row_bytes = heads.head_dim * static_cast<int64_t>(dtype_bytes(dtype));
    const int64_t num_leaves = kv_len / cuda::kLeafPositions;
    for (const auto& [blocks_per_leaf, kernel] : kernels) {
      if (blocks_per_leaf != 0 && !cuda::is_possible({num_leaves, blocks_per_leaf}, row_bytes))
        continue;
      CudaCase c = attention("decode_plans", heads, dtype, {num_seqs, 1, kv_len});
      c.kernel = kernel;
      cases.push_back(std::move(c));
    }
  };
  for (const int64_t kv_len : {1024, 512, 2048, 4096})
    for (const int64_t num_seqs : {1, 4, 8, 16}) add(kLlama70b, DType::fp8_e4m3, num_seqs, kv_len);
  for (const int64_t num_seqs : {1, 4}) {
    add(kGptJ, DType::fp8_e4m3, num_seqs, 1024);
    add(kLlama70b, DType::bf16, num_seqs, 1024);
  }
}

void add_prefill(std::vector<CudaCase>& cases, bool is_quick) {
  constexpr Step kSteps[] = {{1, 2048, 2048}, {8, 512, 512},   {1, 512, 512},
                             {1, 8192, 8192}, {4, 2048, 2048}, {1, 512, 4096}};
  for (const Heads& heads : {kLlama70b, kGptJ, kLlama8b})
    for (const DType dtype : {DType::fp8_e4m3, DType::bf16})
      for (const Step& step : kSteps) {
        cases.push_back(attention("prefill", heads, dtype, step));
        if (is_quick) return;
      }
}

/// How the last output is rounded, if it is.
ops::Attrs quantized(ops::Attrs attrs, const char* format) {
  attrs.set("quantize", format);
  return attrs;
}

void add_rows_of(std::vector<CudaCase>& cases, int64_t t) {
  constexpr DType kBf16 = DType::bf16;
  const auto add = [&](std::string bench, std::string shape, ops::Op op, ops::Attrs attrs,
                       std::vector<CaseOperand> inputs, int64_t num_blocks = 0) {
    cases.push_back({.bench = std::move(bench),
                     .shape = fmt::format("{} tokens={}", shape, t),
                     .op = op,
                     .attrs = std::move(attrs),
                     .inputs = std::move(inputs),
                     .num_blocks = num_blocks,
                     .tokens = static_cast<double>(t)});
  };
  const ops::Attrs eps{{"eps", 1e-5}};
  ops::Attrs fixed_scale = quantized(eps, "fp8_e4m3");
  fixed_scale.set("scale", 0.05);
  const CaseOperand gamma{.dtype = DType::fp32, .shape = {8192}};
  const CaseOperand gamma_j{.dtype = DType::fp32, .shape = {4096}};
  const std::vector<CaseOperand> residual = {matrix(kBf16, t, 8192), matrix(kBf16, t, 8192), gamma};
  add("add_rms_norm_fp8", "d=8192", ops::Op::add_rms_norm, quantized(eps, "fp8_e4m3"), residual);
  add("gated_act_fp8", "d=28672", ops::Op::gated_act, quantized({{"act", "silu"}}, "fp8_e4m3"),
      {matrix(kBf16, t, 28672, 2 * 28672), matrix(kBf16, t, 28672, 2 * 28672)});
  add("rope", "70b q", ops::Op::rope,
      {{"num_heads", int64_t{64}}, {"head_dim", int64_t{128}}, {"style", "neox"}},
      {matrix(kBf16, t, 8192, 10240), matrix(DType::fp32, t, 128)});
  const auto append = [&](const Heads& heads, DType dtype, const char* style, int64_t rotary_dim) {
    const int64_t columns = heads.num_kv_heads * heads.head_dim;
    const int64_t stride = columns * 2 + heads.num_heads * heads.head_dim;
    // A few tokens are of as many sequences, many of few prompts.
    const int64_t run = t <= 256 ? 1 : kBlockSize;
    const auto slots = [t, run](int64_t call_idx, int64_t num_blocks) {
      std::vector<int64_t> all;
      for (int64_t i = 0; i < t; ++i)
        all.push_back(scattered(call_idx * ceil_div(t, run) + i / run, num_blocks) * kBlockSize +
                      i % run);
      return all;
    };
    const CaseOperand cache = cache_of(heads, dtype);
    const CaseOperand slot_list = listed<int64_t>(DType::int64, {t}, slots);
    add("rope_append", fmt::format("{} {}", heads.model, to_string(dtype)), ops::Op::rope_append,
        {{"num_heads", heads.num_heads},
         {"num_kv_heads", heads.num_kv_heads},
         {"head_dim", heads.head_dim},
         {"style", style}},
        {cache, matrix(kBf16, t, stride), matrix(DType::fp32, t, rotary_dim), slot_list},
        ceil_div(t, run));
    add("kv_append", fmt::format("{} {}", heads.model, to_string(dtype)), ops::Op::kv_append,
        {{"num_kv_heads", heads.num_kv_heads}, {"head_dim", heads.head_dim}},
        {cache, matrix(kBf16, t, columns, stride), matrix(kBf16, t, columns, stride), slot_list},
        ceil_div(t, run));
  };
  append(kLlama70b, DType::fp8_e4m3, "neox", 128);
  add("quantize", "d=8192 fp8_e4m3", ops::Op::quantize, {{"format", "fp8_e4m3"}},
      {matrix(kBf16, t, 8192)});
  add("layer_norm_fp8", "d=4096", ops::Op::layer_norm, quantized(eps, "fp8_e4m3"),
      {matrix(kBf16, t, 4096), gamma_j, gamma_j});
  add("act_fp8", "d=16384", ops::Op::act, quantized({{"act", "gelu_tanh"}}, "fp8_e4m3"),
      {matrix(kBf16, t, 16384)});
  add("rope", "gptj q", ops::Op::rope,
      {{"num_heads", int64_t{16}}, {"head_dim", int64_t{256}}, {"style", "interleaved"}},
      {matrix(kBf16, t, 4096, 3 * 4096), matrix(DType::fp32, t, 64)});
  append(kGptJ, DType::fp8_e4m3, "interleaved", 64);
  append(kLlama70b, DType::bf16, "neox", 128);
  add("add_rms_norm_fp8", "d=8192 fixed scale", ops::Op::add_rms_norm, fixed_scale, residual);
  add("rms_norm", "d=8192", ops::Op::rms_norm, eps, {matrix(kBf16, t, 8192), gamma});
  add("add_rms_norm_int8", "d=8192", ops::Op::add_rms_norm, quantized(eps, "int8"), residual);
  add("add", "d=4096", ops::Op::add, {}, {matrix(kBf16, t, 4096), matrix(kBf16, t, 4096)});
}

void add_rows(std::vector<CudaCase>& cases, bool is_quick) {
  for (const int64_t t : {2048, 1, 128, 512, 8192, 8, 32}) {
    add_rows_of(cases, t);
    if (is_quick && t == 1) return;
  }
}

/// Temperature, top_p and top_k of all rows.
struct Sampling {
  const char* name;
  float temperature;
  float top_p;
  int32_t top_k;
};

void add_sample(std::vector<CudaCase>& cases, bool is_quick) {
  constexpr Sampling kSamplings[] = {{"greedy", 0, 1, 0},
                                     {"free", 1, 1, 0},
                                     {"top_k=50 top_p=0.9", 1, 0.9f, 50},
                                     {"top_p=0.9", 1, 0.9f, 0}};
  for (const int64_t vocab_size : {32000, 128256})
    for (const Sampling& sampling : kSamplings)
      for (const int64_t rows : {1, 32, 256}) {
        std::vector<float> params;
        std::vector<int32_t> rng;
        for (int64_t row = 0; row < rows; ++row) {
          params.insert(params.end(), {sampling.temperature, sampling.top_p, 0.0f});
          rng.insert(rng.end(), {narrow<int32_t>(row), 1, 0, 7, 0});
        }
        const std::vector<int32_t> top_k(static_cast<size_t>(rows), sampling.top_k);
        cases.push_back(
            {.bench = "sample",
             .shape = fmt::format("rows={} vocab={} {}", rows, vocab_size, sampling.name),
             .op = ops::Op::sample,
             .inputs = {matrix(DType::fp32, rows, vocab_size),
                        fixed(DType::fp32, {rows, 3}, params), fixed(DType::int32, {rows}, top_k),
                        fixed(DType::int32, {rows, 5}, rng)},
             .tokens = static_cast<double>(rows)});
        if (is_quick) break;
      }
}

}  // namespace

std::vector<CudaCase> cuda_cases(bool is_quick) {
  std::vector<CudaCase> cases;
  add_decode(cases, is_quick);
  if (!is_quick) add_decode_plans(cases);
  add_prefill(cases, is_quick);
  add_sample(cases, is_quick);
  add_rows(cases, is_quick);
  return cases;
}

}  // namespace veloz::bench
