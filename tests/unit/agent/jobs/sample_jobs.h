#pragma once

#include "agent/jobs/checkpoint_job.h"
#include "agent/jobs/restore_job.h"

// Files of jobs in which every field says something.
namespace cryopod::jobs::test {

inline CheckpointJob SampleCheckpointJob() {
  CheckpointJob job;
  job.operation_id = "c-20261124-221502-1a2b3c4d";
  job.archive = "default_web_20261124T221502Z";
  job.sandbox_id = "abc";
  job.pod_name = "web";
  job.pod_namespace = "default";
  job.pod_uid = "1234";
  job.runtime_handler = "cryopod";
  job.sandbox_config_json = R"({"metadata":{"name":"web \" ü"}})";
  job.runtime_name = "containerd";
  job.runtime_version = "2.1.9";
  job.containers = {{"app",
                     "id1",
                     "image:1",
                     "sha256:1",
                     1'700'000'000'123'456'789,
                     "{}",
                     "{}",
                     {{"/data", "/var/lib/kubelet/x", true}, {"/etc/hosts", "/hosts", false}}},
                    {"sidecar", "id2", "image:2", "sha256:2", -1, "{\"a\":1}", "{}", {}}};
  job.finished = {{"setup", "image:3", "sha256:3"}};
  job.runtime_root = "/run/containerd/runc/k8s.io";
  job.store_root = "/var/lib/cryopod/archives";
  job.state_dir = "/var/lib/cryopod";
  job.criu_program = "/usr/sbin/criu";
  job.criu_tools_dir = "/opt/cryopod/libexec/cryopod/criu-tools";
  job.stop_source = true;
  job.without_volumes = true;
  job.restore_once = true;
  job.containers[0].image_id = "sha256:11";
  job.timeout_s = 17;
  job.freeze_budget_ms = 18;
  return job;
}

inline Journal SampleJournal() {
  return {{"/sys/fs/cgroup/a", "/sys/fs/cgroup/b"},
          {{11, 12345678901}, {12, 2}},
          {{21, 3}},
          "/var/lib/cryopod/staging/x"};
}

inline CheckpointResult SampleResult() {
  CheckpointResult result;
  result.status =
      Status(Code::kFailedPrecondition, "the pod is \"busy\"\nreally", Reason::kIoUring);
  result.archive = "a";
  result.digest = "sha256:00";
  result.size_bytes = uint64_t{1} << 60;
  result.captured_bytes = 2;
  result.freeze_us = 3;
  result.phases = {{"resolve", 4}, {"dump", 5}};
  result.dumps = {criu::DumpStats{7, 8, 9, 10}};
  result.lacks = {"container app: /dev/shm holds files (x)"};
  result.external_files = {"container app: /data/f (on /srv/data of the node)"};
  result.source_killed = true;
  return result;
}

inline RestoreJob SampleRestoreJob() {
  RestoreJob job;
  job.operation_id = "r-1";
  job.archive = "web-1";
  job.digest = "sha256:aa";
  job.pod_uid = "u-1";
  job.pod_namespace = "shop";
  job.pod_name = "web";
  job.restore_from = "web-1";
  job.restore_operation = "op";
  job.store_root = "/store";
  job.state_dir = "/state";
  job.unpack_program = "/u";
  job.criu_program = "/usr/sbin/criu";
  job.staging_dir = "/s";
  job.idle_timeout = std::chrono::seconds(30);
  job.hold = std::chrono::milliseconds(250);
  return job;
}

inline Report SampleReport() {
  ContainerReport app;
  app.name = "app";
  app.id = "c1";
  app.phase = Phase::kHeld;
  app.pid = 4711;
  app.start_time_ticks = 123'456'789;
  app.state_dir = "/run/runc/c1";
  app.rootfs = "/bundle/rootfs";
  app.cgroup_dir = "/sys/fs/cgroup/c1";
  app.uts_path = "/proc/1/ns/uts";
  app.hostname = "web";
  ContainerReport sidecar;
  sidecar.name = "sidecar";
  sidecar.phase = Phase::kFailed;
  sidecar.reason = "it \"failed\"\n";
  sidecar.reason_code = Reason::kAddress;
  Report report;
  report.stage = Stage::kServing;
  report.error = Status(Code::kNotFound, "no archive", Reason::kUnknownVersion);
  report.containers = {app, sidecar};
  return report;
}

}  // namespace cryopod::jobs::test
