#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "agent/os/deadline.h"
#include "agent/os/status.h"

struct evp_md_ctx_st;

namespace cryopod::archive {

// A running SHA-256. Source: FIPS 180-4, computed by OpenSSL.
//
// Threads  one at a time.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();

  void Update(std::string_view bytes);
  // "sha256:<64 lower-case hex digits>". Ends the computation.
  std::string Finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

std::string DigestOf(std::string_view bytes);

struct HashedFile {
  std::string digest;
  uint64_t size_bytes = 0;
};
// Hashes a file from its first byte to its last with pread(2): its offset stays where it is.
// `progress` gets the bytes that went by since its last call; it may be empty.
// Errors: kDeadlineExceeded, and what read(2) says.
Result<HashedFile> HashFile(int fd, const std::function<void(uint64_t bytes)>& progress,
                            Deadline deadline);

}  // namespace cryopod::archive
