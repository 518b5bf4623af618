// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/model_config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/checkpoint_files.h"
#include "support/expect_error.h"
#include "support/temp_directory.h"

namespace veloz::checkpoint {
namespace {

using nlohmann::json;
using test::throws_error;

const json kLlama = json::parse(R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 96,
  "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 4,
  "num_key_value_heads": 2, "vocab_size": 1003, "max_position_embeddings": 512,
  "rms_norm_eps": 1e-05, "hidden_act": "silu", "torch_dtype": "bfloat16",
  "bos_token_id": 1, "eos_token_id": 2})");
const json kGptj = json::parse(R"({
  "architectures": ["GPTJForCausalLM"], "model_type": "gptj", "n_embd": 256, "n_head": 4,
  "n_layer": 3, "n_inner": 768, "n_positions": 1024, "rotary_dim": 32, "vocab_size": 1024,
  "layer_norm_epsilon": 1e-05, "activation_function": "gelu_new", "dtype": "float16",
  "bos_token_id": 7, "eos_token_id": 8})");
const json kQwen = json::parse(R"({
  "architectures": ["Qwen2ForCausalLM"], "hidden_size": 96, "intermediate_size": 160,
  "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
  "vocab_size": 1003, "max_position_embeddings": 512})");

ModelConfig parse(const json& object) { return parse_model_config(object.dump()); }
ModelConfig parse_with(json object, const json& changes) {
  object.update(changes);
  return parse(object);
}
ModelConfig parse_without(json object, const char* key) {
  object.erase(key);
  return parse(object);
}

testing::AssertionResult refuses(ErrorKind kind, const json& base, const json& changes,
                                 std::initializer_list<std::string_view> parts) {
  return throws_error(kind, parts, [&] { parse_with(base, changes); });
}

TEST(ModelConfig, OfLlama) {
  const ModelConfig config = parse(kLlama);
  EXPECT_EQ(config.architecture, Architecture::llama);
  EXPECT_EQ(config.hidden_size, 96);
  EXPECT_EQ(config.intermediate_size, 160);
  EXPECT_EQ(config.num_layers, 2);
  EXPECT_EQ(config.num_heads, 4);
  EXPECT_EQ(config.num_kv_heads, 2);
  EXPECT_EQ(config.head_dim, 24);
  EXPECT_EQ(config.vocab_size, 1003);
  EXPECT_EQ(config.max_position_embeddings, 512);
  EXPECT_EQ(config.norm_eps, 1e-5);
  EXPECT_EQ(config.activation, Activation::silu);
  EXPECT_FALSE(config.tie_word_embeddings || config.qkv_bias || config.o_bias || config.mlp_bias);
  EXPECT_EQ(config.rope.style, RopeStyle::neox);
  EXPECT_EQ(config.rope.rotary_dim, 24);
  EXPECT_EQ(config.eos_token_ids, std::vector<int64_t>{2});
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_EQ(config.pad_token_id, std::nullopt);
}

TEST(ModelConfig, OfGptj) {
  const ModelConfig config = parse(kGptj);
  EXPECT_EQ(config.architecture, Architecture::gptj);
  EXPECT_EQ(config.hidden_size, 256);
  EXPECT_EQ(config.intermediate_size, 768);
  EXPECT_EQ(config.num_layers, 3);
  EXPECT_EQ(config.num_kv_heads, 4);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_EQ(config.max_position_embeddings, 1024);
  EXPECT_EQ(config.activation, Activation::gelu_tanh);
  EXPECT_EQ(config.rope.style, RopeStyle::interleaved);
  EXPECT_EQ(config.rope.rotary_dim, 32);
  EXPECT_EQ(config.eos_token_ids, std::vector<int64_t>{8});
}

TEST(ModelConfig, OfQwen2HasBiasesOnQueryKeyAndValueOnly) {
  const ModelConfig config = parse(kQwen);
  EXPECT_EQ(config.architecture, Architecture::qwen2);
  EXPECT_TRUE(config.qkv_bias);
  EXPECT_FALSE(config.o_bias || config.mlp_bias);
  EXPECT_EQ(config.norm_eps, 1e-6);
  EXPECT_TRUE(config.eos_token_ids.empty());
}

TEST(ModelConfig, TakesTheDefaultsOfTransformersForAbsentKeys) {
  const ModelConfig llama = parse({{"model_type", "llama"}});
  EXPECT_EQ(llama.hidden_size, 4096);
  EXPECT_EQ(llama.num_kv_heads, 32);
  EXPECT_EQ(llama.rope.theta, 10000.0);
  EXPECT_EQ(llama.eos_token_ids, std::vector<int64_t>{2});
  const ModelConfig gptj = parse({{"model_type", "gptj"}});
  EXPECT_EQ(gptj.vocab_size, 50400);
  EXPECT_EQ(gptj.intermediate_size, 4 * 4096);
  EXPECT_EQ(gptj.rope.rotary_dim, 64);
  EXPECT_EQ(parse_without(kLlama, "num_key_value_heads").num_kv_heads, 4);
}

TEST(ModelConfig, DtypeAsTransformers4And5WriteIt) {
  EXPECT_EQ(parse(kLlama).dtype, DType::bf16);  // torch_dtype
  EXPECT_EQ(parse(kGptj).dtype, DType::fp16);   // dtype
  EXPECT_EQ(parse(kQwen).dtype, std::nullopt);
  EXPECT_EQ(parse_with(kLlama, {{"dtype", "float32"}}).dtype, DType::fp32);  // the newer one wins
  EXPECT_TRUE(refuses(ErrorKind::unsupported, kLlama, {{"torch_dtype", "float64"}},
                      {R"(dtype "float64")", "float32, float16, bfloat16"}));
}

TEST(ModelConfig, TiedEmbeddingsBiasesAndHeadDim) {
  EXPECT_TRUE(parse_with(kLlama, {{"tie_word_embeddings", true}}).tie_word_embeddings);
  const ModelConfig biased = parse_with(kLlama, {{"attention_bias", true}, {"mlp_bias", true}});
  EXPECT_TRUE(biased.qkv_bias && biased.o_bias && biased.mlp_bias);
  EXPECT_EQ(parse_with(kLlama, {{"head_dim", 64}}).head_dim, 64);
  EXPECT_EQ(parse_with(kLlama, {{"head_dim", nullptr}}).head_dim, 24);
}

TEST(ModelConfig, EndOfSequenceIdsOneSeveralOrNone) {
  EXPECT_EQ(parse_with(kLlama, {{"eos_token_id", {5, 6}}}).eos_token_ids,
            (std::vector<int64_t>{5, 6}));
  EXPECT_TRUE(parse_with(kLlama, {{"eos_token_id", nullptr}}).eos_token_ids.empty());
  EXPECT_TRUE(parse_with(kLlama, {{"eos_token_id", -1}}).eos_token_ids.empty());
}

TEST(ModelConfig, RopeAsTransformers4WritesIt) {
  const ModelConfig config = parse_with(kLlama, json::parse(R"({"rope_theta": 500000.0,
      "rope_scaling": {"type": "linear", "factor": 4.0}})"));
  EXPECT_EQ(config.rope.theta, 500000.0);
  EXPECT_EQ(config.rope.scaling, RopeScaling::linear);
  EXPECT_EQ(config.rope.factor, 4.0);
  EXPECT_EQ(parse_with(kLlama, {{"rope_scaling", nullptr}}).rope.scaling, RopeScaling::none);
}

TEST(ModelConfig, RopeAsTransformers5WritesIt) {
  const ModelConfig config = parse_with(kLlama, json::parse(R"({"rope_parameters":
      {"rope_theta": 500000.0, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
       "high_freq_factor": 4.0, "original_max_position_embeddings": 256}})"));
  EXPECT_EQ(config.rope.theta, 500000.0);
  EXPECT_EQ(config.rope.scaling, RopeScaling::llama3);
  EXPECT_EQ(config.rope.factor, 8.0);
  EXPECT_EQ(config.rope.low_freq_factor, 1.0);
  EXPECT_EQ(config.rope.high_freq_factor, 4.0);
  EXPECT_EQ(config.rope.original_max_position_embeddings, 256);
  const ModelConfig plain = parse_with(
      kLlama, json::parse(R"({"rope_parameters": {"rope_theta": 7.0, "rope_type": "default"}})"));
  EXPECT_EQ(plain.rope.scaling, RopeScaling::none);
  EXPECT_EQ(plain.rope.theta, 7.0);
}

TEST(ModelConfig, DynamicRopeEndsWhereItWouldApply) {
  const ModelConfig config = parse_with(
      kLlama, json::parse(R"({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}})"));
  EXPECT_EQ(config.rope.scaling, RopeScaling::none);
  EXPECT_EQ(config.rope.dynamic_beyond, 512);
  const ModelConfig shorter = parse_with(kLlama, json::parse(R"({"rope_scaling":
      {"rope_type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 128}})"));
  EXPECT_EQ(shorter.rope.dynamic_beyond, 128);
  EXPECT_EQ(shorter.max_position_embeddings, 128);
}

TEST(ModelConfig, RefusesRopeItDoesNotHave) {
  const auto with_rope = [](json rope) { return json{{"rope_scaling", std::move(rope)}}; };
  for (const char* type : {"yarn", "longrope", "su"})
    EXPECT_TRUE(refuses(ErrorKind::unsupported, kLlama,
                        with_rope({{"rope_type", type}, {"factor", 2}}),
                        {fmt::format("rope scaling \"{}\"", type), "default, linear, llama3"}));
  EXPECT_TRUE(refuses(ErrorKind::unsupported, kLlama, with_rope({{"type", "mystery"}}),
                      {R"(rope scaling "mystery" is not supported)", "default, linear, llama3"}));
  EXPECT_TRUE(refuses(ErrorKind::invalid_input, kLlama, with_rope({{"type", "linear"}}),
                      {R"("linear" lacks "factor")", "config.json"}));
  EXPECT_TRUE(refuses(ErrorKind::invalid_input, kLlama,
                      with_rope({{"type", "linear"}, {"factor", 0}}),
                      {R"("factor" is 0, it must be a number from 1e-06 to 1000000)"}));
  EXPECT_TRUE(refuses(ErrorKind::invalid_input, kLlama,
                      with_rope({{"rope_type", "llama3"},
                                 {"factor", 8},
                                 {"low_freq_factor", 4},
                                 {"high_freq_factor", 4}}),
                      {"\"high_freq_factor\" is 4, it must exceed \"low_freq_factor\", 4"}));
  EXPECT_TRUE(refuses(ErrorKind::invalid_input, kLlama, with_rope("linear"),
                      {"\"rope_scaling\" is \"linear\", it must be an object"}));
  EXPECT_TRUE(refuses(ErrorKind::unsupported, kLlama, {{"partial_rotary_factor", 0.5}},
                      {"\"partial_rotary_factor\" is 0.5", "supported is 1"}));
}

TEST(ModelConfig, RefusesOtherArchitecturesWithTheListOfThoseItHas) {
  for (const char* name : {"MistralForCausalLM", "BertModel", ""})
    EXPECT_TRUE(
        refuses(ErrorKind::unsupported, kLlama, {{"architectures", {name}}, {"model_type", name}},
                {"is not supported", "GPTJForCausalLM, LlamaForCausalLM, Qwen2ForCausalLM"}))
        << name;
  EXPECT_TRUE(throws_error(ErrorKind::unsupported, {"architecture \"none\"", "supported are"},
                           [] { parse_model_config("{}"); }));
}

TEST(ModelConfig, LeavesTheQuantizationToItsReader) {
  const json quantized = {{"quantization_config", {{"quant_method", "gptq"}, {"bits", 4}}}};
  EXPECT_EQ(parse_with(kLlama, quantized).hidden_size,
            parse_with(kLlama, json::object()).hidden_size);
}

TEST(ModelConfig, RefusesASlidingWindowThatWouldApply) {
  const json window = {
      {"use_sliding_window", true}, {"sliding_window", 128}, {"max_window_layers", 1}};
  EXPECT_TRUE(
      refuses(ErrorKind::unsupported, kQwen, window, {"\"sliding_window\" 128", "full attention"}));
  json off = window;
  off["use_sliding_window"] = false;
  EXPECT_NO_THROW(parse_with(kQwen, off));
  json no_layers = window;
  no_layers["max_window_layers"] = 2;
  EXPECT_NO_THROW(parse_with(kQwen, no_layers));
}

struct AbsurdValue {
  const char* key;
  json value;
  std::string_view limit;
};

TEST(ModelConfig, RefusesAbsurdValuesNamingKeyValueAndLimit) {
  const std::vector<AbsurdValue> absurd = {
      {"hidden_size", 0, "from 1 to 1048576"},
      {"hidden_size", -96, "from 1 to 1048576"},
      {"hidden_size", int64_t{1} << 60, "from 1 to 1048576"},
      {"hidden_size", UINT64_MAX, "from 1 to 1048576"},
      {"hidden_size", 1e300, "a whole number"},
      {"hidden_size", 96.5, "a whole number"},
      {"hidden_size", "96", "a whole number"},
      {"hidden_size", json::array({96}), "a whole number"},
      {"intermediate_size", 1 << 24, "from 1 to 8388608"},
      {"num_hidden_layers", 1'000'000, "from 1 to 4096"},
      {"num_attention_heads", 0, "from 1 to 16384"},
      {"num_key_value_heads", -1, "from 1 to 16384"},
      {"head_dim", 5000, "from 2 to 4096"},
      {"vocab_size", int64_t{1} << 40, "from 1 to 16777216"},
      {"max_position_embeddings", 0, "from 1 to 268435456"},
      {"rms_norm_eps", -1, "from 1e-20 to 1"},
      {"rms_norm_eps", "1e-5", "a number"},
      {"rope_theta", 0, "from 0.001 to 1000000000000"},
      {"tie_word_embeddings", 1, "true or false"},
      {"eos_token_id", -2, "from -1 to 16777216"},
      {"eos_token_id", json::array({2, 99'999'999}), "from -1 to 16777216"},
      {"hidden_act", 3, "a string"},
  };
  for (const AbsurdValue& item : absurd)
    EXPECT_TRUE(refuses(ErrorKind::invalid_input, kLlama, {{item.key, item.value}},
                        {fmt::format("\"{}\" is", item.key), item.limit, "check"}))
        << item.key << item.value;
}

TEST(ModelConfig, RefusesSizesThatDoNotBelongTogether) {
  EXPECT_TRUE(refuses(ErrorKind::invalid_input, kLlama, {{"num_attention_heads", 5}},
                      {"\"hidden_size\" 96 is not a multiple of \"num_attention_heads\" 5"}));
  EXPECT_TRUE(refuses(ErrorKind::invalid_input, kLlama, {{"num_key_value_heads", 3}},
                      {"4 attention heads cannot share 3 key-value heads"}));
  EXPECT_TRUE(refuses(ErrorKind::invalid_input, kLlama, {{"head_dim", 25}},
                      {"25 channels", "even number from 2 to 4096"}));
  EXPECT_TRUE(
      refuses(ErrorKind::invalid_input, kLlama,
              {{"num_attention_heads", 16384}, {"num_key_value_heads", 1}, {"head_dim", 4096}},
              {"67108864", "at most 1048576"}));
  EXPECT_TRUE(refuses(ErrorKind::invalid_input, kGptj, {{"rotary_dim", 66}},
                      {"\"rotary_dim\" is 66", "at most the head's 64 channels"}));
  EXPECT_TRUE(refuses(ErrorKind::invalid_input, kGptj, {{"rotary_dim", 31}}, {"even"}));
  EXPECT_TRUE(refuses(ErrorKind::invalid_input, kGptj, {{"n_head", 3}},
                      {"\"n_embd\" 256 is not a multiple of \"n_head\" 3"}));
}

TEST(ModelConfig, RefusesActivationsItDoesNotHave) {
  EXPECT_TRUE(refuses(ErrorKind::unsupported, kLlama, {{"hidden_act", "mish"}},
                      {R"("hidden_act" is "mish")", "silu", "gelu_new"}));
}

TEST(ModelConfig, RefusesTextThatIsNoObject) {
  for (const char* text : {"[1]", "7", "null", "\"x\""})
    EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"no JSON object", "download"},
                             [&] { parse_model_config(text); }));
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data,
                           {"no valid JSON at byte 4", "download it again"},
                           [] { parse_model_config("{\"a"); }));
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {R"(the key "a" stands twice)"},
                           [] { parse_model_config(R"({"a":1,"a":2})"); }));
}

TEST(ModelConfig, RefusesDeepAndLongJson) {
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"deeper than 64 levels"},
                           [] { parse_model_config(R"({"a":)" + std::string(1'000'000, '[')); }));
  std::string many = "{\"a\":[0";
  for (int i = 0; i < 1'000'000; ++i) many += ",0";
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"more than 1000000 values"},
                           [&] { parse_model_config(many + "]}"); }));
}

TEST(ModelConfig, IgnoresKeysItDoesNotKnow) {
  EXPECT_NO_THROW(parse_with(kLlama, {{"use_cache", true}, {"vendor", {{"deep", {1, 2}}}}}));
}

TEST(ModelDirectory, ErrorsNameTheFile) {
  const test::TempDirectory temp;
  const auto load = [&] { load_model_config(temp.path()); };
  EXPECT_TRUE(throws_error(ErrorKind::not_found,
                           {temp.path().string(), "has no config.json", "Hugging Face layout"},
                           load));
  test::write_bytes(temp.path() / "config.json", R"({"model_type":"llama","vocab_size":0})");
  EXPECT_TRUE(
      throws_error(ErrorKind::invalid_input, {"config.json\"", "\"vocab_size\" is 0"}, load));
  test::write_bytes(temp.path() / "config.json", std::string((16 << 20) + 1, ' '));
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"config.json", "at most 16.00 MiB"}, load));
  std::filesystem::remove(temp.path() / "config.json");
  std::filesystem::create_directory(temp.path() / "config.json");
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"config.json", "is a directory"}, load));
}

}  // namespace
}  // namespace veloz::checkpoint
