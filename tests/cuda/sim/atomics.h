// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>
#include <utility>

#include "cuda/sim/threads.h"

/// One thread runs at a time, so each of these is atomic as it stands.

template <typename T>
T atomicAdd(T* p, std::type_identity_t<T> value) {
  return std::exchange(*p, static_cast<T>(*p + value));
}
template <typename T>
T atomicSub(T* p, std::type_identity_t<T> value) {
  return std::exchange(*p, static_cast<T>(*p - value));
}
template <typename T>
T atomicMax(T* p, std::type_identity_t<T> value) {
  return std::exchange(*p, *p < value ? value : *p);
}
template <typename T>
T atomicMin(T* p, std::type_identity_t<T> value) {
  return std::exchange(*p, value < *p ? value : *p);
}
template <typename T>
T atomicExch(T* p, std::type_identity_t<T> value) {
  return std::exchange(*p, value);
}
template <typename T>
T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return std::exchange(*p, *p == expected ? value : *p);
}
template <typename T>
T atomicOr(T* p, std::type_identity_t<T> value) {
  return std::exchange(*p, *p | value);
}
template <typename T>
T atomicAnd(T* p, std::type_identity_t<T> value) {
  return std::exchange(*p, *p & value);
}
template <typename T>
T atomicXor(T* p, std::type_identity_t<T> value) {
  return std::exchange(*p, *p ^ value);
}
/// Counts up to `limit` and starts again from 0.
inline unsigned atomicInc(unsigned* p, unsigned limit) {
  return std::exchange(*p, *p >= limit ? 0u : *p + 1u);
}

inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
