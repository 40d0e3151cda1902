#pragma once

#include "agent/api/types.h"
#include "agent/os/status.h"

namespace google::protobuf {
class Message;
}
namespace grpc {
class ClientContext;
class ServerContextBase;
class Status;
}  // namespace grpc

namespace cryopod::api {

// Of every type in agent/api/types.h that has a message of its own.
template <typename Value>
void ToMessage(const Value& value, google::protobuf::Message* message);
template <typename Value>
Value FromMessage(const google::protobuf::Message& message);

// Every RPC of the agent ends with this: gRPC carries code and message, the rest goes beside them
// as trailing metadata: "cryopod-reason", the stable reason, "cryopod-operation" and "cryopod-logs"
// where there are some. Call once for each RPC.
grpc::Status ToGrpc(const Status& status, grpc::ServerContextBase& context,
                    const FailureDetails& details = {});
// The other way, for an RPC that has finished. A reason that we do not know, from a newer agent, is
// as good as none: the code stands for it. `details` may be nullptr.
Status FromGrpc(const grpc::Status& status, const grpc::ClientContext& context,
                FailureDetails* details = nullptr);

}  // namespace cryopod::api
