// SPDX-License-Identifier: Apache-2.0
#include "compiler/memory_plan.h"

#include <gtest/gtest.h>

#include <random>

namespace veloz::compiler {
namespace {

using engine::ArenaSlot;
using engine::Program;
using engine::ViewSlot;
using ops::Symbol;
using ops::ValueType;

/// A chain: value 0 is an input, step i reads value i and writes value i + 1.
Program chain(int64_t num_steps, int64_t width) {
  Program program;
  program.values.push_back({"in", ValueType{DType::bf16, {Symbol::T, width}}, engine::InputSlot{}});
  for (int64_t i = 0; i < num_steps; ++i) {
    program.values.push_back({std::to_string(i), program.values[0].type, ArenaSlot{}});
    program.steps.push_back({ops::Op::act, {i}, {i + 1}, {}});
  }
  program.outputs = {num_steps};
  return program;
}

ops::Binding tokens(int64_t count) {
  ops::Binding binding{};
  binding[static_cast<size_t>(Symbol::T)] = count;
  return binding;
}

int64_t offset_of(const Program& program, size_t value) {
  return std::get<ArenaSlot>(program.values[value].slot).offset;
}

TEST(MemoryPlan, AChainNeedsTwoBuffers) {
  Program program = chain(10, 64);
  const int64_t unshared = assign_arena(program, tokens(16));
  EXPECT_EQ(program.arena_bytes, 2 * 16 * 64 * 2);
  EXPECT_EQ(unshared, 10 * 16 * 64 * 2);
}

TEST(MemoryPlan, AViewKeepsItsRootAlive) {
  Program program = chain(3, 64);
  // Step 2 reads a view of value 1, so value 1 must survive step 1.
  program.values.push_back({"view", ValueType{DType::bf16, {Symbol::T, 32}}, ViewSlot{1, 32}});
  program.steps[2].inputs = {4};
  assign_arena(program, tokens(16));
  EXPECT_NE(offset_of(program, 1), offset_of(program, 2));
  EXPECT_NE(offset_of(program, 1), offset_of(program, 3));
}

TEST(MemoryPlan, OffsetsAreAlignedForOddSizes) {
  Program program = chain(4, 3);
  assign_arena(program, tokens(5));
  for (size_t value = 1; value < program.values.size(); ++value)
    EXPECT_EQ(offset_of(program, value) % 64, 0);
}

TEST(MemoryPlan, NoTwoLiveValuesOverlapInRandomPrograms) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    Program program = chain(0, 1);
    const int64_t num_steps = 1 + static_cast<int64_t>(random() % 30);
    std::vector<int64_t> last_use(static_cast<size_t>(num_steps) + 1, 0);
    for (int64_t i = 0; i < num_steps; ++i) {
      const int64_t width = 1 + static_cast<int64_t>(random() % 300);
      program.values.push_back(
          {std::to_string(i), ValueType{DType::fp32, {Symbol::T, width}}, ArenaSlot{}});
      const auto input = static_cast<int64_t>(random() % (static_cast<size_t>(i) + 1));
      program.steps.push_back({ops::Op::act, {input}, {i + 1}, {}});
      last_use[static_cast<size_t>(input)] = i;
      last_use[static_cast<size_t>(i) + 1] = i;
    }
    program.outputs = {num_steps};
    last_use[static_cast<size_t>(num_steps)] = num_steps;
    assign_arena(program, tokens(3));
    for (int64_t a = 1; a <= num_steps; ++a) {
      for (int64_t b = a + 1; b <= num_steps; ++b) {
        if (last_use[static_cast<size_t>(a)] < b - 1) continue;  // a died before b was written
        const auto bytes = [&](int64_t value) {
          return program.values[static_cast<size_t>(value)].type.dims[1].value * 3 * 4;
        };
        const int64_t begin_a = offset_of(program, static_cast<size_t>(a));
        const int64_t begin_b = offset_of(program, static_cast<size_t>(b));
        EXPECT_TRUE(begin_a + bytes(a) <= begin_b || begin_b + bytes(b) <= begin_a)
            << "round " << round << ": values " << a << " and " << b;
      }
    }
  }
}

}  // namespace
}  // namespace veloz::compiler
