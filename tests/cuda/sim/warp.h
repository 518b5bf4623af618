// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuda/sim/threads.h"

/// Barriers and warp collectives. Collectives want the full mask: kernels call them in uniform
/// control flow.

namespace veloz::cuda::sim {

constexpr unsigned kFullMask = 0xffffffffu;

struct Exchange {
  uint64_t value;   // what this lane brings
  int source;       // whose value it wants
  uint64_t result;  // 0xFF bytes where that lane does not exist
};
inline void exchange(Exchange** all, int count) {
  for (int i = 0; i < count; ++i) {
    if (all[i] == nullptr) continue;
    const Exchange* const source = all[all[i]->source];
    all[i]->result = source == nullptr ? ~uint64_t{0} : source->value;
  }
}

/// The values of all lanes folded in order of the lanes.
struct Fold {
  uint64_t value;
  uint64_t (*combine)(uint64_t, uint64_t);
  uint64_t result;
};
inline void fold(Fold** all, int count) {
  uint64_t result = all[0]->value;
  for (int i = 1; i < count; ++i)
    if (all[i] != nullptr) result = all[0]->combine(result, all[i]->value);
  for (int i = 0; i < count; ++i)
    if (all[i] != nullptr) all[i]->result = result;
}

inline void require_full(unsigned mask) {
  require(mask == kFullMask, "a warp collective with less than the full mask");
}

template <typename T>
T shuffle(unsigned mask, T value, int source, const char* what, Site site) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  require_full(mask);
  Exchange mine{0, source, 0};
  std::memcpy(&mine.value, &value, sizeof(T));
  rendezvous<Exchange, exchange>(Scope::warp, what, mine, site);
  T result;
  std::memcpy(&result, &mine.result, sizeof(T));
  return result;
}

template <typename T, typename Combine>
T reduce(unsigned mask, T value, const char* what, Site site, Combine) {
  static_assert(std::is_integral_v<T>);
  require_full(mask);
  Fold mine{static_cast<uint64_t>(value),
            [](uint64_t a, uint64_t b) {
              return static_cast<uint64_t>(Combine{}(static_cast<T>(a), static_cast<T>(b)));
            },
            0};
  rendezvous<Fold, fold>(Scope::warp, what, mine, site);
  return static_cast<T>(mine.result);
}

}  // namespace veloz::cuda::sim

#define VELOZ_SIM_SITE \
  veloz::cuda::sim::Site site = veloz::cuda::sim::Site::here(__builtin_FILE(), __builtin_LINE())

inline void __syncthreads(VELOZ_SIM_SITE) {
  veloz::cuda::sim::barrier(0, veloz::cuda::sim::num_threads(), site);
}

inline void __syncwarp(unsigned mask = 0xffffffffu, VELOZ_SIM_SITE) {
  veloz::cuda::sim::shuffle(mask, 0, 0, "__syncwarp", site);
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, VELOZ_SIM_SITE) {
  const int lane = veloz::cuda::sim::lane();
  return veloz::cuda::sim::shuffle(mask, value, (lane & ~(width - 1)) | (source & (width - 1)),
                                   "__shfl_sync", site);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, VELOZ_SIM_SITE) {
  const int lane = veloz::cuda::sim::lane();
  const int source = lane ^ lanes;
  const bool is_inside = source < (lane & ~(width - 1)) + width && source < 32;
  return veloz::cuda::sim::shuffle(mask, value, is_inside ? source : lane, "__shfl_xor_sync", site);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, VELOZ_SIM_SITE) {
  const int lane = veloz::cuda::sim::lane();
  const int source = lane - static_cast<int>(delta);
  const bool is_inside = source >= (lane & ~(width - 1));
  return veloz::cuda::sim::shuffle(mask, value, is_inside ? source : lane, "__shfl_up_sync", site);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, VELOZ_SIM_SITE) {
  const int lane = veloz::cuda::sim::lane();
  const int source = lane + static_cast<int>(delta);
  const bool is_inside = source < (lane & ~(width - 1)) + width;
  return veloz::cuda::sim::shuffle(mask, value, is_inside ? source : lane, "__shfl_down_sync",
                                   site);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, VELOZ_SIM_SITE) {
  const unsigned mine = predicate != 0 ? 1u << veloz::cuda::sim::lane() : 0u;
  return veloz::cuda::sim::reduce(mask, mine, "__ballot_sync", site,
                                  [](unsigned a, unsigned b) { return a | b; });
}
inline int __any_sync(unsigned mask, int predicate, VELOZ_SIM_SITE) {
  return veloz::cuda::sim::reduce(mask, predicate != 0 ? 1 : 0, "__any_sync", site,
                                  [](int a, int b) { return a | b; });
}
inline int __all_sync(unsigned mask, int predicate, VELOZ_SIM_SITE) {
  return veloz::cuda::sim::reduce(mask, predicate != 0 ? 1 : 0, "__all_sync", site,
                                  [](int a, int b) { return a & b; });
}

template <typename T>
T __reduce_add_sync(unsigned mask, T value, VELOZ_SIM_SITE) {
  return veloz::cuda::sim::reduce(mask, value, "__reduce_add_sync", site, [](T a, T b) {
    return static_cast<T>(static_cast<unsigned>(a) + static_cast<unsigned>(b));
  });
}
template <typename T>
T __reduce_max_sync(unsigned mask, T value, VELOZ_SIM_SITE) {
  return veloz::cuda::sim::reduce(mask, value, "__reduce_max_sync", site,
                                  [](T a, T b) { return a < b ? b : a; });
}
template <typename T>
T __reduce_min_sync(unsigned mask, T value, VELOZ_SIM_SITE) {
  return veloz::cuda::sim::reduce(mask, value, "__reduce_min_sync", site,
                                  [](T a, T b) { return b < a ? b : a; });
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, VELOZ_SIM_SITE) {
  return veloz::cuda::sim::reduce(mask, value, "__reduce_or_sync", site,
                                  [](unsigned a, unsigned b) { return a | b; });
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value, VELOZ_SIM_SITE) {
  return veloz::cuda::sim::reduce(mask, value, "__reduce_and_sync", site,
                                  [](unsigned a, unsigned b) { return a & b; });
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value, VELOZ_SIM_SITE) {
  return veloz::cuda::sim::reduce(mask, value, "__reduce_xor_sync", site,
                                  [](unsigned a, unsigned b) { return a ^ b; });
}

inline unsigned __activemask() { return veloz::cuda::sim::kFullMask; }
