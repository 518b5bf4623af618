// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <variant>

#include "serving/executor.h"
#include "serving/generation.h"
#include "serving/reply.h"
#include "serving/scheduler.h"

namespace veloz::serving {

/// A request between its submission and its end.
struct ActiveRequest {
  std::unique_ptr<Generation> generation;
  Reply reply;
};

struct SubmitCommand {
  Submission submission;
  std::shared_ptr<ActiveRequest> request;
  std::string label{};
};
struct CancelCommand {
  RequestId id{};
};
using Command = std::variant<SubmitCommand, CancelCommand>;

/// What waits to be done, on its way from all threads to the engine's, and the bounds on it: a
/// request counts from its submission until it is admitted.
class CommandQueue {
 public:
  struct Load {
    int64_t num_requests = 0;
    int64_t num_tokens = 0;  // of their prompts
  };

  /// A limit of 0 is none.
  explicit CommandQueue(const Load& limit) : limit_(limit) {}

  /// Takes all commands, or says what is full and leaves them alone. Those that find nobody
  /// waiting always get in.
  std::optional<QueueFull> try_push(std::span<SubmitCommand> commands);
  void push(CancelCommand command);

  // The engine thread's.
  std::deque<Command> drain();
  /// Sleeps until there is a command or a stop is asked for.
  void wait(const std::stop_token& stop);
  /// What waits in the scheduler, and how long until the next of it is admitted.
  void note_waiting(const Load& waiting, double admission_s);

 private:
  std::optional<QueueFull> find_full(int64_t num_tokens) const;

  const Load limit_;
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  // All guarded by mutex_.
  std::deque<Command> commands_;
  Load in_commands_;
  Load waiting_;
  double admission_s_ = 1;
};

}  // namespace veloz::serving
