#pragma once

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <string>
#include <thread>

#include "agent/os/unique_fd.h"

namespace cryopod::test {

// A FUSE file system whose server takes every request and answers none but the first: whoever looks
// into it waits in the kernel, also for SIGKILL, until this is destroyed. Its folder exists.
// Source: Linux fs/fuse/dev.c (request_wait_answer).
class UnansweredMount {
 public:
  explicit UnansweredMount(std::string folder)
      : folder_(std::move(folder)), device_(::open("/dev/fuse", O_RDWR | O_CLOEXEC)) {
    const std::string options =
        "fd=" + std::to_string(device_.get()) + ",rootmode=40000,user_id=0,group_id=0";
    valid_ = device_.valid() &&
             ::mount("unanswered", folder_.c_str(), "fuse", 0, options.c_str()) == 0 && Begin();
    if (valid_) taker_ = std::jthread([this](const std::stop_token& stop) { TakeAll(stop); });
  }
  UnansweredMount(const UnansweredMount&) = delete;
  UnansweredMount& operator=(const UnansweredMount&) = delete;
  ~UnansweredMount() {
    taker_.request_stop();
    // Detached, and with that its requests are aborted, which ends the read of the taker, too.
    ::umount2(folder_.c_str(), MNT_FORCE | MNT_DETACH);
    if (taker_.joinable()) taker_.join();
  }

  bool valid() const { return valid_; }
  // Somebody waits for an answer, and cannot be made to end any more.
  bool asked() const { return asked_; }
  std::string path() const { return folder_ + "/anything"; }

 private:
  bool Begin() {
    std::array<char, 65536> request{};
    if (::read(device_.get(), request.data(), request.size()) < 0) return false;
    fuse_in_header in{};
    std::memcpy(&in, request.data(), sizeof in);
    struct {
      fuse_out_header header;
      fuse_init_out init;
    } answer{};
    answer.header = {sizeof answer, 0, in.unique};
    answer.init.major = FUSE_KERNEL_VERSION;
    answer.init.minor = FUSE_KERNEL_MINOR_VERSION;
    answer.init.max_write = 4096;
    return ::write(device_.get(), &answer, sizeof answer) == sizeof answer;
  }

  void TakeAll(const std::stop_token& stop) {
    std::array<char, 65536> request{};
    while (!stop.stop_requested()) {
      if (::read(device_.get(), request.data(), request.size()) < 0) return;
      asked_ = true;
    }
  }

  std::string folder_;
  UniqueFd device_;
  bool valid_ = false;
  std::atomic<bool> asked_ = false;
  std::jthread taker_;
};

}  // namespace cryopod::test
