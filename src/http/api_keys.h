// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/rate_limit.h"

namespace veloz::http {

/// A key and who it belongs to.
struct ApiKey {
  std::string secret;
  std::string name;  // for logs: as the file has it, or drawn from the key's SHA-256
  std::optional<RateLimit> limit = std::nullopt;
};

/// Reads a file of keys: one a line, then any of `name=alice`, `rpm=60` (requests per minute) and
/// `burst=10` (at once; as many as rpm where absent). `#` begins a comment. Throws Error: io,
/// invalid_input with the line.
std::vector<ApiKey> read_api_keys(const std::filesystem::path& path);

/// Who may ask, and how often. Any thread may call any method.
class ApiKeys {
 public:
  struct Options {
    std::vector<std::string> keys = {};   // --api-key
    std::filesystem::path file = {};      // --api-key-file; empty: none
    std::optional<RateLimit> limit = {};  // of keys that have none of their own
  };
  /// Throws as read_api_keys.
  explicit ApiKeys(Options options);

  /// Reads the file again. Throws as read_api_keys, and then goes on with what it had.
  void reload();
  /// No key is needed.
  bool is_open() const;

  struct Verdict {
    bool is_allowed = false;
    std::string name = {};                     // of the key
    std::optional<double> retry_after_s = {};  // too many requests
  };
  /// `authorization`: the header's value. Takes as long whichever key it is, or none.
  Verdict check(std::optional<std::string_view> authorization, RateLimiter::TimePoint now);

 private:
  struct Entry {
    ApiKey key;
    std::optional<RateLimiter> limiter;
  };
  std::vector<Entry> load() const;

  Options options_;
  mutable std::mutex mutex_;
  std::vector<Entry> entries_;  // guarded by mutex_
};

}  // namespace veloz::http
