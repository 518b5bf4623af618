// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <set>
#include <thread>

#include "engine/engine.h"
#include "support/expect_error.h"
#include "support/tiny_engine.h"

namespace veloz::engine {
namespace {

namespace fs = std::filesystem;
using Existing = EngineWriter::Existing;
using test::TempDirectory;
using test::throws_error;
using test::TinyModel;

std::set<std::string> names_in(const fs::path& directory) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory))
    names.insert(entry.path().filename().string());
  return names;
}

EngineWriter start(const fs::path& directory, const TinyModel& model,
                   Existing existing = Existing::refuse) {
  return test::start_tiny_engine(directory, model, ops::plain_layouts(), existing);
}

/// Runs `f` in a child process, which then dies without any clean-up; its exit code.
int in_dying_child(const std::function<int()>& f) {
  const pid_t child = ::fork();
  if (child == 0) {
    int code = 99;
    try {
      code = f();
    } catch (const std::exception&) {
    }
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(EngineWriter, LeavesNothingBeforeTheCommit) {
  const TempDirectory temp;
  const TinyModel model = test::tiny_model();
  {
    EngineWriter writer = start(temp.path() / "engine", model);
    EXPECT_FALSE(fs::exists(temp.path() / "engine"));
    EXPECT_EQ(names_in(temp.path()).size(), 1u);
    EXPECT_TRUE(names_in(temp.path()).begin()->starts_with(".veloz-partial-engine-"));
  }
  EXPECT_TRUE(names_in(temp.path()).empty());
  test::write_tiny_engine(temp.path() / "engine", model);
  EXPECT_EQ(names_in(temp.path()), std::set<std::string>{"engine"});
}

TEST(EngineWriter, KilledLeavesAPartialThatTheNextRemoves) {
  const TempDirectory temp;
  const TinyModel model = test::tiny_model();
  EXPECT_EQ(in_dying_child([&] {
              const EngineWriter writer = start(temp.path() / "engine", model);
              ::_exit(7);
              return 0;
            }),
            7);
  EXPECT_FALSE(fs::exists(temp.path() / "engine"));
  EXPECT_EQ(names_in(temp.path()).size(), 1u);
  fs::create_directory(temp.path() / ".veloz-partial-engine-two-abcdef");  // of another engine
  fs::create_directory(temp.path() / ".veloz-partial-engine-toolong");     // of none
  test::write_tiny_engine(temp.path() / "engine", model);
  EXPECT_EQ(names_in(temp.path()),
            (std::set<std::string>{"engine", ".veloz-partial-engine-two-abcdef",
                                   ".veloz-partial-engine-toolong"}));
  Engine::open(temp.path() / "engine");
}

TEST(EngineWriter, KilledByASignalAtAnyMomentLeavesNoHalfEngine) {
  const TempDirectory temp;
  const TinyModel model = test::tiny_model();
  const fs::path directory = temp.path() / "engine";
  const auto write = [&] {
    test::write_tiny_engine(directory, model, ops::plain_layouts(), Existing::replace);
  };
  const auto begin = std::chrono::steady_clock::now();
  write();
  const auto duration = std::chrono::steady_clock::now() - begin;
  for (int i = 0; i < 24; ++i) {
    const bool had_engine = i % 2 == 0;
    if (had_engine)
      write();
    else
      fs::remove_all(directory);
    const pid_t child = ::fork();
    if (child == 0) {
      for (;;) write();
    }
    std::this_thread::sleep_for(duration * i / 12);
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_TRUE(fs::exists(directory) || !had_engine);
    if (!fs::exists(directory)) continue;
    ThreadPool pool(1);
    Engine::open(directory).verify_checksums(pool);
  }
  write();
  EXPECT_EQ(names_in(temp.path()), std::set<std::string>{"engine"});
}

TEST(EngineWriter, LeavesALivingWritersPartialAlone) {
  const TempDirectory temp;
  const TinyModel model = test::tiny_model();
  EngineWriter first = start(temp.path() / "engine", model);
  EngineWriter second = start(temp.path() / "engine", model);
  EXPECT_EQ(names_in(temp.path()).size(), 2u);
  ThreadPool pool(1);
  second.commit(test::tiny_manifest(), pool);
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"holds an engine already"},
                           [&] { first.commit(test::tiny_manifest(), pool); }));
  EXPECT_EQ(names_in(temp.path()).size(), 2u);
  Engine::open(temp.path() / "engine");
}

TEST(EngineWriter, ReplacesAnEngineOnlyWhenAsked) {
  const TempDirectory temp;
  TinyModel model = test::tiny_model();
  test::write_tiny_engine(temp.path() / "engine", model);
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"holds an engine already"},
                           [&] { test::write_tiny_engine(temp.path() / "engine", model); }));
  model.plan.limits.max_num_seqs = 2;
  test::write_tiny_engine(temp.path() / "engine", model, ops::plain_layouts(), Existing::replace);
  EXPECT_EQ(Engine::open(temp.path() / "engine").plan().limits.max_num_seqs, 2);
  EXPECT_EQ(names_in(temp.path()), std::set<std::string>{"engine"});
}

TEST(EngineWriter, NeverReplacesWhatIsNoEngine) {
  const TempDirectory temp;
  const TinyModel model = test::tiny_model();
  fs::create_directory(temp.path() / "photos");
  write_text_file(temp.path() / "photos/a.jpg", "x");
  write_text_file(temp.path() / "file", "x");
  for (const Existing existing : {Existing::refuse, Existing::replace}) {
    EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"photos", "is no engine"},
                             [&] { start(temp.path() / "photos", model, existing); }));
    EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"file", "not a directory"},
                             [&] { start(temp.path() / "file", model, existing); }));
  }
  EXPECT_TRUE(throws_error(ErrorKind::invalid_input, {"cannot become an engine"},
                           [&] { start("/", model); }));
  EXPECT_EQ(names_in(temp.path()), (std::set<std::string>{"file", "photos"}));
}

TEST(EngineWriter, TakesAnEmptyDirectoryAndMakesMissingParents) {
  const TempDirectory temp;
  const TinyModel model = test::tiny_model();
  fs::create_directory(temp.path() / "empty");
  test::write_tiny_engine(temp.path() / "empty/", model);
  test::write_tiny_engine(temp.path() / "a/b/c", model);
  Engine::open(temp.path() / "empty");
  Engine::open(temp.path() / "a/b/c");
}

TEST(EngineWriter, ReplacesBehindASymlink) {
  const TempDirectory temp;
  const TinyModel model = test::tiny_model();
  test::write_tiny_engine(temp.path() / "v1", model);
  fs::create_directory_symlink("v1", temp.path() / "latest");
  test::write_tiny_engine(temp.path() / "latest", model, ops::plain_layouts(), Existing::replace);
  EXPECT_TRUE(fs::is_symlink(temp.path() / "latest"));
  Engine::open(temp.path() / "v1");
}

/// A limit on file sizes gives the same write errors as a full disk, without one.
int write_with_file_limit(const fs::path& directory, const TinyModel& model, rlim_t bytes) {
  ::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{bytes, bytes};
  ::setrlimit(RLIMIT_FSIZE, &limit);
  try {
    test::write_tiny_engine(directory, model);
  } catch (const Error& e) {
    return e.kind() == ErrorKind::io && e.message().find("cannot ") == 0 ? 42 : 43;
  }
  return 0;
}

TEST(EngineWriter, FullDiskIsAnErrorThatLeavesNothing) {
  const TempDirectory temp;
  const TinyModel model = test::tiny_model();
  test::write_tiny_engine(temp.path() / "whole", model);
  std::set<rlim_t> limits = {0, 1, 100, 1000};
  rlim_t largest = 0;
  for (const auto& entry : fs::recursive_directory_iterator(temp.path() / "whole")) {
    if (!entry.is_regular_file()) continue;
    limits.insert(entry.file_size() - 1);
    largest = std::max<rlim_t>(largest, entry.file_size());
  }
  for (const rlim_t limit : limits) {
    EXPECT_EQ(
        in_dying_child([&] { return write_with_file_limit(temp.path() / "engine", model, limit); }),
        42)
        << limit;
    EXPECT_EQ(names_in(temp.path()), std::set<std::string>{"whole"}) << limit;
  }
  EXPECT_EQ(
      in_dying_child([&] { return write_with_file_limit(temp.path() / "engine", model, largest); }),
      0);
}

TEST(EngineWriter, UnwritableParentIsAnIoError) {
  const TempDirectory temp;
  write_text_file(temp.path() / "file", "x");
  EXPECT_TRUE(throws_error(ErrorKind::io, {"cannot"},
                           [&] { start(temp.path() / "file/engine", test::tiny_model()); }));
  EXPECT_TRUE(
      throws_error(ErrorKind::io, {"cannot"}, [&] { start("/proc/engine", test::tiny_model()); }));
}

TEST(EngineWriter, RefusesMisuse) {
  const TempDirectory temp;
  TinyModel model = test::tiny_model();
  ThreadPool pool(1);
  {
    EngineWriter writer = start(temp.path() / "engine", model);
    EXPECT_TRUE(throws_error(ErrorKind::internal, {"written twice"},
                             [&] { writer.write_file("graph.txt", "again"); }));
    EXPECT_TRUE(throws_error(ErrorKind::internal, {"no name"},
                             [&] { writer.write_file("../graph.txt", ""); }));
    EXPECT_TRUE(throws_error(ErrorKind::internal, {"no name"},
                             [&] { writer.write_file("engine.json", ""); }));
    const std::vector<std::byte> bytes(400);
    EXPECT_TRUE(throws_error(ErrorKind::internal, {"weight 0, which has 352"},
                             [&] { writer.write_weight(0, 0, bytes); }));
    EXPECT_TRUE(throws_error(ErrorKind::internal, {"weight 0, which has 352"}, [&] {
      writer.write_weight(0, UINT64_MAX, std::span(bytes).first(2));
    }));
  }
  const std::vector<size_t> sizes = {352, 32, 512, 256};
  EngineWriter half =
      EngineWriter::create(temp.path() / "engine", model.plan, sizes, Existing::refuse);
  half.write_file("graph.txt", "");
  EXPECT_TRUE(throws_error(ErrorKind::internal, {"0 bytes of weight \"embed\"", "it has 352"},
                           [&] { half.commit(test::tiny_manifest(), pool); }));
  model.plan.programs[0].arena_bytes = 0;
  EXPECT_TRUE(throws_error(ErrorKind::internal, {"the plan cannot run", "arena"}, [&] {
    EngineWriter::create(temp.path() / "engine2", model.plan, sizes, Existing::refuse);
  }));
}

}  // namespace
}  // namespace veloz::engine
