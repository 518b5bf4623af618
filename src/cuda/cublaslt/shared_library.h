// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace veloz::cuda {

/// A library that is looked for when it is needed, so that a program starts without it.
class SharedLibrary {
 public:
  /// The first of `directories` that has `name`, then where the system looks. Throws
  /// Error(unsupported) with every place and what was wrong there.
  static SharedLibrary open(const std::string& name,
                            std::span<const std::filesystem::path> directories);

  /// Throws Error(unsupported) where the library lacks it: an older version.
  void* symbol(const char* name) const;
  template <typename Function>
  void load(Function*& function, const char* name) const {
    function = reinterpret_cast<Function*>(symbol(name));
  }
  const std::string& name() const { return name_; }

 private:
  struct Close {
    void operator()(void* handle) const;
  };
  SharedLibrary(std::string name, void* handle) : name_(std::move(name)), handle_(handle) {}

  std::string name_;  // where it was found
  std::unique_ptr<void, Close> handle_;
};

}  // namespace veloz::cuda
