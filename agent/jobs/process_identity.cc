#include "agent/jobs/process_identity.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>

#include "agent/os/proc.h"

namespace cryopod::jobs {

void Describe(json::Fields& fields, ProcessIdentity& identity) {
  fields.Required("pid", identity.pid);
  fields.Required("start_ticks", identity.start_ticks);
}

bool IsAlive(const ProcessIdentity& identity) {
  const Result<ProcessInfo> info = ReadProcessInfo(identity.pid);
  return info.ok() && info->start_time_ticks == identity.start_ticks && info->state != 'Z' &&
         info->state != 'X';
}

Result<ProcessIdentity> IdentifyProcess(pid_t pid) {
  CRYOPOD_ASSIGN_OR_RETURN(const ProcessInfo info, ReadProcessInfo(pid));
  return ProcessIdentity{pid, info.start_time_ticks};
}

JobProcess::JobProcess(const ProcessIdentity& identity) {
  Result<UniqueFd> pidfd = OpenPidfd(identity.pid);
  // The pidfd first: what it holds is then the process whose start time is compared.
  if (pidfd.ok() && IsAlive(identity)) pidfd_ = std::move(pidfd).value();
}

void JobProcess::AskToEnd() const {
  if (fd() >= 0) ::syscall(SYS_pidfd_send_signal, fd(), SIGTERM, nullptr, 0);
}

}  // namespace cryopod::jobs
