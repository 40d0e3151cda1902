#include "agent/archive/strict_json.h"

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "agent/os/log.h"

namespace cryopod::archive {
namespace {

using nlohmann::json;

// Builds the value while the text is read, so that the limits hold before the memory is spent.
class Builder : public nlohmann::json_sax<json> {
 public:
  bool null() override { return Add(JsonValue{}); }
  bool boolean(bool value) override { return Add(JsonValue{value}); }
  bool number_integer(number_integer_t value) override { return Add(JsonValue{int64_t{value}}); }
  bool number_unsigned(number_unsigned_t value) override { return Add(JsonValue{uint64_t{value}}); }
  bool number_float(number_float_t value, const string_t&) override {
    return Add(JsonValue{double{value}});
  }
  bool string(string_t& value) override { return Add(JsonValue{std::move(value)}); }
  bool binary(binary_t&) override { return Fail("binary value"); }
  bool start_object(std::size_t) override { return Open(JsonValue{JsonValue::Object{}}); }
  bool start_array(std::size_t) override { return Open(JsonValue{JsonValue::Array{}}); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& value) override {
    if (!open_.back().keys.insert(value).second) {
      return Fail("member \"" + JsonEscape(value.substr(0, 80)) + "\" stands twice in one object");
    }
    open_.back().key = std::move(value);
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const json::exception&) override {
    return Fail("not JSON at byte " + std::to_string(position));
  }

  const std::string& error() const { return error_; }
  JsonValue Take() { return std::move(root_); }

 private:
  struct Level {
    JsonValue value;
    std::string key;  // of the member whose value comes next
    std::set<std::string> keys;
  };

  bool Fail(std::string why) {
    error_ = std::move(why);
    return false;
  }

  bool Count() {
    if (++nodes_ > kJsonNodesMax) {
      return Fail("more than " + std::to_string(kJsonNodesMax) + " values");
    }
    return true;
  }

  bool Add(JsonValue value) {
    if (!Count()) return false;
    Place(std::move(value));
    return true;
  }

  void Place(JsonValue value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (auto* array = std::get_if<JsonValue::Array>(&open_.back().value.value)) {
      array->push_back(std::move(value));
    } else {
      auto& object = std::get<JsonValue::Object>(open_.back().value.value);
      object.push_back({std::move(open_.back().key), std::move(value)});
    }
  }

  bool Open(JsonValue value) {
    if (!Count()) return false;
    if (open_.size() >= static_cast<size_t>(kJsonDepthMax)) {
      return Fail("deeper than " + std::to_string(kJsonDepthMax) + " levels");
    }
    open_.push_back({std::move(value), {}, {}});
    return true;
  }

  bool Close() {
    JsonValue value = std::move(open_.back().value);
    open_.pop_back();
    Place(std::move(value));
    return true;
  }

  std::vector<Level> open_;
  JsonValue root_;
  size_t nodes_ = 0;
  std::string error_;
};

}  // namespace

Result<JsonValue> ParseStrictJson(std::string_view text) {
  if (text.size() > kJsonBytesMax) {
    return Status(Code::kDataLoss, "JSON of " + std::to_string(text.size()) +
                                       " bytes is larger than " + std::to_string(kJsonBytesMax));
  }
  Builder builder;
  if (!json::sax_parse(text, &builder)) {
    return Status(Code::kDataLoss, builder.error().empty() ? "not JSON" : builder.error());
  }
  return builder.Take();
}

JsonFields::JsonFields(const JsonValue& value, std::string where)
    : object_(value.object()), where_(std::move(where)) {
  if (object_ == nullptr) status_ = Status(Code::kDataLoss, where_ + ": not a JSON object");
}

void JsonFields::Fail(const std::string& key, const std::string& why) {
  if (status_.ok()) status_ = Status(Code::kDataLoss, where_ + ": " + key + ": " + why);
}

const JsonValue* JsonFields::Find(const char* key) const {
  if (object_ == nullptr) return nullptr;
  for (const JsonMember& member : *object_) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

const JsonValue* JsonFields::Need(const char* key) {
  const JsonValue* value = Find(key);
  if (value == nullptr) Fail(key, "missing");
  return value;
}

void JsonFields::String(const char* key, std::string* out, size_t size_max) {
  if (Need(key) != nullptr) OptionalString(key, out, size_max);
}

void JsonFields::OptionalString(const char* key, std::string* out, size_t size_max) {
  const JsonValue* value = Find(key);
  if (value == nullptr) return;
  const auto* text = std::get_if<std::string>(&value->value);
  if (text == nullptr) return Fail(key, "not a string");
  if (text->size() > size_max) {
    return Fail(key, "longer than " + std::to_string(size_max) + " bytes");
  }
  *out = *text;
}

void JsonFields::Unsigned(const char* key, uint64_t* out) {
  if (Need(key) != nullptr) OptionalUnsigned(key, out);
}

void JsonFields::OptionalUnsigned(const char* key, uint64_t* out) {
  const JsonValue* value = Find(key);
  if (value == nullptr) return;
  const auto* number = std::get_if<uint64_t>(&value->value);
  if (number == nullptr) return Fail(key, "not a whole number from 0 on");
  *out = *number;
}

void JsonFields::OptionalBool(const char* key, bool* out) {
  const JsonValue* value = Find(key);
  if (value == nullptr) return;
  const auto* flag = std::get_if<bool>(&value->value);
  if (flag == nullptr) return Fail(key, "neither true nor false");
  *out = *flag;
}

void JsonFields::OptionalStrings(const char* key, std::vector<std::string>* out, size_t count_max) {
  const JsonValue::Array* array = OptionalArray(key, count_max);
  if (array == nullptr) return;
  std::vector<std::string> texts;
  for (const JsonValue& value : *array) {
    const auto* text = std::get_if<std::string>(&value.value);
    if (text == nullptr) return Fail(key, "holds something that is not a string");
    if (text->size() > 4096) return Fail(key, "holds a string longer than 4096 bytes");
    texts.push_back(*text);
  }
  *out = std::move(texts);
}

const JsonValue* JsonFields::Object(const char* key) {
  return Need(key) == nullptr ? nullptr : OptionalObject(key);
}

const JsonValue* JsonFields::OptionalObject(const char* key) {
  const JsonValue* value = Find(key);
  if (value == nullptr) return nullptr;
  if (value->object() != nullptr) return value;
  Fail(key, "not an object");
  return nullptr;
}

const JsonValue::Array* JsonFields::Array(const char* key, size_t count_max) {
  return Need(key) == nullptr ? nullptr : OptionalArray(key, count_max);
}

const JsonValue::Array* JsonFields::OptionalArray(const char* key, size_t count_max) {
  const JsonValue* value = Find(key);
  if (value == nullptr) return nullptr;
  const JsonValue::Array* array = value->array();
  if (array == nullptr) {
    Fail(key, "not an array");
    return nullptr;
  }
  if (array->size() > count_max) {
    Fail(key, "more than " + std::to_string(count_max) + " elements");
    return nullptr;
  }
  return array;
}

}  // namespace cryopod::archive
