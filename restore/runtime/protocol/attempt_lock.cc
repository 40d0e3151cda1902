#include "restore/runtime/protocol/attempt_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <thread>

#include "agent/os/directory.h"
#include "agent/os/file.h"
#include "restore/runtime/protocol/consumed_record.h"

namespace cryopod::wrapper {
namespace {

constexpr std::chrono::milliseconds kInterval{5};

Result<UniqueFd> Open(const std::string& records_dir, const std::string& pod_uid) {
  CRYOPOD_RETURN_IF_ERROR(CheckComponent(pod_uid, "the pod UID"));
  const std::string directory = records_dir + "/consumed/" + pod_uid;
  CRYOPOD_RETURN_IF_ERROR(MakeDirectories(directory));
  return OpenAt(AT_FDCWD, directory + "/.attempts", O_RDWR | O_CREAT, 0600);
}

}  // namespace

Result<UniqueFd> BeginAttempt(const std::string& records_dir, const std::string& pod_uid) {
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd lock, Open(records_dir, pod_uid));
  while (::flock(lock.get(), LOCK_SH) != 0) {
    if (errno != EINTR) return ErrnoStatus(errno, "flock", pod_uid);
  }
  return lock;
}

Result<UniqueFd> WaitForAttempts(const std::string& records_dir, const std::string& pod_uid,
                                 Deadline deadline) {
  CRYOPOD_ASSIGN_OR_RETURN(UniqueFd lock, Open(records_dir, pod_uid));
  while (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return ErrnoStatus(errno, "flock", pod_uid);
    if (deadline.expired()) {
      return Status(Code::kDeadlineExceeded,
                    "another container of the pod is still being restored, and they share PIDs");
    }
    std::this_thread::sleep_for(kInterval);
  }
  return lock;
}

}  // namespace cryopod::wrapper
