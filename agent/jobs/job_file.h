#pragma once

#include <array>
#include <string>
#include <string_view>

#include "agent/json/fields.h"
#include "agent/os/file.h"
#include "agent/os/status.h"

// The files by which the agent, cryopod-checkpoint, cryopod-restore and an agent of another version
// speak of one operation: <run dir>/jobs/<operation id>/. Each has one writer.
//
//   request.json   the agent        what is asked; never changed
//   process.json   the process      who works on it; of a restore, the agent
//   journal.json   the process      what a repair has to undo, before the first freeze; of a pod
//                                   made through CRI, the agent: its sandbox
//   events         the process      how far a checkpoint is, a line an event
//   state.json     the process      how far a restore is
//   stopping.json  the process      the decision that the source of a checkpoint ends: there from
//                                   the moment at which its archive is committed and before the
//                                   first of its processes is killed. Whoever finds the source
//                                   frozen then kills it and never thaws it. Holds the result that
//                                   is true once that is done
//   result.json    the process      how a checkpoint ended
//   control.sock   the process      a restore listens: frames of restore/runtime/protocol, each
//                                   with the wrapper's connection, which the process answers
//   staging/       the process      captured or unpacked state, a mount of its own
//   attempts/      the process      working directories of the OCI runtime's restore: CRIU's log
namespace cryopod::jobs {

inline constexpr char kRequestFile[] = "request.json";
inline constexpr char kProcessFile[] = "process.json";
inline constexpr char kJournalFile[] = "journal.json";
inline constexpr char kEventsFile[] = "events";
inline constexpr char kStateFile[] = "state.json";
inline constexpr char kStoppingFile[] = "stopping.json";
inline constexpr char kResultFile[] = "result.json";
inline constexpr char kControlSocket[] = "control.sock";
inline constexpr char kStagingDirectory[] = "staging";
inline constexpr char kAttemptsDirectory[] = "attempts";

enum class JobKind {
  kCheckpoint,
  kRestore,  // of a pod whose runtime asks for it: a cryopod-restore
  kPod,      // of a pod that the agent itself makes through CRI; its runtime asks for a kRestore
};
inline constexpr std::array<std::string_view, 3> kJobKinds = {"checkpoint", "restore", "pod"};

// The member "kind" of a request that has it; another one is an error.
void DescribeKind(json::Fields& fields, JobKind kind);

// Every file says in which format it is written, and from which one on its readers understand it:
// whoever adds a member raises the first, whoever changes what a member means, or what its absence
// does, raises both. So a neighbour's file is read as it is: members that are missing have their
// defaults, unknown ones are ignored and, as nobody rewrites another's file, kept.
inline constexpr uint32_t kFormat = 2;
inline constexpr uint32_t kReadableFrom = 1;
// Older ones have other meanings.
inline constexpr uint32_t kOldestFormat = 1;

// A job may hold what CRI said of a pod with many containers.
inline constexpr json::Limits kJobLimits = {.bytes_max = size_t{64} << 20,
                                            .depth_max = 32,
                                            .nodes_max = 1'000'000,
                                            .string_bytes_max = size_t{16} << 20};

// True of a status that says: here is a file, and this program does not understand it. Whoever
// wrote it goes on with the job, and nobody else may touch it.
bool IsNotUnderstood(const Status& status);

namespace internal {
struct Format {
  uint32_t number = 0;
  uint32_t readable_from = 0;
};
void Describe(json::Fields& fields, Format& format);
Status CheckFormat(const json::Value& document, const std::string& where);
Status WriteText(const std::string& path, const std::string& text);
}  // namespace internal

template <json::Described T>
std::string ToText(const T& content) {
  json::Value::Object members;
  json::Fields fields(members);
  internal::Format format{kFormat, kReadableFrom};
  Describe(fields, format);
  Describe(fields, const_cast<T&>(content));  // what writes changes nothing
  return json::Format(json::Value{std::move(members)});
}

// Errors: kUnimplemented (another format), kDataLoss (not what we write).
template <json::Described T>
Result<T> FromText(std::string_view text, const std::string& where) {
  const Result<json::Value> document = json::Parse(text, kJobLimits);
  if (!document.ok()) return document.status().While(where);
  CRYOPOD_RETURN_IF_ERROR(internal::CheckFormat(*document, where));
  T content;
  json::Fields fields(*document, where, kJobLimits);
  Describe(fields, content);
  if (!fields.status().ok()) return fields.status();
  return content;
}

// Synced and whole, or not there. Mode 0600.
template <json::Described T>
Status WriteFileOf(const std::string& job_dir, const char* name, const T& content) {
  return internal::WriteText(job_dir + "/" + name, ToText(content));
}

// Errors: as FromText; kNotFound.
template <json::Described T>
Result<T> ReadFileOf(const std::string& job_dir, const char* name) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::string text,
                           ReadFile(job_dir + "/" + name, kJobLimits.bytes_max));
  return FromText<T>(text, name);
}

}  // namespace cryopod::jobs
