// SPDX-License-Identifier: Apache-2.0
#include "runtime/step_inputs.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/numeric.h"

namespace veloz::runtime {
namespace {

constexpr size_t kInputAlignment = 64;

/// An array of the batch that a step's input takes, under the input's name.
std::span<const std::byte> batch_array(const Batch& batch, std::string_view name) {
  const auto bytes = [](const auto& array) { return std::as_bytes(std::span(array)); };
  if (name == "tokens") return bytes(batch.tokens);
  if (name == "positions") return bytes(batch.positions);
  if (name == "slots") return bytes(batch.slots);
  if (name == "q_starts") return bytes(batch.q_starts);
  if (name == "q_lens") return bytes(batch.q_lens);
  if (name == "kv_lens") return bytes(batch.kv_lens);
  if (name == "block_tables") return bytes(batch.block_tables);
  VELOZ_CHECK(name == "logit_rows", "a step supplies no input \"{}\"", name);
  return bytes(batch.logit_rows);
}

}  // namespace

StepInputs::StepInputs(const engine::Program& program, const ops::Binding& binding, Device& device)
    : program_(program), device_(device) {
  for (const int64_t input : program.inputs)
    names_.push_back(program.values[static_cast<size_t>(input)].name);
  offsets_.resize(names_.size());
  addresses_.resize(names_.size());
  // Each sequence is fed one token at most.
  const auto max_feeds = narrow<size_t>(binding[static_cast<size_t>(ops::Symbol::S)]);
  const size_t bytes = lay_out(binding) + max_feeds * sizeof(TokenFeed);
  for (Buffer& host : host_) host = device.allocate_host(bytes);
  on_device_ = device.allocate(bytes);
}

/// The offsets of all inputs; the bytes they take together.
size_t StepInputs::lay_out(const ops::Binding& binding) {
  size_t end = 0;
  for (size_t i = 0; i < names_.size(); ++i) {
    const ops::ValueType& type = program_.values[static_cast<size_t>(program_.inputs[i])].type;
    offsets_[i] = end;
    end += round_up(narrow<size_t>(type.bind(binding).num_elements()) * dtype_bytes(type.dtype),
                    kInputAlignment);
  }
  return end;
}

std::span<void* const> StepInputs::place(const ops::Binding& binding) {
  used_bytes_ = lay_out(binding);
  VELOZ_CHECK(used_bytes_ <= on_device_.bytes(), "inputs of {} bytes, {} were reserved",
              used_bytes_, on_device_.bytes());
  for (size_t i = 0; i < names_.size(); ++i)
    addresses_[i] = static_cast<std::byte*>(on_device_.data()) + offsets_[i];
  return addresses_;
}

void StepInputs::upload(const Batch& batch, Stream& stream) {
  turn_ = 1 - turn_;
  auto* const host = static_cast<std::byte*>(host_[turn_].data());
  for (size_t i = 0; i < names_.size(); ++i) {
    const std::span<const std::byte> bytes = batch_array(batch, names_[i]);
    const size_t end = i + 1 < names_.size() ? offsets_[i + 1] : used_bytes_;
    VELOZ_CHECK(offsets_[i] + bytes.size() <= end, "{} bytes of input \"{}\", {} have a place",
                bytes.size(), names_[i], end - offsets_[i]);
    if (!bytes.empty()) std::memcpy(host + offsets_[i], bytes.data(), bytes.size());
  }
  size_t bytes = used_bytes_;
  if (batch.sampled.data != nullptr) {
    const std::span<const std::byte> feeds = std::as_bytes(std::span(batch.feeds));
    bytes += feeds.size();
    VELOZ_CHECK(bytes <= on_device_.bytes(), "{} tokens are fed, more than sequences",
                batch.feeds.size());
    std::ranges::copy(feeds, host + used_bytes_);
  }
  device_.copy_in(stream, on_device_.data(), host, bytes);
}

TensorView StepInputs::tokens(const Batch& batch) const {
  const auto input = std::ranges::find(names_, "tokens");
  VELOZ_CHECK(input != names_.end(), "the program takes no tokens");
  return {
      addresses_[static_cast<size_t>(input - names_.begin())], DType::int32, {batch.num_tokens()}};
}

TensorView StepInputs::feeds(const Batch& batch) const {
  static_assert(sizeof(TokenFeed) == 2 * sizeof(int32_t));
  return {static_cast<std::byte*>(on_device_.data()) + used_bytes_,
          DType::int32,
          {std::ssize(batch.feeds), 2}};
}

}  // namespace veloz::runtime
