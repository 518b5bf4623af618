// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "cuda/ptx/barrier.h"
#include "cuda/sim/threads.h"
#include "cuda/sim/warp.h"

/// Simulated mbarriers. Copies that a barrier counts arrive as late as they may: when somebody
/// looks whether the phase is over.
namespace veloz::cuda::sim {

/// What lies in a SharedBarrier.
struct BarrierState {
  uint16_t phase : 1;
  uint16_t expected : 15;  // arrivals of a phase
  uint16_t pending;        // of this one
  int32_t bytes;           // that are still to come
};
static_assert(sizeof(BarrierState) == sizeof(SharedBarrier));

inline BarrierState load_state(const SharedBarrier* barrier) {
  require(reinterpret_cast<uintptr_t>(barrier) % sizeof(SharedBarrier) == 0,
          "a barrier is not aligned");
  BarrierState state;
  std::memcpy(&state, barrier, sizeof(state));
  require(state.expected != 0 && state.expected != 0x7fff, "a barrier is used uninitialized");
  return state;
}
/// Ends the phase where nothing is missing.
inline void store_state(SharedBarrier* barrier, BarrierState state) {
  if (state.pending == 0 && state.bytes == 0) {
    state.phase = static_cast<uint16_t>(state.phase ^ 1u) & 1u;
    state.pending = state.expected;
  }
  std::memcpy(barrier, &state, sizeof(state));
}

/// Of those that the phase waits for.
inline void bring_bytes(SharedBarrier* barrier, int bytes) {
  BarrierState state = load_state(barrier);
  state.bytes -= bytes;
  store_state(barrier, state);
}

/// A copy that is under way, and what does it.
struct CopyUnderWay {
  SharedBarrier* barrier;
  int bytes;
  unsigned char map[128];
  void* to;
  int column;
  int row;
  void (*deliver)(const CopyUnderWay&);
};
/// Of the block that runs.
inline std::vector<CopyUnderWay>& copies_under_way() {
  static std::vector<CopyUnderWay> copies;
  return copies;
}

inline void deliver_copies(SharedBarrier* barrier) {
  std::vector<CopyUnderWay>& copies = copies_under_way();
  std::vector<CopyUnderWay> others;
  for (const CopyUnderWay& copy : copies) {
    if (copy.barrier != barrier) {
      others.push_back(copy);
      continue;
    }
    copy.deliver(copy);
    bring_bytes(barrier, copy.bytes);
  }
  copies = others;
}

inline void arrive_at(SharedBarrier* barrier, int bytes) {
  constexpr int kMaxBytes = (1 << 20) - 1;
  BarrierState state = load_state(barrier);
  require(state.pending > 0, "more arrivals at a barrier than its phase has");
  state.bytes += bytes;
  require(state.bytes >= -kMaxBytes && state.bytes <= kMaxBytes,
          "a barrier counts at most 2^20 - 1 bytes");
  --state.pending;
  store_state(barrier, state);
}

}  // namespace veloz::cuda::sim

namespace veloz::cuda {

inline void init_barrier(SharedBarrier* barrier, int arrivals) {
  for (const sim::CopyUnderWay& copy : sim::copies_under_way())
    sim::require(copy.barrier != barrier, "a block ended while a copy to it was under way");
  sim::require(arrivals > 0 && arrivals < 0x7fff, "arrivals at a barrier");
  const sim::BarrierState state{0, static_cast<uint16_t>(arrivals & 0x7fff),
                                static_cast<uint16_t>(arrivals), 0};
  sim::shared_address_of(barrier);
  std::memcpy(barrier, &state, sizeof(state));
}
inline void publish_barriers() {}
inline void arrive(SharedBarrier* barrier) { sim::arrive_at(barrier, 0); }
inline void arrive_expecting(SharedBarrier* barrier, uint32_t bytes) {
  sim::arrive_at(barrier, static_cast<int>(bytes));
}
inline void wait_for_phase(SharedBarrier* barrier, uint32_t parity, VELOZ_SIM_SITE) {
  sim::wait_until(
      "mbarrier",
      [barrier, parity] {
        sim::deliver_copies(barrier);
        return sim::load_state(barrier).phase != parity;
      },
      site);
}

}  // namespace veloz::cuda
