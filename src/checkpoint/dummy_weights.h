// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "checkpoint/tensor_source.h"

namespace veloz::checkpoint {

/// Seeded random weights in the shapes a graph asks for, so that a model of any size can be
/// benchmarked without its files. An element depends on (seed, tensor name, index) alone: the same
/// on any machine, in any order. Matrices are uniform with variance 1 / columns, so activations
/// neither grow nor vanish; gains are 1; biases 0.
class DummyWeights final : public TensorSource {
 public:
  explicit DummyWeights(uint64_t seed) : seed_(seed) {}

  /// Tells that this tensor will be asked for. Elements are bf16.
  void declare(const std::string& name, const Shape& shape);

  std::optional<TensorInfo> find(std::string_view name) const override;
  void read_rows(std::string_view name, int64_t row_begin, int64_t row_end,
                 std::span<std::byte> to) const override;

 private:
  uint64_t seed_;
  std::map<std::string, Shape, std::less<>> shapes_;
};

}  // namespace veloz::checkpoint
