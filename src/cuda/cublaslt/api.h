// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublasLt.h>

#include <filesystem>
#include <span>
#include <string>

#include "cuda/cublaslt/shared_library.h"

namespace veloz::cuda {

/// The functions of cuBLASLt that we call. The library (half a gigabyte) is opened at run time:
/// most machines that run this program never need it.
struct CublasLtApi {
  SharedLibrary library;

  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtGetVersion) get_version = nullptr;
  decltype(&cublasLtGetStatusString) get_status_string = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
  decltype(&cublasLtMatmulAlgoCheck) algo_check = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) algo_get_heuristic = nullptr;
  decltype(&cublasLtMatmulDescCreate) desc_create = nullptr;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) layout_create = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy = nullptr;

  /// Throws Error(unsupported) where it is missing or too old.
  static CublasLtApi open(std::span<const std::filesystem::path> directories);
  std::string version() const;  // "cublasLt 13.1.0"
  /// Throws Error(unsupported) for what the library does not do, else Error(internal).
  void check(cublasStatus_t status, const char* what) const;
};

}  // namespace veloz::cuda
