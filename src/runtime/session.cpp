// SPDX-License-Identifier: Apache-2.0
#include "runtime/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/numeric.h"
#include "runtime/check_batch.h"
#include "runtime/decode_graphs.h"
#include "runtime/device_list.h"
#include "runtime/kernel_choice.h"
#include "runtime/load_weights.h"
#include "runtime/step_inputs.h"
#include "runtime/step_program.h"

namespace veloz::runtime {
namespace {

using engine::PlanState;
using ops::Symbol;

constexpr size_t kArenaAlignment = 64;

bool is_cache(const PlanState& state) {
  return !state.type.dims.empty() && state.type.dims[0] == Symbol::N;
}

ops::Binding with_blocks(int64_t num_kv_blocks) {
  ops::Binding binding{};
  binding[static_cast<size_t>(Symbol::N)] = num_kv_blocks;
  return binding;
}

/// Bytes of a state whose cache has `num_kv_blocks` blocks; the plan proved those of one block.
size_t state_bytes(const PlanState& state, int64_t num_kv_blocks) {
  const size_t one = narrow<size_t>(state.type.bind(with_blocks(1)).num_elements()) *
                     dtype_bytes(state.type.dtype);
  if (!is_cache(state)) return one;
  const std::optional<uint64_t> bytes = try_multiply(one, static_cast<uint64_t>(num_kv_blocks));
  if (!bytes || *bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
    throw Error(ErrorKind::out_of_memory,
                fmt::format("a KV cache of {} blocks of {}", num_kv_blocks, format_bytes(one)),
                "ask for fewer blocks");
  return *bytes;
}

/// Rows of the smallest embedding: ids at or above have none.
int64_t count_vocab_rows(const engine::Program& program) {
  int64_t rows = std::numeric_limits<int32_t>::max();
  for (const engine::PlanStep& step : program.steps)
    if (step.op == ops::Op::embedding)
      rows = std::min(rows, program.values[static_cast<size_t>(step.inputs[1])].type.dims[0].value);
  return rows;
}

}  // namespace

struct Session::State {
  State(const engine::Engine& engine, Device& device_in, const ops::KernelRegistry& registry_in,
        ThreadPool& pool_in, const SessionOptions& options)
      : device(device_in),
        registry(registry_in),
        pool(pool_in),
        num_kv_blocks(options.num_kv_blocks),
        plan(engine.plan()),
        program(plan.program("step")),
        stream(device.create_stream()) {
    if (num_kv_blocks < 1 || num_kv_blocks > std::numeric_limits<int32_t>::max())
      throw Error(ErrorKind::invalid_input,
                  fmt::format("a KV cache of {} blocks, 1 to 2^31 - 1 are possible", num_kv_blocks),
                  "give the cache more memory");
    bounds = {num_kv_blocks, count_vocab_rows(program)};
    const KernelChoice choice = choose_kernels(plan, program, registry);
    weights = load_weights(engine, choice, device, *stream, pool);
    const ops::Binding most = engine::limit_binding(plan.limits, num_cache_blocks());
    notices = prepare_kernels(program, choice, *stream, most);
    inputs.emplace(program, most, device);
    ProgramMemory memory;
    memory.weights = weights.data;
    memory.states = allocate_states();
    const std::span<void* const> places = inputs->place(most);
    memory.inputs.assign(places.begin(), places.end());
    arena = device.allocate(std::max(narrow<size_t>(program.arena_bytes), kArenaAlignment));
    prefault(arena);
    memory.arena = static_cast<std::byte*>(arena.data());
    steps.emplace(program, choice.kernels, memory);
    steps->bind(most);
    reserve_workspace(steps->workspace_bytes(pool.num_threads()));
    stream->synchronize();
  }

  std::vector<void*> allocate_states();
  /// Makes every page exist, on the CPU by the threads that will use them.
  void prefault(const Buffer& buffer);
  void reserve_workspace(size_t bytes);
  const ops::Kernel& choose_outside(ops::Op op, const ops::OpCall& call);
  void run_op(ops::Op op, std::span<const TensorView> inputs, std::span<const TensorView> outputs,
              const ops::Attrs& attrs);
  /// Binds the steps to the extents of `batch` and brings its arrays to the device.
  void stage(const Batch& batch);
  void enqueue_steps();
  /// One more than sequences may have where steps are recorded: padding writes to it.
  int64_t num_cache_blocks() const { return num_kv_blocks + (pads_decode() ? 1 : 0); }
  bool pads_decode() const { return device.kind() != DeviceKind::cpu; }

  Device& device;
  const ops::KernelRegistry& registry;
  ThreadPool& pool;
  const int64_t num_kv_blocks;
  const engine::Plan plan;
  const engine::Program& program;
  BatchBounds bounds;
  std::unique_ptr<Stream> stream;
  LoadedWeights weights;
  std::vector<std::string> notices;
  std::vector<Buffer> states;  // one per state of the plan
  std::optional<StepInputs> inputs;
  Buffer arena;
  Buffer workspace;
  std::optional<StepProgram> steps;
  StepHook hook;
  DecodeGraphs graphs{*stream};
  Batch padded;                             // a decode step that is recorded; kept for its memory
  std::vector<ops::ValueType> input_types;  // of run_op, kept for their memory
  std::vector<ops::ValueType> output_types;
};

void Session::State::prefault(const Buffer& buffer) {
  if (device.kind() != DeviceKind::cpu) return;
  // One byte a page: the system clears a page as it is first touched, and clearing it once more
  // would cost as much again.
  constexpr int64_t kSmallPage = 4096;
  constexpr int64_t kHugePage = int64_t{2} << 20;
  pool.for_range(narrow<int64_t>(buffer.bytes()), kHugePage, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at += kSmallPage)
      static_cast<std::byte*>(buffer.data())[at] = std::byte{0};
  });
}

std::vector<void*> Session::State::allocate_states() {
  std::vector<void*> data;
  for (const PlanState& state : plan.states) {
    states.push_back(device.allocate(state_bytes(state, num_cache_blocks())));
    prefault(states.back());
    data.push_back(states.back().data());
  }
  return data;
}

void Session::State::reserve_workspace(size_t bytes) {
  if (bytes <= workspace.bytes()) return;
  stream->synchronize();
  graphs.clear();
  workspace = device.allocate(round_up(bytes, kArenaAlignment));
  prefault(workspace);
}

void Session::State::stage(const Batch& batch) {
  const ops::Binding binding = binding_of(batch, num_cache_blocks());
  steps->move_inputs(inputs->place(binding));
  steps->bind(binding);
  inputs->upload(batch, *stream);
  if (batch.sampled.data == nullptr || batch.feeds.empty()) return;
  const TensorView tokens = inputs->tokens(batch);
  run_op(ops::Op::feed_tokens, std::array{tokens, batch.sampled, inputs->feeds(batch)},
         std::array{tokens}, {});
}

void Session::State::enqueue_steps() {
  ops::OpContext context{
      &pool, stream.get(), {static_cast<std::byte*>(workspace.data()), workspace.bytes()}};
  steps->run(context, hook);
}

const ops::Kernel& Session::State::choose_outside(ops::Op op, const ops::OpCall& call) {
  const auto describe = [](std::span<const TensorView> views, std::vector<ops::ValueType>& types) {
    types.resize(views.size());
    for (size_t i = 0; i < views.size(); ++i) {
      types[i].dtype = views[i].dtype;
      types[i].dims.assign(views[i].shape.dims().begin(), views[i].shape.dims().end());
    }
  };
  describe(call.inputs, input_types);
  describe(call.outputs, output_types);
  return registry.choose({op, input_types, output_types, call.attrs, ""});
}

void Session::State::run_op(ops::Op op, std::span<const TensorView> in,
                            std::span<const TensorView> out, const ops::Attrs& attrs) {
  const ops::OpCall call{in, out, attrs};
  const ops::Kernel& kernel = choose_outside(op, call);
  if (kernel.workspace_bytes != nullptr)
    reserve_workspace(kernel.workspace_bytes(call, pool.num_threads()));
  ops::OpContext context{
      &pool, stream.get(), {static_cast<std::byte*>(workspace.data()), workspace.bytes()}};
  kernel.run(context, call);
}

Session::Session(const engine::Engine& engine, Device& device, const ops::KernelRegistry& registry,
                 ThreadPool& pool, const SessionOptions& options)
    : state_(std::make_unique<State>(engine, device, registry, pool, options)) {}
Session::~Session() = default;

TensorView Session::run(const Batch& batch) {
  State& state = *state_;
  check_batch(batch, state.plan.limits, state.bounds);
  // The last step's copies have left the staging memory.
  if (batch.sampled.data == nullptr) state.stream->synchronize();
  if (!state.pads_decode() || state.hook || !is_decode(batch)) {
    state.stage(batch);
    state.enqueue_steps();
    return state.steps->output(0);
  }
  const DecodeBucket bucket = choose_bucket(batch, state.plan.limits);
  pad_decode(batch, bucket, state.num_kv_blocks, state.plan.limits.block_size, state.padded);
  state.stage(state.padded);
  state.graphs.run(bucket, [&] { state.enqueue_steps(); });
  return rows_of(state.steps->output(0), 0, batch.num_seqs());
}

void Session::copy_kv_blocks(std::span<const std::pair<int32_t, int32_t>> pairs) {
  State& state = *state_;
  for (const auto& [from, to] : pairs)
    VELOZ_CHECK(from >= 0 && from < state.num_kv_blocks && to >= 0 && to < state.num_kv_blocks,
                "block {} is copied to {}, the cache has {}", from, to, state.num_kv_blocks);
  for (size_t i = 0; i < state.states.size(); ++i) {
    if (!is_cache(state.plan.states[i])) continue;
    state.device.copy_blocks(*state.stream, state.states[i].data(),
                             state_bytes(state.plan.states[i], 1), pairs);
  }
}

void Session::run_op(ops::Op op, std::span<const TensorView> inputs,
                     std::span<const TensorView> outputs, const ops::Attrs& attrs) {
  state_->run_op(op, inputs, outputs, attrs);
}

bool Session::takes_device_tokens() const {
  const TensorView& logits = state_->steps->output(0);
  return state_->device.kind() != DeviceKind::cpu && logits.shape[1] <= state_->bounds.vocab_rows;
}

Device& Session::device() { return state_->device; }
Stream& Session::stream() { return *state_->stream; }
const engine::Plan& Session::plan() const { return state_->plan; }
const std::vector<std::string>& Session::repacks() const { return state_->weights.repacks; }
const std::vector<std::string>& Session::notices() const { return state_->notices; }
void Session::set_step_hook(StepHook hook) { state_->hook = std::move(hook); }

MemoryUse Session::memory() const {
  MemoryUse use;
  use.weight_bytes = state_->weights.buffer.bytes();
  for (size_t i = 0; i < state_->states.size(); ++i)
    if (is_cache(state_->plan.states[i])) use.kv_cache_bytes += state_->states[i].bytes();
  use.arena_bytes = state_->arena.bytes();
  use.workspace_bytes = state_->workspace.bytes();
  return use;
}

std::vector<std::string_view> Session::kernel_names() const {
  std::vector<std::string_view> names;
  for (const ops::Kernel* kernel : state_->steps->kernels()) names.push_back(kernel->name);
  return names;
}

ops::Binding binding_of(const Batch& batch, int64_t num_kv_blocks) {
  ops::Binding binding = with_blocks(num_kv_blocks);
  binding[static_cast<size_t>(Symbol::T)] = batch.num_tokens();
  binding[static_cast<size_t>(Symbol::S)] = batch.num_seqs();
  binding[static_cast<size_t>(Symbol::R)] = static_cast<int64_t>(batch.logit_rows.size());
  binding[static_cast<size_t>(Symbol::B)] = batch.blocks_per_seq;
  return binding;
}

size_t kv_block_bytes(const engine::Plan& plan) {
  size_t bytes = 0;
  for (const PlanState& state : plan.states)
    if (is_cache(state)) bytes += state_bytes(state, 1);
  return bytes;
}

}  // namespace veloz::runtime
