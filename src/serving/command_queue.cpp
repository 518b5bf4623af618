// SPDX-License-Identifier: Apache-2.0
#include "serving/command_queue.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace veloz::serving {

std::optional<QueueFull> CommandQueue::find_full(int64_t num_tokens) const {
  const int64_t requests = in_commands_.num_requests + waiting_.num_requests;
  const int64_t tokens = in_commands_.num_tokens + waiting_.num_tokens;
  if (requests == 0) return std::nullopt;
  if (limit_.num_requests > 0 && requests >= limit_.num_requests)
    return QueueFull{
        fmt::format("{} requests are waiting, the limit is {}", requests, limit_.num_requests),
        admission_s_};
  if (limit_.num_tokens > 0 && tokens + num_tokens > limit_.num_tokens)
    return QueueFull{fmt::format("{} prompt tokens are waiting, with {} more the limit of {} would "
                                 "be exceeded",
                                 tokens, num_tokens, limit_.num_tokens),
                     admission_s_};
  return std::nullopt;
}

std::optional<QueueFull> CommandQueue::try_push(std::span<SubmitCommand> commands) {
  int64_t num_tokens = 0;
  for (const SubmitCommand& command : commands)
    num_tokens += command.submission.demand.num_prompt_tokens;
  {
    const std::lock_guard lock(mutex_);
    if (std::optional<QueueFull> full = find_full(num_tokens)) return full;
    const std::ptrdiff_t num_before = std::ssize(commands_);
    commands_.resize(commands_.size() + commands.size());  // where memory ends, nothing has changed
    std::ranges::move(commands, commands_.begin() + num_before);
    in_commands_.num_requests += std::ssize(commands);
    in_commands_.num_tokens += num_tokens;
  }
  wake_.notify_one();
  return std::nullopt;
}

void CommandQueue::push(CancelCommand command) {
  {
    const std::lock_guard lock(mutex_);
    commands_.emplace_back(command);
  }
  wake_.notify_one();
}

std::deque<Command> CommandQueue::drain() {
  const std::lock_guard lock(mutex_);
  waiting_.num_requests += std::exchange(in_commands_.num_requests, 0);
  waiting_.num_tokens += std::exchange(in_commands_.num_tokens, 0);
  return std::exchange(commands_, {});
}

void CommandQueue::wait(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, stop, [this] { return !commands_.empty(); });
}

void CommandQueue::note_waiting(const Load& waiting, double admission_s) {
  const std::lock_guard lock(mutex_);
  waiting_ = waiting;
  admission_s_ = admission_s;
}

}  // namespace veloz::serving
