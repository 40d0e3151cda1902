#include "agent/ctl/export_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <vector>

#include "tests/support/read_text.h"
#include "tests/support/temp_directory.h"

namespace cryopod::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

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
  Result<ExportFile> file = ExportFile::Create(Path("a.tar"), false);
  ASSERT_TRUE(file.ok()) << file.status().message();
  ASSERT_TRUE(file->Append("one,").ok());
  ASSERT_TRUE(file->Append("two").ok());
  EXPECT_FALSE(std::filesystem::exists(Path("a.tar")));

  const Status committed = file->Commit();

  ASSERT_TRUE(committed.ok()) << committed.message();
  EXPECT_EQ(test::ReadText(Path("a.tar")), "one,two");
  EXPECT_EQ(file->size_bytes(), 7u);
  EXPECT_THAT(Names(), ElementsAre("a.tar"));
}

TEST_F(ExportFileTest, AFileThatIsNotCommittedLeavesNothing) {
  {
    Result<ExportFile> file = ExportFile::Create(Path("a.tar"), false);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->Append("secret").ok());
  }

  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(ExportFileTest, AFileThatAppearedInTheMeantimeIsKept) {
  Result<ExportFile> file = ExportFile::Create(Path("a.tar"), false);
  ASSERT_TRUE(file.ok());
  test::WriteText(Path("a.tar"), "of somebody else");

  const Status committed = file->Commit();

  EXPECT_EQ(committed.code(), Code::kAlreadyExists);
  EXPECT_EQ(test::ReadText(Path("a.tar")), "of somebody else");
}

TEST_F(ExportFileTest, OverwritingReplacesTheFileAndItsMode) {
  test::WriteText(Path("a.tar"), "old");
  std::filesystem::permissions(Path("a.tar"), std::filesystem::perms::all);
  Result<ExportFile> file = ExportFile::Create(Path("a.tar"), true);
  ASSERT_TRUE(file.ok()) << file.status().message();
  ASSERT_TRUE(file->Append("new").ok());

  const Status committed = file->Commit();

  ASSERT_TRUE(committed.ok()) << committed.message();
  EXPECT_EQ(test::ReadText(Path("a.tar")), "new");
  struct stat info = {};
  ASSERT_EQ(::stat(Path("a.tar").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_THAT(Names(), ElementsAre("a.tar"));
}

TEST_F(ExportFileTest, OverwritingWorksWhereThereIsNoFileYet) {
  Result<ExportFile> file = ExportFile::Create(Path("a.tar"), true);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(file->Append("new").ok());

  ASSERT_TRUE(file->Commit().ok());

  EXPECT_EQ(test::ReadText(Path("a.tar")), "new");
}

TEST_F(ExportFileTest, WhatIsNoRegularFileIsNeverReplaced) {
  std::filesystem::create_symlink("elsewhere", Path("link"));
  ASSERT_EQ(::mkfifo(Path("fifo").c_str(), 0600), 0);

  for (const char* name : {"link", "fifo", "."}) {
    const Result<ExportFile> file = ExportFile::Create(Path(name), true);

    EXPECT_EQ(file.status().code(), Code::kInvalidArgument) << name;
  }
}

TEST_F(ExportFileTest, ADirectoryThatIsNotThereIsNamed) {
  const Result<ExportFile> file = ExportFile::Create(Path("gone/a.tar"), false);

  EXPECT_EQ(file.status().code(), Code::kNotFound);
  EXPECT_THAT(file.status().message(), HasSubstr("gone"));
}

}  // namespace
}  // namespace cryopod::ctl
