// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "grammar/machine.h"
#include "grammar/vocabulary.h"

namespace veloz::grammar {

/// Runs the machine from `base` along all texts below the node `top` of the vocabulary that it
/// takes, and calls visit(node, frame) for each. `frames` is scratch.
template <typename Visit>
void walk_tree(Machine& machine, const Vocabulary& vocabulary, uint32_t top,
               const Machine::Frame& base, std::vector<Machine::Frame>& frames,
               const Visit& visit) {
  const auto nodes = vocabulary.nodes();
  frames.resize(vocabulary.max_token_bytes() + 1);
  frames[0] = base;
  for (uint32_t node = top + 1; node < nodes[top].end;) {
    const size_t depth = nodes[node].depth - nodes[top].depth;
    const Machine::Frame& parent = frames[depth - 1];
    machine.cut_back_to(parent);
    const Machine::Frame frame = machine.step(parent, nodes[node].byte);
    if (!frame.is_dead()) visit(node, frame);
    if (frame.begin == frame.end) {
      node = nodes[node].end;
      continue;
    }
    frames[depth] = frame;
    ++node;
  }
  machine.cut_back_to(base);
}

}  // namespace veloz::grammar
