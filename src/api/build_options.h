// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/build.h"
#include "veloz/build.h"

namespace veloz::api {

/// The compiler's view of the public options. Throws Error(invalid_input) for a word that is not
/// known.
compiler::CompileOptions to_compile_options(const BuildOptions& options);

}  // namespace veloz::api
