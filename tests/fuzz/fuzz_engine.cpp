// SPDX-License-Identifier: Apache-2.0
// Hostile engine files: whatever the bytes, the readers throw Error or give something that runs.
// The first byte chooses plan.json, engine.json or the header of weights.safetensors, and whether
// the rest is the file itself or a list of edits to a good one (so that deep fields are reached).
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/manifest.h"
#include "engine/plan.h"
#include "engine/weights_file.h"
#include "fuzz/edits.h"
#include "runtime/check_batch.h"
#include "runtime/kernel_choice.h"
#include "runtime/step_program.h"
#include "support/tiny_engine.h"

namespace veloz {
namespace {

using engine::Plan;
using ops::Symbol;

constexpr size_t kMaxMemory = size_t{1} << 22;  // plans that need more are parsed, not run

/// One sequence of a few tokens, within the limits.
runtime::Batch small_batch(const engine::Limits& limits) {
  runtime::Batch batch;
  const int64_t num_tokens =
      std::min({int64_t{5}, limits.max_num_batched_tokens, limits.max_model_len});
  batch.blocks_per_seq = ceil_div(num_tokens, limits.block_size);
  for (int64_t i = 0; i < num_tokens; ++i) {
    batch.tokens.push_back(0);
    batch.positions.push_back(static_cast<int32_t>(i));
    batch.slots.push_back(i);
  }
  batch.q_starts = {0};
  batch.q_lens = batch.kv_lens = {static_cast<int32_t>(num_tokens)};
  batch.block_tables.resize(static_cast<size_t>(batch.blocks_per_seq));
  std::iota(batch.block_tables.begin(), batch.block_tables.end(), 0);
  batch.logit_rows = {static_cast<int32_t>(num_tokens - 1)};
  return batch;
}

/// Memory that ends where the sanitizer says it does, or nothing where it would be too much.
class Memory {
 public:
  void* allocate(const ops::ValueType& type, const ops::Binding& binding) {
    size_t bytes = dtype_bytes(type.dtype);
    for (const ops::Dim& dim : type.dims) {
      const int64_t extent =
          dim.is_constant() ? dim.value : binding[static_cast<size_t>(dim.symbol)];
      if (extent > static_cast<int64_t>(kMaxMemory)) return nullptr;
      bytes *= static_cast<size_t>(extent);
      if (bytes > kMaxMemory) return nullptr;
    }
    return allocate(bytes);
  }
  void* allocate(size_t bytes) {
    total_ += bytes;
    if (total_ > kMaxMemory) return nullptr;
    void* block = nullptr;
    if (::posix_memalign(&block, 64, bytes) != 0) return nullptr;
    blocks_.emplace_back(static_cast<std::byte*>(block), &std::free);
    std::memset(block, 0, bytes);
    return blocks_.back().get();
  }

 private:
  size_t total_ = 0;
  std::vector<std::unique_ptr<std::byte, void (*)(void*)>> blocks_;
};

/// A verified plan runs on reference kernels without touching memory that is not its own.
void run_plan(const Plan& plan) {
  const auto found = std::ranges::find(plan.programs, "step", &engine::Program::name);
  if (found == plan.programs.end()) return;
  const engine::Program& program = *found;
  const runtime::Batch batch = small_batch(plan.limits);
  const int64_t num_blocks = batch.blocks_per_seq;
  runtime::check_batch(batch, plan.limits, {num_blocks, 1});
  ops::Binding binding{};
  binding[static_cast<size_t>(Symbol::T)] = batch.num_tokens();
  binding[static_cast<size_t>(Symbol::S)] = 1;
  binding[static_cast<size_t>(Symbol::R)] = 1;
  binding[static_cast<size_t>(Symbol::B)] = batch.blocks_per_seq;
  binding[static_cast<size_t>(Symbol::N)] = num_blocks;

  Memory memory;
  runtime::ProgramMemory places;
  for (const engine::PlanWeight& weight : plan.weights) {
    if (weight.layout != engine::kPlainLayout) return;
    ops::ValueType type{weight.dtype, {}};
    for (const int64_t dim : weight.shape.dims()) type.dims.emplace_back(dim);
    places.weights.push_back(memory.allocate(type, binding));
  }
  for (const engine::PlanState& state : plan.states)
    places.states.push_back(memory.allocate(state.type, binding));
  for (const int64_t input : program.inputs) {
    const engine::PlanValue& value = program.values[static_cast<size_t>(input)];
    places.inputs.push_back(memory.allocate(value.type, binding));
    std::span<const std::byte> bytes;
    if (value.name == "tokens") bytes = std::as_bytes(std::span(batch.tokens));
    if (value.name == "positions") bytes = std::as_bytes(std::span(batch.positions));
    if (value.name == "slots") bytes = std::as_bytes(std::span(batch.slots));
    if (value.name == "q_starts") bytes = std::as_bytes(std::span(batch.q_starts));
    if (value.name == "q_lens") bytes = std::as_bytes(std::span(batch.q_lens));
    if (value.name == "kv_lens") bytes = std::as_bytes(std::span(batch.kv_lens));
    if (value.name == "block_tables") bytes = std::as_bytes(std::span(batch.block_tables));
    if (value.name == "logit_rows") bytes = std::as_bytes(std::span(batch.logit_rows));
    if (places.inputs.back() != nullptr)
      std::memcpy(places.inputs.back(), bytes.data(), bytes.size());
  }
  places.arena = static_cast<std::byte*>(
      memory.allocate(std::min(static_cast<size_t>(program.arena_bytes), kMaxMemory + 1)));
  const auto is_missing = [](const void* place) { return place == nullptr; };
  if (places.arena == nullptr || std::ranges::any_of(places.weights, is_missing) ||
      std::ranges::any_of(places.states, is_missing) ||
      std::ranges::any_of(places.inputs, is_missing))
    return;

  const ops::KernelRegistry registry(ops::reference_kernels(), ops::plain_layouts());
  runtime::KernelChoice choice;
  try {
    choice = runtime::choose_kernels(plan, program, registry);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::unsupported) throw;
    return;
  }
  runtime::StepProgram steps(program, choice.kernels, places);
  steps.bind(binding);
  ops::OpContext context;
  steps.run(context, {});
}

void read_plan(const std::string& text) {
  const Plan plan = engine::parse_plan(text);
  const std::string printed = engine::print_plan(plan);
  VELOZ_CHECK(engine::print_plan(engine::parse_plan(printed)) == printed,
              "a plan that does not read back");
  run_plan(plan);
}

void read_any(std::string_view data) {
  static const Plan plan = test::tiny_model().plan;
  static const std::string good_plan = engine::print_plan(plan);
  static const std::string good_manifest = [] {
    engine::Manifest manifest = test::tiny_manifest();
    manifest.files = {
        {"graph.txt", 3, {1}}, {"plan.json", 4, {2}}, {"weights.safetensors", 5, {3}}};
    return engine::print_manifest(manifest);
  }();
  static const std::vector<size_t> sizes = {352, 32, 512, 256};
  static const engine::WeightsFileLayout layout = engine::layout_weights_file(plan, sizes);
  static const std::string good_header = layout.header.substr(8);
  const std::string_view rest = data.substr(1);
  switch (static_cast<unsigned char>(data[0]) % 6) {
    case 0:
      return read_plan(std::string(rest));
    case 1:
      return read_plan(test::edited(good_plan, rest));
    case 2:
      engine::parse_manifest(rest);
      return;
    case 3:
      engine::parse_manifest(test::edited(good_manifest, rest));
      return;
    case 4:
      engine::parse_weights_header(rest, layout.file_bytes - layout.header.size(), plan);
      return;
    default:
      engine::parse_weights_header(test::edited(good_header, rest),
                                   layout.file_bytes - layout.header.size(), plan);
  }
}

}  // namespace
}  // namespace veloz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  try {
    veloz::read_any({reinterpret_cast<const char*>(data), size});
  } catch (const veloz::Error& e) {
    // Anything else, a failed check included, is a bug.
    if (e.kind() != veloz::ErrorKind::corrupt_data && e.kind() != veloz::ErrorKind::unsupported)
      std::abort();
  }
  return 0;
}
