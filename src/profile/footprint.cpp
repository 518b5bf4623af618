// SPDX-License-Identifier: Apache-2.0
#include "profile/footprint.h"

#include <algorithm>

#include "base/numeric.h"
#include "profile/program_calls.h"
#include "runtime/kernel_choice.h"
#include "runtime/session.h"

namespace veloz::profile {
namespace {

constexpr size_t kAlignment = 64;  // of a weight in the buffer of all weights
// Of the program and its libraries that is touched, heaps, stacks and the sampler's lists.
constexpr uint64_t kProcessBytes = uint64_t{20} << 20;
// Of a tokenizer's file: its tokens as strings, in hash tables, and what each decodes to.
constexpr uint64_t kTimesTokenizerFile = 12;

uint64_t packed_weight_bytes(const engine::Plan& plan, const runtime::KernelChoice& choice) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < plan.weights.size(); ++i)
    bytes += round_up(choice.layouts[i]->packed_bytes(plan.weights[i].shape), kAlignment);
  return bytes;
}

uint64_t most_workspace(const engine::Plan& plan, const runtime::KernelChoice& choice,
                        const ops::Binding& binding, int num_threads) {
  uint64_t bytes = 0;
  for_each_call(plan.program("step"), binding, [&](size_t step, const ops::OpCall& call) {
    const ops::Kernel& kernel = *choice.kernels[step];
    if (kernel.workspace_bytes != nullptr)
      bytes = std::max<uint64_t>(bytes, kernel.workspace_bytes(call, num_threads));
  });
  return bytes;
}

uint64_t staged_input_bytes(const engine::Program& program, const ops::Binding& binding) {
  uint64_t bytes = 0;
  for (const int64_t input : program.inputs) {
    const ops::ValueType& type = program.values[static_cast<size_t>(input)].type;
    bytes += narrow<uint64_t>(type.bind(binding).num_elements()) * dtype_bytes(type.dtype);
  }
  return 2 * bytes;  // on the host, from where they are copied to the device
}

}  // namespace

uint64_t Footprint::fixed_bytes() const {
  return weight_bytes + arena_bytes + workspace_bytes + input_bytes + text_bytes + process_bytes;
}

Footprint predict_footprint(const engine::Plan& plan, const ops::KernelRegistry& registry,
                            const FootprintOptions& options) {
  const engine::Program& program = plan.program("step");
  const runtime::KernelChoice choice = runtime::choose_kernels(plan, program, registry);
  const ops::Binding binding = engine::limit_binding(plan.limits, options.num_kv_blocks);
  return {.weight_bytes = packed_weight_bytes(plan, choice),
          .kv_block_bytes = runtime::kv_block_bytes(plan),
          .num_kv_blocks = options.num_kv_blocks,
          .arena_bytes = narrow<uint64_t>(program.arena_bytes),
          .workspace_bytes = most_workspace(plan, choice, binding, options.num_threads),
          .input_bytes = staged_input_bytes(program, binding),
          .text_bytes = kTimesTokenizerFile * options.tokenizer_file_bytes,
          .process_bytes = kProcessBytes};
}

}  // namespace veloz::profile
