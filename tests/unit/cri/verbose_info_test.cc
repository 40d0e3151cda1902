#include "cri/verbose_info.h"

#include <gtest/gtest.h>

#include "cri/config.pb.h"
#include "cri/config_json.h"
#include "tests/support/status_matchers.h"

namespace cryopod::cri {
namespace {

namespace v1 = runtime::v1;
using test::IsOkAnd;
using test::StatusIs;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Key;

// The configuration that an answer holds.
template <typename Message>
Message Read(const VerboseInfo& info) {
  Message config;
  EXPECT_THAT(ParseJson(info.config_json, "config", &config), test::IsOk());
  return config;
}

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
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const VerboseInfo info,
                               ParseContainerInfo({{"info", kContainerdInfo}}));

  EXPECT_EQ(info.pid, 4711);
  EXPECT_THAT(info.config_json, testing::HasSubstr("\"user_specified_image\":\"busybox:1\""));
  const auto config = Read<v1::ContainerConfig>(info);
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
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const VerboseInfo info, ParseSandboxInfo({{"info", R"({
    "pid": 12, "processStatus": "running", "runtimeHandler": "cryopod",
    "config": {"metadata": {"name": "web", "uid": "u", "namespace": "shop"}, "hostname": "web",
               "port_mappings": [{"protocol": 1, "container_port": 53}],
               "linux": {"cgroup_parent": "/k", "security_context":
                         {"namespace_options": {"network": 2}}}}})"}}));

  EXPECT_EQ(info.pid, 12);
  const auto config = Read<v1::PodSandboxConfig>(info);
  EXPECT_EQ(config.metadata().namespace_(), "shop");
  EXPECT_EQ(config.port_mappings(0).protocol(), v1::UDP);
  EXPECT_EQ(config.linux().security_context().namespace_options().network(), v1::NODE);
}

TEST(VerboseInfoTest, AnEnvironmentInBase64IsReadByTheSpecBesideIt) {
  // "ZmFzdA==" is "fast"; "abcd" is valid base64 too, but the specification holds it as it is.
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const VerboseInfo info, ParseContainerInfo({{"info", R"({
    "config": {"envs": [{"key": "MODE", "value": "ZmFzdA=="}, {"key": "WORD", "value": "abcd"},
                        {"key": "GONE", "value": "ZmFzdA=="}]},
    "runtimeSpec": {"process": {"env": ["MODE=fast", "WORD=abcd"]}}})"}}));

  const auto config = Read<v1::ContainerConfig>(info);
  EXPECT_EQ(config.envs(0).value(), "fast");
  EXPECT_EQ(config.envs(1).value(), "abcd");
  EXPECT_EQ(config.envs(2).value(), "ZmFzdA==");
}

TEST(VerboseInfoTest, ARuntimeThatTellsNothingGivesAnEmptyAnswer) {
  CRYOPOD_ASSERT_OK_AND_ASSIGN(const VerboseInfo none, ParseContainerInfo({}));
  EXPECT_EQ(none.pid, 0);
  EXPECT_EQ(none.config_json, "");

  CRYOPOD_ASSERT_OK_AND_ASSIGN(
      const VerboseInfo cri_o,
      ParseContainerInfo({{"info", R"({"pid": 7, "runtimeSpec": {}, "privileged": false})"}}));
  EXPECT_EQ(cri_o.pid, 7);
  EXPECT_EQ(cri_o.config_json, "");
}

TEST(VerboseInfoTest, APidThatIsNoPidIsNone) {
  for (const std::string pid : {"-1", "\"4\"", "1.5", "99999999999", "null"}) {
    EXPECT_THAT(ParseContainerInfo({{"info", R"({"pid": )" + pid + "}"}}),
                IsOkAnd(testing::Field(&VerboseInfo::pid, 0)))
        << pid;
  }
}

TEST(VerboseInfoTest, AnAnswerOfAnotherShapeOrOfEndlessDepthIsAnError) {
  std::string deep = R"({"config": )";
  for (int i = 0; i < 200'000; ++i) deep += R"({"a":)";
  deep += "1" + std::string(200'000, '}') + "}";
  for (const std::string& text :
       std::vector<std::string>{"", "[]", "{\"pid\":", "7", R"({"config": {"labels": 5}})", deep}) {
    EXPECT_THAT(ParseContainerInfo({{"info", text}}), StatusIs(Code::kInternal))
        << text.substr(0, 40);
  }
}

// As containerd 2.1.9 prints it, what is not read left out but for one key.
constexpr char kContainerd[] = R"({
  "containerd": {
    "defaultRuntimeName": "runc",
    "runtimes": {
      "cryopod": {
        "runtimeType": "io.containerd.runc.v2", "runtimePath": "",
        "PodAnnotations": ["cryopod.dev/*"],
        "ContainerAnnotations": ["io.kubernetes.container.*", "cryopod.dev/*"],
        "options": {"BinaryName": "/opt/cryopod/bin/cryopod-runtime"}, "snapshotter": "native"
      },
      "runc": {
        "runtimeType": "io.containerd.runc.v2", "PodAnnotations": null,
        "ContainerAnnotations": null, "options": {"SystemdCgroup": false}, "snapshotter": ""
      }
    }
  }
})";

TEST(ParseRuntimeConfigurationTest, ContainerdTellsItsHandlersWithWhatTheyPass) {
  const RuntimeConfiguration configuration =
      ParseRuntimeConfiguration({{"config", kContainerd}}, {"", "cryopod", "runc"});

  EXPECT_TRUE(configuration.shown);
  const RuntimeHandler& handler = configuration.handlers.at("cryopod");
  EXPECT_EQ(handler.type, "io.containerd.runc.v2");
  EXPECT_EQ(handler.program, "/opt/cryopod/bin/cryopod-runtime");
  EXPECT_EQ(handler.snapshotter, "native");
  EXPECT_THAT(handler.pod_annotations, ElementsAre("cryopod.dev/*"));
  EXPECT_THAT(handler.container_annotations,
              ElementsAre("io.kubernetes.container.*", "cryopod.dev/*"));
  // What is not set is empty.
  EXPECT_THAT(configuration.handlers.at("runc").pod_annotations, IsEmpty());
  EXPECT_THAT(configuration.handlers.at("runc").program, IsEmpty());
}

TEST(ParseRuntimeConfigurationTest, OfARuntimeThatTellsNothingTheNamesAreKnown) {
  for (const char* config : {"", "[crio]\n", "[]", "{}", R"({"containerd": 1})",
                             R"({"containerd": {"runtimes": [1]}})"}) {
    const RuntimeConfiguration configuration =
        ParseRuntimeConfiguration({{"config", config}}, {"cryopod"});
    EXPECT_FALSE(configuration.shown) << config;
    EXPECT_THAT(configuration.handlers, ElementsAre(Key("cryopod"))) << config;
  }
  EXPECT_FALSE(ParseRuntimeConfiguration({}, {"cryopod"}).shown);
}

TEST(ParseRuntimeConfigurationTest, OddValuesAreNoValues) {
  const RuntimeConfiguration configuration = ParseRuntimeConfiguration(
      {{"config", R"({"containerd": {"runtimes": {"a": 7, "b": {"runtimeType": 7,
        "PodAnnotations": [1, "x"], "options": "y"}}}})"}},
      {});

  EXPECT_THAT(configuration.handlers, ElementsAre(Key("b")));
  EXPECT_THAT(configuration.handlers.at("b").type, IsEmpty());
  EXPECT_THAT(configuration.handlers.at("b").pod_annotations, ElementsAre("x"));
}

TEST(SnapshotterOfTest, TheNameStandsInThePath) {
  EXPECT_EQ(SnapshotterOf("/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs"),
            "overlayfs");
  EXPECT_EQ(SnapshotterOf("/var/lib/containers/storage"), "");
  EXPECT_EQ(SnapshotterOf("/io.containerd.snapshotter.v1.a/b"), "");
  EXPECT_EQ(SnapshotterOf(""), "");
}

}  // namespace
}  // namespace cryopod::cri
