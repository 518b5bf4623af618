// SPDX-License-Identifier: Apache-2.0
#include "models/model.h"

#include "base/error.h"
#include "models/builder.h"
#include "models/config_names.h"

namespace veloz::models {

graph::Graph build_graph(const checkpoint::ModelConfig& config, const GraphOptions& options) {
  switch (config.architecture) {
    case checkpoint::Architecture::gptj:
      return build_gptj(config, options);
    case checkpoint::Architecture::llama:
    case checkpoint::Architecture::qwen2:
      return build_llama(config, options);
  }
  throw Error(ErrorKind::internal, "an architecture without a graph");
}

}  // namespace veloz::models
