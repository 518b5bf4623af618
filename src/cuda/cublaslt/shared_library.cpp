// SPDX-License-Identifier: Apache-2.0
#include "cuda/cublaslt/shared_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <vector>

#include "base/error.h"

namespace veloz::cuda {

void SharedLibrary::Close::operator()(void* handle) const { ::dlclose(handle); }

SharedLibrary SharedLibrary::open(const std::string& name,
                                  std::span<const std::filesystem::path> directories) {
  std::vector<std::string> places;
  for (const std::filesystem::path& directory : directories)
    if (!directory.empty()) places.push_back((directory / name).string());
  places.push_back(name);
  std::string why;
  for (const std::string& place : places) {
    // Loading half a gigabyte takes up to half a second: who asks again finds it loaded.
    if (void* const handle = ::dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        handle != nullptr)
      return SharedLibrary(place, handle);
    const char* const words = ::dlerror();
    why += fmt::format("{}{}", why.empty() ? "" : "; ", words == nullptr ? place : words);
  }
  throw Error(ErrorKind::unsupported, fmt::format("{} cannot be opened: {}", name, why),
              "install it, or name the directory that has it with --cublaslt");
}

void* SharedLibrary::symbol(const char* name) const {
  void* const address = ::dlsym(handle_.get(), name);
  if (address == nullptr)
    throw Error(ErrorKind::unsupported, fmt::format("{} has no function {}", name_, name),
                "install the version this program was built for, or a newer one");
  return address;
}

}  // namespace veloz::cuda
