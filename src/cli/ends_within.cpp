// SPDX-License-Identifier: Apache-2.0
#include "cli/ends_within.h"

#include <future>
#include <thread>
#include <utility>

namespace veloz::cli {

bool ends_within(std::chrono::milliseconds limit, std::function<void()> end) {
  std::packaged_task<void()> task(std::move(end));
  const std::future<void> ended = task.get_future();  // unlike that of std::async, waits for nobody
  std::thread(std::move(task)).detach();
  return ended.wait_for(limit) == std::future_status::ready;
}

}  // namespace veloz::cli
