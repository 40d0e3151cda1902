#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/os/status.h"

namespace cryopod::archive {

inline constexpr size_t kJsonBytesMax = size_t{4} << 20;
inline constexpr int kJsonDepthMax = 32;
inline constexpr size_t kJsonNodesMax = 100'000;

struct JsonMember;

// A JSON value that a stranger wrote, parsed within limits.
struct JsonValue {
  using Array = std::vector<JsonValue>;
  using Object = std::vector<JsonMember>;  // in the order of the text, keys unique
  std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string, Array, Object> value;

  const Object* object() const { return std::get_if<Object>(&value); }
  const Array* array() const { return std::get_if<Array>(&value); }
};

struct JsonMember {
  std::string key;
  JsonValue value;
};

// Refused: more than the limits above, a key twice in one object, invalid UTF-8, anything after the
// value. Errors: kDataLoss, says where.
Result<JsonValue> ParseStrictJson(std::string_view text);

// Reads the members of one object by name and type. The first error sticks and names the member;
// what was not read keeps its value. Unknown members are nobody's business here.
class JsonFields {
 public:
  // `where` names the object in errors: "index.json". `value` must live as long as this.
  JsonFields(const JsonValue& value, std::string where);

  // The same names with the member required or not.
  void String(const char* key, std::string* out, size_t size_max = 4096);
  void OptionalString(const char* key, std::string* out, size_t size_max = 4096);
  void Unsigned(const char* key, uint64_t* out);
  void OptionalUnsigned(const char* key, uint64_t* out);
  void OptionalBool(const char* key, bool* out);
  void OptionalStrings(const char* key, std::vector<std::string>* out, size_t count_max);
  // nullptr when it is absent.
  const JsonValue* Object(const char* key);
  const JsonValue* OptionalObject(const char* key);
  const JsonValue::Array* Array(const char* key, size_t count_max);
  const JsonValue::Array* OptionalArray(const char* key, size_t count_max);

  void Fail(const std::string& key, const std::string& why);
  const std::string& where() const { return where_; }
  // kDataLoss: "index.json: manifests: missing".
  Status status() const { return status_; }

 private:
  const JsonValue* Find(const char* key) const;
  const JsonValue* Need(const char* key);

  const JsonValue::Object* object_ = nullptr;
  std::string where_;
  Status status_;
};

}  // namespace cryopod::archive
