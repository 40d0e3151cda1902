#pragma once

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
// The digest of a file from its first byte to its last, read with pread(2): its offset stays where
// it is. Errors: kDeadlineExceeded, and what read(2) says.
Result<std::string> HashFile(int fd, Deadline deadline);

// Exactly "sha256:" and 64 lower-case hex digits. Errors: kInvalidArgument.
Status CheckDigest(const std::string& digest);
// The hex digits of a checked digest: the name of its file in blobs/sha256.
std::string DigestHex(const std::string& digest);

}  // namespace cryopod::archive
