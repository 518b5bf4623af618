// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "cuda/cudnn/library_attention.h"

namespace veloz::cuda {

/// Stands where a library would, and tells why it does not.
class MissingAttention final : public LibraryAttention {
 public:
  explicit MissingAttention(std::string why) : why_(std::move(why)) {}

  std::string prepare(const SdpaShape&) override { return std::exchange(why_, {}); }
  bool has_plan(const SdpaShape&) noexcept override { return false; }
  bool run(const ops::PagedAttentionArgs&, const SdpaShape&, const int32_t*) noexcept override {
    return false;
  }

 private:
  std::string why_;
};

}  // namespace veloz::cuda
