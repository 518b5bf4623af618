// SPDX-License-Identifier: Apache-2.0
#include "cuda/cudnn/api.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "base/error.h"

namespace veloz::cuda {
namespace {

/// Since 9.15 its kernels for Hopper read paged caches, since 9.18 one serves every shape.
constexpr size_t kOldest = 91800;

std::string version_text(size_t version) {  // 91900
  return fmt::format("cuDNN {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace

CudnnApi CudnnApi::open(std::span<const std::filesystem::path> directories) {
  CudnnApi api{.library = SharedLibrary::open("libcudnn.so.9", directories)};
  const SharedLibrary& library = api.library;
  library.load(api.get_version, "cudnnGetVersion");
  if (api.get_version() < kOldest)
    throw Error(ErrorKind::unsupported,
                fmt::format("{} is {}, which is too old: paged prefill needs {}", library.name(),
                            version_text(api.get_version()), version_text(kOldest)),
                "install a newer cuDNN 9");
  library.load(api.get_error_string, "cudnnGetErrorString");
  library.load(api.get_last_error, "cudnnGetLastErrorString");
  library.load(api.create, "cudnnCreate");
  library.load(api.destroy, "cudnnDestroy");
  library.load(api.set_stream, "cudnnSetStream");
  library.load(api.create_descriptor, "cudnnBackendCreateDescriptor");
  library.load(api.destroy_descriptor, "cudnnBackendDestroyDescriptor");
  library.load(api.set_attribute, "cudnnBackendSetAttribute");
  library.load(api.get_attribute, "cudnnBackendGetAttribute");
  library.load(api.finalize, "cudnnBackendFinalize");
  library.load(api.execute, "cudnnBackendExecute");
  return api;
}

std::string CudnnApi::version() const { return version_text(get_version()); }

void CudnnApi::check(cudnnStatus_t status, const char* what) const {
  if (status == CUDNN_STATUS_SUCCESS) return;
  constexpr int kCategory = 1000;  // 3000 to 3999: not supported
  const bool is_limit =
      static_cast<int>(status) / kCategory == CUDNN_STATUS_NOT_SUPPORTED / kCategory;
  std::array<char, 1024> words{};
  get_last_error(words.data(), words.size());
  std::string_view reason(words.data());
  while (reason.ends_with('\n')) reason.remove_suffix(1);
  throw Error(is_limit ? ErrorKind::unsupported : ErrorKind::internal,
              fmt::format("cuDNN, {}: {}{}{}", what, get_error_string(status),
                          reason.empty() ? "" : ", ", reason));
}

}  // namespace veloz::cuda
