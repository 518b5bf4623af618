// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>
#include <vector>

#include "cuda/cublaslt/api.h"
#include "cuda/cublaslt/library_gemms.h"

namespace veloz::cuda {

/// One product in cuBLASLt's terms: A = w (transposed), B = x, D = y, in columns.
class CublasLtProduct {
 public:
  /// `operands` give strides, alignment and the scales' addresses; they may change between runs
  /// but for strides and alignment. `api` must outlive it.
  CublasLtProduct(const CublasLtApi& api, const Gemm& gemm, const GemmOperands& operands);

  /// Algorithms whose scratch fits, the library's guess first; none where it has none.
  std::vector<GemmAlgorithm> candidates(cublasLtHandle_t handle, size_t workspace_bytes,
                                        int at_most) const;
  /// Takes an algorithm for its runs. False where it does not fit this product or the scratch.
  bool use(cublasLtHandle_t handle, const GemmAlgorithm& algorithm, size_t workspace_bytes);
  /// Enqueues y = x w^T by the algorithm in use. False where it was refused.
  bool run(cublasLtHandle_t handle, const GemmOperands& operands, void* workspace,
           size_t workspace_bytes, cudaStream_t stream) noexcept;

 private:
  template <typename Handle>
  using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, cublasStatus_t (*)(Handle)>;
  using Layout = Owned<cublasLtMatrixLayout_t>;

  Layout layout(DType dtype, int64_t rows, int64_t columns, int64_t stride) const;
  template <typename Value>
  void set(cublasLtMatmulDescAttributes_t attribute, const Value& value);

  const CublasLtApi& api_;
  bool has_scales_;
  size_t x_alignment_, w_alignment_, y_alignment_;
  Owned<cublasLtMatmulDesc_t> description_;
  Layout w_, x_, y_;
  cublasLtMatmulAlgo_t algorithm_{};
};

/// The largest power of two, at most 256, that divides an address.
size_t alignment_of(const void* address);

}  // namespace veloz::cuda
