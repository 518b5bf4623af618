// SPDX-License-Identifier: Apache-2.0
#include "compress/quantize/recipe.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace veloz::compress {
namespace {

TEST(Recipes, AreParsedByTheirNames) {
  for (const Recipe recipe : all_recipes()) {
    EXPECT_EQ(parse_recipe(to_string(recipe)), recipe);
    EXPECT_FALSE(describe(recipe).empty());
  }
}

TEST(Recipes, AnUnknownOneIsToldWithThoseThereAre) {
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input,
                                 {"there is no recipe \"int5\"", "int8-smoothquant", "auto"},
                                 [] { parse_recipe("int5"); }));
}

TEST(Recipes, OddGroupsAndSharesAreRefused) {
  RecipeOptions options{.recipe = Recipe::int4_awq, .group_size = 48};
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"--group-size 48", "multiple of 32"},
                                 [&] { treatments_of(options, DType::bf16); }));
  options = {.recipe = Recipe::fp8, .percentile = 101};
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"--percentile 101"},
                                 [&] { treatments_of(options, DType::bf16); }));
  options = {.recipe = Recipe::int4_gptq, .gptq = {.damping = 0}};
  EXPECT_TRUE(test::throws_error(ErrorKind::invalid_input, {"--gptq-damping 0"},
                                 [&] { treatments_of(options, DType::bf16); }));
}

TEST(Recipes, FourBitScalesAreInTheCheckpointsDtypeAndOthersInFp32) {
  EXPECT_EQ(treatments_of({.recipe = Recipe::int4_gptq}, DType::fp16)[0].weight.scale_dtype,
            DType::fp16);
  EXPECT_EQ(treatments_of({.recipe = Recipe::int8}, DType::fp16)[0].weight.scale_dtype,
            DType::fp32);
}

TEST(Recipes, SchemesAreWhatTheTreatmentsDo) {
  const Treatment fp8 = treatments_of({.recipe = Recipe::fp8}, DType::bf16)[0];
  EXPECT_EQ(scheme_of(fp8, 0.25f),
            (checkpoint::LinearScheme{
                .weight = DType::fp8_e4m3, .activation = DType::fp8_e4m3, .input_scale = 0.25}));
  const Treatment int4 = treatments_of({.recipe = Recipe::int4_awq,
                                        .group_size = 64,
                                        .has_zeros = true,
                                        .quantizes_activations = true},
                                       DType::bf16)[0];
  EXPECT_EQ(scheme_of(int4, {}), (checkpoint::LinearScheme{.weight = DType::uint4x2,
                                                           .group = 64,
                                                           .has_zeros = true,
                                                           .scale_dtype = DType::bf16,
                                                           .activation = DType::int8,
                                                           .input_scale = {}}));
}

TEST(Recipes, AutoGoesFromSmallToLarge) {
  const auto treatments = treatments_of({.recipe = Recipe::automatic}, DType::bf16);
  for (size_t i = 1; i < treatments.size(); ++i)
    EXPECT_LT(stored_bytes(treatments[i - 1].weight, 256, 256),
              stored_bytes(treatments[i].weight, 256, 256));
}

TEST(Recipes, StoredBytesAreCodesScalesAndZeros) {
  EXPECT_EQ(
      stored_bytes(
          {.dtype = DType::uint4x2, .group = 32, .has_zeros = true, .scale_dtype = DType::bf16}, 10,
          64),
      10 * 32 + 20 * 2 + 20);
  EXPECT_EQ(stored_bytes({.dtype = DType::int8}, 10, 64), 640 + 40);
  EXPECT_EQ(stored_bytes({.dtype = DType::fp8_e4m3, .is_per_tensor = true}, 10, 64), 644);
}

}  // namespace
}  // namespace veloz::compress
