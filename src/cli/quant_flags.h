// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "veloz/build.h"

namespace CLI {
class App;
}

namespace veloz::cli {

/// --quant, --quant-layer, --quant-lm-head and --quant-activations, of every verb that builds an
/// engine.
void add_quant_flags(CLI::App& verb, BuildOptions& options);

}  // namespace veloz::cli
