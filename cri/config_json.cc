#include "cri/config_json.h"

#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include "agent/json/value.h"
#include "agent/os/text.h"

namespace cryopod::cri {
namespace json_util = google::protobuf::util;

Status ParseJson(std::string_view text, std::string_view what, google::protobuf::Message* message,
                 bool ignore_unknown_fields) {
  const std::string subject(what);
  if (text.size() > kConfigBytesMax) {
    return Status(Code::kInvalidArgument, subject + " is larger than " + WholeMib(kConfigBytesMax));
  }
  // protobuf's own parser also takes single quotes, unquoted names and trailing commas.
  if (!json::Parse(text).ok()) {
    return Status(Code::kInvalidArgument, subject + " is not valid JSON");
  }
  json_util::JsonParseOptions options;
  options.ignore_unknown_fields = ignore_unknown_fields;
  const auto parsed = json_util::JsonStringToMessage(
      google::protobuf::StringPiece(text.data(), text.size()), message, options);
  if (!parsed.ok()) {
    return Status(Code::kInvalidArgument, subject + ": " + std::string(parsed.message()));
  }
  return Status();
}

std::string PrintJson(const google::protobuf::Message& message) {
  json_util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  // Fails only for well-known types with impossible content (Any, Timestamp); CRI has none.
  const auto printed = json_util::MessageToJsonString(message, &json, options);
  return printed.ok() ? json : std::string();
}

}  // namespace cryopod::cri
