// SPDX-License-Identifier: Apache-2.0
#include "http/openai/grammar_mask.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"

namespace veloz::http::openai {
namespace {

class GrammarMask final : public serving::TokenMask {
 public:
  explicit GrammarMask(grammar::Matcher matcher) : matcher_(std::move(matcher)) {}

  void fill(std::span<uint32_t> allowed) override { matcher_.fill(allowed); }
  void accept(int32_t token) override {
    if (!matcher_.accept(token))
      throw Error(ErrorKind::internal,
                  fmt::format("token {} was chosen against the grammar", token));
  }
  void rollback(int64_t count) override { matcher_.rollback(count); }

 private:
  grammar::Matcher matcher_;
};

}  // namespace

std::unique_ptr<serving::TokenMask> make_grammar_mask(
    grammar::GrammarPtr grammar, std::shared_ptr<const grammar::Vocabulary> vocabulary) {
  return std::make_unique<GrammarMask>(grammar::Matcher(std::move(grammar), std::move(vocabulary)));
}

}  // namespace veloz::http::openai
