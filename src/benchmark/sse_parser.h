// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace veloz::benchmark {

/// Cuts a stream of server-sent events into the data of each, however the bytes arrive. Fields
/// other than `data` are skipped, as the event-stream format allows.
class SseParser {
 public:
  /// Calls `on_event` for each event that `bytes` completes.
  void feed(std::string_view bytes, const std::function<void(std::string_view)>& on_event);

 private:
  std::string line_;  // begun, not ended
  std::string data_;
  bool has_data_ = false;
};

}  // namespace veloz::benchmark
