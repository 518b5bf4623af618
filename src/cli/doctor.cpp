// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "base/files.h"
#include "base/thread_pool.h"
#include "cli/verbs.h"
#include "cpu/device.h"
#include "cpu/features.h"
#include "cpu/peaks.h"

namespace veloz::cli {
namespace {

struct DoctorFlags {
  bool json = false;
  bool quick = false;
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

/// The machine's limits: memory bandwidth and the arithmetic of each kind of dot product it has.
void measure(const cpu::CpuFeatures& features, int threads, nlohmann::ordered_json& json) {
  constexpr size_t kReadBytes = size_t{1} << 30;
  constexpr double kSecondsPerLoop = 0.3;
  ThreadPool pool(threads);
  cpu::CpuDevice device;
  const Buffer memory = device.allocate(kReadBytes);
  const std::span<std::byte> bytes(static_cast<std::byte*>(memory.data()), kReadBytes);
  cpu::touch_pages(pool, bytes);
  json["dram_read_gb_per_s"] = cpu::measure_read_bandwidth(pool, bytes) / 1e9;
  for (const cpu::PeakLoop loop : cpu::supported_peak_loops(features))
    json["peak_gop_per_s"][std::string(cpu::to_string(loop))] =
        cpu::measure_peak(pool, features, loop, kSecondsPerLoop).ops_per_s / 1e9;
}

int run_doctor(const DoctorFlags& flags) {
  const cpu::CpuFeatures features = cpu::detect_features();
  const int threads = default_num_threads();
  nlohmann::ordered_json json = {{"version", VELOZ_VERSION},
                                 {"cpu", features.model},
                                 {"features", cpu::describe_features(features)},
                                 {"isa", cpu::to_string(cpu::best_isa(features))},
                                 {"threads", threads},
                                 {"memory_bytes", meminfo_bytes("MemTotal")},
                                 {"memory_available_bytes", meminfo_bytes("MemAvailable")},
                                 {"devices", {"cpu"}},
                                 {"libraries", VELOZ_LIBRARIES}};
  if (!flags.quick) measure(features, threads, json);
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
  fmt::print("devices    cpu (this version has no CUDA back end)\n");
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
  verb.footer("Example:\n  veloz doctor");
  verb.callback([flags, &action] { action = [flags] { return run_doctor(*flags); }; });
}

}  // namespace veloz::cli
