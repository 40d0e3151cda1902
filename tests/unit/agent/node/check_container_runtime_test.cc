#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/node/checks.h"

namespace cryopod::node {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class CheckRuntimeTest : public ::testing::Test {
 protected:
  CheckRuntimeTest() {
    configuration_.shown = true;
    configuration_.snapshotter = "overlayfs";
    handler() = {"io.containerd.runc.v2",
                 "/opt/cryopod/bin/cryopod-runtime",
                 "",
                 {"cryopod.dev/*"},
                 {"io.kubernetes.container.*", "cryopod.dev/*"}};
  }
  cri::RuntimeHandler& handler() { return configuration_.handlers["cryopod"]; }

  cri::RuntimeConfiguration configuration_;
};

TEST_F(CheckRuntimeTest, TheDropInOfThisInstallationIsAllThatIsNeeded) {
  EXPECT_THAT(CheckHandler(configuration_).reason, IsEmpty());
  EXPECT_THAT(CheckAnnotations(configuration_).reason, IsEmpty());
  EXPECT_THAT(CheckSnapshotter(configuration_).reason, IsEmpty());
}

TEST_F(CheckRuntimeTest, ContainerdFrom20OnWillDo) {
  for (const char* version : {"2.0.0", "v2.1.9", "2.1.9~ds1", "3.0"}) {
    EXPECT_THAT(CheckRuntimeVersion({"containerd", version, "v1"}).reason, IsEmpty()) << version;
  }
}

TEST_F(CheckRuntimeTest, AnOlderContainerdAndAnotherRuntimeAreNamed) {
  EXPECT_THAT(CheckRuntimeVersion({"containerd", "1.7.24", "v1"}).reason,
              AllOf(HasSubstr("containerd 1.7.24"), HasSubstr("too old")));
  EXPECT_THAT(CheckRuntimeVersion({"containerd", "", "v1"}).reason, HasSubstr("too old"));
  EXPECT_THAT(CheckRuntimeVersion({"cri-o", "1.30.0", "v1"}).reason, HasSubstr("cri-o"));
}

TEST_F(CheckRuntimeTest, AHandlerThatIsAbsentOrOfAnotherTypeIsLacking) {
  handler().type = "io.containerd.runsc.v1";
  EXPECT_THAT(CheckHandler(configuration_).reason, HasSubstr("io.containerd.runsc.v1"));

  configuration_.handlers = {{"runc", {}}};
  EXPECT_THAT(CheckHandler(configuration_).reason, HasSubstr("\"cryopod\""));
  EXPECT_THAT(CheckHandler(configuration_).remedy, HasSubstr("cryopodctl node install"));
}

TEST_F(CheckRuntimeTest, AnnotationsThatDoNotPassAreNamedWithTheirList) {
  handler().pod_annotations = {"other.dev/*"};
  EXPECT_THAT(CheckAnnotations(configuration_).reason,
              AllOf(HasSubstr("cryopod.dev/restore-from (pod_annotations)"),
                    Not(HasSubstr("container_annotations"))));

  handler().pod_annotations = {"cryopod.dev/*"};
  handler().container_annotations = {};
  EXPECT_THAT(CheckAnnotations(configuration_).reason,
              AllOf(HasSubstr("io.kubernetes.container.restartCount (container_annotations)"),
                    Not(HasSubstr("restore-from"))));
}

TEST_F(CheckRuntimeTest, AStarPassesNoSlashAsInGoAndOneOfTwoAnnotationsIsNotEnough) {
  for (const char* pattern : {"cryopod.dev/*", "cryopod.dev/restore-*", "*/*"}) {
    handler().pod_annotations = {pattern};
    EXPECT_THAT(CheckAnnotations(configuration_).reason, IsEmpty()) << pattern;
  }
  for (const char* pattern : {"*", "cryopod.dev/", "", "cryopod.dev/restore-from"}) {
    handler().pod_annotations = {pattern};
    EXPECT_THAT(CheckAnnotations(configuration_).reason,
                HasSubstr("cryopod.dev/restore-operation (pod_annotations)"))
        << pattern;
  }
}

TEST_F(CheckRuntimeTest, TheHandlersOwnSnapshotterCountsAndOneThatIsNotToldIsNotTaken) {
  handler().snapshotter = "native";
  EXPECT_EQ(CheckSnapshotter(configuration_).found, "native");
  EXPECT_THAT(CheckSnapshotter(configuration_).remedy, HasSubstr("overlayfs"));

  handler().snapshotter = "overlayfs";
  configuration_.snapshotter = "native";
  EXPECT_THAT(CheckSnapshotter(configuration_).reason, IsEmpty());

  handler().snapshotter = configuration_.snapshotter = "";
  EXPECT_THAT(CheckSnapshotter(configuration_).reason, Not(IsEmpty()));
}

TEST_F(CheckRuntimeTest, WhatTheRuntimeDoesNotTellIsNotHeldAgainstIt) {
  configuration_.shown = false;
  handler() = {};

  EXPECT_THAT(CheckHandler(configuration_).reason, IsEmpty());
  EXPECT_THAT(CheckAnnotations(configuration_).reason, IsEmpty());
  EXPECT_EQ(CheckAnnotations(configuration_).found, "not told");
}

}  // namespace
}  // namespace cryopod::node
