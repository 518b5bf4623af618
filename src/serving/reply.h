// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "serving/request.h"

namespace veloz::serving {

/// The way back to whoever asked. Sees to it that every choice, and then the request, ends exactly
/// once, whatever happens; a reply that is dropped unfinished was cancelled.
class Reply {
 public:
  Reply(std::unique_ptr<EventSink> sink, int64_t num_choices, const RequestUsage& usage);
  ~Reply();
  Reply(Reply&&) noexcept = default;
  Reply& operator=(Reply&&) = delete;

  void token(TokenEvent event);
  /// The last choice to end finishes the request.
  void end_choice(const ChoiceEnd& end);
  /// Ends the request with an error; its open choices get no end of their own.
  void fail(const Error& error);
  /// Ends every open choice with `cancelled`, and so the request.
  void cancel();
  bool is_done() const { return sink_ == nullptr; }

 private:
  std::unique_ptr<EventSink> sink_;  // null when the request has ended
  std::vector<bool> is_open_;        // by choice
  RequestUsage usage_;
};

}  // namespace veloz::serving
