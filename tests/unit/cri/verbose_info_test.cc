#include "cri/verbose_info.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cri/config.pb.h"
#include "cri/config_json.h"

namespace cryopod::cri {
namespace {

namespace v1 = runtime::v1;
using testing::HasSubstr;

// As containerd 2.1 prints it: proto names, enums and 64-bit integers as numbers.
constexpr char kContainerdInfo[] = R"({
  "sandboxID": "9f", "pid": 4711, "removing": false, "snapshotter": "overlayfs",
  "config": {
    "metadata": {"name": "app", "attempt": 2},
    "image": {"image": "lab.local/busybox:1", "user_specified_image": "busybox:1"},
    "command": ["/bin/sh"],
    "envs": [{"key": "MODE", "value": "fast"}],
    "mounts": [{"container_path": "/data", "host_path": "/srv/data", "readonly": true,
                "propagation": 1, "uidMappings": [{"host_id": 1, "length": 2}]}],
    "linux": {
      "resources": {"memory_limit_in_bytes": 1099511627776, "cpu_shares": 2,
                    "unified": {"memory.oom.group": "1"}},
      "security_context": {"capabilities": {"drop_capabilities": ["ALL"]},
                           "namespace_options": {"pid": 1},
                           "run_as_user": {"value": 1000},
                           "supplemental_groups": [10, 20],
                           "seccomp": {"profile_type": 2, "localhost_ref": "p.json"}}
    },
    "CDI_devices": [{"name": "v.com/d=1"}],
    "stop_signal": 23,
    "from_a_later_year": {"x": 1}
  },
  "runtimeSpec": {"ociVersion": "1.2.0", "process": {"env": ["PATH=/bin", "MODE=fast"]}}
})";

TEST(VerboseInfoTest, AContainerdConfigParsesBackWithNothingLost) {
  const Result<VerboseInfo> info = ParseContainerInfo({{"info", kContainerdInfo}});

  ASSERT_TRUE(info.ok()) << info.status().message();
  EXPECT_EQ(info->pid, 4711);
  v1::ContainerConfig config;
  ASSERT_TRUE(ParseStrictJson(info->config_json, "config", &config).ok()) << info->config_json;
  EXPECT_EQ(config.metadata().attempt(), 2u);
  EXPECT_EQ(config.image().user_specified_image(), "busybox:1");
  EXPECT_EQ(config.envs(0).value(), "fast");
  EXPECT_EQ(config.mounts(0).propagation(), v1::PROPAGATION_HOST_TO_CONTAINER);
  EXPECT_EQ(config.mounts(0).uidmappings(0).length(), 2u);
  EXPECT_EQ(config.linux().resources().memory_limit_in_bytes(), 1099511627776);
  EXPECT_EQ(config.linux().resources().unified().at("memory.oom.group"), "1");
  const v1::LinuxContainerSecurityContext& security = config.linux().security_context();
  EXPECT_EQ(security.namespace_options().pid(), v1::CONTAINER);
  EXPECT_EQ(security.run_as_user().value(), 1000);
  EXPECT_EQ(security.supplemental_groups(1), 20);
  EXPECT_EQ(security.seccomp().profile_type(), v1::SecurityProfile::Localhost);
  EXPECT_EQ(config.cdi_devices(0).name(), "v.com/d=1");
  EXPECT_EQ(config.stop_signal(), v1::SIGNAL_SIGTERM);
}

TEST(VerboseInfoTest, ASandboxConfigParsesBack) {
  const Result<VerboseInfo> info = ParseSandboxInfo({{"info", R"({
    "pid": 12, "processStatus": "running", "runtimeHandler": "cryopod",
    "config": {"metadata": {"name": "web", "uid": "u", "namespace": "shop"}, "hostname": "web",
               "port_mappings": [{"protocol": 1, "container_port": 53}],
               "linux": {"cgroup_parent": "/k", "security_context":
                         {"namespace_options": {"network": 2}}}}})"}});

  ASSERT_TRUE(info.ok()) << info.status().message();
  EXPECT_EQ(info->pid, 12);
  v1::PodSandboxConfig config;
  ASSERT_TRUE(ParseStrictJson(info->config_json, "config", &config).ok()) << info->config_json;
  EXPECT_EQ(config.metadata().namespace_(), "shop");
  EXPECT_EQ(config.port_mappings(0).protocol(), v1::UDP);
  EXPECT_EQ(config.linux().security_context().namespace_options().network(), v1::NODE);
}

TEST(VerboseInfoTest, AnEnvironmentInBase64IsReadByTheSpecBesideIt) {
  // "ZmFzdA==" is "fast"; "abcd" is valid base64 too, but the specification holds it as it is.
  const Result<VerboseInfo> info = ParseContainerInfo({{"info", R"({
    "config": {"envs": [{"key": "MODE", "value": "ZmFzdA=="}, {"key": "WORD", "value": "abcd"},
                        {"key": "GONE", "value": "ZmFzdA=="}]},
    "runtimeSpec": {"process": {"env": ["MODE=fast", "WORD=abcd"]}}})"}});

  ASSERT_TRUE(info.ok()) << info.status().message();
  v1::ContainerConfig config;
  ASSERT_TRUE(ParseStrictJson(info->config_json, "config", &config).ok());
  EXPECT_EQ(config.envs(0).value(), "fast");
  EXPECT_EQ(config.envs(1).value(), "abcd");
  EXPECT_EQ(config.envs(2).value(), "ZmFzdA==");
}

TEST(VerboseInfoTest, ARuntimeThatTellsNothingGivesAnEmptyAnswer) {
  const Result<VerboseInfo> none = ParseContainerInfo({});
  const Result<VerboseInfo> cri_o =
      ParseContainerInfo({{"info", R"({"pid": 7, "runtimeSpec": {}, "privileged": false})"}});

  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->pid, 0);
  EXPECT_EQ(none->config_json, "");
  ASSERT_TRUE(cri_o.ok());
  EXPECT_EQ(cri_o->pid, 7);
  EXPECT_EQ(cri_o->config_json, "");
}

TEST(VerboseInfoTest, APidThatIsNoPidIsNone) {
  for (const char* pid : {"-1", "\"4\"", "1.5", "99999999999", "null"}) {
    const Result<VerboseInfo> info =
        ParseContainerInfo({{"info", std::string(R"({"pid": )") + pid + "}"}});

    ASSERT_TRUE(info.ok()) << pid;
    EXPECT_EQ(info->pid, 0) << pid;
  }
}

TEST(VerboseInfoTest, AnAnswerOfAnotherShapeIsAnError) {
  for (const char* text : {"", "[]", "{\"pid\":", "7", R"({"config": {"labels": 5}})"}) {
    EXPECT_EQ(ParseContainerInfo({{"info", text}}).status().code(), Code::kInternal) << text;
  }
}

TEST(VerboseInfoTest, AnAnswerOfEndlessDepthIsAnErrorAndNoCrash) {
  std::string text = R"({"config": )";
  for (int i = 0; i < 200'000; ++i) text += R"({"a":)";
  text += "1" + std::string(200'000, '}') + "}";

  EXPECT_EQ(ParseContainerInfo({{"info", text}}).status().code(), Code::kInternal);
}

}  // namespace
}  // namespace cryopod::cri
