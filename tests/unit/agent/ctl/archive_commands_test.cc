#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/unit/agent/ctl/ctl_fixture.h"

namespace cryopod::ctl {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class ArchiveCommandsTest : public test::CtlFixture {};

// Keys as agent/archive writes them.
constexpr char kPodCheckpoint[] = R"({
  "schemaVersion": 1, "podName": "web", "freezeUs": 38250,
  "node": {"architecture": "x86_64", "kernel": "6.18", "cgroupVersion": "v2",
           "criuVersion": "4.2.1", "runtimeName": "containerd", "runtimeVersion": "2.1.9"},
  "containers": [{"name": "app", "image": "lab.local/app:1", "tasks": 12, "processes": 3,
                  "imagesBytes": 2097152, "rootfsBytes": 524288}],
  "phases": [{"name": "dump", "durationUs": 36000}],
  "lacks": ["emptyDir at /cache"]})";

TEST_F(ArchiveCommandsTest, ListAlignsItsColumns) {
  server_.AddArchive(Archive("web1"), "");
  server_.AddArchive(Archive("web-of-yesterday"), "");

  const Outcome outcome = RunCtl({"list"});

  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.out,
            "ARCHIVE           POD       CREATED                  SIZE  CONTAINERS\n"
            "web-of-yesterday  shop/web  2026-11-24T22:00:00Z  3.0 MiB  app, db\n"
            "web1              shop/web  2026-11-24T22:00:00Z  3.0 MiB  app, db\n");
}

TEST_F(ArchiveCommandsTest, ListShowsDamageAndOperations) {
  api::ArchiveSummary damaged = Archive("web2");
  damaged.damage = "index.json: not JSON";
  server_.AddArchive(damaged, "");
  server_.AddOperation(RunningOperation());

  const Outcome outcome = RunCtl({"list"});

  EXPECT_THAT(outcome.out, HasSubstr("damaged: index.json: not JSON"));
  EXPECT_THAT(outcome.out,
              HasSubstr("OPERATION  KIND     POD      BEGAN                 STATE\n"
                        "op7        restore  shop/db  2026-11-24T22:00:00Z  dump db 75 %\n"));
}

TEST_F(ArchiveCommandsTest, ListTakesANamespace) {
  server_.AddArchive(Archive("web1"), "");

  EXPECT_THAT(RunCtl({"list", "--namespace", "shop"}).out, HasSubstr("web1"));
  EXPECT_EQ(RunCtl({"list", "--namespace", "kube-system"}).out, "no archives\n");
}

TEST_F(ArchiveCommandsTest, ListAsJsonHoldsNumbersAndLists) {
  server_.AddArchive(Archive("web1"), "");
  server_.AddOperation(RunningOperation());

  const json answer = json::parse(RunCtl({"list", "--output", "json"}).out);

  EXPECT_EQ(answer["archives"][0]["name"], "web1");
  EXPECT_EQ(answer["archives"][0]["namespace"], "shop");
  EXPECT_EQ(answer["archives"][0]["size_bytes"], 3u << 20);
  EXPECT_EQ(answer["archives"][0]["containers"], json({"app", "db"}));
  EXPECT_EQ(answer["archives"][0]["damage"], "");
  EXPECT_EQ(answer["operations"][0]["operation_id"], "op7");
  EXPECT_EQ(answer["operations"][0]["state"], "running");
  EXPECT_EQ(answer["operations"][0]["bytes_total"], 4);
}

TEST_F(ArchiveCommandsTest, WhatAStrangersArchiveSaysCannotDriveTheTerminal) {
  api::ArchiveSummary hostile = Archive("web3");
  hostile.pod =
      "\x1b[2J\x1b]0;owned\x07\xc2\x9b"
      "31m\nfake row";
  server_.AddArchive(hostile, "");

  const std::string out = RunCtl({"list"}).out;

  EXPECT_THAT(out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(out, Not(HasSubstr("\x07")));
  EXPECT_THAT(out, Not(HasSubstr("\xc2\x9b")));
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 2);
}

TEST_F(ArchiveCommandsTest, ADescriptionThatIsNoJsonIsNullAndTheAnswerStaysJson) {
  server_.AddArchive(Archive("web1"), "", "}, \"injected\": {");

  const Outcome outcome = RunCtl({"inspect", "web1", "--output", "json"});

  EXPECT_EQ(outcome.exit_code, 0);
  const json answer = json::parse(outcome.out);
  EXPECT_TRUE(answer["pod_checkpoint"].is_null());
  EXPECT_FALSE(answer.contains("injected"));
}

TEST_F(ArchiveCommandsTest, InspectShowsWhatTheArchiveHolds) {
  server_.AddArchive(Archive("web1"), "", kPodCheckpoint);

  const Outcome outcome = RunCtl({"inspect", "web1"});

  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.out,
            "archive     web1\n"
            "digest      sha256:feed\n"
            "pod         shop/web\n"
            "pod uid     u-1\n"
            "created     2026-11-24T22:00:00Z\n"
            "size        3.0 MiB\n"
            "containers  app, db\n"
            "freeze      38.2 ms\n"
            "kernel      6.18 x86_64, cgroup v2\n"
            "criu        4.2.1\n"
            "runtime     containerd 2.1.9\n"
            "lacks       emptyDir at /cache\n"
            "\n"
            "CONTAINER  IMAGE            PROCESSES  TASKS   MEMORY    FILES\n"
            "app        lab.local/app:1          3     12  2.0 MiB  0.5 MiB\n"
            "\n"
            "PHASE  DURATION\n"
            "dump    36.0 ms\n");
}

TEST_F(ArchiveCommandsTest, InspectSurvivesADescriptionOfAnyShape) {
  for (const char* description :
       {"", "7", "[]", R"({"node": 1, "containers": {}, "phases": [3, null], "lacks": 4})",
        R"({"containers": [{"name": 7, "tasks": -1, "imagesBytes": "big"}], "lacks": [1]})"}) {
    server_.AddArchive(Archive("web1"), "", description);

    const Outcome outcome = RunCtl({"inspect", "web1"});

    EXPECT_EQ(outcome.exit_code, 0) << description;
    EXPECT_THAT(outcome.out, HasSubstr("archive     web1\n")) << description;
  }
}

TEST_F(ArchiveCommandsTest, InspectAsJsonNestsTheDescription) {
  server_.AddArchive(Archive("web1"), "", kPodCheckpoint);

  const json answer = json::parse(RunCtl({"inspect", "web1", "--output", "json"}).out);

  EXPECT_EQ(answer["summary"]["name"], "web1");
  EXPECT_EQ(answer["pod_checkpoint"]["containers"][0]["tasks"], 12);
}

TEST_F(ArchiveCommandsTest, VerifyCountsTheBlobs) {
  server_.AddArchive(Archive("web1"), "");

  const Outcome text = RunCtl({"verify", "web1"});
  const Outcome as_json = RunCtl({"verify", "web1", "--output", "json"});

  EXPECT_EQ(text.exit_code, 0);
  EXPECT_EQ(text.out,
            "digest  sha256:feed\n"
            "blobs   5, all as they were written\n"
            "size    3.0 MiB\n");
  EXPECT_EQ(json::parse(as_json.out)["blobs"], 5);
}

TEST_F(ArchiveCommandsTest, DeleteRemovesTheArchive) {
  server_.AddArchive(Archive("web1"), "");
  server_.AddArchive(Archive("web2"), "");

  const Outcome text = RunCtl({"delete", "web1"});
  const Outcome as_json = RunCtl({"delete", "web2", "--output", "json"});

  EXPECT_EQ(text.exit_code, 0);
  EXPECT_EQ(text.out, "deleted web1\n");
  EXPECT_EQ(json::parse(as_json.out)["deleted"], "web2");
  EXPECT_FALSE(server_.has_archive("web1"));
}

}  // namespace
}  // namespace cryopod::ctl
