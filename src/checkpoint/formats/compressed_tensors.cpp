// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/numeric.h"
#include "checkpoint/formats/compressed_tensors_config.h"
#include "checkpoint/formats/format_reader.h"
#include "checkpoint/formats/row_linear.h"
#include "checkpoint/formats/scheme_rules.h"

// compressed-tensors, as llm-compressor writes it. Of each linear, codes either as `weight` of I8
// or F8_E4M3, or as `weight_packed` with `weight_shape`; `weight_scale` per tensor, channel, group
// or block; `weight_zero_point` where not symmetric; `weight_g_idx` of act-order; `input_scale` of
// fixed activations.
namespace veloz::checkpoint {
namespace {

using Strategy = QuantArgs::Strategy;

int64_t group_of(const QuantArgs& args, int64_t columns) {
  if (args.strategy == Strategy::group) return normalized_group(args.group_size, columns);
  if (args.strategy == Strategy::block) return normalized_group(args.block_columns, columns);
  return 0;
}

/// One linear being read: which parts there are, and what they say.
class LinearParser {
 public:
  LinearParser(const ModuleTensors& tensors, const QuantGroup& group)
      : tensors_(tensors), weights_(group.weights), activations_(group.input_activations) {
    layout_.scale = tensors.name("weight_scale");
  }

  std::unique_ptr<StoredLinear> parse() {
    if (tensors_.find("weight_packed"))
      parse_packed();
    else
      parse_plain();
    parse_scheme();
    check_scheme(tensors_.module(), scheme_, columns_);
    parse_scales();
    if (scheme_.has_zeros) parse_zeros();
    std::vector<int32_t> permutation = parse_permutation();
    scheme_.has_permutation = !permutation.empty();
    return std::make_unique<RowLinear>(
        tensors_.files(),
        StoredLinear::Facts{tensors_.module(), scheme_, rows_, columns_, std::move(permutation)},
        layout_);
  }

 private:
  bool is_packed() const { return layout_.codes == RowLinear::Codes::packed; }
  int64_t num_groups() const { return scheme_.group == 0 ? 1 : columns_ / scheme_.group; }

  void parse_plain() {
    const Shape shape =
        tensors_.require("weight", {weights_.is_float ? DType::fp8_e4m3 : DType::int8}).shape;
    rows_ = shape[0];
    columns_ = shape[1];
    layout_.weight = tensors_.name("weight");
    if (weights_.bits == 4) layout_.codes = RowLinear::Codes::int4_in_int8;
  }

  void parse_packed() {
    if (weights_.is_float)
      throw Error(ErrorKind::unsupported,
                  fmt::format("\"{}\" packs weights of type float, which is not supported",
                              tensors_.name("weight_packed")),
                  "supported: packed weights of type int with 4 or 8 bits");
    const Shape packed = tensors_.require("weight_packed", {DType::int32}).shape;
    tensors_.require("weight_shape", {DType::int64, DType::int32}, Shape{2});
    const auto [rows, columns] = read_shape();
    if (packed != Shape{rows, ceil_div(columns * weights_.bits, 32)})
      tensors_.refuse_shape(
          "weight_packed", packed,
          fmt::format("[{}, {}] for [{}, {}] of {} bits", rows,
                      ceil_div(columns * weights_.bits, 32), rows, columns, weights_.bits));
    rows_ = rows;
    columns_ = columns;
    layout_.weight = tensors_.name("weight_packed");
    layout_.codes = RowLinear::Codes::packed;
  }

  std::pair<int64_t, int64_t> read_shape() const {
    constexpr int64_t kMaxExtent = int64_t{1} << 31;
    std::array<int64_t, 2> extents{};
    if (tensors_.find("weight_shape")->dtype == DType::int32)
      std::ranges::copy(tensors_.read_int32s("weight_shape"), extents.begin());
    else
      tensors_.files().read_rows(tensors_.name("weight_shape"), 0, 2,
                                 std::as_writable_bytes(std::span(extents)));
    for (const int64_t extent : extents)
      if (extent < 1 || extent > kMaxExtent)
        throw Error(
            ErrorKind::corrupt_data,
            fmt::format("tensor \"{}\" holds the extent {}", tensors_.name("weight_shape"), extent),
            "the checkpoint is damaged; fetch it again");
    return {extents[0], extents[1]};
  }

  void parse_scheme() {
    scheme_.weight = weights_.is_float    ? DType::fp8_e4m3
                     : weights_.bits == 4 ? DType::uint4x2
                                          : DType::int8;
    scheme_.group = group_of(weights_, columns_);
    scheme_.has_zeros = !weights_.is_symmetric;
    if (!activations_) return;
    scheme_.activation = activations_->is_float ? DType::fp8_e4m3 : DType::int8;
    scheme_.activation_group = group_of(*activations_, columns_);
    if (!activations_->is_dynamic) scheme_.input_scale = tensors_.read_scale("input_scale");
  }

  void parse_scales() {
    const std::initializer_list<DType> dtypes = {DType::bf16, DType::fp16, DType::fp32};
    // quantized_linear reads fp32 scales of 8-bit weights alone.
    const DType stored = tensors_.require("weight_scale", dtypes).dtype;
    const bool keeps_dtype = !scheme_.activation || scheme_.weight == DType::uint4x2;
    scheme_.scale_dtype = keeps_dtype ? stored : DType::fp32;
    switch (weights_.strategy) {
      case Strategy::tensor:
      case Strategy::channel:
        layout_.rows_per_scale = rows_per_scale(tensors_, "weight_scale", rows_);
        return;
      case Strategy::block:
        tensors_.require(
            "weight_scale", dtypes,
            {ceil_div(rows_, weights_.block_rows), ceil_div(columns_, weights_.block_columns)});
        layout_.rows_per_scale = weights_.block_rows;
        return;
      case Strategy::group:
      case Strategy::token:  // refused with the config
        tensors_.require("weight_scale", dtypes, {rows_, num_groups()});
        return;
    }
  }

  void parse_zeros() {
    layout_.zero = tensors_.name("weight_zero_point");
    const TensorInfo info = tensors_.require("weight_zero_point", {DType::int8, DType::int32});
    if (info.dtype == DType::int32 && is_packed()) {
      layout_.zeros = RowLinear::Zeros::packed;
      tensors_.require("weight_zero_point", {DType::int32},
                       {ceil_div(rows_ * weights_.bits, 32), num_groups()});
      return;
    }
    layout_.zeros = RowLinear::Zeros::int8;
    tensors_.require("weight_zero_point", {DType::int8}, {rows_, num_groups()});
  }

  std::vector<int32_t> parse_permutation() const {
    const bool is_needed = weights_.has_order && scheme_.group != 0;
    if (!is_needed && !tensors_.find("weight_g_idx")) return {};
    tensors_.require("weight_g_idx", {DType::int32}, {columns_});
    const std::vector<int32_t> group_of_column = tensors_.read_int32s("weight_g_idx");
    // Columns as they are, written out.
    if (std::ranges::all_of(group_of_column, [](int32_t group) { return group == -1; })) return {};
    if (!is_packed())
      throw Error(ErrorKind::unsupported,
                  fmt::format("tensor \"{}\" orders columns of a weight that is not packed",
                              tensors_.name("weight_g_idx")),
                  "supported: act-order of packed weights");
    return permutation_of(tensors_.name("weight_g_idx"), group_of_column,
                          scheme_.group == 0 ? columns_ : scheme_.group);
  }

  const ModuleTensors& tensors_;
  const QuantArgs& weights_;
  const std::optional<QuantArgs>& activations_;
  LinearScheme scheme_;
  RowLinear::Layout layout_;
  int64_t rows_ = 0;
  int64_t columns_ = 0;
};

/// Modules whose tensors say that they are quantized.
std::vector<std::string> find_quantized(const Checkpoint& files) {
  std::vector<std::string> modules = modules_with(files, "weight_packed");
  for (const DType dtype : {DType::fp8_e4m3, DType::int8}) {
    const std::vector<std::string> plain = modules_with(files, "weight", dtype);
    modules.insert(modules.end(), plain.begin(), plain.end());
  }
  return modules;
}

}  // namespace

FormatContent read_compressed_tensors(const FormatInput& input) {
  const CompressedTensorsConfig config = parse_compressed_tensors_config(input.config);
  FormatContent content;
  for (const std::string& module : find_quantized(input.files)) {
    const ModuleTensors tensors(input.files, module);
    const QuantGroup* const group = config.find(module);
    if (group == nullptr)
      throw Error(
          ErrorKind::invalid_input,
          fmt::format("\"{}\" has quantized weights, but the quantization config ignores it "
                      "or has no group for it",
                      module),
          "weights and quantization config disagree; check that both come from the same "
          "revision");
    content.linears[module] = LinearParser(tensors, *group).parse();
  }
  if (config.has_fp8_kv_cache) {
    content.kv_cache = DType::fp8_e4m3;
    content.kv_scales = read_kv_scales(input);
  }
  if (!config.groups.empty() || !config.has_fp8_kv_cache)
    require_modules(content, "compressed-tensors",
                    "a weight of F8_E4M3 or I8, or a tensor \"weight_packed\"");
  return content;
}

}  // namespace veloz::checkpoint
