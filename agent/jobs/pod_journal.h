#pragma once

#include <string>
#include <vector>

#include "agent/json/fields.h"
#include "agent/os/status.h"

namespace cryopod::jobs {

// A pod on its way through CRI, which one agent writes for the next: in the journal before its
// sandbox is made, so that what a killed agent left can be finished or undone.
//
// Shape    request.json, and journal.json once the sandbox is known.
struct PodJournal {
  std::string operation_id;
  std::string restore_operation;  // the sandbox's annotation of that name: a UUID of this restore
  std::string archive;
  std::string pod_uid;
  std::string pod_namespace;
  std::string pod_name;
  std::vector<std::string> containers;
  std::string sandbox_id;  // empty: the runtime has not said it yet, and may have one all the same
  bool operator==(const PodJournal&) const = default;
};
void Describe(json::Fields& fields, PodJournal& journal);  // of request.json

// Synced when it returns. Errors: kAlreadyExists, kResourceExhausted.
Status BeginPodJournal(const std::string& jobs_dir, const PodJournal& journal);
Status RecordSandbox(const std::string& jobs_dir, const PodJournal& journal);
// Errors: as jobs::ReadFileOf.
Result<PodJournal> ReadPodJournal(const std::string& jobs_dir, const std::string& operation_id);

}  // namespace cryopod::jobs
