// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "text/jinja/limits.h"

namespace veloz::text::jinja {

/// Counts what one rendering has used, and throws Error(invalid_input) at a limit. Owned by the
/// interpreter, one thread; it must outlive every value charged to it.
class Meter {
 public:
  explicit Meter(const ChatTemplateLimits& limits) : limits_(limits) {}
  Meter(const Meter&) = delete;
  Meter& operator=(const Meter&) = delete;

  const ChatTemplateLimits& limits() const { return limits_; }

  void step(int64_t count = 1) {
    steps_ += count;
    if (steps_ > limits_.max_steps) fail_steps();
  }
  /// Charges the time of copying or searching `bytes` bytes.
  void work(size_t bytes) { step(static_cast<int64_t>(bytes / 256) + 1); }
  /// Charges the time of handling `bytes` bytes character by character.
  void scan(size_t bytes) { step(static_cast<int64_t>(bytes / 8) + 1); }
  void allocate(size_t bytes) {
    if (bytes > limits_.max_memory_bytes - live_bytes_) fail_memory();
    live_bytes_ += bytes;
  }
  void release(size_t bytes) noexcept { live_bytes_ -= bytes; }
  void output(size_t bytes) {
    output_bytes_ += bytes;
    if (output_bytes_ > limits_.max_output_bytes) fail_output();
  }
  void enter() {
    if (++depth_ > limits_.max_depth) fail_depth();
  }
  void leave() noexcept { --depth_; }

 private:
  [[noreturn]] void fail_steps() const;
  [[noreturn]] void fail_memory() const;
  [[noreturn]] void fail_output() const;
  [[noreturn]] void fail_depth() const;

  ChatTemplateLimits limits_;
  int64_t steps_ = 0;
  size_t live_bytes_ = 0;  // <= limits_.max_memory_bytes, always
  size_t output_bytes_ = 0;
  int depth_ = 0;
};

/// One level of nested evaluation.
class DepthGuard {
 public:
  explicit DepthGuard(Meter& meter) : meter_(meter) { meter_.enter(); }
  ~DepthGuard() { meter_.leave(); }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

 private:
  Meter& meter_;
};

/// Memory charged for as long as this lives; a null meter charges nobody.
class Charge {
 public:
  Charge(Meter* meter, size_t bytes) : meter_(meter), bytes_(bytes) {
    if (meter_ != nullptr) meter_->allocate(bytes_);
  }
  ~Charge() {
    if (meter_ != nullptr) meter_->release(bytes_);
  }
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;

  void grow(size_t bytes) {
    if (meter_ != nullptr) meter_->allocate(bytes);
    bytes_ += bytes;
  }

 private:
  Meter* meter_;
  size_t bytes_;
};

}  // namespace veloz::text::jinja
