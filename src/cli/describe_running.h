// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "serving/executor.h"

namespace veloz::cli {

/// The running batch for the watchdog's log line: what each request is at, of many the first 32.
std::string describe_running(std::span<const serving::RunningRequest> running);

}  // namespace veloz::cli
