#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "agent/os/status.h"

namespace google::protobuf {
class Message;
}

namespace cryopod::cri {

// A configuration of a real pod stays below 100 KiB; etcd takes no object above 1.5 MiB.
inline constexpr size_t kConfigBytesMax = size_t{4} << 20;

// Reads JSON into an empty message. Field names as in the proto file or in camelCase; a field that
// the message does not have is refused by name, or dropped from what a runtime printed. `what`
// names the text in the error. Errors: kInvalidArgument.
Status ParseJson(std::string_view text, std::string_view what, google::protobuf::Message* message,
                 bool ignore_unknown_fields = false);

// One line, field names as in the proto file; ParseJson reads it back.
std::string PrintJson(const google::protobuf::Message& message);

}  // namespace cryopod::cri
