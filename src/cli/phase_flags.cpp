// SPDX-License-Identifier: Apache-2.0
#include "cli/phase_flags.h"

#include <CLI/CLI.hpp>

namespace veloz::cli {

void add_phase_flags(CLI::App& verb, PhaseFlags& flags) {
  verb.add_option("--batch-sizes", flags.batch_sizes,
                  "Sequences that decode, one phase each; 1,4,16 as far as the engine allows")
      ->delimiter(',')
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  verb.add_option("--prefill", flags.prefill,
                  "Tokens of the prompt of the prefill phase, 512 as far as the engine allows; 0: "
                  "no such phase")
      ->check(CLI::NonNegativeNumber);
  verb.add_option("--context", flags.context,
                  "Positions in the cache before a token that is decoded, 256 as far as the engine "
                  "allows")
      ->check(CLI::NonNegativeNumber);
}

}  // namespace veloz::cli
