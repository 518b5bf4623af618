// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/device.h"
#include "base/thread_pool.h"
#include "engine/engine.h"
#include "ops/kernel.h"
#include "runtime/batch.h"

namespace veloz::runtime {

struct SessionOptions {
  int64_t num_kv_blocks = 0;  // >= 1; N of every KV cache
};

/// What a session keeps in memory.
struct MemoryUse {
  size_t weight_bytes = 0;
  size_t kv_cache_bytes = 0;
  size_t arena_bytes = 0;
  size_t workspace_bytes = 0;
};

/// An engine loaded on one device, ready to run steps: weights touched, caches pre-faulted, kernels
/// chosen; afterwards nothing allocates. Used by one thread at a time.
class Session {
 public:
  /// `device` and `registry` outlive the session; `pool` (the CPU's team) too.
  Session(const engine::Engine& engine, Device& device, const ops::KernelRegistry& registry,
          ThreadPool& pool, const SessionOptions& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Runs program "step". The result is the program's output 0: logits [R, vocab_size] fp32 in
  /// device memory, valid until the next run. Throws Error(internal) where the batch exceeds the
  /// engine's limits (the scheduler's business). With Batch::sampled nothing is waited for: the
  /// stream must be past the run before the last one.
  TensorView run(const Batch& batch);
  /// Whether a batch may leave its feeds to the device: it works on while the host goes on, and
  /// has a row of the embedding for whatever it may sample.
  bool takes_device_tokens() const;

  /// Copies whole KV blocks (pairs from, to) in every cache, in order: copy-on-write of beams.
  void copy_kv_blocks(std::span<const std::pair<int32_t, int32_t>> pairs);

  /// Runs one op outside the program (sampling ops), with kernels chosen from the registry.
  /// Operands are device views. Workspace beyond what the program needs is allocated by the first
  /// call that needs it.
  void run_op(ops::Op op, std::span<const TensorView> inputs, std::span<const TensorView> outputs,
              const ops::Attrs& attrs);

  Device& device();
  Stream& stream();
  const engine::Plan& plan() const;
  MemoryUse memory() const;
  /// Kernel name of each step of the program, in order, for `inspect` and `profile`.
  std::vector<std::string_view> kernel_names() const;
  /// One line, with bytes, for each weight that had to change its layout because no kernel here
  /// takes the one it was built for; empty on the machine an engine was built for.
  const std::vector<std::string>& repacks() const;
  /// What kernels said of their preparation (Kernel::prepare), a sentence each.
  const std::vector<std::string>& notices() const;
  /// Called before (begin) and after (end) each step when set: (index, op, call). For profile and
  /// verify.
  using StepHook = std::function<void(size_t step, const ops::OpCall& call, bool done)>;
  void set_step_hook(StepHook hook);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Values of all symbols in a step of this batch over a cache of so many blocks.
ops::Binding binding_of(const Batch& batch, int64_t num_kv_blocks);

/// Bytes of one KV block over all layers: what the planner divides a budget by.
size_t kv_block_bytes(const engine::Plan& plan);

}  // namespace veloz::runtime
