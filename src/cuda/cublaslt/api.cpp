// SPDX-License-Identifier: Apache-2.0
#include "cuda/cublaslt/api.h"

#include <fmt/format.h>

#include "base/error.h"

namespace veloz::cuda {

CublasLtApi CublasLtApi::open(std::span<const std::filesystem::path> directories) {
  constexpr const char* kName = "libcublasLt.so.13";
  CublasLtApi api{.library = SharedLibrary::open(kName, directories)};
  const SharedLibrary& library = api.library;
  library.load(api.create, "cublasLtCreate");
  library.load(api.destroy, "cublasLtDestroy");
  library.load(api.get_version, "cublasLtGetVersion");
  library.load(api.get_status_string, "cublasLtGetStatusString");
  library.load(api.matmul, "cublasLtMatmul");
  library.load(api.algo_check, "cublasLtMatmulAlgoCheck");
  library.load(api.algo_get_heuristic, "cublasLtMatmulAlgoGetHeuristic");
  library.load(api.desc_create, "cublasLtMatmulDescCreate");
  library.load(api.desc_destroy, "cublasLtMatmulDescDestroy");
  library.load(api.desc_set, "cublasLtMatmulDescSetAttribute");
  library.load(api.preference_create, "cublasLtMatmulPreferenceCreate");
  library.load(api.preference_destroy, "cublasLtMatmulPreferenceDestroy");
  library.load(api.preference_set, "cublasLtMatmulPreferenceSetAttribute");
  library.load(api.layout_create, "cublasLtMatrixLayoutCreate");
  library.load(api.layout_destroy, "cublasLtMatrixLayoutDestroy");
  return api;
}

std::string CublasLtApi::version() const {
  const size_t version = get_version();  // 130100
  return fmt::format("cublasLt {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

void CublasLtApi::check(cublasStatus_t status, const char* what) const {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const bool is_limit = status == CUBLAS_STATUS_NOT_SUPPORTED ||
                        status == CUBLAS_STATUS_INVALID_VALUE ||
                        status == CUBLAS_STATUS_ARCH_MISMATCH;
  throw Error(is_limit ? ErrorKind::unsupported : ErrorKind::internal,
              fmt::format("cuBLASLt, {}: {}", what, get_status_string(status)));
}

}  // namespace veloz::cuda
