#include "agent/ctl/install/containerd_config.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::ctl {
namespace {

using test::IsOk;
using test::IsOkAnd;
using test::StatusIs;
using test::WriteText;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kDropIn[] = "/etc/containerd/conf.d/cryopod.toml";
constexpr char kOptions[] =
    "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\n";

struct Shape {
  const char* before;
  const char* after;
};

// What a person may have written, and what is made of it: nothing else may change.
constexpr Shape kShapes[] = {
    {"", "version = 3\nimports = [\"/etc/containerd/conf.d/cryopod.toml\"]\n"},
    {"# nothing yet",
     "# nothing yet\nversion = 3\n"
     "imports = [\"/etc/containerd/conf.d/cryopod.toml\"]\n"},
    {"version = 3\n", "version = 3\nimports = [\"/etc/containerd/conf.d/cryopod.toml\"]\n"},
    {"version = 3", "version = 3\nimports = [\"/etc/containerd/conf.d/cryopod.toml\"]\n"},
    {"version = 3 # the newest\n[plugins]\nimports = [\"not ours\"]\n",
     "version = 3 # the newest\nimports = [\"/etc/containerd/conf.d/cryopod.toml\"]\n"
     "[plugins]\nimports = [\"not ours\"]\n"},
    {"version = 3\nimports = []\nroot = \"/x\"\n",
     "version = 3\nimports = [\"/etc/containerd/conf.d/cryopod.toml\"]\nroot = \"/x\"\n"},
    {"imports = ['/a.toml']\nversion = 3\n",
     "imports = [\"/etc/containerd/conf.d/cryopod.toml\", '/a.toml']\nversion = 3\n"},
    {"version = 3\nimports = [\n  # theirs\n  \"/a.toml\", # a\n  \"/b.toml\"\n]\n",
     "version = 3\nimports = [\n  \"/etc/containerd/conf.d/cryopod.toml\",\n  # theirs\n"
     "  \"/a.toml\", # a\n  \"/b.toml\"\n]\n"},
    {"version = 3\nimports = [\n]\n",
     "version = 3\nimports = [\n  \"/etc/containerd/conf.d/cryopod.toml\",\n]\n"},
    {"version = 3\r\nimports = [\r\n  '/a.toml'\r\n]",
     "version = 3\r\nimports = [\r\n  \"/etc/containerd/conf.d/cryopod.toml\",\r\n"
     "  '/a.toml'\r\n]"},
    {"\xEF\xBB\xBFimports=['/\u00e9', '/a'] # \u00e9\n 'version' =\t3 # \u00e9",
     "\xEF\xBB\xBFimports=[\"/etc/containerd/conf.d/cryopod.toml\", '/\u00e9', '/a'] # \u00e9\n"
     " 'version' =\t3 # \u00e9"},
    {"a = '\u00e9'\r\nversion = 3 # \u00e9\r\nroot = '/'\r\n",
     "a = '\u00e9'\r\nversion = 3 # \u00e9\r\n"
     "imports = [\"/etc/containerd/conf.d/cryopod.toml\"]\nroot = '/'\r\n"},
    {"version = 3\nimports = [ # theirs\n  \"/a.toml\" ]\n",
     "version = 3\nimports = [\n  \"/etc/containerd/conf.d/cryopod.toml\", # theirs\n"
     "  \"/a.toml\" ]\n"},
};

TEST(AddImportTest, OnlyTheImportIsAdded) {
  for (const Shape& shape : kShapes) {
    EXPECT_THAT(AddImport(shape.before, kDropIn), IsOkAnd(testing::StrEq(shape.after)))
        << shape.before;
  }
}

TEST(AddImportTest, WhatWasWrittenImportsTheDropIn) {
  for (const Shape& shape : kShapes) {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const ContainerdConfig config, ParseContainerdConfig(shape.after));

    ASSERT_THAT(config.imports, testing::Not(IsEmpty())) << shape.after;
    EXPECT_EQ(config.imports[0], kDropIn);
    EXPECT_EQ(config.version, 3);
  }
}

TEST(AddImportTest, AnotherVersionIsRefusedWithTheRemedy) {
  for (const char* text : {"version = 2\n", "[plugins]\n", "root = \"/x\"\n", "version = 4\n"}) {
    EXPECT_THAT(AddImport(text, kDropIn),
                StatusIs(Code::kFailedPrecondition, HasSubstr("containerd config migrate")))
        << text;
  }
}

TEST(AddImportTest, WhatIsNoConfigurationIsRefusedWithItsLine) {
  EXPECT_THAT(AddImport("version = 3\nimports = \"x", kDropIn),
              StatusIs(Code::kInvalidArgument, HasSubstr("line 2")));
  EXPECT_THAT(AddImport("version = three\n", kDropIn), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(AddImport("version = 3\nimports = [1]\n", kDropIn), StatusIs(Code::kInvalidArgument));
  EXPECT_THAT(AddImport("version = 3\nimports = \"x\"\n", kDropIn),
              StatusIs(Code::kInvalidArgument));
}

TEST(AddImportTest, EveryPrefixOfATextIsRefusedOrImportsTheDropIn) {
  const std::string text =
      "version = 3\r\nimports = [ # \u00e9\n  \"/a\\u00e9\", '/b',\n\t'''/c''' ]\n[t.\"u\"]\nv = 1";

  for (size_t size = 0; size <= text.size(); ++size) {
    const Result<std::string> added = AddImport(text.substr(0, size), kDropIn);
    if (!added.ok()) continue;
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const ContainerdConfig config, ParseContainerdConfig(*added));
    EXPECT_EQ(config.imports.at(0), kDropIn) << *added;
    EXPECT_THAT(RemoveImport(*added, kDropIn, true), IsOk());
  }
  EXPECT_THAT(AddImport(text, kDropIn), IsOk());
}

TEST(AddImportTest, ATextThatIsNestedTooDeeplyIsRefused) {
  EXPECT_THAT(AddImport("a = " + std::string(10'000, '['), kDropIn),
              StatusIs(Code::kInvalidArgument));
}

TEST(RemoveImportTest, WhatWasAddedGoesAgain) {
  for (const Shape& shape : kShapes) {
    if (std::string(shape.before).find("imports") == std::string::npos) continue;
    if (std::string(shape.before).find("[plugins]") != std::string::npos) continue;
    EXPECT_THAT(RemoveImport(shape.after, kDropIn, false), IsOkAnd(testing::StrEq(shape.before)));
  }
}

TEST(RemoveImportTest, AStatementOfOursAloneGoesWhole) {
  EXPECT_THAT(RemoveImport("version = 3\nimports = [\"" + std::string(kDropIn) + "\"]\nroot = 1\n",
                           kDropIn, true),
              IsOkAnd(testing::StrEq("version = 3\nroot = 1\n")));
}

TEST(RemoveImportTest, OthersStayWhereverOursStands) {
  const std::string ours = "\"" + std::string(kDropIn) + "\"";

  EXPECT_THAT(RemoveImport("imports = [\"/a\", " + ours + "]\n", kDropIn, true),
              IsOkAnd(testing::StrEq("imports = [\"/a\"]\n")));
  EXPECT_THAT(RemoveImport("imports = [\"/a\", " + ours + ", \"/b\"]\n", kDropIn, true),
              IsOkAnd(testing::StrEq("imports = [\"/a\", \"/b\"]\n")));
  EXPECT_THAT(RemoveImport("imports = [\n \"/a\",\n " + ours + "\n]\n", kDropIn, true),
              IsOkAnd(testing::StrEq("imports = [\n \"/a\"\n]\n")));
  EXPECT_THAT(RemoveImport("imports = [\"/a\"]\n", kDropIn, true),
              IsOkAnd(testing::StrEq("imports = [\"/a\"]\n")));
  EXPECT_THAT(RemoveImport("version = 3\n", kDropIn, true),
              IsOkAnd(testing::StrEq("version = 3\n")));
}

TEST(ImportNamesTest, PatternsAndRelativePathsAreFollowed) {
  const std::string config = "/etc/containerd/config.toml";

  EXPECT_TRUE(ImportNames(kDropIn, config, kDropIn));
  EXPECT_TRUE(ImportNames("/etc/containerd/conf.d/*.toml", config, kDropIn));
  EXPECT_TRUE(ImportNames("conf.d/*.toml", config, kDropIn));
  EXPECT_TRUE(ImportNames("./conf.d/cryopod.toml", config, kDropIn));
  EXPECT_FALSE(ImportNames("/etc/containerd/*.toml", config, kDropIn));
  EXPECT_FALSE(ImportNames("/etc/containerd/conf.d/10-*.toml", config, kDropIn));
}

TEST(ParseContainerdConfigTest, OptionsOfTheRuntimeAreRead) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const ContainerdConfig config,
      ParseContainerdConfig("version = 3\n" + std::string(kOptions) +
                            "SystemdCgroup = true\nBinaryName = '/usr/local/sbin/runc'\n"));

  EXPECT_EQ(config.systemd_cgroup, true);
  EXPECT_EQ(config.runtime_program, "/usr/local/sbin/runc");
  EXPECT_FALSE(config.empty);
}

TEST(ParseContainerdConfigTest, OptionsOfOtherRuntimesAreNot) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const ContainerdConfig config,
      ParseContainerdConfig("[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.kata]\n"
                            "options = { SystemdCgroup = true, BinaryName = 'kata' }\n"));

  EXPECT_EQ(config.systemd_cgroup, std::nullopt);
  EXPECT_EQ(config.runtime_program, "");
}

class ReadContainerdConfigTest : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return temp_.path() / name; }
  void Write(const std::string& name, const std::string& text) { WriteText(Path(name), text); }

  test::TempDirectory temp_;
};

TEST_F(ReadContainerdConfigTest, AnAbsentFileIsEmpty) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ContainerdConfig config,
                               ReadContainerdConfig(Path("config.toml")));

  EXPECT_TRUE(config.empty);
}

TEST_F(ReadContainerdConfigTest, ImportedFilesLieOverTheFileThatImportsThem) {
  Write("config.toml", "version = 3\nimports = ['conf.d/*.toml']\n" + std::string(kOptions) +
                           "SystemdCgroup = false\nBinaryName = 'a'\n");
  ASSERT_EQ(::mkdir(Path("conf.d").c_str(), 0700), 0);
  Write("conf.d/cgroup.toml", kOptions + std::string("SystemdCgroup = true\n"));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ContainerdConfig config,
                               ReadContainerdConfig(Path("config.toml")));

  EXPECT_EQ(config.systemd_cgroup, true);
  EXPECT_EQ(config.runtime_program, "a");
  EXPECT_THAT(config.imports, ElementsAre("conf.d/*.toml"));
}

TEST_F(ReadContainerdConfigTest, TheDefaultRuntimeIsTheOneThatCounts) {
  Write("config.toml",
        "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd]\n"
        "default_runtime_name = 'crun'\n"
        "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.crun.options]\n"
        "BinaryName = '/usr/bin/crun'\n" +
            std::string(kOptions) + "BinaryName = '/usr/bin/runc'\n");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ContainerdConfig config,
                               ReadContainerdConfig(Path("config.toml")));

  EXPECT_EQ(config.runtime_program, "/usr/bin/crun");
}

TEST_F(ReadContainerdConfigTest, FilesThatImportEachOtherAreReadOnce) {
  Write("config.toml", "version = 3\nimports = ['*.toml']\n");
  Write("other.toml", "imports = ['config.toml']\n");

  EXPECT_THAT(ReadContainerdConfig(Path("config.toml")), IsOk());
}

TEST_F(ReadContainerdConfigTest, ADamagedImportIsNamedWithFileAndLine) {
  Write("config.toml", "version = 3\nimports = ['bad.toml']\n");
  Write("bad.toml", "x\n");

  EXPECT_THAT(ReadContainerdConfig(Path("config.toml")),
              StatusIs(Code::kInvalidArgument, HasSubstr("bad.toml: line 1")));
}

TEST_F(ReadContainerdConfigTest, AFileThatCannotBeReadIsAnError) {
  ASSERT_EQ(::mkdir(Path("config.toml").c_str(), 0700), 0);

  EXPECT_FALSE(ReadContainerdConfig(Path("config.toml")).ok());
}

}  // namespace
}  // namespace cryopod::ctl
