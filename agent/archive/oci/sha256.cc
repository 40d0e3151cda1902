#include "agent/archive/oci/sha256.h"

#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "agent/os/log.h"

namespace cryopod::archive {
namespace {

constexpr size_t kReadBytes = size_t{1} << 20;
constexpr std::string_view kPrefix = "sha256:";
constexpr size_t kHexSize = 64;
constexpr std::string_view kHex = "0123456789abcdef";

}  // namespace

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  if (context_) EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
}

void Sha256::Update(std::string_view bytes) {
  if (context_) EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
}

std::string Sha256::Finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  // Without memory for the context no digest comes out, and an empty one matches nothing.
  if (!context_ || EVP_DigestFinal_ex(context_.get(), digest.data(), &size) != 1) return "";
  std::string text(kPrefix);
  for (unsigned int i = 0; i < size; ++i) {
    text += kHex[digest[i] >> 4];
    text += kHex[digest[i] & 15];
  }
  return text;
}

std::string DigestOf(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

Result<std::string> HashFile(int fd, Deadline deadline) {
  Sha256 hash;
  std::vector<char> buffer(kReadBytes);
  for (off_t done = 0;;) {
    if (deadline.expired()) {
      return Status(Code::kDeadlineExceeded, "the time for hashing ran out");
    }
    const ssize_t got = ::pread(fd, buffer.data(), buffer.size(), done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "pread", "a blob");
    if (got == 0) return hash.Finish();
    hash.Update(std::string_view(buffer.data(), static_cast<size_t>(got)));
    done += got;
  }
}

Status CheckDigest(const std::string& digest) {
  const bool ok = digest.size() == kPrefix.size() + kHexSize && digest.starts_with(kPrefix) &&
                  digest.find_first_not_of(kHex, kPrefix.size()) == std::string::npos;
  if (ok) return Status();
  return Status(Code::kInvalidArgument, "digest \"" + JsonEscape(digest.substr(0, 80)) +
                                            "\" is not sha256: and 64 lower-case hex digits");
}

std::string DigestHex(const std::string& digest) { return digest.substr(kPrefix.size()); }

}  // namespace cryopod::archive
