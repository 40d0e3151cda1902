#include "tests/fakes/go_json.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <nlohmann/json.hpp>
#include <vector>

namespace cryopod::test {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using nlohmann::json;

json ToJson(const Message& message);

json SingleValue(const Message& message, const FieldDescriptor* field) {
  const Reflection* reflection = message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return ToJson(reflection->GetMessage(message, field));
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection->GetString(message, field);
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection->GetBool(message, field);
    case FieldDescriptor::CPPTYPE_ENUM:
      return reflection->GetEnumValue(message, field);
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection->GetInt32(message, field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection->GetUInt32(message, field);
    case FieldDescriptor::CPPTYPE_INT64:
      return reflection->GetInt64(message, field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return reflection->GetUInt64(message, field);
    default:
      return nullptr;  // CRI has no floating point in its configurations
  }
}

// Of the repeated fields: messages, strings and int64 are all that CRI's configurations hold.
json RepeatedValue(const Message& message, const FieldDescriptor* field, int index) {
  const Reflection* reflection = message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return ToJson(reflection->GetRepeatedMessage(message, field, index));
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection->GetRepeatedString(message, field, index);
    case FieldDescriptor::CPPTYPE_INT64:
      return reflection->GetRepeatedInt64(message, field, index);
    default:
      return nullptr;
  }
}

json Map(const Message& message, const FieldDescriptor* field) {
  json object = json::object();
  const Reflection* reflection = message.GetReflection();
  for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
    const Message& entry = reflection->GetRepeatedMessage(message, field, i);
    const json key = SingleValue(entry, entry.GetDescriptor()->map_key());
    object[key.get<std::string>()] = SingleValue(entry, entry.GetDescriptor()->map_value());
  }
  return object;
}

json ToJson(const Message& message) {
  json object = json::object();
  const Reflection* reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    json& value = object[field->name()];
    if (field->is_map()) {
      value = Map(message, field);
    } else if (field->is_repeated()) {
      value = json::array();
      for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
        value.push_back(RepeatedValue(message, field, i));
      }
    } else {
      value = SingleValue(message, field);
    }
  }
  return object;
}

}  // namespace

std::string GoJson(const Message& message) { return ToJson(message).dump(); }

}  // namespace cryopod::test
