// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "api/backend.h"
#include "api/machine_peaks.h"
#include "base/error.h"
#include "base/files.h"
#include "base/thread_pool.h"
#include "cli/verbs.h"
#include "cpu/features.h"
#include "cuda/device.h"

namespace veloz::cli {
namespace {

struct DoctorFlags {
  bool json = false;
  bool quick = false;
  std::filesystem::path cublaslt_directory{};
};

/// A field of /proc/meminfo in bytes; 0 where it is not there.
uint64_t meminfo_bytes(const std::string& field) {
  std::ifstream file("/proc/meminfo");
  for (std::string key, rest; file >> key;) {
    uint64_t kib = 0;
    if (key == field + ":" && file >> kib) return kib * 1024;
    std::getline(file, rest);
  }
  return 0;
}

std::vector<std::string> device_names(const cuda::GpuList& gpus) {
  std::vector<std::string> names = {"cpu"};
  for (const cuda::GpuFacts& gpu : gpus.gpus) names.push_back(fmt::format("cuda:{}", gpu.index));
  return names;
}

/// The machine's limits: memory bandwidth and the arithmetic of each kind of dot product it has.
void measure(nlohmann::ordered_json& json) {
  api::Backend backend = api::open_cpu("", 0);
  const profile::MachinePeaks peaks =
      api::PeakMeter(backend, {.read_bytes = size_t{1} << 30, .seconds_per_loop = 0.1}).measure();
  json["dram_read_gb_per_s"] = peaks.read_bytes_per_s / 1e9;
  for (const profile::Roof roof : profile::kRoofs)
    if (roof != profile::Roof::dram_read && peaks.rate(roof) > 0)
      json["peak_gop_per_s"][std::string(profile::to_string(roof))] = peaks.rate(roof) / 1e9;
}

int run_doctor(const DoctorFlags& flags) {
  const cpu::CpuFeatures features = cpu::detect_features();
  const int threads = default_num_threads();
  const cuda::GpuList gpus = cuda::list_gpus();
  const std::optional<Error> library_error =
      cuda::library_error({.cublaslt_directory = flags.cublaslt_directory});
  const std::string why_no_library = library_error ? library_error->message() : "";
  nlohmann::ordered_json json = {{"version", VELOZ_VERSION},
                                 {"cpu", features.model},
                                 {"features", cpu::describe_features(features)},
                                 {"isa", cpu::to_string(cpu::best_isa(features))},
                                 {"threads", threads},
                                 {"memory_bytes", meminfo_bytes("MemTotal")},
                                 {"memory_available_bytes", meminfo_bytes("MemAvailable")},
                                 {"devices", device_names(gpus)},
                                 {"why_no_gpu", gpus.why_none},
                                 {"why_no_cublaslt", why_no_library},
                                 {"libraries", VELOZ_LIBRARIES}};
  if (!flags.quick) measure(json);
  if (flags.json) {
    fmt::print("{}\n", json.dump(2));
    return 0;
  }
  fmt::print("veloz      {}\n", VELOZ_VERSION);
  fmt::print("cpu        {}, {} threads for this process\n", features.model, threads);
  fmt::print("isa        {} ({})\n", cpu::to_string(cpu::best_isa(features)),
             cpu::describe_features(features));
  fmt::print("memory     {}, {} available\n", format_bytes(meminfo_bytes("MemTotal")),
             format_bytes(meminfo_bytes("MemAvailable")));
  if (!flags.quick) {
    fmt::print("bandwidth  {:.1f} GB/s read from memory by all threads\n",
               json["dram_read_gb_per_s"].get<double>());
    for (const auto& [loop, gops] : json["peak_gop_per_s"].items())
      fmt::print("peak       {:.0f} Gop/s {}\n", gops.get<double>(), loop);
  }
  fmt::print("devices    {}{}\n", fmt::join(device_names(gpus), ", "),
             gpus.gpus.empty() ? fmt::format(" ({})", gpus.why_none) : "");
  for (const cuda::GpuFacts& gpu : gpus.gpus)
    fmt::print("gpu        cuda:{} {}, {}, {} multiprocessors, sm_{}{}, driver CUDA {}.{}\n",
               gpu.index, gpu.name, format_bytes(gpu.total_bytes), gpu.num_multiprocessors,
               gpu.major, gpu.minor, gpu.driver_version / 1000, gpu.driver_version % 1000 / 10);
  if (!gpus.gpus.empty())
    fmt::print("cublaslt   {}\n", why_no_library.empty() ? "found" : why_no_library);
  fmt::print("libraries  {}\n", VELOZ_LIBRARIES);
  return 0;
}

}  // namespace

void add_doctor(CLI::App& app, Action& action) {
  auto flags = std::make_shared<DoctorFlags>();
  CLI::App& verb =
      *app.add_subcommand("doctor", "Show what this machine has and measure its limits");
  verb.add_flag("--quick", flags->quick, "Leave out the measurements, which take some seconds");
  verb.add_flag("--json", flags->json, "Print one JSON object");
  verb.add_option("--cublaslt", flags->cublaslt_directory,
                  "Directory that has libcublasLt, where it is looked for first")
      ->envname("VELOZ_CUBLASLT");
  verb.footer("Example:\n  veloz doctor");
  verb.callback([flags, &action] { action = [flags] { return run_doctor(*flags); }; });
}

}  // namespace veloz::cli
