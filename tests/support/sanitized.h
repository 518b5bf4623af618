// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace veloz::test {

/// Whether a sanitizer looks on: it sees in a few runs of the same code what it would see in all of
/// them.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

}  // namespace veloz::test
