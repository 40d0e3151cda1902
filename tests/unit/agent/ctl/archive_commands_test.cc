#include <gmock/gmock.h>

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

TEST_F(ArchiveCommandsTest, ListAlignsItsColumnsAndTakesANamespace) {
  server_.AddArchive(Archive("web1"), "");
  server_.AddArchive(Archive("web-of-yesterday"), "");

  EXPECT_EQ(RunCtl({"list"}).out,
            "ARCHIVE           POD       CREATED                  SIZE  CONTAINERS\n"
            "web-of-yesterday  shop/web  2026-11-24T22:00:00Z  3.0 MiB  app, db\n"
            "web1              shop/web  2026-11-24T22:00:00Z  3.0 MiB  app, db\n");
  EXPECT_THAT(RunCtl({"list", "--namespace", "shop"}).out, HasSubstr("web1"));
  EXPECT_EQ(RunCtl({"list", "--namespace", "kube-system"}).out, "no archives\n");
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

TEST_F(ArchiveCommandsTest, ListAsJsonHoldsNumbersAndLists) {
  server_.AddArchive(Archive("web1"), "");
  server_.AddOperation(RunningOperation());

  EXPECT_EQ(JsonOf({"list"}), json::parse(R"({
      "archives": [{"name": "web1", "digest": "sha256:feed", "namespace": "shop", "pod": "web",
                    "pod_uid": "u-1", "created": "2026-11-24T22:00:00Z", "size_bytes": 3145728,
                    "containers": ["app", "db"], "damage": ""}],
      "operations": [{"operation_id": "op7", "kind": "restore", "pod": "shop/db", "archive": "db1",
                      "state": "running", "stage": "dump", "container": "db", "bytes_done": 3,
                      "bytes_total": 4, "began": "2026-11-24T22:00:00Z", "timeout_seconds": 0,
                      "code": "", "reason": "", "message": "", "log_folder": ""}]})"));
}

TEST_F(ArchiveCommandsTest, WhatAStrangersArchiveSaysCannotDriveTheTerminal) {
  api::ArchiveSummary hostile = Archive("web3");
  hostile.pod =
      "\x1b[2J\x1b]0;owned\x07\xc2\x9b"
      "31m\nfake row";
  server_.AddArchive(hostile, "");

  const std::string out = RunCtl({"list"}).out;

  for (const char* byte : {"\x1b", "\x07", "\xc2\x9b"}) EXPECT_THAT(out, Not(HasSubstr(byte)));
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 2);
}

TEST_F(ArchiveCommandsTest, ADescriptionThatIsNoJsonIsNullAndTheAnswerStaysJson) {
  server_.AddArchive(Archive("web1"), "", "}, \"injected\": {");

  const json answer = JsonOf({"inspect", "web1"});

  EXPECT_TRUE(answer["pod_checkpoint"].is_null());
  EXPECT_FALSE(answer.contains("injected"));
}

TEST_F(ArchiveCommandsTest, InspectShowsWhatTheArchiveHolds) {
  server_.AddArchive(Archive("web1"), "", kPodCheckpoint);

  EXPECT_EQ(RunCtl({"inspect", "web1"}).out,
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

  const json answer = JsonOf({"inspect", "web1"});

  EXPECT_EQ(answer["summary"]["name"], "web1");
  EXPECT_EQ(answer["pod_checkpoint"]["containers"][0]["tasks"], 12);
}

TEST_F(ArchiveCommandsTest, VerifyCountsTheBlobs) {
  server_.AddArchive(Archive("web1"), "");

  EXPECT_EQ(RunCtl({"verify", "web1"}).out,
            "archive  web1\n"
            "digest   sha256:feed\n"
            "blobs    5, all as they were written\n"
            "size     3.0 MiB\n");
  EXPECT_EQ(JsonOf({"verify", "web1"})["blobs"], 5);
}

TEST_F(ArchiveCommandsTest, WideListsWhatThereIsNoRoomForOtherwise) {
  api::ArchiveSummary damaged = Archive("web2");
  damaged.damage = "no index.json";
  server_.AddArchive(Archive("web1"), "");
  server_.AddArchive(damaged, "");
  api::Operation operation = RunningOperation();
  operation.timeout_seconds = 300;
  operation.message = "soon";
  server_.AddOperation(operation);

  EXPECT_EQ(
      RunCtl({"ls", "-o", "wide"}).out,
      "ARCHIVE  POD       CREATED                  SIZE  CONTAINERS              DIGEST       "
      "POD UID\n"
      "web1     shop/web  2026-11-24T22:00:00Z  3.0 MiB  app, db                 sha256:feed  "
      "u-1\n"
      "web2     -         -                           -  damaged: no index.json\n"
      "\n"
      "OPERATION  KIND     POD      BEGAN                 STATE         ARCHIVE  TIMEOUT  "
      "MESSAGE\n"
      "op7        restore  shop/db  2026-11-24T22:00:00Z  dump db 75 %  db1      300s     "
      "soon\n");
  EXPECT_EQ(RunCtl({"inspect", "web1", "-o", "wide"}).out, RunCtl({"inspect", "web1"}).out);
}

TEST_F(ArchiveCommandsTest, YamlIsTheDocumentOfJson) {
  server_.AddArchive(Archive("web1"), "");

  EXPECT_EQ(RunCtl({"list", "--output", "yaml"}).out,
            "archives:\n"
            "  - name: web1\n"
            "    digest: sha256:feed\n"
            "    namespace: shop\n"
            "    pod: web\n"
            "    pod_uid: u-1\n"
            "    created: \"2026-11-24T22:00:00Z\"\n"
            "    size_bytes: 3145728\n"
            "    containers:\n"
            "      - app\n"
            "      - db\n"
            "    damage: \"\"\n"
            "operations: []\n");
}

TEST_F(ArchiveCommandsTest, SeveralAnswersStandApart) {
  server_.AddArchive(Archive("web1"), "");
  server_.AddArchive(Archive("web2"), "");
  const auto shown = [this](const std::string& form) {
    return RunCtl({"verify", "web1", "web2", "-o", form}).out;
  };
  const std::string tail = R"(,"digest":"sha256:feed","blobs":5,"size_bytes":3145728})"
                           "\n";

  EXPECT_EQ(shown("json"), R"({"archive":"web1")" + tail + R"({"archive":"web2")" + tail);
  EXPECT_THAT(shown("yaml"), HasSubstr("size_bytes: 3145728\n---\narchive: web2\n"));
  EXPECT_THAT(shown("text"), HasSubstr("3.0 MiB\n\narchive  web2\n"));
}

TEST_F(ArchiveCommandsTest, DeleteRemovesTheArchive) {
  server_.AddArchive(Archive("web1"), "");
  server_.AddArchive(Archive("web2"), "");

  EXPECT_EQ(RunCtl({"delete", "web1"}).out, "deleted web1\n");
  EXPECT_EQ(RunCtl({"delete", "web2", "--output", "json"}).out, "{\"deleted\":\"web2\"}\n");
  EXPECT_FALSE(server_.has_archive("web1") || server_.has_archive("web2"));

  server_.AddArchive(Archive("web1"), "");
  server_.AddArchive(Archive("web2"), "");
  EXPECT_EQ(RunCtl({"rm", "web1", "web2"}).out, "deleted web1\ndeleted web2\n");
  EXPECT_FALSE(server_.has_archive("web1") || server_.has_archive("web2"));
}

}  // namespace
}  // namespace cryopod::ctl
