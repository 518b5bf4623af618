// SPDX-License-Identifier: Apache-2.0
#include "cuda/cudnn/sdpa_graph.h"

#include <array>
#include <optional>
#include <utility>

namespace veloz::cuda {
namespace {

using Dims = std::array<int64_t, 4>;

Dims packed(const Dims& d) { return {d[1] * d[2] * d[3], d[2] * d[3], d[3], 1}; }

/// Adds tensors and operations to the two lists. An index names a tensor.
class Builder {
 public:
  using Tensor = size_t;

  Builder(const CudnnApi& api, std::vector<CudnnDescriptor>& tensors)
      : api_(api), tensors_(tensors) {}

  struct Traits {
    cudnnDataType_t dtype = CUDNN_DATA_FLOAT;
    bool is_virtual = false;
    bool is_by_value = false;
    std::optional<Tensor> offsets = {};  // of entries
  };
  Tensor tensor(int64_t id, const Dims& dims, const Dims& strides, const Traits& traits) {
    constexpr int64_t kAlignment = 16;
    CudnnDescriptor t(api_, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    t.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, traits.dtype)
        .set(CUDNN_ATTR_TENSOR_DIMENSIONS, dims)
        .set(CUDNN_ATTR_TENSOR_STRIDES, strides)
        .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, id)
        .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, kAlignment)
        .set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, traits.is_virtual)
        .set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, traits.is_by_value);
    if (traits.offsets) t.set(CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC, tensors_[*traits.offsets]);
    tensors_.push_back(std::move(t.finalize("describing a tensor")));
    return tensors_.size() - 1;
  }
  Tensor named(SdpaTensor id, const Dims& dims, const Dims& strides, const Traits& traits) {
    return tensor(static_cast<int64_t>(id), dims, strides, traits);
  }
  Tensor between(const Dims& dims, const Dims& strides, cudnnDataType_t dtype = CUDNN_DATA_FLOAT) {
    return tensor(next_id_++, dims, strides, {.dtype = dtype, .is_virtual = true});
  }

  /// Of dtype `out`, in the shape of the scores, or `dims`.
  struct Pointwise {
    cudnnPointwiseMode_t mode;
    cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    cudnnDataType_t out = CUDNN_DATA_FLOAT;
    Dims dims;
    std::optional<int64_t> axis = {};
  };
  Tensor pointwise(const Pointwise& p, Tensor x, std::optional<Tensor> b = {},
                   std::optional<Tensor> t = {}) {
    const Tensor y = between(p.dims, packed(p.dims), p.out);
    CudnnDescriptor mode(api_, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    mode.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, p.mode)
        .set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, p.compute);
    if (p.axis) mode.set(CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, *p.axis);
    mode.finalize("describing a pointwise operation");
    CudnnDescriptor op(api_, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, mode)
        .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, tensors_[x])
        .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, tensors_[y]);
    if (b) op.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, tensors_[*b]);
    if (t) op.set(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, tensors_[*t]);
    add(std::move(mode), std::move(op));
    return y;
  }
  Tensor reduction(cudnnReduceTensorOp_t mode, const Dims& dims, Tensor x) {
    const Tensor y = between(dims, packed(dims));
    CudnnDescriptor how(api_, CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    how.set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, mode)
        .set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
        .finalize("describing a reduction");
    CudnnDescriptor op(api_, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, how)
        .set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, tensors_[x])
        .set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, tensors_[y]);
    add(std::move(how), std::move(op));
    return y;
  }
  struct Product {
    Tensor a, b, c;
    Tensor rows;  // real ones, on the device
    std::optional<Tensor> columns, depth;
    bool is_padded = false;
  };
  void matmul(const Product& p) {
    CudnnDescriptor how(api_, CUDNN_BACKEND_MATMUL_DESCRIPTOR);
    how.set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
    if (p.is_padded) how.set(CUDNN_ATTR_MATMUL_PADDING_VALUE, CUDNN_TYPE_DOUBLE, 0.0);
    how.finalize("describing a product");
    CudnnDescriptor op(api_, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_MATMUL_DESC, how)
        .set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, tensors_[p.a])
        .set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, tensors_[p.b])
        .set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, tensors_[p.c])
        .set(CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, tensors_[p.rows]);
    if (p.columns) op.set(CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, tensors_[*p.columns]);
    if (p.depth) op.set(CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, tensors_[*p.depth]);
    add(std::move(how), std::move(op));
  }
  void load_pages(Tensor container, Tensor tables, Tensor lens, Tensor y) {
    CudnnDescriptor op(api_, CUDNN_BACKEND_OPERATION_PAGED_CACHE_LOAD_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_CONTAINER_DESC, tensors_[container])
        .set(CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_PAGE_TABLE_DESC, tensors_[tables])
        .set(CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_SEQUENCE_DESC, tensors_[lens])
        .set(CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_YDESC, tensors_[y]);
    operations_.push_back(std::move(op.finalize("describing a paged cache")));
  }
  const std::vector<CudnnDescriptor>& operations() const { return operations_; }

 private:
  void add(CudnnDescriptor how, CudnnDescriptor op) {
    operations_.push_back(std::move(op.finalize("describing an operation")));
    tensors_.push_back(std::move(how));  // lives as long as they do
  }

  const CudnnApi& api_;
  std::vector<CudnnDescriptor>& tensors_;
  std::vector<CudnnDescriptor> operations_;
  int64_t next_id_ = 100;
};

using Tensor = Builder::Tensor;

/// What the operations read.
struct Operands {
  Tensor q, k, v, y, q_lens, kv_lens, tables, scale, hidden;
};

Operands operands_of(Builder& build, const SdpaShape& s) {
  const auto ints = [&](SdpaTensor id, int64_t count) {
    return build.named(id, {count, 1, 1, 1}, {1, 1, 1, 1}, {.dtype = CUDNN_DATA_INT32});
  };
  const auto value = [&](SdpaTensor id) {
    return build.named(id, {1, 1, 1, 1}, {1, 1, 1, 1}, {.is_by_value = true});
  };
  const auto rows = [&](SdpaTensor id, int64_t stride, Tensor offsets) {
    return build.named(id, {s.num_entries, s.num_heads, s.chunk_rows, s.head_dim},
                       {s.chunk_rows * stride, s.head_dim, stride, 1},
                       {.dtype = CUDNN_DATA_BFLOAT16, .offsets = offsets});
  };
  const auto pages = [&](SdpaTensor id) {
    const int64_t head = s.block_size * s.head_dim;
    return build.named(id, {s.num_blocks, s.num_kv_heads, s.block_size, s.head_dim},
                       {2 * s.num_kv_heads * head, head, s.head_dim, 1},
                       {.dtype = CUDNN_DATA_BFLOAT16});
  };
  const Tensor q_offsets = ints(SdpaTensor::q_offsets, s.num_entries + 1);
  const Tensor y_offsets = ints(SdpaTensor::y_offsets, s.num_entries + 1);
  return {
      .q = rows(SdpaTensor::q, s.q_stride, q_offsets),
      .k = pages(SdpaTensor::k),
      .v = pages(SdpaTensor::v),
      .y = rows(SdpaTensor::y, s.y_stride, y_offsets),
      .q_lens = ints(SdpaTensor::q_lens, s.num_entries),
      .kv_lens = ints(SdpaTensor::kv_lens, s.num_entries),
      .tables = build.named(SdpaTensor::tables, {s.num_entries, 1, s.table_columns, 1},
                            {s.table_columns, s.table_columns, 1, 1}, {.dtype = CUDNN_DATA_INT32}),
      .scale = value(SdpaTensor::scale),
      .hidden = value(SdpaTensor::hidden)};
}

/// Scores with what a row does not see replaced: padding, then what comes after it.
Tensor mask(Builder& build, const Dims& scores, const Operands& o, Tensor x) {
  const auto index = [&](int64_t axis) {
    return build.pointwise({.mode = CUDNN_POINTWISE_GEN_INDEX,
                            .compute = CUDNN_DATA_INT32,
                            .out = CUDNN_DATA_INT32,
                            .dims = scores,
                            .axis = axis},
                           x);
  };
  const auto integers = [&](cudnnPointwiseMode_t mode, Tensor a, Tensor b) {
    return build.pointwise(
        {.mode = mode, .compute = CUDNN_DATA_INT32, .out = CUDNN_DATA_INT32, .dims = scores}, a, b);
  };
  const auto truth = [&](cudnnPointwiseMode_t mode, Tensor a, Tensor b) {
    return build.pointwise(
        {.mode = mode, .compute = CUDNN_DATA_BOOLEAN, .out = CUDNN_DATA_BOOLEAN, .dims = scores}, a,
        b);
  };
  const auto where = [&](Tensor is_seen) {
    return build.pointwise({.mode = CUDNN_POINTWISE_BINARY_SELECT, .dims = scores}, x, o.hidden,
                           is_seen);
  };
  constexpr int64_t kRowAxis = 2;
  constexpr int64_t kColumnAxis = 3;
  const Tensor row = index(kRowAxis);
  const Tensor column = index(kColumnAxis);
  const Tensor is_row = truth(CUDNN_POINTWISE_CMP_LT, row, o.q_lens);
  const Tensor is_column = truth(CUDNN_POINTWISE_CMP_LT, column, o.kv_lens);
  x = where(truth(CUDNN_POINTWISE_LOGICAL_AND, is_row, is_column));
  const Tensor next_row = index(kRowAxis);
  const Tensor next_column = index(kColumnAxis);
  const Tensor position =
      integers(CUDNN_POINTWISE_SUB, integers(CUDNN_POINTWISE_ADD, next_row, o.kv_lens), o.q_lens);
  return where(truth(CUDNN_POINTWISE_CMP_GE, position, next_column));
}

Tensor softmax(Builder& build, const Dims& scores, Tensor x) {
  const Dims per_row = {scores[0], scores[1], scores[2], 1};
  const Tensor maximum = build.reduction(CUDNN_REDUCE_TENSOR_MAX, per_row, x);
  const Tensor shifted = build.pointwise({.mode = CUDNN_POINTWISE_SUB, .dims = scores}, x, maximum);
  const Tensor weight = build.pointwise({.mode = CUDNN_POINTWISE_EXP, .dims = scores}, shifted);
  const Tensor sum = build.reduction(CUDNN_REDUCE_TENSOR_ADD, per_row, weight);
  return build.pointwise({.mode = CUDNN_POINTWISE_DIV, .out = CUDNN_DATA_BFLOAT16, .dims = scores},
                         weight, sum);
}

}  // namespace

SdpaGraph::SdpaGraph(const CudnnApi& api, const SdpaShape& s, cudnnHandle_t handle)
    : graph_(api, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
  Builder build(api, parts_);
  const Operands o = operands_of(build, s);
  const int64_t positions = s.max_positions();
  const Dims scores = {s.num_entries, s.num_heads, s.chunk_rows, positions};
  const Dims values = {s.num_entries, s.num_kv_heads, positions, s.head_dim};
  const Dims keys = {s.num_entries, s.num_kv_heads, s.head_dim, positions};
  const Dims along = packed(values);

  const Tensor k =
      build.between(keys, {along[0], along[1], along[3], along[2]}, CUDNN_DATA_BFLOAT16);
  build.load_pages(o.k, o.tables, o.kv_lens, k);
  const Tensor products = build.between(scores, packed(scores));
  build.matmul({.a = o.q,
                .b = k,
                .c = products,
                .rows = o.q_lens,
                .columns = o.kv_lens,
                .depth = {},
                .is_padded = true});
  Tensor x = build.pointwise({.mode = CUDNN_POINTWISE_MUL, .dims = scores}, products, o.scale);
  x = softmax(build, scores, mask(build, scores, o, x));
  const Tensor v = build.between(values, along, CUDNN_DATA_BFLOAT16);
  build.load_pages(o.v, o.tables, o.kv_lens, v);
  build.matmul({.a = x, .b = v, .c = o.y, .rows = o.q_lens, .columns = {}, .depth = o.kv_lens});

  graph_.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, build.operations());
  if (handle != nullptr) graph_.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle);
  // One kernel is compiled for all numbers of entries and columns, strides and caches.
  graph_.set(CUDNN_ATTR_OPERATIONGRAPH_IS_DYNAMIC_SHAPE_ENABLED, CUDNN_TYPE_BOOLEAN, true);
  graph_.finalize("stating attention");
}

}  // namespace veloz::cuda
