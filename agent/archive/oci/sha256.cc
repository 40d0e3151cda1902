#include "agent/archive/oci/sha256.h"

#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

namespace cryopod::archive {
namespace {

constexpr size_t kReadBytes = size_t{1} << 20;

}  // namespace

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  if (context_) EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::Update(std::string_view bytes) {
  if (context_) EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
}

std::string Sha256::Finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  // Without memory for the context no digest comes out, and an empty one matches nothing.
  if (!context_ || EVP_DigestFinal_ex(context_.get(), digest.data(), &size) != 1) return "";
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text = "sha256:";
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

Result<HashedFile> HashFile(int fd, const std::function<void(uint64_t bytes)>& progress,
                            Deadline deadline) {
  Sha256 hash;
  HashedFile hashed;
  std::vector<char> buffer(kReadBytes);
  while (true) {
    if (deadline.expired()) {
      return Status(Code::kDeadlineExceeded, "the time for hashing ran out");
    }
    const ssize_t got =
        ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(hashed.size_bytes));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "pread", "a blob");
    if (got == 0) break;
    hash.Update(std::string_view(buffer.data(), static_cast<size_t>(got)));
    hashed.size_bytes += static_cast<uint64_t>(got);
    if (progress) progress(static_cast<uint64_t>(got));
  }
  hashed.digest = hash.Finish();
  return hashed;
}

}  // namespace cryopod::archive
