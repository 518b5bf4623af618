// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cudnn_graph.h>

#include <filesystem>
#include <span>
#include <string>

#include "cuda/shared_library.h"

namespace veloz::cuda {

/// The functions of cuDNN that we call: its graph API. The library (half a gigabyte, with what it
/// opens itself) is opened at run time.
struct CudnnApi {
  SharedLibrary library;

  decltype(&cudnnGetVersion) get_version = nullptr;
  decltype(&cudnnGetErrorString) get_error_string = nullptr;
  decltype(&cudnnGetLastErrorString) get_last_error = nullptr;
  decltype(&cudnnCreate) create = nullptr;
  decltype(&cudnnDestroy) destroy = nullptr;
  decltype(&cudnnSetStream) set_stream = nullptr;
  decltype(&cudnnBackendCreateDescriptor) create_descriptor = nullptr;
  decltype(&cudnnBackendDestroyDescriptor) destroy_descriptor = nullptr;
  decltype(&cudnnBackendSetAttribute) set_attribute = nullptr;
  decltype(&cudnnBackendGetAttribute) get_attribute = nullptr;
  decltype(&cudnnBackendFinalize) finalize = nullptr;
  decltype(&cudnnBackendExecute) execute = nullptr;

  /// Throws Error(unsupported) where it is missing or too old.
  static CudnnApi open(std::span<const std::filesystem::path> directories);
  std::string version() const;  // "cuDNN 9.19.0"
  /// Throws Error(unsupported) for what the library does not do, else Error(internal).
  void check(cudnnStatus_t status, const char* what) const;
};

}  // namespace veloz::cuda
