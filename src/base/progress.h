// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace veloz {

/// One report of a long job: `done` of `total` units ("bytes", "items") in the stage named.
struct ProgressUpdate {
  std::string_view stage;
  uint64_t done = 0;
  uint64_t total = 0;
  std::string_view unit = "bytes";
};

/// Called now and then from the job's own thread; empty where nobody looks. Libraries never print.
using ProgressSink = std::function<void(const ProgressUpdate&)>;

}  // namespace veloz
