// SPDX-License-Identifier: Apache-2.0
#include "ops/kernel.h"

#include <gtest/gtest.h>

#include <set>

#include "support/expect_error.h"

namespace veloz::ops {
namespace {

KernelRegistry reference_registry() { return {reference_kernels(), plain_layouts()}; }

TEST(KernelRegistry, HasAReferenceForEveryOpThatRuns) {
  std::set<Op> ops;
  const std::vector<Kernel> kernels = reference_kernels();
  for (const Kernel& kernel : kernels) {
    ops.insert(kernel.op);
    EXPECT_EQ(kernel.name, std::string(op_def(kernel.op).name) + "/reference");
  }
  EXPECT_EQ(ops.size(), op_defs().size() - 1);  // all but slice
}

TEST(KernelRegistry, ChoosesTheFirstThatAccepts) {
  const auto never = [](const KernelQuery&) { return false; };
  const auto always = [](const KernelQuery&) { return true; };
  const auto run = [](OpContext&, const OpCall&) noexcept {};
  const KernelRegistry registry(
      {{.name = "add/picky", .op = Op::add, .accepts = never, .run = run},
       {.name = "act/fast", .op = Op::act, .accepts = always, .run = run},
       {.name = "add/fast", .op = Op::add, .accepts = always, .run = run},
       {.name = "add/slow", .op = Op::add, .accepts = always, .run = run}},
      {});
  const Attrs attrs;
  EXPECT_EQ(registry.choose({.op = Op::add, .inputs = {}, .outputs = {}, .attrs = attrs}).name,
            "add/fast");
}

TEST(KernelRegistry, ReferencesAcceptWhatTheirShapeRuleAccepts) {
  const KernelRegistry registry = reference_registry();
  const std::vector<ValueType> inputs = {parse_value_type("bf16[T,64]"),
                                         parse_value_type("bf16[96,64]")};
  const std::vector<ValueType> outputs = {parse_value_type("bf16[T,96]")};
  const Attrs attrs;
  KernelQuery query{.op = Op::linear,
                    .inputs = inputs,
                    .outputs = outputs,
                    .attrs = attrs,
                    .weight_layout = "plain"};
  EXPECT_EQ(registry.choose(query).name, "linear/reference");
  query.weight_layout = "n16k2_bf16";
  EXPECT_TRUE(test::throws_error(
      ErrorKind::unsupported,
      {"no kernel runs linear(bf16[T,64], bf16[96,64]) -> bf16[T,96]", "\"n16k2_bf16\""},
      [&] { registry.choose(query); }));
  query.weight_layout = "plain";
  query.outputs = inputs;
  EXPECT_THROW(registry.choose(query), Error);
}

TEST(KernelRegistry, FindsLayoutsByNameAndDtype) {
  const KernelRegistry registry = reference_registry();
  EXPECT_EQ(registry.layout("plain", DType::bf16).dtype, DType::bf16);
  EXPECT_EQ(registry.layout("plain", DType::fp32).dtype, DType::fp32);
  EXPECT_TRUE(test::throws_error(ErrorKind::unsupported,
                                 {"unknown weight layout \"n8\" of bf16", "plain of fp32"},
                                 [&] { registry.layout("n8", DType::bf16); }));
  EXPECT_THROW(registry.layout("plain", DType::int64), Error);
}

TEST(PlainLayout, CopiesRowsToTheirPlace) {
  const KernelRegistry registry = reference_registry();
  const WeightLayout& layout = registry.layout("plain", DType::fp32);
  const Shape shape{4, 3};
  EXPECT_EQ(layout.packed_bytes(shape), 48u);
  EXPECT_EQ(layout.packed_offset(shape, 2), 24u);
  EXPECT_EQ(layout.packed_offset(Shape{5}, 2), 8u);
  const std::vector<float> rows = {1, 2, 3, 4, 5, 6};
  std::vector<float> packed(12, 0.0f);
  const PackRange range{.dtype = DType::fp32, .shape = shape, .row_begin = 1, .row_end = 3};
  layout.pack(range, reinterpret_cast<const std::byte*>(rows.data()),
              reinterpret_cast<std::byte*>(packed.data()) + layout.packed_offset(shape, 1));
  EXPECT_EQ(packed, (std::vector<float>{0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0}));
  std::vector<float> back(6);
  layout.unpack(range,
                reinterpret_cast<const std::byte*>(packed.data()) + layout.packed_offset(shape, 1),
                reinterpret_cast<std::byte*>(back.data()));
  EXPECT_EQ(back, rows);
}

}  // namespace
}  // namespace veloz::ops
