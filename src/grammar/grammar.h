// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "text/token_pieces.h"

namespace veloz::grammar {

/// What compiling one grammar may cost; beyond it Error(unsupported) says which limit.
struct CompileLimits {
  size_t max_source_bytes = size_t{256} << 10;
  int64_t max_states = 200'000;
  size_t max_memory_bytes = size_t{64} << 20;
  int64_t max_milliseconds = 2'000;
  int64_t max_depth = 64;  // of nesting in the source
};

/// What a text must look like: compiled, immutable, shared by threads.
class Grammar;
using GrammarPtr = std::shared_ptr<const Grammar>;

/// Each throws Error(invalid_input) that names the place: of a schema the JSON pointer
/// ("/properties/age/minimum"), of a regex or grammar the offset or line. What is not supported is
/// refused, never ignored.
GrammarPtr compile_json_object(const CompileLimits& limits = {});  // any JSON object
GrammarPtr compile_json_schema(std::string_view schema, const CompileLimits& limits = {});
GrammarPtr compile_regex(std::string_view pattern, const CompileLimits& limits = {});  // whole text
GrammarPtr compile_ebnf(std::string_view source, const CompileLimits& limits = {});    // GBNF
GrammarPtr compile_choice(std::span<const std::string> choices, const CompileLimits& limits = {});

/// Memory that it holds.
size_t num_bytes(const Grammar& grammar);

/// The bytes of every token, arranged for masks: made once per model, shared.
class Vocabulary;
std::shared_ptr<const Vocabulary> make_vocabulary(const text::TokenPieces& pieces,
                                                  int64_t vocab_size,
                                                  std::span<const int32_t> end_token_ids);

/// One output on its way through a grammar. Used by one thread at a time.
///
/// Where a grammar can read the text in too many ways at once, `fill` and `accept` throw
/// Error(invalid_input) and change nothing: the work for one token is bounded.
class Matcher {
 public:
  Matcher(GrammarPtr grammar, std::shared_ptr<const Vocabulary> vocabulary);
  ~Matcher();
  Matcher(Matcher&&) noexcept;
  Matcher& operator=(Matcher&&) noexcept;

  /// Sets bit t (32 ids a word) for each token t that may come next, clears the others. End tokens
  /// may come exactly where the text may end. None is set after an end token, and where the
  /// vocabulary has no token that goes on: it may lack a character that the grammar asks for.
  void fill(std::span<uint32_t> allowed);
  /// False, and nothing changes, where the token may not come next.
  [[nodiscard]] bool accept(int32_t token);
  /// Forgets the last `count` accepted tokens.
  void rollback(int64_t count);
  /// The text is complete, and nothing but an end token may follow.
  bool is_finished() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace veloz::grammar
