#include "restore/first_program.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <filesystem>

#include "tests/support/read_text.h"
#include "tests/support/temp_directory.h"

namespace cryopod::restore {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBindService = uint64_t{1} << 10;
constexpr uint64_t kBpf = uint64_t{1} << 39;

// struct vfs_cap_data of revision 2, with CAP_NET_BIND_SERVICE permitted and CAP_BPF inheritable.
const std::string kAttribute(
    "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    "\x80\x00\x00\x00",
    20);
constexpr char kElf[] =
    "\x7f"
    "ELF";
const FileCapabilities kGiven{kBindService, kBpf};

class FirstProgramTest : public ::testing::Test {
 protected:
  void Make(const std::string& path, const std::string& text, bool with_capabilities,
            mode_t mode = 0755) {
    const fs::path file = temp_.path() / path;
    fs::create_directories(file.parent_path());
    test::WriteText(file, text);
    ASSERT_EQ(::chmod(file.c_str(), mode), 0);
    if (!with_capabilities) return;
    ASSERT_EQ(
        ::setxattr(file.c_str(), "security.capability", kAttribute.data(), kAttribute.size(), 0),
        0);
  }
  FileCapabilities Of(const std::string& name, const std::string& directory = "/") const {
    return CapabilitiesOfProgram(temp_.path(), {name, directory, {"/bin", "/sbin", "tools"}});
  }

  test::TempDirectory temp_;
};

TEST_F(FirstProgramTest, AProgramIsFoundAsTheRuntimeFindsIt) {
  Make("sbin/dns", kElf, true);
  Make("srv/tools/own", kElf, true);
  fs::create_symlink("/sbin/dns", temp_.path() / "start");

  EXPECT_EQ(Of("dns"), kGiven);
  EXPECT_EQ(Of("/start"), kGiven);
  EXPECT_EQ(Of("tools/own", "/srv"), kGiven);
  EXPECT_EQ(Of("own", "/srv"), kGiven);
  EXPECT_EQ(Of("absent"), FileCapabilities());
  EXPECT_EQ(Of(""), FileCapabilities());
}

TEST_F(FirstProgramTest, AFileThatCannotBeExecutedIsPassedOver) {
  Make("bin/dns", "text", true, 0644);
  Make("sbin/dns", kElf, false);

  EXPECT_EQ(Of("dns"), FileCapabilities());
}

TEST_F(FirstProgramTest, OfAScriptTheInterpretersCapabilitiesCount) {
  Make("bin/shell", kElf, true);
  Make("bin/plain", kElf, false);
  Make("entrypoint", "#! /bin/shell -e\n", false);
  Make("again", "#!/entrypoint\n", false);
  Make("gifted", "#!/bin/plain\n", true);
  Make("loop", "#!/loop\n", true);

  EXPECT_EQ(Of("/entrypoint"), kGiven);
  EXPECT_EQ(Of("/again"), kGiven);
  EXPECT_EQ(Of("/gifted"), FileCapabilities());
  EXPECT_EQ(Of("/loop"), FileCapabilities());
}

TEST_F(FirstProgramTest, AnAttributeOfAnotherFormGivesNothing) {
  EXPECT_EQ(ParseFileCapabilities(kAttribute), kGiven);
  std::string third = kAttribute + std::string(4, '\0');
  third[3] = 3;
  EXPECT_EQ(ParseFileCapabilities(third), kGiven);
  third[20] = 1;
  EXPECT_EQ(ParseFileCapabilities(third), FileCapabilities()) << "of a user namespace";
  EXPECT_EQ(ParseFileCapabilities(""), FileCapabilities());
  EXPECT_EQ(ParseFileCapabilities(kAttribute.substr(1)), FileCapabilities());
  std::string unknown = kAttribute;
  unknown[3] = 9;
  EXPECT_EQ(ParseFileCapabilities(unknown), FileCapabilities());
}

}  // namespace
}  // namespace cryopod::restore
