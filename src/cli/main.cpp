// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <span>
#include <system_error>

#include "base/error.h"
#include "cli/verbs.h"

namespace veloz::cli {
namespace {

constexpr std::array kVerbs = {add_build,   add_quantize, add_run,  add_chat,
                               add_serve,   add_bench,    add_eval, add_inspect,
                               add_profile, add_verify,   add_plan, add_doctor};

void print_error(const Error& error) {
  fmt::print(stderr, "error: {}\n", error.message());
  if (!error.hint().empty()) fmt::print(stderr, "hint: {}\n", error.hint());
}

/// "bench serve " as far as the command line names them.
std::string chosen_verbs(const CLI::App& app) {
  const std::vector<const CLI::App*> verbs = app.get_subcommands({});
  const auto verb = std::ranges::find_if(verbs, [](const CLI::App* v) { return v->parsed(); });
  return verb == verbs.end() ? "" : (*verb)->get_name() + " " + chosen_verbs(**verb);
}

Error usage_error(const CLI::App& app, const CLI::ParseError& e) {
  std::string message = e.what();
  std::ranges::replace(message, '\n', ' ');
  message.erase(message.find_last_not_of(". ") + 1);
  if (message.size() > 1 && std::islower(static_cast<unsigned char>(message[1])))
    message[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(message[0])));
  return Error(ErrorKind::invalid_input, message,
               fmt::format("`veloz {}--help` lists what can be given", chosen_verbs(app)));
}

/// The parser would only say that a verb is missing. `before` are the verbs above, "" or "bench ".
void require_known_verb(const CLI::App& app, std::span<char*> arguments,
                        const std::string& before) {
  const std::vector<const CLI::App*> verbs = app.get_subcommands({});
  if (verbs.empty() || (!arguments.empty() && arguments.front()[0] == '-')) return;
  std::vector<std::string> names;
  for (const CLI::App* verb : verbs) {
    names.push_back(verb->get_name());
    if (!arguments.empty() && names.back() == arguments.front())
      return require_known_verb(*verb, arguments.subspan(1), before + names.back() + " ");
  }
  throw Error(
      ErrorKind::invalid_input,
      arguments.empty() ? "no verb is given"
                        : fmt::format("there is no verb \"{}{}\"", before, arguments.front()),
      fmt::format("verbs are {}; `veloz {}--help` explains them", fmt::join(names, ", "), before));
}

/// A full disk behind stdout shows only when its buffer is written.
void require_written() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
    throw Error(ErrorKind::io, fmt::format("cannot write to stdout: {}", std::strerror(errno)),
                "check where the output goes");
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
  require_known_verb(app, std::span(argv, static_cast<size_t>(argc)).subspan(1), "");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help, --version
    throw usage_error(app, e);
  }
  const int exit_code = action();
  require_written();
  return exit_code;
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
  } catch (const std::system_error& e) {
    const Error error(ErrorKind::io, e.what(), "check the disk, and the limits of this process");
    veloz::cli::print_error(error);
    return veloz::exit_code(error.kind());
  } catch (const std::exception& e) {
    veloz::cli::print_error(
        Error(ErrorKind::internal, e.what(), "this is a bug in veloz; please report it"));
    return 1;
  }
}
