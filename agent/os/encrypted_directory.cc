#include "agent/os/encrypted_directory.h"

#include <linux/fscrypt.h>
#include <sys/ioctl.h>
#include <sys/random.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace cryopod {
namespace {

constexpr size_t kKeyBytes = 64;

bool IsNotSupported(int error_number) {
  return error_number == ENOTTY || error_number == EOPNOTSUPP || error_number == ENOPKG;
}

Status Refused(const char* call) {
  if (!IsNotSupported(errno)) return ErrnoStatus(errno, call, "staging directory");
  return Status(Code::kUnimplemented, "the file system does not encrypt");
}

// Returns how the file system calls the key.
Result<fscrypt_key_specifier> AddRandomKey(int dir_fd) {
  std::vector<char> argument(sizeof(fscrypt_add_key_arg) + kKeyBytes);
  auto* const add = reinterpret_cast<fscrypt_add_key_arg*>(argument.data());
  add->key_spec.type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER;
  add->raw_size = kKeyBytes;
  if (::getrandom(add->raw, kKeyBytes, 0) != static_cast<ssize_t>(kKeyBytes)) {
    return ErrnoStatus(errno, "getrandom", "key");
  }
  const bool added = ::ioctl(dir_fd, FS_IOC_ADD_ENCRYPTION_KEY, add) == 0;
  Status refused = added ? Status() : Refused("add a key for");
  ::explicit_bzero(add->raw, kKeyBytes);
  if (!added) return refused;
  return add->key_spec;
}

Status RemoveKey(int dir_fd, const fscrypt_key_specifier& key) {
  fscrypt_remove_key_arg remove{};
  remove.key_spec = key;
  if (::ioctl(dir_fd, FS_IOC_REMOVE_ENCRYPTION_KEY, &remove) == 0 || errno == ENOKEY) {
    return Status();
  }
  return Refused("remove the key of");
}

}  // namespace

Status EncryptDirectory(int dir_fd) {
  CRYOPOD_ASSIGN_OR_RETURN(const fscrypt_key_specifier key, AddRandomKey(dir_fd));
  fscrypt_policy_v2 policy{};
  policy.version = FSCRYPT_POLICY_V2;
  policy.contents_encryption_mode = FSCRYPT_MODE_AES_256_XTS;
  policy.filenames_encryption_mode = FSCRYPT_MODE_AES_256_CTS;
  policy.flags = FSCRYPT_POLICY_FLAGS_PAD_32;
  std::memcpy(policy.master_key_identifier, key.u.identifier, FSCRYPT_KEY_IDENTIFIER_SIZE);
  if (::ioctl(dir_fd, FS_IOC_SET_ENCRYPTION_POLICY, &policy) == 0) return Status();
  Status refused = Refused("encrypt");
  static_cast<void>(RemoveKey(dir_fd, key).ok());
  return refused;
}

Status ForgetKeyOf(int dir_fd) {
  fscrypt_get_policy_ex_arg get{};
  get.policy_size = sizeof(get.policy);
  if (::ioctl(dir_fd, FS_IOC_GET_ENCRYPTION_POLICY_EX, &get) != 0) {
    return errno == ENODATA || IsNotSupported(errno) ? Status() : Refused("look for the key of");
  }
  if (get.policy.version != FSCRYPT_POLICY_V2) return Status();
  fscrypt_key_specifier key{};
  key.type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER;
  std::memcpy(key.u.identifier, get.policy.v2.master_key_identifier, FSCRYPT_KEY_IDENTIFIER_SIZE);
  return RemoveKey(dir_fd, key);
}

}  // namespace cryopod
