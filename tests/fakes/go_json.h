#pragma once

#include <string>

namespace google::protobuf {
class Message;
}

namespace cryopod::test {

// A message as Go's encoding/json prints the struct that is generated for it: proto field names,
// enums and 64-bit integers as numbers, unset fields left out. That is how containerd fills its
// verbose answers; protobuf's own JSON form is another one.
std::string GoJson(const google::protobuf::Message& message);

}  // namespace cryopod::test
