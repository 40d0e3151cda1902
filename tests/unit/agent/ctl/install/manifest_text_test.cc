#include "agent/ctl/install/manifest_text.h"

#include <gtest/gtest.h>

#include "agent/ctl/install/containerd_config.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"

namespace cryopod::ctl {
namespace {

using test::IsOk;
using test::IsOkAnd;
using test::ReadText;
using test::StatusIs;
using testing::HasSubstr;
using testing::Not;

// The manifests themselves: a line that is changed there must be found here.
std::string Manifest(const std::string& name) {
  return ReadText(std::string(CRYOPOD_MANIFESTS) + "/" + name);
}

TEST(ManifestForTest, TheDropInNamesTheProgramOfThePrefix) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const std::string text,
      ManifestFor(Manifest("containerd/cryopod.toml"), "/srv/odd place/cryo pod", false));

  EXPECT_THAT(text, HasSubstr("BinaryName = \"/srv/odd place/cryo pod/bin/cryopod-runtime\"\n"));
  EXPECT_THAT(text, Not(HasSubstr("/opt/cryopod")));
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const ContainerdConfig config,
                               ParseContainerdConfig(text, "cryopod"));
  EXPECT_EQ(config.runtime_program, "/srv/odd place/cryo pod/bin/cryopod-runtime");
  EXPECT_EQ(config.systemd_cgroup, std::nullopt);
  EXPECT_EQ(config.version, 3);
}

TEST(ManifestForTest, TheCgroupDriverIsTheOneOfTheNode) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const std::string text,
                               ManifestFor(Manifest("containerd/cryopod.toml"), "/opt/x", true));

  EXPECT_THAT(ParseContainerdConfig(text, "cryopod"),
              IsOkAnd(testing::Field(&ContainerdConfig::systemd_cgroup, true)));
}

TEST(ManifestForTest, AManifestWithoutTheLineIsAnError) {
  EXPECT_THAT(ManifestFor("version = 3\n", "/opt/x", false), StatusIs(Code::kInternal));
}

TEST(ManifestForTest, AUnitStartsTheProgramOfThePrefix) {
  for (const std::string name : {"cryopod-agent", "cryopod-gateway"}) {
    CRYOPOD_ASSERT_OK_AND_ASSIGN(
        const std::string text,
        ManifestFor(Manifest("systemd/" + name + ".service"), "/srv/odd place"));

    EXPECT_THAT(text, HasSubstr("\nExecStart=\"/srv/odd place/bin/" + name + "\"\n"));
  }
  EXPECT_THAT(ManifestFor("[Service]\n", "/opt/x"), StatusIs(Code::kInternal));
}

TEST(CheckPrefixTest, BlanksAreWelcomeAndWhatChangesItsMeaningIsNot) {
  EXPECT_THAT(CheckPrefix("/srv/odd place/cryo pod"), IsOk());
  for (const char* prefix :
       {"", "relative", "/a:b", "/a\"b", "/a\\b", "/a%b", "/a$b", "/a\nb", "/\xc3\xa9"}) {
    EXPECT_THAT(CheckPrefix(prefix), StatusIs(Code::kInvalidArgument, HasSubstr("move it")));
  }
}

}  // namespace
}  // namespace cryopod::ctl
