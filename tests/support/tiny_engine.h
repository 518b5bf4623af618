// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/numeric.h"
#include "base/philox.h"
#include "engine/engine.h"
#include "ops/kernel.h"
#include "support/temp_directory.h"

/// A one-layer model whose plan is written by hand: embedding, rms_norm, fused qkv, rope, paged
/// attention with grouped queries, residual, tied head. Small enough to be computed in a test.
namespace veloz::test {

struct TinyModel {
  static constexpr int64_t kVocab = 11;
  static constexpr int64_t kHidden = 8;
  static constexpr int64_t kHeads = 2;
  static constexpr int64_t kKvHeads = 1;
  static constexpr int64_t kHeadDim = 4;
  static constexpr int64_t kBlockSize = 4;
  static constexpr double kEps = 1e-5;
  static constexpr double kTheta = 100.0;

  engine::Plan plan;
  std::vector<std::vector<float>> weights;  // embed [11,8], gamma [8], qkv [16,8], o [8,8]

  // Indices into the program's values.
  enum Value : int64_t {
    tokens,
    positions,
    slots,
    q_starts,
    q_lens,
    kv_lens,
    block_tables,
    logit_rows,
    kv0,
    embed,
    gamma,
    qkv_weight,
    o_weight,
    x,
    angles,
    h,
    qkv,
    q,
    k,
    v,
    q_rotated,
    k_rotated,
    kv1,
    attended,
    o,
    y,
    rows,
    logits
  };
};

namespace tiny_internal {

inline void add_values(engine::Program& p) {
  using namespace ops;
  using V = std::vector<Dim>;
  const Symbol T = Symbol::T, S = Symbol::S, R = Symbol::R, B = Symbol::B, N = Symbol::N;
  const auto add = [&](std::string name, DType dtype, V dims, engine::Slot slot) {
    p.values.push_back({std::move(name), {dtype, std::move(dims)}, slot});
  };
  const engine::InputSlot in;
  const DType f = DType::fp32, i32 = DType::int32;
  add("tokens", i32, {T}, in);
  add("positions", i32, {T}, in);
  add("slots", DType::int64, {T}, in);
  add("q_starts", i32, {S}, in);
  add("q_lens", i32, {S}, in);
  add("kv_lens", i32, {S}, in);
  add("block_tables", i32, {S, B}, in);
  add("logit_rows", i32, {R}, in);
  const V cache = {N, 2, TinyModel::kKvHeads, TinyModel::kBlockSize, TinyModel::kHeadDim};
  add("kv", f, cache, engine::StateSlot{0});
  add("embed", f, {11, 8}, engine::WeightSlot{0});
  add("norm", f, {8}, engine::WeightSlot{1});
  add("qkv.weight", f, {16, 8}, engine::WeightSlot{2});
  add("o.weight", f, {8, 8}, engine::WeightSlot{3});
  int64_t end = 0;
  const auto arena = [&](Symbol rows, int64_t columns) {
    const int64_t limit = rows == T ? 16 : 4;
    return engine::ArenaSlot{std::exchange(end, end + round_up(limit * columns * 4, int64_t{64}))};
  };
  add("x", f, {T, 8}, arena(T, 8));
  add("angles", f, {T, 4}, arena(T, 4));
  add("h", f, {T, 8}, arena(T, 8));
  add("qkv", f, {T, 16}, arena(T, 16));
  add("q", f, {T, 8}, engine::ViewSlot{TinyModel::qkv, 0});
  add("k", f, {T, 4}, engine::ViewSlot{TinyModel::qkv, 8});
  add("v", f, {T, 4}, engine::ViewSlot{TinyModel::qkv, 12});
  add("q_rotated", f, {T, 8}, arena(T, 8));
  add("k_rotated", f, {T, 4}, arena(T, 4));
  add("kv.1", f, cache, engine::StateSlot{0});
  add("attended", f, {T, 8}, arena(T, 8));
  add("o", f, {T, 8}, arena(T, 8));
  add("y", f, {T, 8}, arena(T, 8));
  add("rows", f, {R, 8}, arena(R, 8));
  add("logits", f, {R, 11}, arena(R, 11));
  p.arena_bytes = end;
}

inline void add_steps(engine::Program& p) {
  using M = TinyModel;
  using ops::Op;
  const ops::Attrs rope_attrs = {{"head_dim", M::kHeadDim}, {"style", "neox"}};
  const auto with_heads = [&](int64_t num_heads) {
    ops::Attrs attrs = rope_attrs;
    attrs.set("num_heads", num_heads);
    return attrs;
  };
  const auto add = [&](Op op, std::vector<int64_t> in, int64_t out, ops::Attrs attrs = {}) {
    p.steps.push_back({op, std::move(in), {out}, std::move(attrs)});
  };
  add(Op::embedding, {M::tokens, M::embed}, M::x);
  add(Op::rope_angles, {M::positions}, M::angles,
      {{"rotary_dim", M::kHeadDim}, {"theta", M::kTheta}, {"scaling", "none"}});
  add(Op::rms_norm, {M::x, M::gamma}, M::h, {{"eps", M::kEps}});
  add(Op::linear, {M::h, M::qkv_weight}, M::qkv);
  add(Op::rope, {M::q, M::angles}, M::q_rotated, with_heads(M::kHeads));
  add(Op::rope, {M::k, M::angles}, M::k_rotated, with_heads(M::kKvHeads));
  add(Op::kv_append, {M::kv0, M::k_rotated, M::v, M::slots}, M::kv1,
      {{"num_kv_heads", M::kKvHeads}, {"head_dim", M::kHeadDim}});
  add(Op::paged_attention,
      {M::q_rotated, M::kv1, M::q_starts, M::q_lens, M::kv_lens, M::block_tables}, M::attended,
      {{"num_heads", M::kHeads},
       {"num_kv_heads", M::kKvHeads},
       {"head_dim", M::kHeadDim},
       {"scale", 0.5}});
  add(Op::linear, {M::attended, M::o_weight}, M::o);
  add(Op::add, {M::x, M::o}, M::y);
  add(Op::gather_rows, {M::y, M::logit_rows}, M::rows);
  add(Op::linear, {M::rows, M::embed}, M::logits, {{"out", "fp32"}});
}

}  // namespace tiny_internal

inline TinyModel tiny_model() {
  TinyModel model;
  engine::Plan& plan = model.plan;
  plan.limits = {.max_num_batched_tokens = 16,
                 .max_num_seqs = 4,
                 .max_model_len = 32,
                 .max_logit_rows = 4,
                 .max_beam_width = 2,
                 .block_size = TinyModel::kBlockSize};
  plan.weights = {{"embed", DType::fp32, {11, 8}, "plain"},
                  {"norm", DType::fp32, {8}, "plain"},
                  {"qkv.weight", DType::fp32, {16, 8}, "plain"},
                  {"o.weight", DType::fp32, {8, 8}, "plain"}};
  plan.states = {
      {"kv",
       {DType::fp32,
        {ops::Symbol::N, 2, TinyModel::kKvHeads, TinyModel::kBlockSize, TinyModel::kHeadDim}}}};
  engine::Program program;
  program.name = "step";
  tiny_internal::add_values(program);
  tiny_internal::add_steps(program);
  for (int64_t i = TinyModel::tokens; i <= TinyModel::logit_rows; ++i) program.inputs.push_back(i);
  program.outputs = {TinyModel::logits};
  plan.programs.push_back(std::move(program));
  for (uint32_t w = 0; w < plan.weights.size(); ++w) {
    std::vector<float> values(static_cast<size_t>(plan.weights[w].shape.num_elements()));
    for (uint32_t i = 0; i < values.size(); ++i)
      values[i] = 2 * uniform_open(philox4x32({i, w, 0, 0}, {1, 2})[0]) - 1;
    model.weights.push_back(std::move(values));
  }
  return model;
}

inline engine::Manifest tiny_manifest() {
  engine::Manifest manifest;
  manifest.producer = "veloz 0.1.0";
  manifest.source_hash = "0123456789abcdef";
  manifest.target = "cpu:portable";
  manifest.load_format = "safetensors";
  manifest.model.architecture = "llama";
  manifest.model.name = "tiny";
  manifest.model.dtype = manifest.model.kv_cache_dtype = DType::fp32;
  manifest.model.num_layers = 1;
  manifest.model.hidden_size = TinyModel::kHidden;
  manifest.model.num_heads = TinyModel::kHeads;
  manifest.model.num_kv_heads = TinyModel::kKvHeads;
  manifest.model.head_dim = TinyModel::kHeadDim;
  manifest.model.vocab_size = TinyModel::kVocab;
  manifest.model.eos_token_ids = {2, 3};
  manifest.model.bos_token_id = 1;
  manifest.model.generation_config = "{\"temperature\": 0.6}\n";
  manifest.pass_reports = {"fuse_qkv: joined 1", "remark: \"quotes\" and\nlines"};
  return manifest;
}

/// Packs the model's weights in the plan's layouts and writes everything but the commit.
inline engine::EngineWriter start_tiny_engine(const std::filesystem::path& directory,
                                              const TinyModel& model,
                                              std::span<const ops::WeightLayout> layouts,
                                              engine::EngineWriter::Existing existing) {
  std::vector<std::vector<std::byte>> packed;
  std::vector<size_t> sizes;
  for (size_t i = 0; i < model.plan.weights.size(); ++i) {
    const engine::PlanWeight& weight = model.plan.weights[i];
    for (const ops::WeightLayout& layout : layouts) {
      if (layout.name != weight.layout || layout.dtype != weight.dtype) continue;
      packed.emplace_back(layout.packed_bytes(weight.shape));
      layout.pack({weight.dtype, weight.shape, 0, weight.shape[0]},
                  std::as_bytes(std::span(model.weights[i])).data(), packed.back().data());
    }
    VELOZ_CHECK(packed.size() == i + 1, "no layout \"{}\"", weight.layout);
    sizes.push_back(packed.back().size());
  }
  auto writer = engine::EngineWriter::create(directory, model.plan, sizes, existing);
  for (size_t i = 0; i < packed.size(); ++i) {
    const std::span<const std::byte> bytes(packed[i]);
    const size_t half = bytes.size() / 2;  // out of order, in two parts
    writer.write_weight(i, half, bytes.subspan(half));
    writer.write_weight(i, 0, bytes.first(half));
  }
  writer.write_file("graph.txt", "%0 = embedding(%tokens, @embed) : fp32[T,8]\nreturn %0\n");
  writer.write_file("tokenizer/tokenizer.json", "{\"model\": {}}\n");
  return writer;
}

inline void write_tiny_engine(
    const std::filesystem::path& directory, const TinyModel& model,
    const std::vector<ops::WeightLayout>& layouts = ops::plain_layouts(),
    engine::EngineWriter::Existing existing = engine::EngineWriter::Existing::refuse,
    int num_threads = 1) {
  ThreadPool pool(num_threads);
  start_tiny_engine(directory, model, layouts, existing).commit(tiny_manifest(), pool);
}

}  // namespace veloz::test
