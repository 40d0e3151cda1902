#include "cri/runtime_configuration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cryopod::cri {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Key;

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
}

TEST(ParseRuntimeConfigurationTest, AListThatIsNotSetIsEmpty) {
  const RuntimeConfiguration configuration =
      ParseRuntimeConfiguration({{"config", kContainerd}}, {});

  const RuntimeHandler& handler = configuration.handlers.at("runc");
  EXPECT_THAT(handler.pod_annotations, IsEmpty());
  EXPECT_THAT(handler.program, IsEmpty());
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
