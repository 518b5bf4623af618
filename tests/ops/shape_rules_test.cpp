// SPDX-License-Identifier: Apache-2.0
// What each op's shape rule gives, and what it says about operands that a damaged plan may hold.
#include <gtest/gtest.h>

#include "ops/op.h"
#include "support/expect_error.h"
#include "support/op_runs.h"

namespace veloz::ops {
namespace {

std::string infer(Op op, const std::vector<std::string>& inputs, std::string_view attrs) {
  std::string outputs;
  for (const ValueType& type : test::infer_types(op, inputs, attrs))
    outputs += (outputs.empty() ? "" : " ") + to_string(type);
  return outputs;
}

struct Good {
  Op op;
  std::vector<std::string> inputs;
  std::string attrs;
  std::string outputs;
};

const std::string kAttention = "num_heads=8, num_kv_heads=2, head_dim=64, scale=0.125";
const std::string kLlama3 =
    "rotary_dim=64, theta=500000.0, scaling=\"llama3\", factor=8.0, low_freq_factor=1.0, "
    "high_freq_factor=4.0, original_max_position_embeddings=8192";

TEST(ShapeRules, GiveTheTypesOfOutputs) {
  const std::vector<Good> cases = {
      {Op::linear, {"bf16[T,64]", "bf16[96,64]"}, "", "bf16[T,96]"},
      {Op::linear, {"bf16[R,64]", "bf16[96,64]", "fp32[96]"}, "out=\"fp32\"", "fp32[R,96]"},
      {Op::rms_norm, {"bf16[T,64]", "fp32[64]"}, "eps=1e-05", "bf16[T,64]"},
      {Op::add_rms_norm,
       {"bf16[T,64]", "bf16[T,64]", "fp32[64]"},
       "eps=1e-05",
       "bf16[T,64] bf16[T,64]"},
      {Op::layer_norm, {"fp32[R,8]", "fp32[8]", "fp32[8]"}, "eps=1e-05", "fp32[R,8]"},
      {Op::add_layer_norm,
       {"fp32[T,8]", "fp32[T,8]", "fp32[8]", "fp32[8]"},
       "eps=1e-05",
       "fp32[T,8] fp32[T,8]"},
      {Op::act, {"bf16[T,64]"}, "act=\"gelu_tanh\"", "bf16[T,64]"},
      {Op::gated_act, {"bf16[T,64]", "bf16[T,64]"}, "act=\"silu\"", "bf16[T,64]"},
      {Op::add, {"bf16[T,64]", "bf16[T,64]"}, "", "bf16[T,64]"},
      {Op::slice, {"bf16[T,64]"}, "begin=16, end=64", "bf16[T,48]"},
      {Op::gather_rows, {"bf16[T,64]", "int32[R]"}, "", "bf16[R,64]"},
      {Op::embedding, {"int32[T]", "bf16[1003,64]"}, "", "bf16[T,64]"},
      {Op::rope_angles, {"int32[T]"}, kLlama3, "fp32[T,64]"},
      {Op::rope_angles, {"int32[T]"}, "rotary_dim=2, theta=10000.0, scaling=\"none\"", "fp32[T,2]"},
      {Op::rope,
       {"bf16[T,512]", "fp32[T,32]"},
       "num_heads=8, head_dim=64, style=\"interleaved\"",
       "bf16[T,512]"},
      {Op::kv_append,
       {"bf16[N,2,2,16,64]", "bf16[T,128]", "bf16[T,128]", "int64[T]"},
       "num_kv_heads=2, head_dim=64",
       "bf16[N,2,2,16,64]"},
      {Op::kv_append,
       {"fp8_e4m3[N,2,2,16,64]", "bf16[T,128]", "bf16[T,128]", "int64[T]"},
       "num_kv_heads=2, head_dim=64, k_scale=0.5, v_scale=2",
       "fp8_e4m3[N,2,2,16,64]"},
      {Op::kv_append,
       {"int8[N,2,2,16,68]", "fp32[T,128]", "fp32[T,128]", "int64[T]"},
       "num_kv_heads=2, head_dim=64",
       "int8[N,2,2,16,68]"},
      {Op::rope_append,
       {"bf16[N,2,2,16,64]", "bf16[T,768]", "fp32[T,32]", "int64[T]"},
       "num_heads=8, num_kv_heads=2, head_dim=64, style=\"neox\"",
       "bf16[N,2,2,16,64] bf16[T,512]"},
      {Op::rope_append,
       {"fp8_e4m3[N,2,2,16,64]", "fp32[T,768]", "fp32[T,64]", "int64[T]"},
       "num_heads=8, num_kv_heads=2, head_dim=64, style=\"interleaved\", k_scale=0.5, v_scale=2",
       "fp8_e4m3[N,2,2,16,64] fp32[T,512]"},
      {Op::paged_attention,
       {"fp32[T,512]", "int8[N,2,2,16,68]", "int32[S]", "int32[S]", "int32[S]", "int32[S,B]"},
       kAttention,
       "fp32[T,512]"},
      {Op::paged_attention,
       {"bf16[T,512]", "bf16[N,2,2,16,64]", "int32[S]", "int32[S]", "int32[S]", "int32[S,B]"},
       kAttention,
       "bf16[T,512]"},
      {Op::penalize,
       {"fp32[3,100]", "fp32[3,3]", "int32[4]", "int32[0]", "int32[0]"},
       "",
       "fp32[3,100]"},
      {Op::apply_bitmask, {"fp32[3,100]", "int32[2]", "int32[2,4]"}, "", "fp32[3,100]"},
      {Op::feed_tokens, {"int32[9]", "int32[4]", "int32[3,2]"}, "", "int32[9]"},
      {Op::mask_logits,
       {"fp32[3,100]", "int32[4]", "int32[7]", "fp32[7]", "int32[0]"},
       "",
       "fp32[3,100]"},
      {Op::log_softmax, {"fp32[3,100]"}, "", "fp32[3,100]"},
      {Op::top_logprobs,
       {"fp32[3,100]", "int32[3]"},
       "k=5",
       "fp32[3] int32[3] fp32[3,5] int32[3,5]"},
      {Op::sample, {"fp32[3,100]", "fp32[3,3]", "int32[3]", "int32[3,5]"}, "", "int32[3] int32[3]"},
      {Op::beam_candidates,
       {"fp32[8,100]", "fp32[8]", "int32[3]"},
       "k=9",
       "fp32[2,9] int32[2,9] int32[2,9] int32[2]"},
  };
  for (const Good& c : cases)
    EXPECT_EQ(infer(c.op, c.inputs, c.attrs), c.outputs) << op_def(c.op).name;
}

struct Bad {
  Op op;
  std::vector<std::string> inputs;
  std::string attrs;
  std::string message;
};

void expect_refused(const std::vector<Bad>& cases) {
  for (const Bad& c : cases)
    EXPECT_TRUE(test::throws_error(ErrorKind::corrupt_data,
                                   {std::string(op_def(c.op).name) + ": ", c.message},
                                   [&] { infer(c.op, c.inputs, c.attrs); }));
}

TEST(ShapeRules, RefuseOperandCountsAndUnknownAttributes) {
  expect_refused({
      {Op::linear, {"bf16[T,64]"}, "", "1 operands, expected 2 to 3 (x, w, bias)"},
      {Op::linear, {"bf16[T,8]", "bf16[8,8]", "fp32[8]", "fp32[8]"}, "", "4 operands"},
      {Op::add, {"bf16[T,64]"}, "", "1 operands, expected 2 (a, b)"},
      {Op::add, {}, "", "0 operands"},
      {Op::add, {"bf16[T,64]", "bf16[T,64]"}, "alpha=2", "unknown attribute \"alpha\""},
      {Op::act, {"bf16[T,64]", "bf16[T,64]"}, "act=\"silu\"", "2 operands, expected 1 (x)"},
      {Op::rms_norm, {"bf16[T,8]", "fp32[8]"}, "eps=0.1, epz=1", "unknown attribute \"epz\""},
      {Op::kv_append, {"bf16[N,2,2,16,64]"}, "num_kv_heads=2, head_dim=64", "1 operands"},
      {Op::sample, {"fp32[3,100]"}, "", "1 operands, expected 4"},
  });
}

TEST(ShapeRules, RefuseLinearsThatDoNotFit) {
  const std::string x = "bf16[T,64]";
  expect_refused({
      {Op::linear, {"bf16[64]", "bf16[96,64]"}, "", "operand 0 (x) is bf16[64]"},
      {Op::linear, {"int32[T,64]", "bf16[96,64]"}, "", "a matrix of fp32 or bf16"},
      {Op::linear, {"bf16[T,T]", "bf16[96,64]"}, "", "a constant extent"},
      {Op::linear, {"bf16[T,0]", "bf16[96,0]"}, "", "a constant extent from 1"},
      {Op::linear, {"bf16[0,64]", "bf16[96,64]"}, "", "a constant extent from 1"},
      {Op::linear, {x, "bf16[96]"}, "", "operand 1 (w) is bf16[96]"},
      {Op::linear, {x, "bf16[96,32]"}, "", "expected bf16[96,64] (dtype and columns of x)"},
      {Op::linear, {x, "fp32[96,64]"}, "", "expected bf16[96,64]"},
      {Op::linear, {x, "bf16[T,64]"}, "", "a constant extent"},
      {Op::linear, {x, "bf16[96,64]", "fp32[64]"}, "", "expected fp32[96] (one per row of w)"},
      {Op::linear, {x, "bf16[96,64]", "bf16[96]"}, "", "operand 2 (bias) is bf16[96]"},
      {Op::linear, {x, "bf16[96,64]"}, "out=\"bf16\"", "expected one of fp32"},
      {Op::linear, {x, "bf16[96,64]"}, "out=1", "attribute out=1 is not a string"},
  });
}

TEST(ShapeRules, RefuseElementwiseOpsThatDoNotFit) {
  expect_refused({
      {Op::rms_norm, {"bf16[T,64]", "fp32[32]"}, "eps=0.1", "expected fp32[64]"},
      {Op::rms_norm, {"bf16[T,64]", "bf16[64]"}, "eps=0.1", "expected fp32[64]"},
      {Op::rms_norm, {"bf16[T,64]", "fp32[64]"}, "", "attribute \"eps\" is missing"},
      {Op::rms_norm, {"bf16[T,64]", "fp32[64]"}, "eps=0", "eps=0, expected a number above 0"},
      {Op::rms_norm, {"bf16[T,64]", "fp32[64]"}, "eps=-1.0", "expected a number above 0"},
      {Op::rms_norm, {"bf16[T,64]", "fp32[64]"}, "eps=nan", "expected a finite number"},
      {Op::rms_norm, {"bf16[T,64]", "fp32[64]"}, "eps=\"x\"", "is not a number"},
      {Op::add_rms_norm, {"bf16[T,8]", "bf16[R,8]", "fp32[8]"}, "eps=0.1", "bf16[T,8] (as x)"},
      {Op::layer_norm, {"fp32[T,8]", "fp32[8]", "fp32[9]"}, "eps=0.1", "operand 2 (beta)"},
      {Op::add_layer_norm,
       {"fp32[T,8]", "bf16[T,8]", "fp32[8]", "fp32[8]"},
       "eps=0.1",
       "operand 1 (delta)"},
      {Op::act, {"fp16[T,8]"}, "act=\"silu\"", "a matrix of fp32 or bf16"},
      {Op::act, {"bf16[T,8]"}, "act=\"swish\"", "act=\"swish\", expected one of silu, gelu"},
      {Op::act, {"bf16[T,8]"}, "", "attribute \"act\" is missing"},
      {Op::gated_act, {"bf16[T,8]", "bf16[T,4]"}, "act=\"silu\"", "bf16[T,8] (as gate)"},
      {Op::add, {"bf16[T,8]", "fp32[T,8]"}, "", "bf16[T,8] (as a)"},
      {Op::slice, {"bf16[T,8]"}, "begin=8, end=8", "begin=8, expected 0 to 7"},
      {Op::slice, {"bf16[T,8]"}, "begin=-1, end=8", "begin=-1"},
      {Op::slice, {"bf16[T,8]"}, "begin=4, end=4", "end=4, expected 5 to 8"},
      {Op::slice, {"bf16[T,8]"}, "begin=4, end=9", "end=9"},
      {Op::slice, {"bf16[T,8]"}, "begin=4.5, end=8", "is not an integer"},
      {Op::gather_rows, {"bf16[T,8]", "int64[R]"}, "", "a vector of int32"},
      {Op::gather_rows, {"bf16[T,8]", "int32[R,1]"}, "", "a vector of int32"},
      {Op::gather_rows, {"int32[T,8]", "int32[R]"}, "", "operand 0 (x)"},
      {Op::embedding, {"fp32[T]", "bf16[10,8]"}, "", "operand 0 (tokens)"},
      {Op::embedding, {"int32[T]", "bf16[T,8]"}, "", "operand 1 (table)"},
      {Op::embedding, {"int32[T]", "bf16[0,8]"}, "", "operand 1 (table)"},
  });
}

TEST(ShapeRules, RefuseRopesThatDoNotFit) {
  const std::string none = "theta=10000.0, scaling=\"none\"";
  const std::string heads = "num_heads=8, head_dim=64, style=\"neox\"";
  expect_refused({
      {Op::rope_angles, {"int64[T]"}, "rotary_dim=64, " + none, "a vector of int32"},
      {Op::rope_angles, {"int32[T]"}, "rotary_dim=63, " + none, "rotary_dim is odd"},
      {Op::rope_angles, {"int32[T]"}, "rotary_dim=0, " + none, "rotary_dim=0, expected 2 to"},
      {Op::rope_angles, {"int32[T]"}, "rotary_dim=99999998, " + none, "expected 2 to"},
      {Op::rope_angles, {"int32[T]"}, "rotary_dim=64, theta=0.0, scaling=\"none\"", "theta=0"},
      {Op::rope_angles, {"int32[T]"}, "rotary_dim=64, theta=1e4, scaling=\"yarn\"", "one of none"},
      {Op::rope_angles, {"int32[T]"}, "rotary_dim=64, theta=1e4, scaling=\"linear\"", "\"factor\""},
      {Op::rope_angles,
       {"int32[T]"},
       "rotary_dim=64, theta=1e4, scaling=\"llama3\", factor=8.0, low_freq_factor=4.0, "
       "high_freq_factor=4.0, original_max_position_embeddings=8192",
       "high_freq_factor is not above"},
      {Op::rope_angles,
       {"int32[T]"},
       "rotary_dim=64, theta=1e4, scaling=\"llama3\", factor=8.0, low_freq_factor=1.0, "
       "high_freq_factor=4.0, original_max_position_embeddings=0",
       "original_max_position_embeddings=0"},
      {Op::rope, {"bf16[T,500]", "fp32[T,32]"}, heads, "num_heads * head_dim"},
      {Op::rope, {"bf16[T,512]", "bf16[T,32]"}, heads, "operand 1 (angles)"},
      {Op::rope, {"bf16[T,512]", "fp32[R,32]"}, heads, "rows of x"},
      {Op::rope, {"bf16[T,512]", "fp32[T,66]"}, heads, "at most head_dim"},
      {Op::rope, {"bf16[T,512]", "fp32[T,31]"}, heads, "an even number"},
      {Op::rope,
       {"bf16[T,512]", "fp32[T,32]"},
       "num_heads=8, head_dim=64, style=\"gptj\"",
       "one of"},
      {Op::rope,
       {"bf16[T,512]", "fp32[T,32]"},
       "num_heads=4611686018427387904, head_dim=64, style=\"neox\"",
       "num_heads=4611686018427387904, expected 1 to"},
  });
}

TEST(ShapeRules, RefuseCachesThatDoNotFit) {
  const std::string heads = "num_kv_heads=2, head_dim=64";
  const std::string cache = "bf16[N,2,2,16,64]";
  const std::string k = "bf16[T,128]";
  const std::vector<std::string> good = {"bf16[T,512]", cache,      "int32[S]",
                                         "int32[S]",    "int32[S]", "int32[S,B]"};
  const auto with = [&](size_t operand, const std::string& text) {
    std::vector<std::string> inputs = good;
    inputs[operand] = text;
    return inputs;
  };
  expect_refused({
      {Op::kv_append, {"bf16[N,2,2,16]", k, k, "int64[T]"}, heads, "operand 0 (cache)"},
      {Op::kv_append, {"fp16[N,2,2,16,64]", k, k, "int64[T]"}, heads, "fp32, bf16 or fp8_e4m3"},
      {Op::kv_append, {"bf16[N,3,2,16,64]", k, k, "int64[T]"}, heads, "expected bf16[N,2,2,16,64]"},
      {Op::kv_append, {"bf16[N,2,4,16,64]", k, k, "int64[T]"}, heads, "num_kv_heads and head_dim"},
      {Op::kv_append, {"bf16[N,2,2,16,32]", k, k, "int64[T]"}, heads, "num_kv_heads and head_dim"},
      {Op::kv_append, {"bf16[N,2,2,B,64]", k, k, "int64[T]"}, heads, "a constant extent"},
      {Op::kv_append, {"bf16[N,2,2,0,64]", k, k, "int64[T]"}, heads, "a constant extent"},
      {Op::kv_append, {cache, "fp32[T,128]", k, "int64[T]"}, heads, "operand 2 (v)"},
      {Op::kv_append, {cache, "int8[T,128]", k, "int64[T]"}, heads, "operand 1 (k)"},
      {Op::kv_append, {"int8[N,2,2,16,64]", k, k, "int64[T]"}, heads, "int8[N,2,2,16,68]"},
      {Op::kv_append, {cache, k, k, "int64[T]"}, heads + ", k_scale=1", "cache of fp8_e4m3"},
      {Op::kv_append,
       {"fp8_e4m3[N,2,2,16,64]", k, k, "int64[T]"},
       heads + ", v_scale=0",
       "expected a number above 0"},
      {Op::kv_append,
       {"fp8_e4m3[N,2,2,16,64]", k, k, "int64[T]"},
       heads + ", v_scale=1e-40",
       "expected 1e-30 to 1e30"},
      {Op::kv_append, {cache, "bf16[T,64]", k, "int64[T]"}, heads, "operand 1 (k)"},
      {Op::kv_append, {cache, k, "bf16[R,128]", "int64[T]"}, heads, "operand 2 (v)"},
      {Op::kv_append, {cache, k, k, "int32[T]"}, heads, "operand 3 (slots)"},
      {Op::kv_append, {cache, k, k, "int64[R]"}, heads, "operand 3 (slots)"},
      {Op::kv_append,
       {"bf16[N,2,2,16,63]", "bf16[T,126]", "bf16[T,126]", "int64[T]"},
       "num_kv_heads=2, head_dim=63",
       "head_dim is odd"},
      {Op::paged_attention, with(0, "bf16[T,256]"), kAttention, "num_heads * head_dim"},
      {Op::paged_attention, with(0, "int8[T,512]"), kAttention, "operand 0 (q)"},
      {Op::paged_attention, with(1, "int8[N,2,2,16,64]"), kAttention, "int8[N,2,2,16,68]"},
      {Op::paged_attention, with(1, "bf16[N,2,8,16,64]"), kAttention, "operand 1 (cache)"},
      {Op::paged_attention, with(2, "int64[S]"), kAttention, "operand 2 (q_starts)"},
      {Op::paged_attention, with(3, "int32[T]"), kAttention, "operand 3 (q_lens)"},
      {Op::paged_attention, with(4, "int32[T]"), kAttention, "operand 4 (kv_lens)"},
      {Op::paged_attention, with(5, "int32[S]"), kAttention, "operand 5 (block_tables)"},
      {Op::paged_attention, with(5, "int32[T,B]"), kAttention, "one row per sequence"},
      {Op::paged_attention, good, "num_heads=8, num_kv_heads=3, head_dim=64, scale=0.125",
       "no multiple of num_kv_heads"},
      {Op::paged_attention, good, "num_heads=8, num_kv_heads=16, head_dim=64, scale=0.125",
       "num_kv_heads=16, expected 1 to 8"},
      {Op::paged_attention, good, "num_heads=8, num_kv_heads=2, head_dim=64, scale=inf",
       "scale=inf, expected a finite number"},
  });
}

TEST(ShapeRules, RefuseJoinedProjectionsThatDoNotFit) {
  const std::string heads = "num_heads=8, num_kv_heads=2, head_dim=64";
  const std::string all = heads + ", style=\"neox\"";
  const std::vector<std::string> good = {"bf16[N,2,2,16,64]", "bf16[T,768]", "fp32[T,32]",
                                         "int64[T]"};
  const auto with = [&](size_t operand, const std::string& text) {
    std::vector<std::string> inputs = good;
    inputs[operand] = text;
    return inputs;
  };
  expect_refused({
      {Op::rope_append, {good[0], good[1], good[2]}, all, "3 operands"},
      {Op::rope_append, with(0, "bf16[N,2,4,16,64]"), all, "operand 0 (cache)"},
      {Op::rope_append, with(0, "int8[N,2,2,16,64]"), all, "int8[N,2,2,16,68]"},
      {Op::rope_append, with(1, "bf16[T,640]"), all, "(num_heads + 2 * num_kv_heads) * head_dim"},
      {Op::rope_append, with(1, "int8[T,768]"), all, "operand 1 (qkv)"},
      {Op::rope_append, with(2, "fp32[T,66]"), all, "at most head_dim"},
      {Op::rope_append, with(2, "fp32[R,32]"), all, "operand 2 (angles)"},
      {Op::rope_append, with(3, "int32[T]"), all, "operand 3 (slots)"},
      {Op::rope_append, with(3, "int64[R]"), all, "one per row of qkv"},
      {Op::rope_append, good, heads + ", style=\"gptj\"", "one of"},
      {Op::rope_append, good, heads, "style"},
      {Op::rope_append, good, all + ", k_scale=1", "cache of fp8_e4m3"},
      {Op::rope_append, good, "num_heads=0, num_kv_heads=2, head_dim=64, style=\"neox\"",
       "num_heads=0"},
      {Op::rope_append,
       {"bf16[N,2,2,16,63]", "bf16[T,756]", "fp32[T,32]", "int64[T]"},
       "num_heads=8, num_kv_heads=2, head_dim=63, style=\"neox\"",
       "head_dim is odd"},
  });
}

TEST(ShapeRules, RefuseSamplingOperandsThatDoNotFit) {
  const std::string x = "fp32[3,100]";
  expect_refused({
      {Op::log_softmax, {"bf16[3,100]"}, "", "fp32 [R, V]"},
      {Op::log_softmax, {"fp32[3,0]"}, "", "a constant extent"},
      {Op::penalize,
       {x, "fp32[3,2]", "int32[4]", "int32[9]", "int32[9]"},
       "",
       "operand 1 (params)"},
      {Op::penalize, {x, "fp32[3,3]", "int32[3]", "int32[9]", "int32[9]"}, "", "expected int32[4]"},
      {Op::penalize, {x, "fp32[3,3]", "int32[4]", "int32[9]", "int32[8]"}, "", "as tokens"},
      {Op::penalize,
       {"fp32[R,9]", "fp32[R,3]", "int32[4]", "int32[9]", "int32[9]"},
       "",
       "symbolic"},
      {Op::apply_bitmask, {x, "int32[2]", "int32[2,3]"}, "", "a bit per token"},
      {Op::feed_tokens, {"int32[9]", "fp32[4]", "int32[3,2]"}, "", "operand 1 (sampled)"},
      {Op::feed_tokens, {"int32[9]", "int32[4]", "int32[3,3]"}, "", "an index of tokens"},
      {Op::feed_tokens, {"int32[9]", "int32[4]", "int32[]"}, "", "an index of tokens"},
      {Op::mask_logits, {x, "int32[4]", "int32[9]", "fp32[8]", "int32[0]"}, "", "one per token"},
      {Op::mask_logits,
       {x, "int32[4]", "int32[9]", "fp32[9]", "fp32[1]"},
       "",
       "operand 4 (banned)"},
      {Op::top_logprobs, {x, "int32[2]"}, "k=1", "operand 1 (chosen)"},
      {Op::top_logprobs, {x, "int32[3]"}, "k=101", "k=101, expected 0 to 100"},
      {Op::sample, {x, "fp32[3,4]", "int32[3]", "int32[3,5]"}, "", "operand 1 (params)"},
      {Op::sample, {x, "fp32[3,3]", "int32[3]", "int32[3,4]"}, "", "operand 3 (rng)"},
      {Op::beam_candidates, {x, "fp32[3]", "int32[0]"}, "k=2", "operand 2 (group_starts)"},
      {Op::beam_candidates, {x, "fp32[2]", "int32[2]"}, "k=2", "operand 1 (beam_scores)"},
      {Op::beam_candidates, {x, "fp32[3]", "int32[2]"}, "k=0", "k=0, expected 1 to"},
      {Op::beam_candidates,
       {"fp32[100000,100000]", "fp32[100000]", "int32[2]"},
       "k=2",
       "at most 2^31 elements"},
  });
}

}  // namespace
}  // namespace veloz::ops
