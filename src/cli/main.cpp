// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <exception>
#include <new>

#include "base/error.h"
#include "cli/verbs.h"

namespace veloz::cli {
namespace {

constexpr std::array kVerbs = {add_build, add_run, add_chat, add_inspect, add_doctor};
constexpr int kWrongUsage = 2;

void print_error(const Error& error) {
  fmt::print(stderr, "error: {}\n", error.message());
  if (!error.hint().empty()) fmt::print(stderr, "hint: {}\n", error.hint());
}

int run(int argc, char** argv) {
  CLI::App app("Veloz compiles a model checkpoint into an engine, ahead of time, and runs it.",
               "veloz");
  app.set_version_flag("--version", "veloz " VELOZ_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Example:\n"
      "  veloz build models/tiny-llama -o tiny.engine\n"
      "  veloz chat tiny.engine\n"
      "`veloz VERB --help` explains a verb. Exit codes: 0 fine, 1 the job failed, 2 wrong usage or "
      "bad input.");
  Action action;
  for (const auto& add : kVerbs) add(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kWrongUsage;
  }
  return action();
}

}  // namespace
}  // namespace veloz::cli

int main(int argc, char** argv) {
  using veloz::Error;
  using veloz::ErrorKind;
  try {
    return veloz::cli::run(argc, argv);
  } catch (const Error& e) {
    veloz::cli::print_error(e);
    return veloz::exit_code(e.kind());
  } catch (const std::bad_alloc&) {
    const Error e(ErrorKind::out_of_memory, "this machine has no memory left",
                  "lower the limits or use a smaller model");
    veloz::cli::print_error(e);
    return veloz::exit_code(e.kind());
  } catch (const std::exception& e) {
    veloz::cli::print_error(
        Error(ErrorKind::internal, e.what(), "this is a bug in veloz; please report it"));
    return 1;
  }
}
