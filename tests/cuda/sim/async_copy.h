// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cuda/sim/async_copies.h"
#include "cuda/sim/threads.h"

/// Of ptx/async_copy.h, on the simulated multiprocessor.
namespace veloz::cuda {

inline uint32_t shared_address(const void* shared) { return sim::shared_address_of(shared); }

inline void copy_async_16(void* shared, const void* global, bool is_valid) {
  sim::require(reinterpret_cast<uintptr_t>(shared) % 16 == 0, "cp.async to an odd address");
  sim::require(!is_valid || reinterpret_cast<uintptr_t>(global) % 16 == 0,
               "cp.async from an odd address");
  if (is_valid) sim::note_bytes_copied(16);
  sim::async_copies().copy_16(shared, global, is_valid);
}

inline void commit_copies() { sim::async_copies().commit(); }

template <int kPending>
void wait_for_copies() {
  sim::async_copies().wait(kPending);
}

}  // namespace veloz::cuda
