// SPDX-License-Identifier: Apache-2.0
#include "cli/quant_flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string>

#include "compiler/quant_schemes.h"

namespace veloz::cli {

void add_quant_flags(CLI::App& verb, BuildOptions& options) {
  std::string names = "none";
  for (const compiler::QuantScheme& scheme : compiler::quant_schemes())
    names += fmt::format(", {}", scheme.name);
  verb.add_option(
          "--quant", options.quant,
          fmt::format("Round the linears, but lm_head, to nearest while building: {}", names))
      ->envname("VELOZ_QUANT")
      ->capture_default_str();
  verb.add_option(
          "--quant-layer", options.quant_layers,
          "PATTERN=SCHEME for linears whose module's name matches, as '*.down_proj=int8' or "
          "'model.layers.0.*=none' (repeatable; the first match decides)")
      ->envname("VELOZ_QUANT_LAYER")
      ->allow_extra_args(false)
      ->delimiter(',')
      ->take_all();
  verb.add_option("--quant-lm-head", options.quant_lm_head,
                  "Scheme of lm_head, which otherwise stays as it is")
      ->envname("VELOZ_QUANT_LM_HEAD")
      ->capture_default_str();
  verb.add_option(
          "--quant-activations", options.quant_activations,
          "Of a quantized checkpoint: auto (as it says), or int8: integer weights meet int8 "
          "activations where it leaves them as they are (AWQ, GPTQ); faster on a CPU")
      ->envname("VELOZ_QUANT_ACTIVATIONS")
      ->capture_default_str();
}

}  // namespace veloz::cli
