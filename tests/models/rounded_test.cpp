// SPDX-License-Identifier: Apache-2.0
// tiny-llama quantized while it is built, in fp32 otherwise, against the same worked out with NumPy
// (tests/golden/make_rounded_golden.py): the whole way from the checkpoint's weights to logits.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "support/golden_models.h"
#include "support/isas.h"
#include "support/prompt_logits.h"
#include "support/temp_directory.h"
#include "veloz/build.h"

namespace veloz {
namespace {

using nlohmann::json;
using test::decode_floats;
using test::relative_error;
using test::Tokens;

json golden() {
  return json::parse(std::ifstream(std::filesystem::path(VELOZ_TEST_DATA_DIR) / "golden" /
                                   "rounded" / "tiny-llama.json"));
}

struct Case {
  std::string name;  // in the golden file
  std::string quant;
  std::string lm_head = "none";
  bool quantizes_activations = true;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class RoundedModel : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    BuildOptions options = test::small_build(test::bundled_model("tiny-llama"), engine(), "fp32");
    options.quant = GetParam().quant;
    options.quant_lm_head = GetParam().lm_head;
    build(options);
  }
  std::filesystem::path engine() const { return directory_.path() / "engine"; }

  /// After each prompt.
  std::vector<float> logits(const std::string& isa) const {
    std::vector<float> all;
    for (const json& prompt : golden_.at("prompts")) {
      const Tokens tokens = prompt.get<Tokens>();
      const std::vector<float> last =
          test::prompt_logits(engine(), isa, tokens, {static_cast<int32_t>(tokens.size()) - 1});
      all.insert(all.end(), last.begin(), last.end());
    }
    return all;
  }

  const json golden_ = golden();
  test::TempDirectory directory_;
};

TEST_P(RoundedModel, GivesTheLogitsOfItsDefinition) {
  const std::vector<float> expected =
      decode_floats(golden_.at("logits").at(GetParam().name).get<std::string>());
  const std::vector<float> unquantized =
      decode_floats(golden_.at("logits").at("none").get<std::string>());
  for (const std::string& isa : {test::isas_here().front(), test::isas_here().back()}) {
    SCOPED_TRACE(isa);
    const float error = relative_error(logits(isa), expected);
    if (!GetParam().quantizes_activations) {
      EXPECT_LE(error, 1e-4f);
      continue;
    }
    // An activation near the middle between two codes falls to either side, and what follows with
    // it: seen are up to 0.4 of what quantization itself does. Another scheme would be as far off
    // as that, or farther.
    EXPECT_LE(error, 0.5f * relative_error(unquantized, expected));
  }
}

INSTANTIATE_TEST_SUITE_P(Schemes, RoundedModel,
                         testing::Values(Case{"int8", "int8"},
                                         Case{"int8, lm_head int8", "int8", "int8"},
                                         Case{"int8-a16", "int8-a16", "none", false},
                                         Case{"fp8", "fp8"}, Case{"fp8-block", "fp8-block"},
                                         Case{"fp8-a16", "fp8-a16", "none", false},
                                         Case{"int4", "int4"}, Case{"int4-g128", "int4-g128"},
                                         Case{"int4-a16", "int4-a16", "none", false}),
                         [](const auto& c) {
                           std::string name = c.param.name;
                           std::erase_if(name, [](char x) { return x == ',' || x == ' '; });
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace veloz
