// SPDX-License-Identifier: Apache-2.0
#include "cli/interrupt.h"

#include <fmt/format.h>

#include <csignal>
#include <cstdio>

namespace veloz::cli {
namespace {

// A signal handler can reach nothing but a global.
volatile std::sig_atomic_t interrupted = 0;

extern "C" void remember_signal(int signal) {
  interrupted = 1;
  std::signal(signal, SIG_DFL);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  interrupted = 0;
  std::signal(SIGINT, remember_signal);
  std::signal(SIGTERM, remember_signal);
}

InterruptGuard::~InterruptGuard() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

bool InterruptGuard::is_interrupted() { return interrupted != 0; }

int report_interrupt() {
  if (!InterruptGuard::is_interrupted()) return 0;
  fmt::print(stderr, "interrupted: the output is not complete\n");
  return 1;
}

}  // namespace veloz::cli
