// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "cuda/cuda_runs.h"
#include "cuda/plain_cache.h"
#include "support/attention_case.h"

namespace veloz::cuda {

/// Operands of paged_attention with the cache as it lies on the GPU.
struct GpuAttention {
  explicit GpuAttention(test::BuiltAttention built_in)
      : built(std::move(built_in)), cache(plain_cache(built.cache.view())) {
    // Entries beyond a sequence's length are anything.
    const TensorView& tables = built.block_tables.view();
    const int64_t block_size = cache.view().shape[3];
    for (int64_t s = 0; s < tables.shape[0]; ++s) {
      const int64_t kv_len = built.kv_lens.view().as<const int32_t>()[s];
      for (int64_t b = (kv_len + block_size - 1) / block_size; b < tables.shape[1]; ++b)
        tables.row<int32_t>(s)[b] = 0x7ffffff0;
    }
  }

  std::vector<TensorView> inputs() const {
    std::vector<TensorView> inputs = built.inputs();
    inputs[1] = cache.view();
    return inputs;
  }

  test::BuiltAttention built;
  test::OwnedTensor cache;
};

/// y, with gaps between its rows.
inline test::OwnedTensor run_attention(const ops::Kernel& kernel,
                                       const std::vector<TensorView>& inputs,
                                       const ops::Attrs& attrs) {
  const TensorView& q = inputs[0];
  test::OwnedTensor y(q.dtype, q.shape, q.shape[1] + 8);
  run_kernel(kernel, inputs, {y.view()}, attrs);
  return y;
}

/// Of tensors of 16 bits.
inline bool is_same_row(const test::OwnedTensor& a, const test::OwnedTensor& b, int64_t row) {
  return std::memcmp(a.view().row<uint16_t>(row), b.view().row<uint16_t>(row),
                     static_cast<size_t>(a.view().shape[1]) * sizeof(uint16_t)) == 0;
}

/// "Case_dtype", of a test's tuple of a case with a name and the cache's dtype.
constexpr auto kCaseAndCacheName = [](const auto& info) {
  return std::string(std::get<0>(info.param).name) + "_" +
         std::string(to_string(std::get<1>(info.param)));
};

}  // namespace veloz::cuda
