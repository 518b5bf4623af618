// SPDX-License-Identifier: Apache-2.0
#include "cuda/cublaslt/product.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace veloz::cuda {
namespace {

cudaDataType_t to_cuda(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::fp8_e4m3:
      return CUDA_R_8F_E4M3;
    default:
      return CUDA_R_32F;
  }
}

/// A new object of the library's, or its error.
template <typename Handle, typename Create, typename... Args>
Handle make(const CublasLtApi& api, const char* what, Create create, Args... args) {
  Handle handle = nullptr;
  api.check(create(&handle, args...), what);
  return handle;
}

}  // namespace

size_t alignment_of(const void* address) {
  constexpr uintptr_t kMost = 256;
  const uintptr_t bits = reinterpret_cast<uintptr_t>(address) | kMost;
  return static_cast<size_t>(bits & (~bits + 1));
}

CublasLtProduct::CublasLtProduct(const CublasLtApi& api, const Gemm& gemm,
                                 const GemmOperands& operands)
    : api_(api),
      has_scales_(gemm.scaling != GemmScaling::none),
      x_alignment_(alignment_of(operands.x)),
      w_alignment_(alignment_of(operands.w)),
      y_alignment_(alignment_of(operands.y)),
      description_(make<cublasLtMatmulDesc_t>(api, "describing a product", api.desc_create,
                                              CUBLAS_COMPUTE_32F, CUDA_R_32F),
                   api.desc_destroy),
      w_(layout(gemm.operands, gemm.k, gemm.n, operands.w_stride)),
      x_(layout(gemm.operands, gemm.k, gemm.tokens, operands.x_stride)),
      y_(layout(gemm.out, gemm.n, gemm.tokens, operands.y_stride)) {
  set(CUBLASLT_MATMUL_DESC_TRANSA, static_cast<int32_t>(CUBLAS_OP_T));
  set(CUBLASLT_MATMUL_DESC_TRANSB, static_cast<int32_t>(CUBLAS_OP_N));
  if (gemm.operands == DType::fp8_e4m3)
    set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, static_cast<int8_t>(gemm.fast_accumulation));
  if (!has_scales_) return;
  const int32_t mode = gemm.scaling == GemmScaling::rows
                           ? CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F
                           : CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
  set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, mode);
  set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, mode);
  // The heuristics, too, ask for their addresses.
  set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, static_cast<const void*>(operands.w_scales));
  set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, static_cast<const void*>(operands.x_scales));
}

CublasLtProduct::Layout CublasLtProduct::layout(DType dtype, int64_t rows, int64_t columns,
                                                int64_t stride) const {
  return Layout(make<cublasLtMatrixLayout_t>(api_, "describing a matrix", api_.layout_create,
                                             to_cuda(dtype), static_cast<uint64_t>(rows),
                                             static_cast<uint64_t>(columns), stride),
                api_.layout_destroy);
}

template <typename Value>
void CublasLtProduct::set(cublasLtMatmulDescAttributes_t attribute, const Value& value) {
  api_.check(api_.desc_set(description_.get(), attribute, &value, sizeof(value)),
             "describing a product");
}

std::vector<GemmAlgorithm> CublasLtProduct::candidates(cublasLtHandle_t handle,
                                                       size_t workspace_bytes, int at_most) const {
  const Owned<cublasLtMatmulPreference_t> preference(
      make<cublasLtMatmulPreference_t>(api_, "stating limits", api_.preference_create),
      api_.preference_destroy);
  const auto limit = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    api_.check(api_.preference_set(preference.get(), attribute, &value, sizeof(value)),
               "stating limits");
  };
  limit(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(workspace_bytes));
  limit(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<uint32_t>(w_alignment_));
  limit(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<uint32_t>(x_alignment_));
  limit(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<uint32_t>(y_alignment_));
  limit(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<uint32_t>(y_alignment_));
  std::vector<cublasLtMatmulHeuristicResult_t> results(static_cast<size_t>(at_most));
  int found = 0;
  const cublasStatus_t status =
      api_.algo_get_heuristic(handle, description_.get(), w_.get(), x_.get(), y_.get(), y_.get(),
                              preference.get(), at_most, results.data(), &found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return {};
  api_.check(status, "asking for algorithms");
  std::vector<GemmAlgorithm> algorithms;
  for (int i = 0; i < found; ++i) {
    const cublasLtMatmulHeuristicResult_t& result = results[static_cast<size_t>(i)];
    if (result.state != CUBLAS_STATUS_SUCCESS) continue;
    GemmAlgorithm algorithm{std::vector<std::byte>(sizeof(result.algo)), result.workspaceSize};
    std::memcpy(algorithm.blob.data(), &result.algo, sizeof(result.algo));
    algorithms.push_back(std::move(algorithm));
  }
  return algorithms;
}

bool CublasLtProduct::use(cublasLtHandle_t handle, const GemmAlgorithm& algorithm,
                          size_t workspace_bytes) {
  if (algorithm.blob.size() != sizeof(algorithm_)) return false;
  std::memcpy(&algorithm_, algorithm.blob.data(), sizeof(algorithm_));
  cublasLtMatmulHeuristicResult_t result{};
  const cublasStatus_t status = api_.algo_check(handle, description_.get(), w_.get(), x_.get(),
                                                y_.get(), y_.get(), &algorithm_, &result);
  return status == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= workspace_bytes;
}

bool CublasLtProduct::run(cublasLtHandle_t handle, const GemmOperands& operands, void* workspace,
                          size_t workspace_bytes, cudaStream_t stream) noexcept {
  if (has_scales_) {
    const void* const w_scales = operands.w_scales;
    const void* const x_scales = operands.x_scales;
    if (api_.desc_set(description_.get(), CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &w_scales,
                      sizeof(w_scales)) != CUBLAS_STATUS_SUCCESS ||
        api_.desc_set(description_.get(), CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &x_scales,
                      sizeof(x_scales)) != CUBLAS_STATUS_SUCCESS)
      return false;
  }
  const float one = 1.0f, zero = 0.0f;
  return api_.matmul(handle, description_.get(), &one, operands.w, w_.get(), operands.x, x_.get(),
                     &zero, operands.y, y_.get(), operands.y, y_.get(), &algorithm_, workspace,
                     workspace_bytes, stream) == CUBLAS_STATUS_SUCCESS;
}

}  // namespace veloz::cuda
