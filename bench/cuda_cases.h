// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/shape.h"
#include "ops/kernel.h"
#include "ops/op.h"

namespace veloz::bench {

/// What an operand of a case holds.
enum class Content : uint8_t {
  random,  // numbers around 0, of about 1 in magnitude
  cache,   // the KV pool that all cases share: its first extent is that of the pool
  listed,  // what `list` says
};

struct CaseOperand {
  DType dtype = DType::bf16;
  Shape shape;
  int64_t row_stride = 0;  // elements; 0: contiguous
  Content content = Content::random;
  /// Bytes of call `call_idx`, where the pool has `num_blocks` blocks.
  std::function<std::vector<std::byte>(int64_t call_idx, int64_t num_blocks)> list{};
};

/// One op at one size. Plain data, so that a machine without a GPU can check that it is possible.
struct CudaCase {
  std::string bench;  // "decode"
  std::string shape;  // "70b seqs=128 kv=2048 fp8_e4m3"
  ops::Op op = ops::Op::add;
  ops::Attrs attrs{};
  std::vector<CaseOperand> inputs{};
  std::function<ops::Cost(const ops::OpCall&)> cost{};  // empty: the op's own
  int64_t num_blocks = 0;                               // of the pool that one call reads
  double tokens = 0;                                    // of one call
  std::optional<ops::Kernel> kernel{};                  // instead of the registry's choice
};

/// All of them, those that tell most first. `is_quick`: a few of each kind.
std::vector<CudaCase> cuda_cases(bool is_quick);

}  // namespace veloz::bench
