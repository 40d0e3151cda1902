#pragma once

#include "agent/os/status.h"

// Source: kernel Documentation/filesystems/fscrypt.rst.
namespace cryopod {

// Whatever is made in this directory from now on is encrypted with a key that exists in the
// kernel's memory alone: after a power cut nobody can read it, and everybody can still remove it.
// The directory is empty. Errors: kUnimplemented (a file system, or a kernel, that does not
// encrypt).
Status EncryptDirectory(int dir_fd);

// Takes the key away that EncryptDirectory gave, for good; closed files can then be read no more.
// Nothing for a directory that is not encrypted. `dir_fd` may have been emptied and removed.
Status ForgetKeyOf(int dir_fd);

}  // namespace cryopod
