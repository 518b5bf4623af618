// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/error.h"
#include "checkpoint/quantized_model.h"
#include "support/quantized_tensors.h"

namespace veloz::checkpoint {

inline const std::filesystem::path kGoldens =
    std::filesystem::path(VELOZ_TEST_DATA_DIR) / "golden" / "quantized";
inline const std::string kQProj = "model.layers.0.self_attn.q_proj";
inline const std::string kKProj = "model.layers.1.self_attn.k_proj";

inline QuantizedModel open(const std::filesystem::path& dir) {
  std::optional<QuantizedModel> model = open_quantized(dir);
  VELOZ_CHECK(model.has_value(), "\"{}\" is not quantized", dir.string());
  return std::move(*model);
}

/// Every byte of every linear: what a build reads.
inline void read_all(const QuantizedModel& model) {
  for (const auto& [module, scheme] : model.plan.linears)
    test::dequantized(*model.tensors, module, scheme, 5);
}

}  // namespace veloz::checkpoint
