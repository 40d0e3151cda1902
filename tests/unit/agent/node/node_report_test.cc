#include "agent/node/node_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "agent/os/directory.h"
#include "agent/os/unix_socket.h"
#include "tests/fakes/fake_cri_server.h"
#include "tests/support/read_text.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/unit/agent/node/wrapper_installation.h"

namespace cryopod::node {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// A node that lacks nothing but what the machine of the test may lack (capabilities, memory, disk).
class NodeReportTest : public ::testing::Test {
 protected:
  NodeReportTest() {
    settings_.run_dir = temp_.path() / "run";
    settings_.state_dir = temp_.path() / "state";
    settings_.libexec_dir = temp_.path() / "libexec";
    settings_.containerd_socket = temp_.path() / "cri.sock";
    settings_.criu_program = temp_.path() / "criu";
    for (const std::string& path :
         {settings_.jobs_dir(), settings_.store_root(), settings_.libexec_dir}) {
      EXPECT_THAT(MakeDirectories(path), cryopod::test::IsOk());
    }
    fs::create_symlink(CRYOPOD_FAKE_CRIU, settings_.criu_program);
    for (const std::string& program : {settings_.checkpoint_program(), settings_.restore_program(),
                                       settings_.unpack_program()}) {
      fs::create_symlink(CRYOPOD_UNPACK_PROGRAM, program);
    }
    installation_.Configure("agent_socket=" + settings_.runtime_socket() +
                            "\nstate_dir=" + settings_.state_dir + "\n");
    Result<UniqueFd> listener = ListenUnix(settings_.runtime_socket());
    EXPECT_THAT(listener, cryopod::test::IsOk());
    runtime_listener_ = std::move(listener).value();
    SetHandlers({{"cryopod", Handler()}});
  }

  nlohmann::json Handler() const {
    return {{"runtimeType", "io.containerd.runc.v2"},
            {"PodAnnotations", {"cryopod.dev/*"}},
            {"ContainerAnnotations", {"io.kubernetes.container.*", "cryopod.dev/*"}},
            {"options", {{"BinaryName", installation_.program()}}}};
  }
  void SetHandlers(const nlohmann::json& runtimes) {
    server_->SetRuntimeConfig(nlohmann::json{{"containerd", {{"runtimes", runtimes}}}}.dump());
  }
  api::NodeInfo Look(const Observer& observer = {true, "0.1.0", ""}) {
    cri::RuntimeClient runtime(settings_.containerd_socket);
    return LookAtNode(settings_, runtime, observer);
  }
  // What is lacking, but for what this test cannot give.
  static std::vector<std::string> Lacking(const api::NodeInfo& report) {
    std::vector<std::string> names;
    for (const api::Requirement& requirement : report.requirements) {
      const bool of_machine =
          requirement.name == api::kCapabilities || requirement.name == api::kStagingMemory ||
          requirement.name == api::kLandlock || requirement.name == api::kDiskSpace;
      if (requirement.state != api::RequirementState::kLacking || of_machine) continue;
      names.push_back(requirement.name);
      EXPECT_FALSE(requirement.reason.empty());
      EXPECT_FALSE(requirement.remedy.empty());
    }
    return names;
  }
  static api::Requirement Find(const api::NodeInfo& report, const std::string& name) {
    for (const api::Requirement& requirement : report.requirements) {
      if (requirement.name == name) return requirement;
    }
    ADD_FAILURE() << "no requirement " << name;
    return {};
  }

  cryopod::test::TempDirectory temp_;
  settings::AgentSettings settings_;
  test::WrapperInstallation installation_;
  UniqueFd runtime_listener_;
  std::unique_ptr<cryopod::test::FakeCriServer> server_ =
      std::make_unique<cryopod::test::FakeCriServer>(temp_.path() / "cri.sock");
};

TEST_F(NodeReportTest, ANodeThatHasAllLacksNothingAndTellsItsFactsAndEveryRequirementOnce) {
  const api::NodeInfo report = Look();

  EXPECT_THAT(Lacking(report), IsEmpty());
  EXPECT_EQ(report.criu_version, "4.2.1");
  EXPECT_EQ(report.runtime_name, "containerd");
  EXPECT_EQ(report.runtime_version, "2.1.9");
  EXPECT_FALSE(report.kernel.empty());
  std::vector<std::string> names;
  for (const api::Requirement& requirement : report.requirements) names.push_back(requirement.name);
  EXPECT_THAT(
      names,
      ElementsAre("agent", "capabilities", "runtime-socket", "kernel", "cgroup-freezer",
                  "staging-memory", "criu", "criu-features", "criu-plugin", "inner-programs",
                  "unpack", "landlock", "directories", "disk-space", "runtime", "snapshotter",
                  "runtime-handler", "runtime-annotations", "runtime-program", "oci-runtime"));
}

TEST_F(NodeReportTest, WhatTheRuntimesHandlerLacksIsNamedAlone) {
  nlohmann::json deaf = Handler(), foreign = Handler(), native = Handler();
  deaf["PodAnnotations"] = nullptr;
  foreign["options"]["BinaryName"] = "/usr/sbin/nothing";
  native["snapshotter"] = "native";
  const std::pair<nlohmann::json, const char*> cases[] = {
      {{{"runc", nlohmann::json::object()}}, "runtime-handler"},
      {{{"cryopod", deaf}}, "runtime-annotations"},
      {{{"cryopod", foreign}}, "runtime-program"},
      {{{"cryopod", native}}, "snapshotter"}};
  for (const auto& [handlers, requirement] : cases) {
    SetHandlers(handlers);
    EXPECT_THAT(Lacking(Look()), ElementsAre(requirement));
  }
}

TEST_F(NodeReportTest, WithoutRuncAndThenWithoutARuntimeItAloneIsNamed) {
  fs::remove(installation_.runc());
  EXPECT_THAT(Lacking(Look()), ElementsAre("oci-runtime"));

  server_.reset();
  EXPECT_THAT(Lacking(Look()), ElementsAre("runtime"));
}

TEST_F(NodeReportTest, WithoutCriuItAloneIsNamed) {
  fs::remove(settings_.criu_program);

  const api::NodeInfo report = Look();

  EXPECT_THAT(Lacking(report), ElementsAre("criu"));
  const api::Requirement features = Find(report, api::kCriuFeatures);
  EXPECT_EQ(features.state, api::RequirementState::kUnknown);
  EXPECT_EQ(features.reason, "cannot be seen without criu");
  const api::Requirement criu = Find(report, api::kCriu);
  EXPECT_THAT(report.problems, Contains("criu: " + criu.reason + "; " + criu.remedy));
  EXPECT_THAT(report.problems, Not(Contains(HasSubstr("criu-features"))));
}

TEST_F(NodeReportTest, WithAnOpenStoreOrWithoutTheRuntimeSocketItAloneIsNamed) {
  ::chmod(settings_.store_root().c_str(), 0755);
  EXPECT_THAT(Lacking(Look()), ElementsAre("directories"));

  ::chmod(settings_.store_root().c_str(), 0700);
  runtime_listener_.Reset();
  EXPECT_THAT(Lacking(Look()), ElementsAre("runtime-socket"));
}

TEST_F(NodeReportTest, WhoeverLooksInTheAgentsSteadNamesItAndSeesWhatCanBeSeen) {
  runtime_listener_.Reset();
  fs::remove_all(settings_.run_dir);

  const api::NodeInfo report = Look({false, "", "nobody answers at agent.sock"});

  EXPECT_THAT(Lacking(report), ElementsAre("agent"));
  EXPECT_THAT(Find(report, api::kAgent).reason, HasSubstr("nobody answers"));
  EXPECT_EQ(Find(report, api::kCapabilities).state, api::RequirementState::kUnknown);
  EXPECT_EQ(Find(report, api::kCriuFeatures).state, api::RequirementState::kMet);
  EXPECT_EQ(Find(report, api::kOciRuntime).state, api::RequirementState::kMet);
}

}  // namespace
}  // namespace cryopod::node
