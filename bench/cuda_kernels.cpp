// SPDX-License-Identifier: Apache-2.0
// Speeds of the CUDA back end's kernels, one JSON object a line, each held against the bandwidth of
// a copy measured in the same run. A case that fails is reported and the next one runs; where it
// takes the device along, the program ends with kDeviceLost, and --first-case goes on behind it.

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/fp8.h"
#include "bench/cuda_cases.h"
#include "bench/cuda_machine.h"
#include "cuda/kernels.h"
#include "ops/element.h"

namespace veloz::bench {
namespace {

using nlohmann::ordered_json;

constexpr int kDeviceLost = 3;     // exit code
constexpr int kCaseSeconds = 30;   // a case that takes longer hangs
constexpr double kCacheTimes = 4;  // operands of successive calls are this many L2 caches
constexpr int64_t kMostSets = 32;
constexpr double kLargestSets = 8e9;  // bytes

struct Options {
  int device = 0;
  int first_case = 0;
  int runs = 7;
  double budget_seconds = 120;
  size_t memory_mib = size_t{40} << 10;
  double graph_ms = 3;
  std::string only;  // benches, with commas between
  bool is_quick = false;
  bool is_dry_run = false;
};

void print(const ordered_json& row) {
  fmt::print("{}\n", row.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
  std::fflush(stdout);
}

/// The row of a case that never came back, for the signal handler, which may not format.
char hang_row[256];
void end_hanging_case(int) {
  [[maybe_unused]] const ssize_t written = write(STDOUT_FILENO, hang_row, std::strlen(hang_row));
  _exit(kDeviceLost);
}

ops::ValueType type_of(const TensorView& view) {
  ops::ValueType type{view.dtype, {}};
  for (const int64_t extent : view.shape.dims()) type.dims.emplace_back(extent);
  return type;
}

size_t bytes_of(const CaseOperand& operand) {
  const int64_t rows = operand.shape.rank() > 1 ? operand.shape[0] : 1;
  return operand.row_stride == 0
             ? static_cast<size_t>(operand.shape.num_elements()) * dtype_bytes(operand.dtype)
             : static_cast<size_t>(rows * operand.row_stride) * dtype_bytes(operand.dtype);
}

/// A case's operands, for several calls, so that successive ones find nothing in the cache. Without
/// a machine they are only shapes.
class CaseRun {
 public:
  CaseRun(const CudaCase& c, const ops::KernelRegistry& registry, CudaMachine* machine)
      : c_(c), machine_(machine) {
    const std::vector<TensorView> shapes = inputs(nullptr, 1);
    for (const TensorView& view : shapes) input_types_.push_back(type_of(view));
    output_types_ = ops::op_def(c.op).infer({.inputs = input_types_, .attrs = c.attrs});
    kernel_ =
        c.kernel ? &*c.kernel : &registry.choose({c.op, input_types_, output_types_, c.attrs});
    cost_ = c.cost ? c.cost(call_of(shapes, outputs(nullptr, shapes)))
                   : ops::op_def(c.op).cost(call_of(shapes, outputs(nullptr, shapes)));
    if (machine == nullptr) return;
    allocate();
  }

  std::string_view kernel() const { return kernel_->name; }
  const ops::Cost& cost() const { return cost_; }
  int64_t num_sets() const { return static_cast<int64_t>(sets_.size()); }
  bool is_cold() const {
    return cost_.bytes * static_cast<double>(num_sets()) >
           2 * static_cast<double>(machine_->facts().l2_bytes);
  }

  void run(int64_t call_idx) {
    const Set& set = sets_[static_cast<size_t>(call_idx % num_sets())];
    ops::OpContext context{.stream = &machine_->stream(), .workspace = workspace_};
    kernel_->run(context, call_of(set.inputs, set.outputs));
  }

  /// Runs into poisoned outputs: every number must have been written, and be finite.
  std::string check() {
    const Set& set = sets_[0];
    const size_t first = num_states();
    for (size_t i = first; i < set.outputs.size(); ++i)
      cuda::check(cudaMemsetAsync(set.outputs[i].data, 0xff, set.outputs[i].num_bytes(),
                                  machine_->stream().handle()),
                  "poisoning outputs");
    run(0);
    machine_->stream().synchronize();
    for (size_t i = first; i < set.outputs.size(); ++i)
      if (const std::string wrong = wrong_in(set.outputs[i]); !wrong.empty())
        return fmt::format("output {}: {}", i, wrong);
    return {};
  }

 private:
  struct Set {
    std::vector<TensorView> inputs;
    std::vector<TensorView> outputs;
  };

  /// Of the outputs, which are the first input.
  size_t num_states() const { return ops::op_def(c_.op).threads_state ? 1 : 0; }

  ops::OpCall call_of(const std::vector<TensorView>& inputs,
                      const std::vector<TensorView>& outputs) const {
    return {.inputs = inputs, .outputs = outputs, .attrs = c_.attrs};
  }

  /// `next` gives memory for operand i; null: none.
  std::vector<TensorView> inputs(const std::function<void*(const CaseOperand&)>& next,
                                 int64_t num_blocks) const {
    std::vector<TensorView> views;
    for (const CaseOperand& operand : c_.inputs) {
      Shape shape = operand.shape;
      if (operand.content == Content::cache) shape[0] = num_blocks;
      TensorView view(next ? next(operand) : nullptr, operand.dtype, shape);
      if (operand.row_stride != 0) view.row_stride = operand.row_stride;
      views.push_back(view);
    }
    return views;
  }
  std::vector<TensorView> outputs(const std::function<void*(size_t bytes)>& next,
                                  const std::vector<TensorView>& inputs) const {
    std::vector<TensorView> views;
    for (const ops::ValueType& type : output_types_) {
      TensorView view(nullptr, type.dtype, type.bind({}));
      if (views.size() < num_states())
        view.data = inputs[0].data;
      else if (next)
        view.data = next(view.num_bytes());
      views.push_back(view);
    }
    return views;
  }

  void allocate() {
    machine_->release();
    std::span<std::byte> pool;
    int64_t num_blocks = 0;
    double set_bytes = 0;
    for (const CaseOperand& operand : c_.inputs) {
      if (operand.content != Content::cache) {
        set_bytes += static_cast<double>(bytes_of(operand));
        continue;
      }
      pool = machine_->pool(operand.dtype);
      num_blocks = static_cast<int64_t>(pool.size() / bytes_of(operand));
      if (num_blocks < c_.num_blocks)
        throw Error(ErrorKind::out_of_memory, fmt::format("the pool has {} blocks, this needs {}",
                                                          num_blocks, c_.num_blocks));
    }
    for (size_t i = num_states(); i < output_types_.size(); ++i)
      set_bytes += static_cast<double>(output_types_[i].bind({}).num_elements()) *
                   static_cast<double>(dtype_bytes(output_types_[i].dtype));
    const double wanted =
        kCacheTimes * static_cast<double>(machine_->facts().l2_bytes) / cost_.bytes;
    const double most = std::max(1.0, kLargestSets / set_bytes);
    const auto num_sets = static_cast<int64_t>(
        std::clamp(std::ceil(wanted), 1.0, std::min(most, static_cast<double>(kMostSets))));
    for (int64_t i = 0; i < num_sets; ++i) sets_.push_back(make_set(i, pool, num_blocks));
    if (kernel_->workspace_bytes == nullptr) return;
    const size_t bytes = kernel_->workspace_bytes(call_of(sets_[0].inputs, sets_[0].outputs), 1);
    workspace_ = {static_cast<std::byte*>(machine_->zeros(bytes)), bytes};
  }

  Set make_set(int64_t call_idx, std::span<std::byte> pool, int64_t num_blocks) {
    Set set;
    set.inputs = inputs(
        [&](const CaseOperand& operand) -> void* {
          if (operand.content == Content::cache) return pool.data();
          if (operand.content == Content::random)
            return machine_->random(operand.dtype, bytes_of(operand));
          const std::vector<std::byte> bytes = operand.list(call_idx, num_blocks);
          void* const memory = machine_->take(bytes.size());
          machine_->upload(memory, bytes);
          return memory;
        },
        num_blocks);
    // A cache that is written is the pool whatever its shape says.
    if (num_blocks > 0)
      for (size_t i = 0; i < num_states(); ++i) output_types_[i].dims[0] = num_blocks;
    set.outputs = outputs([&](size_t bytes) { return machine_->take(bytes); }, set.inputs);
    return set;
  }

  std::string wrong_in(const TensorView& output) const {
    constexpr size_t kMostBytes = size_t{32} << 20;
    const std::vector<std::byte> bytes =
        machine_->download(output.data, std::min(output.num_bytes(), kMostBytes));
    const auto count = static_cast<int64_t>(bytes.size() / dtype_bytes(output.dtype));
    const TensorView host(const_cast<std::byte*>(bytes.data()), output.dtype, {1, count});
    for (int64_t i = 0; i < count; ++i) {
      double x = 0;
      if (output.dtype == DType::int32)
        x = host.as<const int32_t>()[i] < 0 ? NAN : 0;  // -1 is the poison
      else if (output.dtype == DType::fp8_e4m3)
        x = static_cast<float>(host.as<const Fp8E4M3>()[i]);
      else if (output.dtype == DType::fp32 || output.dtype == DType::bf16)
        x = ops::load_element(host, 0, i);
      if (!std::isfinite(x)) return fmt::format("element {} is {} or unwritten", i, x);
    }
    return {};
  }

  const CudaCase& c_;
  CudaMachine* machine_;
  std::vector<ops::ValueType> input_types_, output_types_;
  const ops::Kernel* kernel_ = nullptr;
  ops::Cost cost_;
  std::vector<Set> sets_;
  std::span<std::byte> workspace_;
};

double quantile(std::vector<double> values, double q) {
  std::ranges::sort(values);
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

void add_times(ordered_json& row, const CaseRun& run, const CudaCase& c,
               const std::vector<double>& times, double copy_bandwidth) {
  const double s = quantile(times, 0.5);
  row["kernel"] = run.kernel();
  row["runs"] = times.size();
  row["sets"] = run.num_sets();
  row["is_cold"] = run.is_cold();
  row["median_us"] = s * 1e6;
  row["p10_us"] = quantile(times, 0.1) * 1e6;
  row["p90_us"] = quantile(times, 0.9) * 1e6;
  row["gb_per_s"] = run.cost().bytes / s * 1e-9;
  row["tflops"] = run.cost().flops / s * 1e-12;
  row["tokens_per_s"] = c.tokens / s;
  row["against"] = "measured_copy_bandwidth";
  row["ratio"] = run.cost().bytes / s / copy_bandwidth;
}

bool is_wanted(const Options& options, const std::string& bench) {
  const std::string benches = "," + options.only + ",";
  return options.only.empty() || benches.find("," + bench + ",") != std::string::npos;
}

/// Runs one case into `row`; false where the device is lost.
bool run_case(const CudaCase& c, const Options& options, CudaMachine& machine,
              const ops::KernelRegistry& registry, double copy_bandwidth, ordered_json& row) {
  try {
    CaseRun run(c, registry, &machine);
    if (const std::string wrong = run.check(); !wrong.empty()) row["error"] = wrong;
    add_times(row, run, c,
              machine.time([&](int64_t call_idx) { run.run(call_idx); }, options.runs,
                           options.graph_ms * 1e-3),
              copy_bandwidth);
  } catch (const Error& e) {
    row["error"] = e.message();
    return machine.recover();
  }
  return true;
}

/// What can be said of the cases without a GPU: their types, costs and kernels.
int dry_run(const std::vector<CudaCase>& cases, const Options& options) {
  const ops::KernelRegistry registry = cuda::make_registry();
  bool are_possible = true;
  for (size_t i = 0; i < cases.size(); ++i) {
    const CudaCase& c = cases[i];
    if (!is_wanted(options, c.bench)) continue;
    ordered_json row = {{"case", i}, {"bench", c.bench}, {"shape", c.shape}};
    try {
      const CaseRun run(c, registry, nullptr);
      row["kernel"] = run.kernel();
      row["bytes"] = run.cost().bytes;
      row["flops"] = run.cost().flops;
    } catch (const Error& e) {
      row["error"] = e.message();
      are_possible = are_possible && e.kind() == ErrorKind::unsupported;
    }
    print(row);
  }
  return are_possible ? 0 : 1;
}

int run_all(const Options& options) {
  const std::vector<CudaCase> cases = cuda_cases(options.is_quick);
  if (options.is_dry_run) return dry_run(cases, options);
  const auto start = std::chrono::steady_clock::now();
  signal(SIGALRM, end_hanging_case);
  CudaMachine machine(options.device, options.memory_mib << 20);
  const ops::KernelRegistry registry = cuda::make_registry();
  const double copy_bandwidth = machine.copy_bandwidth();
  print({{"bench", "peaks"},
         {"device", machine.facts().name},
         {"driver_version", machine.facts().driver_version},
         {"runtime_version", machine.facts().runtime_version},
         {"copy_gb_per_s", copy_bandwidth * 1e-9},
         {"read_gb_per_s", machine.read_bandwidth() * 1e-9}});
  for (size_t i = static_cast<size_t>(options.first_case); i < cases.size(); ++i) {
    const CudaCase& c = cases[i];
    if (!is_wanted(options, c.bench)) continue;
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    if (passed.count() > options.budget_seconds) {
      print({{"bench", "stopped"}, {"why", "budget"}, {"case", i}, {"num_cases", cases.size()}});
      return 0;
    }
    ordered_json row = {{"case", i}, {"bench", c.bench}, {"shape", c.shape}};
    std::snprintf(hang_row, sizeof(hang_row),
                  "{\"case\": %zu, \"bench\": \"%s\", \"shape\": \"%s\", \"error\": \"hangs\"}\n",
                  i, c.bench.c_str(), c.shape.c_str());
    alarm(kCaseSeconds);
    const bool works = run_case(c, options, machine, registry, copy_bandwidth, row);
    alarm(0);
    print(row);
    if (!works) return kDeviceLost;
  }
  return 0;
}

}  // namespace
}  // namespace veloz::bench

int main(int argc, char** argv) {
  CLI::App app("Speeds of the CUDA kernels, one JSON object a line");
  veloz::bench::Options options;
  app.add_option("--device", options.device, "GPU")->capture_default_str();
  app.add_option("--only", options.only,
                 "decode, decode_beams, decode_plans, prefill, sample, add_rms_norm_fp8, ...: with "
                 "commas between");
  app.add_option("--first-case", options.first_case, "Number of the case to begin with");
  app.add_option("--runs", options.runs, "Replays of each case, medians are reported")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--graph-ms", options.graph_ms, "Length of one replay")->capture_default_str();
  app.add_option("--budget-seconds", options.budget_seconds, "Begin no case after these")
      ->capture_default_str();
  app.add_option("--memory-mib", options.memory_mib, "GPU memory to take at most")
      ->capture_default_str();
  app.add_flag("--quick", options.is_quick, "A few cases of each kind");
  app.add_flag("--dry-run", options.is_dry_run, "Check the cases without a GPU");
  CLI11_PARSE(app, argc, argv);
  try {
    return veloz::bench::run_all(options);
  } catch (const veloz::Error& e) {
    fmt::print(stderr, "error: {}\nhint: {}\n", e.message(), e.hint());
    return 2;
  }
}
