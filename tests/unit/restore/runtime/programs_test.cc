#include "restore/runtime/programs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::wrapper {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class ProgramsTest : public ::testing::Test {
 protected:
  std::string MakeProgram(const std::string& name) {
    const fs::path path = temp_.path() / name;
    fs::create_directories(path.parent_path());
    test::WriteText(path, "#!/bin/sh\n");
    fs::permissions(path, fs::perms::owner_all);
    return path.string();
  }
  static Result<std::string> FindIn(const std::string& name, const std::string& path) {
    const std::string before = std::getenv("PATH");
    ::setenv("PATH", path.c_str(), 1);
    Result<std::string> found = FindProgram(name);
    ::setenv("PATH", before.c_str(), 1);
    return found;
  }
  std::string Path(const std::string& name) const { return (temp_.path() / name).string(); }

  test::TempDirectory temp_;
};

TEST_F(ProgramsTest, FindsAProgramInTheFirstDirectoryThatHasIt) {
  const std::string second = MakeProgram("two/runc");
  MakeProgram("three/runc");

  EXPECT_THAT(FindIn("runc", Path("one") + ":" + Path("two") + ":" + Path("three")),
              test::IsOkAnd(second));
}

TEST_F(ProgramsTest, PassesOverItselfHoweverItIsLinked) {
  const std::string real = MakeProgram("two/runc");
  fs::create_directory(Path("one"));
  fs::create_symlink("/proc/self/exe", Path("one/runc"));

  EXPECT_THAT(FindIn("runc", Path("one") + ":" + Path("two")), test::IsOkAnd(real));
  EXPECT_THAT(FindProgram(Path("one/runc")), test::StatusIs(Code::kNotFound, HasSubstr("itself")));
}

TEST_F(ProgramsTest, PassesOverWhatCannotBeExecuted) {
  test::WriteText(Path("runc"), "text");
  fs::create_directories(Path("dir/runc"));

  EXPECT_THAT(FindIn("runc", temp_.path().string() + ":" + Path("dir")),
              test::StatusIs(Code::kNotFound, HasSubstr("runc in ")));
  EXPECT_THAT(FindProgram(Path("absent")), test::StatusIs(Code::kNotFound));
}

TEST_F(ProgramsTest, WithoutASearchPathTheUsualDirectoriesAreTried) {
  EXPECT_THAT(FindIn("sh", ""), test::IsOk());
}

TEST_F(ProgramsTest, AnExecThatFailsIsAnError) {
  EXPECT_THAT(Execute(Path("absent"), {"a"}), test::StatusIs(Code::kNotFound));
}

// This test program does not stand in an installed tree.
TEST_F(ProgramsTest, WhatIsNotInstalledIsNamed) {
  EXPECT_THAT(FindLauncherDirectory(),
              test::StatusIs(Code::kNotFound, HasSubstr("libexec/cryopod/launcher/criu")));
  EXPECT_THAT(FindFinishedProgram(),
              test::StatusIs(Code::kNotFound, HasSubstr("libexec/cryopod/cryopod-finished")));
}

}  // namespace
}  // namespace cryopod::wrapper
