// SPDX-License-Identifier: Apache-2.0
// Times our linears on a GPU against cuBLASLt, both against the device's own limits, on the weights
// of two Llamas.

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/median.h"
#include "bench/cuda_gemm_case.h"
#include "cuda/cublaslt/gemm.h"
#include "cuda/device.h"

namespace veloz::bench {
namespace {

using nlohmann::json;

constexpr DType kFp8 = DType::fp8_e4m3;
constexpr DType kBf16 = DType::bf16;
constexpr GemmShape kShapes[] = {
    {"llama-2-70b", "qkv", 10240, 8192, kFp8, kBf16},
    {"llama-2-70b", "o", 8192, 8192, kFp8, kBf16},
    {"llama-2-70b", "gate_up", 57344, 8192, kFp8, kBf16},
    {"llama-2-70b", "down", 8192, 28672, kFp8, kBf16},
    {"llama-2-70b", "lm_head", 32000, 8192, kBf16, DType::fp32},
    {"llama-3.1-8b", "qkv", 6144, 4096, kFp8, kBf16},
    {"llama-3.1-8b", "o", 4096, 4096, kFp8, kBf16},
    {"llama-3.1-8b", "gate_up", 28672, 4096, kFp8, kBf16},
    {"llama-3.1-8b", "down", 4096, 14336, kFp8, kBf16},
    {"llama-3.1-8b", "lm_head", 128256, 4096, kBf16, DType::fp32},
};
constexpr int64_t kTokens[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192};
/// First for every weight: if time runs out, each regime was seen.
constexpr int64_t kTellingTokens[] = {1, 16, 128, 1024, 8192};
constexpr int64_t kQuickTokens[] = {1, 64, 2048};
constexpr int64_t kPeakExtent = 8192;
constexpr int kLostDevice = 3;  // exit code of a child

struct Options {
  int device = 0;
  std::string json_file;
  double budget_seconds = 60;
  bool is_quick = false;
  std::vector<int64_t> tokens;
  std::string filter;
  std::string kernel;
  std::vector<std::string> library_directories;
  bool is_precise = false;
};

std::string name_of(const GemmCase& c) {
  return fmt::format("{} {} t={}", c.shape.model, c.shape.name, c.tokens);
}

template <typename List>
bool contains(const List& list, int64_t value) {
  return std::ranges::find(list, value) != std::end(list);
}

/// What tells most comes first.
std::vector<GemmCase> list_cases(const Options& options) {
  std::vector<int64_t> rounds[2];
  for (const int64_t tokens : kTokens) {
    if (!options.tokens.empty() ? contains(options.tokens, tokens)
                                : !options.is_quick || contains(kQuickTokens, tokens))
      rounds[contains(kTellingTokens, tokens) || options.is_quick ? 0 : 1].push_back(tokens);
  }
  for (const int64_t tokens : options.tokens)
    if (!contains(kTokens, tokens)) rounds[1].push_back(tokens);
  std::vector<GemmCase> cases;
  for (const std::string_view model : {"llama-2-70b", "llama-3.1-8b"}) {
    if (options.is_quick && options.filter.empty() && model != "llama-2-70b") continue;
    for (const std::vector<int64_t>& round : rounds)
      for (const GemmShape& shape : kShapes)
        for (const int64_t tokens : round) {
          GemmCase c{.shape = shape, .tokens = tokens, .ours = {}, .library = {}};
          if (shape.model == model && name_of(c).find(options.filter) != std::string::npos)
            cases.push_back(std::move(c));
        }
  }
  return cases;
}

/// Appends lines to a file, each at once: what was measured survives whatever comes next.
class JsonLines {
 public:
  JsonLines(const std::string& path, json common) : common_(std::move(common)) {
    if (path.empty()) return;
    file_ = std::fopen(path.c_str(), "a");
    if (file_ == nullptr)
      throw Error(ErrorKind::io, fmt::format("cannot append to \"{}\"", path), "check the path");
  }
  ~JsonLines() {
    if (file_ != nullptr) std::fclose(file_);
  }
  JsonLines(const JsonLines&) = delete;
  JsonLines& operator=(const JsonLines&) = delete;

  void write(json row) {
    if (file_ == nullptr) return;
    row.update(common_);
    fmt::print(file_, "{}\n", row.dump(-1, ' ', false, json::error_handler_t::replace));
    std::fflush(file_);
  }

 private:
  json common_;
  std::FILE* file_ = nullptr;
};

double quantile(std::vector<double> values, double q) {
  std::ranges::sort(values);
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1) + 0.5)];
}

struct Work {
  double flops;
  double bytes;  // that must move: operands once, scales and result
};

Work work_of(const GemmCase& c) {
  const auto t = static_cast<double>(c.tokens), n = static_cast<double>(c.shape.n),
             k = static_cast<double>(c.shape.k);
  const auto element = static_cast<double>(dtype_bytes(c.shape.operands));
  const auto out = static_cast<double>(dtype_bytes(c.shape.out));
  const double scales = c.shape.operands == kFp8 ? 4 * (t + n) : 0;
  return {2 * t * n * k, element * (n * k + t * k) + out * t * n + scales};
}

json to_json(const GemmResult& result, const Work& work) {
  json object = {{"kernel", result.kernel}};
  if (!result.failure.empty()) object["failure"] = result.failure;
  if (result.is_invariant) object["is_batch_invariant"] = *result.is_invariant;
  if (result.num_candidates > 0) object["candidates"] = result.num_candidates;
  object["is_right"] = result.is_right;
  object["error"] = result.error;
  if (result.seconds.empty()) return object;
  const double seconds = median(result.seconds);
  object["samples"] = result.seconds.size();
  object["is_graph"] = result.is_graph;
  object["median_us"] = seconds * 1e6;
  object["p10_us"] = quantile(result.seconds, 0.1) * 1e6;
  object["p90_us"] = quantile(result.seconds, 0.9) * 1e6;
  object["gb_s"] = work.bytes / seconds * 1e-9;
  object["tflop_s"] = work.flops / seconds * 1e-12;
  return object;
}

std::string to_text(const GemmResult& result, const Work& work) {
  if (result.seconds.empty()) return fmt::format("{:>34}", "-");
  const double seconds = median(result.seconds);
  return fmt::format("{:9.1f} us {:6.0f} GB/s {:6.0f} TF/s{}", seconds * 1e6,
                     work.bytes / seconds * 1e-9, work.flops / seconds * 1e-12,
                     result.is_right ? " " : "!");
}

void report(const GemmCase& c, JsonLines& lines) {
  const Work work = work_of(c);
  json row = {{"bench", "cuda_gemm"},
              {"model", c.shape.model},
              {"weight", c.shape.name},
              {"num_tokens", c.tokens},
              {"n", c.shape.n},
              {"k", c.shape.k},
              {"operands", to_string(c.shape.operands)},
              {"out", to_string(c.shape.out)},
              {"ours", to_json(c.ours, work)},
              {"library", to_json(c.library, work)}};
  std::string ratio = "     -";
  if (!c.ours.seconds.empty() && !c.library.seconds.empty()) {
    const double times = median(c.library.seconds) / median(c.ours.seconds);
    row["ratio"] = times;  // above 1: ours is faster
    ratio = fmt::format("{:6.3f}", times);
  }
  std::string served;
  if (c.served) {
    const char* const by = c.served->algorithm.is_ours() ? "ours" : "library";
    row["served"] = {{"by", by}, {"median_us", c.served->microseconds}};
    served = fmt::format("served by {} in {:.1f} us", by, c.served->microseconds);
  }
  lines.write(std::move(row));
  fmt::print("{:<30} ours {} library {} ratio {} {} {}\n", name_of(c), to_text(c.ours, work),
             to_text(c.library, work), ratio, served, c.ours.kernel);
  for (const GemmResult* result : {&c.ours, &c.library})
    if (!result->failure.empty())
      fmt::print("  {}: {}\n", result == &c.ours ? "ours" : "library", result->failure);
  std::fflush(stdout);
}

/// One limit of the device; what fails is said and left out.
void measure_peak(GemmMachine& machine, JsonLines& lines, const char* name, const char* unit,
                  double scale, const std::function<double()>& measure) {
  try {
    const double value = measure() * scale;
    fmt::print("{:<36} {:9.1f} {}\n", name, value, unit);
    lines.write({{"bench", "cuda_gemm_peak"}, {"peak", name}, {"value", value}, {"unit", unit}});
  } catch (const Error& error) {
    fmt::print("{:<36} failed: {}\n", name, error.message());
    if (machine.is_lost()) throw;
  }
  std::fflush(stdout);
}

void measure_peaks(GemmMachine& machine, JsonLines& lines) {
  const auto cube = [&](DType operands, cuda::GemmScaling scaling, bool fast) {
    return [&machine, operands, scaling, fast] {
      const auto extent = static_cast<double>(kPeakExtent);
      return 2 * extent * extent * extent /
             machine.library_cube(kPeakExtent, operands, scaling, fast);
    };
  };
  using enum cuda::GemmScaling;
  measure_peak(machine, lines, "copy, read and written", "GB/s", 1e-9,
               [&] { return machine.copy_bandwidth(); });
  measure_peak(machine, lines, "read", "GB/s", 1e-9, [&] { return machine.read_bandwidth(); });
  measure_peak(machine, lines, "cuBLASLt 8192^3 bf16", "TFLOP/s", 1e-12, cube(kBf16, none, false));
  measure_peak(machine, lines, "cuBLASLt 8192^3 fp8 scalars fast", "TFLOP/s", 1e-12,
               cube(kFp8, scalars, true));
  measure_peak(machine, lines, "cuBLASLt 8192^3 fp8 rows fast", "TFLOP/s", 1e-12,
               cube(kFp8, rows, true));
  measure_peak(machine, lines, "cuBLASLt 8192^3 fp8 rows", "TFLOP/s", 1e-12,
               cube(kFp8, rows, false));
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Tells the parent which case is next, before work that may be the process's last.
void tell(int pipe, size_t next_case) {
  if (::write(pipe, &next_case, sizeof(next_case)) != sizeof(next_case))
    fmt::print(stderr, "the parent is gone\n");
}

/// Ends this process without touching the device again: with a kernel that hangs, no call of its
/// destructors would return.
[[noreturn]] void leave_lost_device() {
  std::fflush(nullptr);
  std::_Exit(kLostDevice);
}

/// What one child does: from which case on, and when the first one began.
struct Part {
  size_t first_case = 0;
  bool is_restarted = false;
  double start = 0;
  int pipe = -1;
};

int run(const Options& options, const Part& part) {
  const auto spent = [&] { return now() - part.start; };
  const std::unique_ptr<Device> device = cuda::open_device(options.device);
  std::vector<GemmCase> cases = list_cases(options);
  int64_t max_tokens = 1;
  std::vector<GemmShape> shapes;
  for (const GemmCase& c : cases) {
    max_tokens = std::max(max_tokens, c.tokens);
    shapes.push_back(c.shape);
  }
  cuda::CublasLtOptions library;
  library.directories.insert(library.directories.begin(), options.library_directories.begin(),
                             options.library_directories.end());
  GemmMachine machine(*device, library, shapes, max_tokens, !options.is_precise, options.kernel);
  JsonLines lines(options.json_file, {{"device", device->description()},
                                      {"library_version", machine.library_version()},
                                      {"library_fast_accumulation", !options.is_precise}});
  if (!part.is_restarted)
    fmt::print(
        "{}, {}\n", device->description(),
        machine.why_no_library().empty() ? machine.library_version() : machine.why_no_library());
  try {
    if (!part.is_restarted) measure_peaks(machine, lines);
  } catch (const Error&) {
    leave_lost_device();
  }
  bool is_right = true;
  for (size_t i = part.first_case; i < cases.size(); ++i) {
    if (spent() > options.budget_seconds) {
      fmt::print("stopped after {:.0f} s: {} of {} cases are left\n", spent(), cases.size() - i,
                 cases.size());
      lines.write({{"bench", "cuda_gemm_stopped"}, {"cases_left", cases.size() - i}});
      break;
    }
    GemmCase& c = cases[i];
    tell(part.pipe, i + 1);
    try {
      machine.run(c);
    } catch (const Error& error) {
      if (c.ours.failure.empty() && c.library.failure.empty()) c.ours.failure = error.message();
      report(c, lines);
      leave_lost_device();
    }
    is_right = is_right && c.ours.is_right && c.ours.is_invariant.value_or(true);
    report(c, lines);
  }
  return is_right ? 0 : 1;
}

int run_child(const Options& options, const Part& part) {
  try {
    return run(options, part);
  } catch (const Error& error) {
    fmt::print(stderr, "error: {}\nhint: {}\n", error.message(), error.hint());
    return 2;
  }
}

/// Runs the cases in a child. A process whose kernel read where nothing is, or hangs, cannot use
/// the device again: then a new one goes on with the case after it.
int supervise(const Options& options) {
  Part part{.start = now()};
  for (;;) {
    int pipe[2] = {-1, -1};
    std::fflush(nullptr);
    const pid_t child = ::pipe(pipe) == 0 ? ::fork() : -1;
    if (child < 0) {
      fmt::print(stderr, "error: cannot start a process\n");
      return 2;
    }
    if (child == 0) {
      ::close(pipe[0]);
      part.pipe = pipe[1];
      const int code = run_child(options, part);
      std::fflush(nullptr);
      std::_Exit(code);
    }
    ::close(pipe[1]);
    size_t next_case = part.first_case;
    for (size_t news = 0; ::read(pipe[0], &news, sizeof(news)) == sizeof(news);) next_case = news;
    ::close(pipe[0]);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) != kLostDevice)
      return part.is_restarted ? std::max(1, WEXITSTATUS(status)) : WEXITSTATUS(status);
    if (WIFSIGNALED(status))
      fmt::print("  a process ended by signal {} in case {}\n", WTERMSIG(status), next_case);
    // It fails before its first case: the device does not come back.
    if (part.is_restarted && next_case == part.first_case) return kLostDevice;
    part.first_case = next_case;
    part.is_restarted = true;
  }
}

}  // namespace
}  // namespace veloz::bench

int main(int argc, char** argv) {
  CLI::App app(
      "Our linears on a GPU against cuBLASLt and the device's limits, measured in the same run.\n"
      "Weights and tokens are random and come from memory, not from a cache; calls follow each\n"
      "other in a CUDA graph. ratio = time of the library / time of ours; served: the faster of "
      "our\n"
      "kernel and the library's algorithms with the same bits, which is what an engine runs.");
  veloz::bench::Options options;
  app.add_option("--device", options.device, "GPU, from 0");
  app.add_option("--json", options.json_file, "File to append one object a line to");
  app.add_option("--budget-seconds", options.budget_seconds, "No case begins later than this")
      ->capture_default_str();
  app.add_flag("--quick", options.is_quick, "The larger model at 1, 64 and 2048 tokens");
  app.add_option("--tokens", options.tokens, "Numbers of tokens, instead of 1 to 8192")
      ->delimiter(',')
      ->check(CLI::Range(int64_t{1}, int64_t{16384}));
  app.add_option("--filter", options.filter, "Only cases whose name contains it")
      ->option_text("TEXT");
  app.add_option("--kernel", options.kernel, "Ours: this one instead of the registry's choice");
  app.add_option("--cublaslt", options.library_directories,
                 "Directory of libcublasLt.so.13, where the system does not know it")
      ->envname("VELOZ_CUBLASLT");
  app.add_flag("--precise", options.is_precise,
               "The library, too, sums fp8 products in fp32 (it is a little slower)");
  app.footer("Example: veloz_bench_cuda_gemm --filter \"llama-2-70b gate_up\" --json gemm.jsonl");
  CLI11_PARSE(app, argc, argv);
  return veloz::bench::supervise(options);
}
