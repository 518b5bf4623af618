// SPDX-License-Identifier: Apache-2.0
#include "cuda/cublaslt/shared_library.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/files.h"
#include "support/expect_error.h"
#include "support/temp_directory.h"

namespace veloz::cuda {
namespace {

TEST(SharedLibrary, OpensWhatTheSystemHasAndFindsItsFunctions) {
  const std::vector<std::filesystem::path> nowhere = {"/nonexistent", ""};
  const SharedLibrary library = SharedLibrary::open("libm.so.6", nowhere);
  double (*cosine)(double) = nullptr;
  library.load(cosine, "cos");
  EXPECT_EQ(cosine(0.0), 1.0);
}

TEST(SharedLibrary, NamesEveryPlaceWhereItLooked) {
  const test::TempDirectory temp;
  write_text_file(temp.path() / "libnone.so.9", "not a library");
  const std::vector<std::filesystem::path> places = {temp.path(), "/nonexistent"};
  EXPECT_TRUE(test::throws_error(
      ErrorKind::unsupported,
      {(temp.path() / "libnone.so.9").string(), "/nonexistent/libnone.so.9", "install it"},
      [&] { (void)SharedLibrary::open("libnone.so.9", places); }));
}

TEST(SharedLibrary, NamesTheFunctionThatIsMissing) {
  const SharedLibrary library = SharedLibrary::open("libm.so.6", {});
  EXPECT_TRUE(test::throws_error(ErrorKind::unsupported, {"no_such_function"},
                                 [&] { (void)library.symbol("no_such_function"); }));
}

}  // namespace
}  // namespace veloz::cuda
