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
using testing::StrEq;

constexpr char kConfig[] = "/etc/containerd/config.toml";
constexpr char kDropIn[] = "/etc/containerd/conf.d/cryopod.toml";
constexpr char kOptions[] =
    "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\n";

struct Shape {
  const char* before;
  const char* after;
};

// What a person may have written, and what is made of it, where @ stands for the drop-in: nothing
// else may change.
constexpr Shape kShapes[] = {
    {"", "version = 3\nimports = [@]\n"},
    {"# nothing yet", "# nothing yet\nversion = 3\nimports = [@]\n"},
    {"version = 3\n", "version = 3\nimports = [@]\n"},
    {"version = 3", "version = 3\nimports = [@]\n"},
    {"version = 3 # the newest\n[plugins]\nimports = [\"not ours\"]\n",
     "version = 3 # the newest\nimports = [@]\n[plugins]\nimports = [\"not ours\"]\n"},
    {"version = 3\nimports = []\nroot = \"/x\"\n", "version = 3\nimports = [@]\nroot = \"/x\"\n"},
    {"imports = ['/a.toml']\nversion = 3\n", "imports = [@, '/a.toml']\nversion = 3\n"},
    {"version = 3\nimports = [\n  # theirs\n  \"/a.toml\", # a\n  \"/b.toml\"\n]\n",
     "version = 3\nimports = [\n  @,\n  # theirs\n  \"/a.toml\", # a\n  \"/b.toml\"\n]\n"},
    {"version = 3\nimports = [\n]\n", "version = 3\nimports = [\n  @,\n]\n"},
    {"version = 3\r\nimports = [\r\n  '/a.toml'\r\n]",
     "version = 3\r\nimports = [\r\n  @,\r\n  '/a.toml'\r\n]"},
    {"\xEF\xBB\xBFimports=['/\u00e9', '/a'] # \u00e9\n 'version' =\t3 # \u00e9",
     "\xEF\xBB\xBFimports=[@, '/\u00e9', '/a'] # \u00e9\n 'version' =\t3 # \u00e9"},
    {"a = '\u00e9'\r\nversion = 3 # \u00e9\r\nroot = '/'\r\n",
     "a = '\u00e9'\r\nversion = 3 # \u00e9\r\nimports = [@]\nroot = '/'\r\n"},
    {"version = 3\nimports = [ # theirs\n  \"/a.toml\" ]\n",
     "version = 3\nimports = [\n  @, # theirs\n  \"/a.toml\" ]\n"},
};

std::string WithDropIn(std::string text) {
  for (size_t at = 0; (at = text.find('@', at)) != std::string::npos;) {
    text.replace(at, 1, "\"" + std::string(kDropIn) + "\"");
  }
  return text;
}

TEST(AddImportTest, OnlyTheImportIsAddedAndItIsOne) {
  for (const Shape& shape : kShapes) {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::string after, AddImport(shape.before, kDropIn));
    EXPECT_EQ(after, WithDropIn(shape.after));
    EXPECT_THAT(Imports(after, kConfig, kDropIn), IsOkAnd(true)) << after;
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
  for (const std::string& text : std::vector<std::string>{
           "version = three\n", "version = 3\nimports = [1]\n", "version = 3\nimports = \"x\"\n",
           "a = " + std::string(10'000, '[')}) {
    EXPECT_THAT(AddImport(text, kDropIn), StatusIs(Code::kInvalidArgument)) << text.substr(0, 40);
  }
}

TEST(AddImportTest, EveryPrefixOfATextIsRefusedOrImportsTheDropIn) {
  const std::string text =
      "version = 3\r\nimports = [ # \u00e9\n  \"/a\\u00e9\", '/b',\n\t'''/c''' ]\n[t.\"u\"]\nv = 1";

  for (size_t size = 0; size <= text.size(); ++size) {
    const Result<std::string> added = AddImport(text.substr(0, size), kDropIn);
    if (!added.ok()) continue;
    EXPECT_THAT(Imports(*added, kConfig, kDropIn), IsOkAnd(true)) << *added;
    EXPECT_THAT(RemoveImport(*added, kDropIn, true), IsOk());
  }
  EXPECT_THAT(AddImport(text, kDropIn), IsOk());
}

TEST(RemoveImportTest, WhatWasAddedGoesAgain) {
  for (const Shape& shape : kShapes) {
    if (std::string(shape.before).find("imports") == std::string::npos) continue;
    if (std::string(shape.before).find("[plugins]") != std::string::npos) continue;
    EXPECT_THAT(RemoveImport(WithDropIn(shape.after), kDropIn, false),
                IsOkAnd(StrEq(shape.before)));
  }
}

TEST(RemoveImportTest, AStatementOfOursAloneGoesWholeAndOthersStayWhereverOursStands) {
  constexpr Shape kOthers[] = {
      {"version = 3\nimports = [@]\nroot = 1\n", "version = 3\nroot = 1\n"},
      {"imports = [\"/a\", @]\n", "imports = [\"/a\"]\n"},
      {"imports = [\"/a\", @, \"/b\"]\n", "imports = [\"/a\", \"/b\"]\n"},
      {"imports = [\n \"/a\",\n @\n]\n", "imports = [\n \"/a\"\n]\n"},
      {"imports = [\"/a\"]\n", "imports = [\"/a\"]\n"},
      {"version = 3\n", "version = 3\n"}};
  for (const Shape& shape : kOthers) {
    EXPECT_THAT(RemoveImport(WithDropIn(shape.before), kDropIn, true), IsOkAnd(StrEq(shape.after)));
  }
}

TEST(ImportsTest, PatternsAndRelativePathsAreFollowed) {
  const std::pair<const char*, bool> imports[] = {{kDropIn, true},
                                                  {"/etc/containerd/conf.d/*.toml", true},
                                                  {"conf.d/*.toml", true},
                                                  {"./conf.d/cryopod.toml", true},
                                                  {"/etc/containerd/*.toml", false},
                                                  {"/etc/containerd/conf.d/10-*.toml", false}};
  for (const auto& [import, names] : imports) {
    const std::string text = "imports = ['/other', '" + std::string(import) + "']\n";
    EXPECT_THAT(Imports(text, kConfig, kDropIn), IsOkAnd(names)) << import;
  }
}

class ReadContainerdConfigTest : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return temp_.path() / name; }
  void Write(const std::string& name, const std::string& text) { WriteText(Path(name), text); }
  Result<ContainerdConfig> Read() const { return ReadContainerdConfig(Path("config.toml")); }

  test::TempDirectory temp_;
};

TEST_F(ReadContainerdConfigTest, AnAbsentFileIsEmpty) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ContainerdConfig config, Read());

  EXPECT_TRUE(config.empty);
}

TEST_F(ReadContainerdConfigTest, ImportedFilesLieOverTheFileThatImportsThem) {
  Write("config.toml", "version = 3\nimports = ['conf.d/*.toml']\n" + std::string(kOptions) +
                           "SystemdCgroup = false\nBinaryName = 'a'\n");
  ASSERT_EQ(::mkdir(Path("conf.d").c_str(), 0700), 0);
  Write("conf.d/cgroup.toml", kOptions + std::string("SystemdCgroup = true\n"));

  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ContainerdConfig config, Read());

  EXPECT_EQ(config.systemd_cgroup, true);
  EXPECT_EQ(config.runtime_program, "a");
  EXPECT_THAT(config.imports, ElementsAre("conf.d/*.toml"));
  EXPECT_FALSE(config.empty);
}

TEST_F(ReadContainerdConfigTest, TheDefaultRuntimeIsTheOneThatCounts) {
  const std::string crun =
      "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.crun]\n"
      "options = { SystemdCgroup = true, BinaryName = '/usr/bin/crun' }\n";
  Write("config.toml", crun);
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ContainerdConfig other, Read());
  EXPECT_EQ(other.systemd_cgroup, std::nullopt);
  EXPECT_EQ(other.runtime_program, "");

  Write("config.toml",
        "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd]\n"
        "default_runtime_name = 'crun'\n" +
            crun + kOptions + "BinaryName = '/usr/bin/runc'\n");
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ContainerdConfig config, Read());
  EXPECT_EQ(config.systemd_cgroup, true);
  EXPECT_EQ(config.runtime_program, "/usr/bin/crun");
}

TEST_F(ReadContainerdConfigTest, FilesThatImportEachOtherAreReadOnce) {
  Write("config.toml", "version = 3\nimports = ['*.toml']\n");
  Write("other.toml", "imports = ['config.toml']\n");

  EXPECT_THAT(Read(), IsOk());
}

TEST_F(ReadContainerdConfigTest, ADamagedImportIsNamedWithFileAndLine) {
  Write("config.toml", "version = 3\nimports = ['bad.toml']\n");
  Write("bad.toml", "x\n");

  EXPECT_THAT(Read(), StatusIs(Code::kInvalidArgument, HasSubstr("bad.toml: line 1")));
}

TEST_F(ReadContainerdConfigTest, AFileThatCannotBeReadIsAnError) {
  ASSERT_EQ(::mkdir(Path("config.toml").c_str(), 0700), 0);

  EXPECT_FALSE(Read().ok());
}

}  // namespace
}  // namespace cryopod::ctl
