// SPDX-License-Identifier: Apache-2.0
#include "runtime/dummy_weights.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "base/error.h"
#include "base/hash.h"
#include "ops/op.h"

namespace veloz::runtime {
namespace {

using engine::PlanWeight;
using Kind = DummyValues::Kind;

constexpr float kFp8Amplitude = 256;  // half of what the format holds

/// Standard deviation of the codes, as they are multiplied by their scale.
float code_deviation(DType dtype) {
  switch (dtype) {
    case DType::int8:
      return 127 / std::sqrt(3.0f);
    case DType::fp8_e4m3:
      return kFp8Amplitude / std::sqrt(3.0f);
    case DType::uint4x2:
      return std::sqrt((16 * 16 - 1) / 12.0f);
    default:
      return 1;
  }
}

/// 1 / sqrt(columns).
float deviation_of(const PlanWeight& matrix) {
  const int64_t columns = matrix.shape[1] * (matrix.dtype == DType::uint4x2 ? 2 : 1);
  return 1 / std::sqrt(static_cast<float>(columns));
}

DummyValues constant(const PlanWeight& weight, float value) {
  return {.kind = Kind::constant, .dtype = weight.dtype, .scale = value};
}

DummyValues matrix_values(const PlanWeight& weight, uint64_t seed) {
  const uint64_t name_hash = xxh3_64(std::as_bytes(std::span(weight.name)));
  return {.kind = Kind::uniform,
          .dtype = weight.dtype,
          .scale = weight.dtype == DType::fp8_e4m3 ? kFp8Amplitude
                                                   : std::sqrt(3.0f) * deviation_of(weight),
          .key = dummy_bits(name_hash, seed)};
}

/// Of what is read element by element.
DummyValues vector_values(const PlanWeight& weight) {
  if (weight.dtype == DType::int32) return {.kind = Kind::index, .dtype = weight.dtype};
  return constant(weight, std::string_view(weight.name).ends_with(".bias") ? 0.0f : 1.0f);
}

/// A zero is in the middle of the codes.
float zero_value(const PlanWeight& zeros) { return zeros.dtype == DType::uint8 ? 8.0f : 0.0f; }

}  // namespace

std::vector<DummyValues> dummy_weights(const engine::Plan& plan, uint64_t seed) {
  std::vector<DummyValues> values;
  for (const PlanWeight& weight : plan.weights) {
    if (weight.dtype == DType::int64)
      throw Error(ErrorKind::corrupt_data,
                  fmt::format("weight \"{}\" is of int64, no model has such", weight.name),
                  "rebuild the engine with `veloz build`");
    values.push_back(weight.shape.rank() == 2 ? matrix_values(weight, seed)
                                              : vector_values(weight));
  }
  for (const engine::Program& program : plan.programs) {
    const auto weight_of = [&](int64_t value) {
      const engine::Slot& slot = program.values[static_cast<size_t>(value)].slot;
      return static_cast<size_t>(std::get<engine::WeightSlot>(slot).weight);
    };
    for (const engine::PlanStep& step : program.steps) {
      const std::optional<ops::PackedOperands> packed = ops::packed_operands(step.op, step.attrs);
      if (!packed) continue;
      const PlanWeight& matrix = plan.weights[weight_of(step.inputs[packed->weight])];
      for (size_t i = packed->weight + 1; i < packed->companions_end; ++i) {
        const size_t beside = weight_of(step.inputs[i]);
        const bool is_scale = i == packed->weight + 1;
        values[beside] = constant(plan.weights[beside],
                                  is_scale ? deviation_of(matrix) / code_deviation(matrix.dtype)
                                           : zero_value(plan.weights[beside]));
      }
    }
  }
  return values;
}

}  // namespace veloz::runtime
