// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cstring>
#include <fstream>
#include <functional>

#include "base/hash.h"
#include "engine/checksum.h"
#include "engine/engine.h"
#include "support/expect_error.h"
#include "support/tiny_engine.h"

namespace veloz::engine {
namespace {

namespace fs = std::filesystem;
using test::TempDirectory;
using test::throws_error;

void read_everything(const fs::path& directory) {
  const Engine engine = Engine::open(directory);
  std::vector<std::vector<std::byte>> weights;
  std::vector<std::byte*> to;
  for (size_t i = 0; i < engine.plan().weights.size(); ++i) {
    weights.emplace_back(engine.weight_bytes(i));
    to.push_back(weights.back().data());
  }
  ThreadPool pool(1);
  engine.read_weights(to, pool);
}

void overwrite(const fs::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

/// A whole engine that each test damages.
class Damage : public ::testing::Test {
 protected:
  void SetUp() override {
    test::write_tiny_engine(engine_, test::tiny_model());
    read_everything(engine_);
  }
  fs::path file(std::string_view name) const { return engine_ / name; }
  std::string read(std::string_view name) const { return read_text_file(file(name), 1 << 20); }
  void patch(std::string_view name, size_t at, char byte) const {
    std::fstream stream(file(name), std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(static_cast<std::streamoff>(at)).put(byte);
  }
  auto opening() const {
    return [this] { read_everything(engine_); };
  }

  /// A changed weights file with a manifest that vouches for it: what a hostile writer sends.
  void replace_weights_header(const std::function<void(std::string&)>& edit) {
    const std::string text = read("weights.safetensors");
    uint64_t length = 0;
    std::memcpy(&length, text.data(), 8);
    std::string json = text.substr(8, length);
    edit(json);
    const uint64_t new_length = json.size();
    std::string changed(reinterpret_cast<const char*>(&new_length), 8);
    vouch_for(changed + json + text.substr(8 + length));
  }
  void vouch_for(const std::string& weights) {
    overwrite(file("weights.safetensors"), weights);
    Manifest manifest = parse_manifest(read("engine.json"));
    for (FileRecord& record : manifest.files)
      if (record.name == "weights.safetensors") record = record_text(record.name, weights);
    overwrite(file("engine.json"), print_manifest(manifest));
  }

  const TempDirectory temp_;
  const fs::path engine_ = temp_.path() / "engine";
};

constexpr std::string_view kFiles[] = {"engine.json", "plan.json", "graph.txt",
                                       "weights.safetensors", "tokenizer/tokenizer.json"};

TEST_F(Damage, OfAnyByteIsNoticed) {
  for (const std::string_view name : kFiles) {
    const std::string whole = read(name);
    // In place: to truncate and write again would make some file systems flush each time.
    for (size_t i = 0; i < whole.size(); i += 1 + i % 7) {
      const char damaged = static_cast<char>(whole[i] ^ (1 << (i % 8)));
      patch(name, i, damaged);
      try {
        read_everything(engine_);
        ADD_FAILURE() << "byte " << i << " of " << name << " may be anything";
      } catch (const Error& e) {
        EXPECT_TRUE(e.kind() == ErrorKind::corrupt_data || e.kind() == ErrorKind::unsupported)
            << e.message();
        EXPECT_NE(e.message().find("engine"), std::string::npos) << e.message();
        EXPECT_FALSE(e.hint().empty()) << e.message();
      }
      patch(name, i, whole[i]);
    }
  }
  read_everything(engine_);
}

TEST_F(Damage, TruncationIsNoticed) {
  for (const std::string_view name : kFiles) {
    const std::string whole = read(name);
    for (size_t size = 0; size < whole.size(); size += 1 + size / 8) {
      overwrite(file(name), whole.substr(0, size));
      EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"engine"}, opening())) << name << size;
    }
    overwrite(file(name), whole + "x");
    EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"engine"}, opening())) << name;
    overwrite(file(name), whole);
  }
}

TEST_F(Damage, TruncatedWeightsNameBothSizes) {
  const uint64_t size = fs::file_size(file("weights.safetensors"));
  fs::resize_file(file("weights.safetensors"), size - 5);
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data,
                           {"weights.safetensors has " + std::to_string(size - 5),
                            "engine.json says " + std::to_string(size), "truncated"},
                           opening()));
}

TEST_F(Damage, OfAWeightNamesFileRangeAndWeight) {
  std::string text = read("weights.safetensors");
  text[text.size() - 100] ^= 4;
  overwrite(file("weights.safetensors"), text);
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data,
                           {"weights.safetensors is damaged",
                            "bytes 0 to " + std::to_string(text.size()), "\"o.weight\""},
                           opening()));
  ThreadPool pool(2);
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"weights.safetensors is damaged"},
                           [&] { Engine::open(engine_).verify_checksums(pool); }));
}

TEST_F(Damage, FileThatShrinksWhileItIsRead) {
  const Engine engine = Engine::open(engine_);
  fs::resize_file(file("weights.safetensors"), 64);
  std::vector<std::vector<std::byte>> weights;
  std::vector<std::byte*> to;
  for (size_t i = 0; i < 4; ++i) {
    weights.emplace_back(engine.weight_bytes(i));
    to.push_back(weights.back().data());
  }
  ThreadPool pool(2);
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data,
                           {"weights.safetensors", "ends at byte 64", "shrank"},
                           [&] { engine.read_weights(to, pool); }));
}

TEST_F(Damage, MissingFiles) {
  for (const std::string_view name : {"plan.json", "graph.txt", "weights.safetensors"}) {
    const std::string whole = read(name);
    fs::remove(file(name));
    EXPECT_TRUE(throws_error(ErrorKind::not_found, {name, "does not exist"}, opening()));
    overwrite(file(name), whole);
  }
}

TEST_F(Damage, DirectoryWhereAFileShouldBe) {
  for (const std::string_view name : kFiles) {
    const std::string whole = read(name);
    fs::remove(file(name));
    fs::create_directory(file(name));
    EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {name, "a directory"}, opening()));
    fs::remove(file(name));
    overwrite(file(name), whole);
  }
}

TEST_F(Damage, FifoWhereAFileShouldBe) {
  fs::remove(file("plan.json"));
  ASSERT_EQ(::mkfifo(file("plan.json").c_str(), 0600), 0);
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"plan.json", "special file"}, opening()));
}

TEST_F(Damage, FilesOfAnotherEngine) {
  test::TinyModel other = test::tiny_model();
  other.plan.limits.max_num_seqs = 3;
  test::write_tiny_engine(temp_.path() / "other", other);
  fs::copy_file(temp_.path() / "other/plan.json", file("plan.json"),
                fs::copy_options::overwrite_existing);
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"plan.json is damaged"}, opening()));
}

TEST_F(Damage, ManifestAndPlanThatDisagree) {
  Manifest manifest = parse_manifest(read("engine.json"));
  Manifest changed = manifest;
  changed.limits.max_num_seqs += 1;
  overwrite(file("engine.json"), print_manifest(changed));
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"different limits"}, opening()));
  changed = manifest;
  changed.model.vocab_size = 12;
  overwrite(file("engine.json"), print_manifest(changed));
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"vocab_size", "12", "11 logits"}, opening()));
}

TEST_F(Damage, NewerEngine) {
  std::string text = read("engine.json");
  const std::string version = fmt::format("{}.{}", kFormatMajor, kFormatMinor);
  text.replace(text.find(version), version.size(), "2.0");
  overwrite(file("engine.json"), text);
  EXPECT_TRUE(throws_error(ErrorKind::unsupported,
                           {"opening the engine", "engine format 2.0", "upgrade veloz"},
                           opening()));
}

TEST_F(Damage, HeaderLengthBeyondTheFile) {
  std::string text = read("weights.safetensors");
  for (const uint64_t length : {uint64_t{1} << 60, uint64_t{UINT64_MAX}, uint64_t{text.size()},
                                uint64_t{text.size()} - 7}) {
    std::memcpy(text.data(), &length, 8);
    vouch_for(text);
    EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"announces a header of"}, opening()));
  }
  vouch_for("");
  EXPECT_TRUE(throws_error(ErrorKind::corrupt_data, {"too few for a header"}, opening()));
}

struct HeaderEdit {
  std::string name;
  std::string from;
  std::string to;
  std::string message;
};

TEST_F(Damage, HeadersThatLie) {
  const std::string whole = read("weights.safetensors");
  // embed fp32[11,8] takes bytes 0 to 352, __pad.0 the 32 behind it, norm 384 to 416.
  const std::vector<HeaderEdit> edits = {
      {"dtype", R"("dtype":"F32","shape":[11,8])", R"("dtype":"BF16","shape":[11,8])",
       "plan.json asks for F32"},
      {"shape", "\"shape\":[11,8]", "\"shape\":[8,11]", "[8, 11]"},
      {"overflow", "\"shape\":[11,8]", "\"shape\":[1125899906842624,1125899906842624]", "embed"},
      {"zero", "\"shape\":[11,8]", "\"shape\":[0,8]", "not between 1 and"},
      {"rank", "\"shape\":[11,8]", "\"shape\":[1,1,1,1,1,11,8]", "at most 6"},
      {"missing", "\"embed\"", "\"embad\"", "lacks tensor \"embed\""},
      {"foreign", "\"__pad.0\"", "\"bonus.0\"", "\"bonus.0\", which plan.json does not name"},
      {"hole", "\"data_offsets\":[352,384]", "\"data_offsets\":[353,384]", "begins at byte 353"},
      {"overlap", "\"data_offsets\":[352,384]", "\"data_offsets\":[0,384]", "begins at byte"},
      {"backwards", "\"data_offsets\":[352,384]", "\"data_offsets\":[384,352]", "no range"},
      {"beyond", "\"data_offsets\":[352,384]", "\"data_offsets\":[352,9999999]", "no range within"},
      {"huge", "\"data_offsets\":[352,384]", "\"data_offsets\":[352,18446744073709551615]",
       "not between"},
      {"one offset", "\"data_offsets\":[352,384]", "\"data_offsets\":[352]", "no range"},
      {"duplicate", "\"norm\"", "\"embed\"", "\"embed\" twice"},
      {"key", "\"dtype\":\"F32\",\"shape\":[11,8]", "\"type\":\"F32\",\"shape\":[11,8]",
       "unknown key \"type\""},
      {"deep", "{\"format\":\"veloz\"}", std::string(40, '[') + std::string(40, ']'),
       "nested deeper"},
      {"json", "{\"__metadata__\"", "[\"__metadata__\"", "no valid JSON"},
      {"shifted", "{\"__metadata__\"", " {\"__metadata__\"", "not at a multiple of 64"},
  };
  for (const HeaderEdit& edit : edits) {
    vouch_for(whole);
    replace_weights_header([&](std::string& json) {
      const size_t at = json.find(edit.from);
      ASSERT_NE(at, std::string::npos) << edit.name;
      json.replace(at, edit.from.size(), edit.to);
    });
    EXPECT_TRUE(
        throws_error(ErrorKind::corrupt_data, {"weights.safetensors", edit.message}, opening()))
        << edit.name;
  }
}

TEST(ChunkChecks, FindTheLowestDamagedChunkWithAnyNumberOfThreads) {
  for (const int num_threads : {1, 2, 5}) {
    ThreadPool pool(num_threads);
    EXPECT_TRUE(throws_error(ErrorKind::io, {"chunk 3"}, [&] {
      for_each_chunk(pool, 40, [](size_t chunk, int) {
        if (chunk >= 3 && chunk % 2 == 1)
          throw Error(ErrorKind::io, "chunk " + std::to_string(chunk));
      });
    }));
  }
}

TEST(ChunkChecks, HashInPiecesAsInOne) {
  std::string text(100'000, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 31 + i / 255);
  ChunkHasher hasher;
  for (size_t at = 0; at < text.size(); at += 777)
    hasher.update(std::as_bytes(std::span(std::string_view(text).substr(at, 777))));
  EXPECT_EQ(hasher.digest(), xxh3_64(std::as_bytes(std::span(text))));
}

}  // namespace
}  // namespace veloz::engine
