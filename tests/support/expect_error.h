// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "base/error.h"

namespace veloz::test {

/// Success where `f` throws an Error of this kind whose message or hint holds all of `parts`.
template <typename F>
::testing::AssertionResult throws_error(ErrorKind kind,
                                        std::initializer_list<std::string_view> parts, const F& f) {
  try {
    f();
  } catch (const Error& e) {
    const std::string text = fmt::format("{}: {} ({})", to_string(e.kind()), e.message(), e.hint());
    if (e.kind() != kind)
      return ::testing::AssertionFailure() << "expected " << to_string(kind) << ", got " << text;
    for (const std::string_view part : parts)
      if (text.find(part) == std::string::npos)
        return ::testing::AssertionFailure() << "no \"" << part << "\" in " << text;
    return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure() << "nothing was thrown";
}

}  // namespace veloz::test
