// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/layer_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "base/files.h"
#include "compress/quantize/test_machine.h"
#include "support/expect_error.h"
#include "support/temp_directory.h"

namespace veloz::compress {
namespace {

const WeightFormat kInt4WithZeros{.dtype = DType::uint4x2, .group = 32, .has_zeros = true};
const WeightFormat kInt8{.dtype = DType::int8};

TreatedLinear treated(const std::string& module, const WeightFormat& format, uint64_t seed) {
  test::TestMachine machine;
  const Matrix w = test::normal_matrix(3, 64, seed);
  return {{.module = module,
           .treatment = "some",
           .num_weights = 192,
           .stored_bytes = 100,
           .weight_snr_db = seed == 1 ? std::numeric_limits<double>::infinity() : 20.5,
           .output_error = 0.1,
           .alpha = 0.25,
           .input_scale = 0.3f},
          encode(w, choose_grids(w, format, RangeMethod::amax, machine.pool()), format,
                 machine.pool())};
}

TEST(LayerFile, ComesBackAsItWasSaved) {
  const test::TempDirectory directory;
  LayerOutcome outcome;
  outcome.result.linears = {{treated("a", kInt4WithZeros, 1), treated("b", kInt4WithZeros, 2)},
                            {treated("a", kInt8, 3)}};
  outcome.result.changed["norm.weight"] = test::normal_matrix(1, 5, 4);
  outcome.kv = {0.1, 1.0 / 3};
  save_layer(directory.path() / "layer", outcome);

  const LayerFile file = LayerFile::open(directory.path() / "layer");
  EXPECT_EQ(file.kv().k, 0.1);
  EXPECT_EQ(file.kv().v, 1.0 / 3);
  ASSERT_EQ(file.reports().size(), 2u);
  ASSERT_EQ(file.reports()[0].size(), 2u);
  EXPECT_TRUE(std::isinf(file.reports()[0][0].weight_snr_db));
  EXPECT_EQ(file.reports()[0][1].module, "b");
  EXPECT_EQ(file.reports()[0][1].weight_snr_db, 20.5);
  EXPECT_EQ(file.reports()[1][0].alpha, 0.25);
  EXPECT_EQ(file.reports()[1][0].input_scale, 0.3f);
  const QuantizedWeight b = file.read_linear(0, "b", kInt4WithZeros);
  EXPECT_EQ(b.columns, 64);
  EXPECT_EQ(b.codes, outcome.result.linears[0][1].weight.codes);
  test::TestMachine machine;
  EXPECT_EQ(decode(b, machine.pool()).values,
            decode(outcome.result.linears[0][1].weight, machine.pool()).values);
  EXPECT_EQ(file.changed(), std::vector<std::string>{"norm.weight"});
  EXPECT_EQ(file.read_changed("norm.weight").values, outcome.result.changed["norm.weight"].values);
}

TEST(LayerFile, AStrangeFileIsRefused) {
  const test::TempDirectory directory;
  const std::string header = R"({"__metadata__":{"layer":"{}"}} )";
  const uint64_t length = header.size();
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof(length));
  write_text_file(directory.path() / "layer", bytes + header);
  EXPECT_TRUE(test::throws_error(ErrorKind::corrupt_data, {"--restart"},
                                 [&] { LayerFile::open(directory.path() / "layer"); }));
}

}  // namespace
}  // namespace veloz::compress
