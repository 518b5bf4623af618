// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace veloz::cli {

/// What the chosen verb will do; returns the exit code.
using Action = std::function<int()>;

/// Each declares its verb's flags on `app` and, when that verb is chosen, sets `action`.
void add_build(CLI::App& app, Action& action);
void add_quantize(CLI::App& app, Action& action);
void add_run(CLI::App& app, Action& action);
void add_chat(CLI::App& app, Action& action);
void add_serve(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_eval(CLI::App& app, Action& action);
void add_inspect(CLI::App& app, Action& action);
void add_profile(CLI::App& app, Action& action);
void add_verify(CLI::App& app, Action& action);
void add_plan(CLI::App& app, Action& action);
void add_doctor(CLI::App& app, Action& action);

}  // namespace veloz::cli
