// SPDX-License-Identifier: Apache-2.0
#include "graph/graph.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace veloz::graph {
namespace {

constexpr const char* kMlp = R"(graph mlp {
  input %tokens : int32[T]
  weight @embed : bf16[48,64] = "model.embed.weight"[48]
  weight @norm : fp32[64] = "norm.weight"[64]
  weight @gate_up : bf16[256,64] = "gate.weight"[128] + "up \"x\".weight"[128]
  %0 = embedding(%tokens, @embed) : bf16[T,64]
  %1 = rms_norm(%0, @norm) {eps=1e-05} : bf16[T,64]
  %2 = linear(%1, @gate_up) : bf16[T,256]
  %3 = slice(%2) {begin=0, end=128} : bf16[T,128]
  %4 = slice(%2) {begin=128, end=256} : bf16[T,128]
  %5 = gated_act(%3, %4) {act="silu"} : bf16[T,128]
  return %5
}
)";

std::string message_of(const std::string& text) {
  try {
    parse(text);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::corrupt_data);
    return e.message();
  }
  return "";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(GraphText, PrintsWhatItParsed) { EXPECT_EQ(print(parse(kMlp)), kMlp); }

TEST(GraphText, NamesTheLineOfAnUnknownOp) {
  EXPECT_EQ(message_of(replaced(kMlp, "rms_norm(", "rms_morn(")),
            "graph text, line 7: unknown op \"rms_morn\"");
}

TEST(GraphText, RefusesAnOperandThatIsNotDefinedBefore) {
  EXPECT_NE(message_of(replaced(kMlp, "linear(%1", "linear(%7")).find("%7 is not defined before"),
            std::string::npos);
}

TEST(GraphText, RefusesATypeTheOpDoesNotGive) {
  EXPECT_NE(message_of(replaced(kMlp, "{eps=1e-05} : bf16[T,64]", "{eps=1e-05} : bf16[T,65]"))
                .find("gives other types"),
            std::string::npos);
}

TEST(GraphText, RefusesSegmentsThatDoNotCoverTheirWeight) {
  EXPECT_NE(message_of(replaced(kMlp, "\"gate.weight\"[128]", "\"gate.weight\"[64]"))
                .find("segments of 192 rows"),
            std::string::npos);
}

TEST(GraphText, RefusesAValueDefinedTwice) {
  EXPECT_NE(message_of(replaced(kMlp, "%4 = slice", "%3 = slice")).find("defined twice"),
            std::string::npos);
}

TEST(GraphText, RefusesTextThatEndsEarly) {
  EXPECT_EQ(message_of("graph g {\n  input %tokens : int32[T]\n"), "graph text ends without '}'");
}

constexpr const char* kTwoAppends = R"(graph kv {
  input %k : bf16[T,128]
  input %slots : int64[T]
  input %q_starts : int32[S]
  input %q_lens : int32[S]
  input %kv_lens : int32[S]
  input %block_tables : int32[S,B]
  state %kv : bf16[N,2,2,64,64]
  %a = kv_append(%kv, %k, %k, %slots) {head_dim=64, num_kv_heads=2} : bf16[N,2,2,64,64]
  %b = kv_append(%a, %k, %k, %slots) {head_dim=64, num_kv_heads=2} : bf16[N,2,2,64,64]
  %y = paged_attention(%k, %b, %q_starts, %q_lens, %kv_lens, %block_tables) {head_dim=64, num_heads=2, num_kv_heads=2, scale=0.125} : bf16[T,128]
  return %y
}
)";

TEST(StateChain, AcceptsOneLinearChain) { EXPECT_EQ(print(parse(kTwoAppends)), kTwoAppends); }

TEST(StateChain, RefusesAForkedState) {
  EXPECT_NE(message_of(replaced(kTwoAppends, "kv_append(%a,", "kv_append(%kv,"))
                .find("reads %kv after it was overwritten"),
            std::string::npos);
}

TEST(StateChain, RefusesAReaderOfAnOldVersion) {
  EXPECT_NE(message_of(replaced(kTwoAppends, "paged_attention(%k, %b", "paged_attention(%k, %a"))
                .find("reads %a after it was overwritten"),
            std::string::npos);
}

TEST(Graph, RemovingDeadNodesKeepsStateUpdatesAndTheInterface) {
  Graph graph = parse(kTwoAppends);
  const ValueId k = *graph.try_find("k", ValueKind::input);
  graph.add(ops::Op::add, {k, k}, {}, "unused");
  graph.set_outputs({k});
  graph.remove_dead();
  EXPECT_EQ(graph.nodes().size(), 2u);  // both appends; attention and the unused sum are gone
  EXPECT_TRUE(graph.try_find("block_tables", ValueKind::input).has_value());
  EXPECT_FALSE(graph.try_find("unused", ValueKind::result).has_value());
}

TEST(Graph, GivesATakenNameASuffix) {
  Graph graph = parse(kMlp);
  const ValueId tokens = *graph.try_find("tokens", ValueKind::input);
  const ValueId embed = *graph.try_find("embed", ValueKind::weight);
  const ValueId again = graph.add(ops::Op::embedding, {tokens, embed}, {}, "0");
  EXPECT_EQ(graph.value(again).name, "0.1");
}

TEST(UseMap, CountsAReaderOnceAndKnowsOutputs) {
  const Graph graph = parse(kMlp);
  const UseMap uses(graph);
  const ValueId joined = *graph.try_find("2", ValueKind::result);
  EXPECT_EQ(uses.readers(joined).size(), 2u);
  EXPECT_FALSE(uses.only_reader(joined).has_value());
  EXPECT_TRUE(uses.only_reader(*graph.try_find("1", ValueKind::result)).has_value());
  EXPECT_FALSE(uses.only_reader(*graph.try_find("5", ValueKind::result)).has_value());
}

}  // namespace
}  // namespace veloz::graph
