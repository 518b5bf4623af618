// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/gptq.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "compress/quantize/output_error.h"
#include "compress/quantize/test_machine.h"

namespace veloz::compress {
namespace {

using nlohmann::json;

const WeightFormat kInt4{.dtype = DType::uint4x2, .group = 32};

Matrix matrix_from(const json& values, int64_t rows, int64_t columns) {
  Matrix m(rows, columns);
  m.values = values.get<std::vector<float>>();
  return m;
}

TEST(Gptq, GivesTheCodesOfThePapersFormulas) {
  test::TestMachine own;
  const Machine machine = own.get();
  const json golden = json::parse(std::ifstream(std::filesystem::path(VELOZ_TEST_DATA_DIR) /
                                                "golden" / "compress" / "gptq.json"));
  for (const json& c : golden.at("cases")) {
    const int64_t columns = c.at("columns");
    const Matrix w = matrix_from(c.at("w"), c.at("rows"), columns);
    const auto num_x = static_cast<int64_t>(c.at("x").size());
    const Matrix x = matrix_from(c.at("x"), num_x / columns, columns);
    const WeightFormat format{.dtype = DType::uint4x2, .group = c.at("group").get<int64_t>()};
    const GptqFactor factor =
        gptq_factor(test::observe(x, {.hessian = true}, machine).hessian(),
                    {.damping = c.at("damping"), .act_order = c.at("act_order")}, machine);
    const WeightGrids grids = choose_grids(w, format, RangeMethod::amax, machine.pool);
    const QuantizedWeight quantized =
        encode(gptq(w, factor, grids, format, machine), grids, format, machine.pool);
    std::vector<int> codes;
    for (const uint8_t pair : quantized.codes) {
      codes.push_back((pair & 15) - 8);
      codes.push_back((pair >> 4) - 8);
    }
    EXPECT_EQ(codes, c.at("codes").get<std::vector<int>>()) << columns << " columns";
  }
}

/// Output errors of rounding to nearest and of GPTQ on inputs of their own, unseen before.
struct Errors {
  double nearest, gptq;
};
Errors compare(int64_t rows, int64_t columns, const WeightFormat& format, const Machine& machine) {
  const Matrix w = test::normal_matrix(rows, columns, 11);
  const Matrix seen = test::layer_inputs(4 * columns, columns, 12, 4);
  const Matrix unseen = test::layer_inputs(256, columns, 13, 4);
  const GptqFactor factor =
      gptq_factor(test::observe(seen, {.hessian = true}, machine).hessian(), {}, machine);
  const WeightGrids grids = choose_grids(w, format, RangeMethod::amax, machine.pool);
  const Matrix expected = multiply(unseen, w, machine);
  const auto error = [&](const Matrix& rounded) {
    return output_error(expected, unseen, rounded, machine).relative();
  };
  return {error(round_to_grids(w, grids, format, machine.pool)),
          error(gptq(w, factor, grids, format, machine))};
}

TEST(Gptq, TakesTwoFifthsOfTheOutputErrorOfRoundingToNearest) {
  test::TestMachine machine;
  for (const int64_t columns : {96, 256, 320}) {
    const Errors errors = compare(48, columns, kInt4, machine.get());
    EXPECT_LT(errors.gptq, 0.6 * errors.nearest) << columns << " columns";
  }
}

TEST(Gptq, HelpsAsymmetricGroupsToo) {
  test::TestMachine machine;
  const WeightFormat format{.dtype = DType::uint4x2, .group = 64, .has_zeros = true};
  const Errors errors = compare(48, 192, format, machine.get());
  EXPECT_LT(errors.gptq, 0.6 * errors.nearest);
}

TEST(Gptq, OfIndependentInputsIsRoundingToNearest) {
  test::TestMachine own;
  const Machine machine = own.get();
  Matrix identity(64, 64);
  for (int64_t i = 0; i < 64; ++i) identity.row(i)[i] = static_cast<float>(1 + i % 5);
  const Matrix w = test::normal_matrix(10, 64, 14);
  const WeightGrids grids = choose_grids(w, kInt4, RangeMethod::amax, machine.pool);
  EXPECT_EQ(gptq(w, gptq_factor(identity, {}, machine), grids, kInt4, machine).values,
            round_to_grids(w, grids, kInt4, machine.pool).values);
}

TEST(Gptq, EveryValueLiesOnItsGrid) {
  test::TestMachine own;
  const Machine machine = own.get();
  const Matrix w = test::normal_matrix(20, 160, 15);
  const Matrix x = test::layer_inputs(200, 160, 16, 8);
  const WeightGrids grids = choose_grids(w, kInt4, RangeMethod::mse, machine.pool);
  const Matrix rounded =
      gptq(w, gptq_factor(test::observe(x, {.hessian = true}, machine).hessian(), {}, machine),
           grids, kInt4, machine);
  EXPECT_EQ(decode(encode(rounded, grids, kInt4, machine.pool), machine.pool).values,
            rounded.values);
}

TEST(Gptq, ThreadsDoNotShow) {
  test::TestMachine one(1);
  test::TestMachine three(3);
  const Matrix w = test::normal_matrix(33, 160, 17);
  const Matrix x = test::layer_inputs(200, 160, 18, 4);
  const auto run = [&](const Machine& machine) {
    return gptq(w, gptq_factor(test::observe(x, {.hessian = true}, machine).hessian(), {}, machine),
                choose_grids(w, kInt4, RangeMethod::amax, machine.pool), kInt4, machine)
        .values;
  };
  EXPECT_EQ(run(one.get()), run(three.get()));
}

}  // namespace
}  // namespace veloz::compress
