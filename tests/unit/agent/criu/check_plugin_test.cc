#include "agent/criu/plugin/check_plugin.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "tests/support/read_text.h"
#include "tests/support/soon.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace cryopod::criu {
namespace {

namespace fs = std::filesystem;
using cryopod::test::Soon;
using cryopod::test::StatusIs;
using ::testing::HasSubstr;

// A program in place of CRIU: the plugin fits into every one that is linked with this libc.
class CheckPluginTest : public ::testing::Test {
 protected:
  CheckPluginTest() {
    fs::create_directories(temp_.path() / "bin");
    fs::copy_file("/bin/true", criu_);
  }
  Status Check(const std::string& plugin) { return CheckHoldPlugin(plugin, criu_, Soon()); }

  cryopod::test::TempDirectory temp_;
  const std::string criu_ = temp_.path() / "bin/criu";
};

TEST_F(CheckPluginTest, OneThatCriuLoadsCanBeUsed) {
  EXPECT_THAT(Check(CRYOPOD_HOLD_PLUGIN), cryopod::test::IsOk());
}

TEST_F(CheckPluginTest, OneThatIsNotThereOrDoesNotFitCannot) {
  EXPECT_THAT(Check(""), StatusIs(Code::kFailedPrecondition, HasSubstr("no plugin is named")));
  EXPECT_THAT(Check(temp_.path() / "gone.so"),
              StatusIs(Code::kFailedPrecondition, HasSubstr("gone.so")));
  cryopod::test::WriteText(temp_.path() / "text.so", "no library");
  EXPECT_THAT(Check(temp_.path() / "text.so"),
              StatusIs(Code::kFailedPrecondition, HasSubstr("does not load")));
}

TEST_F(CheckPluginTest, ACriuWithPluginsOfItsOwnKeepsThem) {
  fs::create_directories(temp_.path() / "lib/criu");
  cryopod::test::WriteText(temp_.path() / "lib/criu/README", "");
  EXPECT_THAT(Check(CRYOPOD_HOLD_PLUGIN), cryopod::test::IsOk());

  cryopod::test::WriteText(temp_.path() / "lib/criu/cuda_plugin.so", "");

  EXPECT_THAT(Check(CRYOPOD_HOLD_PLUGIN),
              StatusIs(Code::kFailedPrecondition, HasSubstr("plugins of its own")));
}

}  // namespace
}  // namespace cryopod::criu
