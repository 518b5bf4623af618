// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "grammar/grammar.h"
#include "serving/request.h"

namespace veloz::api {

/// Holds one choice to a grammar. End tokens may come exactly where the text may end, so a request
/// with such masks must not ignore them.
class GrammarMask final : public serving::TokenMask {
 public:
  GrammarMask(grammar::GrammarPtr grammar, std::shared_ptr<const grammar::Vocabulary> vocabulary);

  void fill(std::span<uint32_t> allowed) override { matcher_.fill(allowed); }
  /// Throws Error(internal) for a token that `fill` did not allow.
  void accept(int32_t token) override;
  void rollback(int64_t count) override { matcher_.rollback(count); }

 private:
  grammar::Matcher matcher_;
};

}  // namespace veloz::api
