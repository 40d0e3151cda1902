#include "agent/ctl/export_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <vector>

#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::ctl {
namespace {

using test::IsOk;
using test::StatusIs;
using testing::ElementsAre;
using testing::HasSubstr;

class ExportFileTest : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return temp_.path() / name; }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(temp_.path())) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  test::TempDirectory temp_;
};

TEST_F(ExportFileTest, TheNameAppearsWithTheCommitAndNotBefore) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(ExportFile file, ExportFile::Create(Path("a.tar"), false));
  ASSERT_THAT(file.Append("one,"), IsOk());
  ASSERT_THAT(file.Append("two"), IsOk());
  EXPECT_THAT(Names(), ElementsAre());

  ASSERT_THAT(file.Commit(), IsOk());

  EXPECT_EQ(test::ReadText(Path("a.tar")), "one,two");
  EXPECT_EQ(file.size_bytes(), 7u);
  EXPECT_THAT(Names(), ElementsAre("a.tar"));
}

TEST_F(ExportFileTest, AFileThatAppearedInTheMeantimeIsKept) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(ExportFile file, ExportFile::Create(Path("a.tar"), false));
  test::WriteText(Path("a.tar"), "of somebody else");

  EXPECT_THAT(file.Commit(), StatusIs(Code::kAlreadyExists));
  EXPECT_EQ(test::ReadText(Path("a.tar")), "of somebody else");
}

TEST_F(ExportFileTest, OverwritingReplacesTheFileAndItsModeOrMakesIt) {
  for (const char* before : {"", "old"}) {
    if (*before != '\0') {
      test::WriteText(Path("a.tar"), before);
      std::filesystem::permissions(Path("a.tar"), std::filesystem::perms::all);
    }
    CRYOPOD_ASSERT_OK_AND_ASSIGN(ExportFile file, ExportFile::Create(Path("a.tar"), true));
    ASSERT_THAT(file.Append("new"), IsOk());

    ASSERT_THAT(file.Commit(), IsOk());

    EXPECT_EQ(test::ReadText(Path("a.tar")), "new");
    struct stat info = {};
    ASSERT_EQ(::stat(Path("a.tar").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0600u);
    EXPECT_THAT(Names(), ElementsAre("a.tar"));
  }
}

TEST_F(ExportFileTest, WhatIsNoRegularFileIsNeverReplacedAndADirectoryThatIsNotThereIsNamed) {
  std::filesystem::create_symlink("elsewhere", Path("link"));
  ASSERT_EQ(::mkfifo(Path("fifo").c_str(), 0600), 0);
  for (const char* name : {"link", "fifo", "."}) {
    EXPECT_THAT(ExportFile::Create(Path(name), true), StatusIs(Code::kInvalidArgument)) << name;
  }
  EXPECT_THAT(ExportFile::Create(Path("gone/a.tar"), false),
              StatusIs(Code::kNotFound, HasSubstr("gone")));
}

}  // namespace
}  // namespace cryopod::ctl
