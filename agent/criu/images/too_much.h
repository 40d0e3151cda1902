#pragma once

#include <string>

#include "agent/os/status.h"

// What the judges of images say.
namespace cryopod::criu {

inline Status TooMuch(const std::string& image, const std::string& brings,
                      const std::string& asks) {
  return Status(Code::kPermissionDenied, image + ": the archive brings " + brings +
                                             ", and the new pod's security context allows " + asks +
                                             "; give the pod the context that was checkpointed, or "
                                             "checkpoint it under the stricter one");
}

template <typename Message>
Status CheckKnown(const std::string& image, const Message& message) {
  if (message.unknown_fields().empty()) return Status();
  return TooMuch(image, "a field that a CRIU of another version has written",
                 "those of CRIU 4.2 alone; restore where the CRIU that dumped it is known");
}

}  // namespace cryopod::criu
