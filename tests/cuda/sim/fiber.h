// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace veloz::cuda::sim {

/// A stack of its own on which a function runs, for ever, in turns with whoever resumes it.
class Fiber {
 public:
  using Entry = void (*)(void*);
  /// `entry` must not return.
  Fiber(Entry entry, void* arg);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Runs the fiber until it suspends.
  void resume();
  /// Of the fiber that runs: back to the one that resumed it.
  void suspend();

 private:
  [[noreturn]] static void start();

  Entry entry_;
  void* arg_;
  void* mapping_ = nullptr;
  // What sanitizers keep of each stack: they are told of every switch.
  void* own_fake_stack_ = nullptr;
  void* caller_fake_stack_ = nullptr;
  const void* caller_stack_ = nullptr;
  size_t caller_stack_bytes_ = 0;
  void* own_history_ = nullptr;
  void* caller_history_ = nullptr;
#if defined(__x86_64__)
  void* own_ = nullptr;  // stack pointers
  void* caller_ = nullptr;
#else
  ucontext_t own_{};
  ucontext_t caller_{};
#endif
};

}  // namespace veloz::cuda::sim
