// SPDX-License-Identifier: Apache-2.0
#include "cpu/features.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace veloz::cpu {
namespace {

CpuFeatures plain_avx512() {
  return {.model = "Some CPU",
          .avx2 = true,
          .fma = true,
          .f16c = true,
          .avx512f = true,
          .avx512bw = true,
          .avx512vl = true,
          .avx512dq = true};
}

TEST(Isa, NamesAreReadAsTheyAreWritten) {
  for (const Isa isa : kIsas) EXPECT_EQ(parse_isa(to_string(isa)), isa);
}

TEST(Isa, AnUnknownNameIsRefusedWithThoseKnown) {
  try {
    parse_isa("sse9");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::invalid_input);
    EXPECT_EQ(e.message(),
              "unknown instruction set \"sse9\", known are portable, avx2, avx2_vnni, avx512, "
              "avx512_vnni, avx512_bf16, avx512_bf16_dot");
  }
}

TEST(Isa, TheBestIsTheLargestWhoseFeaturesAreAllThere) {
  EXPECT_EQ(best_isa({}), Isa::portable);
  EXPECT_EQ(best_isa(plain_avx512()), Isa::avx512);
  CpuFeatures features = plain_avx512();
  features.avx512_vnni = true;
  features.avx512_bf16 = true;  // without VBMI, as on Cooper Lake
  EXPECT_EQ(best_isa(features), Isa::avx512_vnni);
  features.avx512_vbmi = true;
  EXPECT_EQ(best_isa(features), Isa::avx512_bf16);
  EXPECT_TRUE(can_run(Isa::avx512_bf16_dot, features));
  features.fast_bf16_dot = true;
  EXPECT_EQ(best_isa(features), Isa::avx512_bf16_dot);
  features.fma = false;
  EXPECT_EQ(best_isa(features), Isa::portable);
}

TEST(Isa, AvxVnniIsBetterThanAvx2AndNeededByNoAvx512) {
  CpuFeatures features;
  features.avx2 = features.fma = features.f16c = features.avx_vnni = true;
  EXPECT_EQ(best_isa(features), Isa::avx2_vnni);
  EXPECT_FALSE(can_run(Isa::avx2_vnni, plain_avx512()));
  EXPECT_TRUE(includes(Isa::avx2_vnni, Isa::avx2));
  EXPECT_FALSE(includes(Isa::avx512_bf16, Isa::avx2_vnni));
  features = plain_avx512();
  features.avx_vnni = true;
  EXPECT_EQ(best_isa(features), Isa::avx512);
}

TEST(Isa, LimitsFeaturesToThoseItUses) {
  CpuFeatures all = plain_avx512();
  all.avx512_vnni = all.avx512_bf16 = all.avx512_vbmi = all.avx_vnni = true;
  all.amx_bf16 = all.fast_bf16_dot = true;
  for (const Isa isa : kIsas) {
    EXPECT_EQ(best_isa(limited_to(isa, all)), isa) << to_string(isa);
    EXPECT_TRUE(can_run(isa, limited_to(isa, all))) << to_string(isa);
  }
  EXPECT_EQ(describe_features(limited_to(Isa::portable, all)), "none");
  EXPECT_EQ(limited_to(Isa::avx2, all).model, "Some CPU");
}

TEST(Isa, ForcingOneThatTheProcessorLacksNamesWhatIsMissing) {
  EXPECT_NO_THROW(require_isa(Isa::avx512, plain_avx512()));
  try {
    require_isa(Isa::avx512_bf16, plain_avx512());
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::unsupported);
    EXPECT_EQ(e.message(),
              "instruction set avx512_bf16 cannot run here: this processor (Some CPU) lacks "
              "avx512_vnni, avx512_vbmi, avx512_bf16");
    EXPECT_NE(e.hint().find("avx512"), std::string::npos);
  }
}

TEST(Isa, DetectionAgreesWithTheCompilersOwn) {
  const CpuFeatures features = detect_features();
#if defined(__x86_64__)
  EXPECT_EQ(features.avx2, __builtin_cpu_supports("avx2") != 0);
  EXPECT_EQ(features.avx_vnni, __builtin_cpu_supports("avxvnni") != 0);
  EXPECT_EQ(features.avx512f, __builtin_cpu_supports("avx512f") != 0);
  EXPECT_EQ(features.avx512_bf16, __builtin_cpu_supports("avx512bf16") != 0);
  EXPECT_EQ(features.avx512_vnni, __builtin_cpu_supports("avx512vnni") != 0);
  EXPECT_EQ(features.avx512_vbmi, __builtin_cpu_supports("avx512vbmi") != 0);
  EXPECT_EQ(features.fast_bf16_dot, features.avx512_bf16 && !__builtin_cpu_is("intel"));
#endif
  EXPECT_NO_THROW(require_isa(best_isa(features), features));
}

}  // namespace
}  // namespace veloz::cpu
