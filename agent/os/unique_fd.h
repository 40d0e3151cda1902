#pragma once

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace cryopod {

// The owner of one descriptor. `int fd` borrows, `UniqueFd fd` takes, a returned UniqueFd gives.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) Reset(other.Release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }
  // Keeps errno; close is never tried again, since Linux frees the number even on EINTR.
  void Reset(int fd = -1) {
    const int kept_errno = errno;
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
    errno = kept_errno;
  }

 private:
  int fd_ = -1;
};

}  // namespace cryopod
