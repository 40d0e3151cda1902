#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "agent/json/value.h"
#include "agent/os/status.h"

namespace cryopod::json {

class Fields;

// What a document holds is said once, for its reader and its writer:
//
//   void Describe(json::Fields& fields, MountRecord& mount) {
//     fields.Required("destination", mount.destination, json::Text);
//     fields.Optional("readOnly", mount.read_only);
//   }
template <typename T>
concept Described = requires(Fields& fields, T& object) {
  Describe(fields, object);
};

// Why a string may not stand there; nullptr: it may.
using Check = const char* (*)(std::string_view);
// Any text.
inline const char* Anything(std::string_view) { return nullptr; }
// No control characters.
const char* Text(std::string_view text);
// A name or ID as CRI and Kubernetes have them, or nothing: no path, no terminal escape.
const char* Identifier(std::string_view text);
// The same, and not empty.
const char* Name(std::string_view text);

// The members of one object, which are read from a value or written into one. Of a value that is
// read, members that no field asks for are ignored; an absent member leaves its field as it
// is; the first error sticks and names the member.
//
// Fields may be: bool, integers, durations (their count), std::string, Described structs, vectors
// of these, and maps from std::string to std::string.
class Fields {
 public:
  // `where` names the object in errors: "index.json".
  Fields(const Value& source, std::string where, const Limits& limits = {});
  explicit Fields(Value::Object& target) : target_(&target) {}

  bool reading() const { return target_ == nullptr; }

  template <typename T>
  void Optional(const char* key, T& field, Check check = Anything) {
    if (!reading()) {
      target_->push_back({key, ToValue(field)});
    } else if (const Value* value = source_->Find(key)) {
      Take(key, *value, field, check);
    }
  }
  template <typename T>
  void Required(const char* key, T& field, Check check = Anything) {
    if (reading() && source_->Find(key) == nullptr) return Fail(key, "missing");
    Optional(key, field, check);
  }
  // Left out where it is empty.
  template <typename T>
  void OptionalNonEmpty(const char* key, T& field, Check check = Anything) {
    if (reading() || !field.empty()) Optional(key, field, check);
  }
  // Fails a list that was read and is longer.
  void AtMost(const char* key, size_t count, size_t count_max);
  // An enumeration by its names, in the order of its values from 0 on.
  template <typename Enum>
  void Named(const char* key, Enum& field, std::span<const std::string_view> names) {
    auto number = static_cast<size_t>(field);
    NamedNumber(key, number, names);
    field = static_cast<Enum>(number);
  }

  void Fail(const std::string& key, const std::string& why);
  // kDataLoss: "index.json: manifests: missing".
  const Status& status() const { return status_; }

  template <typename T>
  static Value ToValue(const T& field);

 private:
  void NamedNumber(const char* key, size_t& number, std::span<const std::string_view> names);
  void TakeString(const std::string& key, const Value& value, std::string& field, Check check);
  // kept within [lowest, highest]
  std::optional<uint64_t> TakeInteger(const std::string& key, const Value& value, int64_t lowest,
                                      uint64_t highest);
  template <typename T>
  void Take(const std::string& key, const Value& value, T& field, Check check);

  const Value* source_ = nullptr;
  Value::Object* target_ = nullptr;
  std::string where_;
  Limits limits_;
  Status status_;
};

namespace internal {
template <typename T>
inline constexpr bool kIsVector = false;
template <typename T>
inline constexpr bool kIsVector<std::vector<T>> = true;
template <typename T>
inline constexpr bool kIsDuration = false;
template <typename R, typename P>
inline constexpr bool kIsDuration<std::chrono::duration<R, P>> = true;
}  // namespace internal

template <typename T>
Value Fields::ToValue(const T& field) {
  if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::string>) {
    return Value{field};
  } else if constexpr (std::signed_integral<T>) {
    return Value{int64_t{field}};
  } else if constexpr (std::unsigned_integral<T>) {
    return Value{uint64_t{field}};
  } else if constexpr (internal::kIsDuration<T>) {
    return Value{int64_t{field.count()}};
  } else if constexpr (internal::kIsVector<T>) {
    Value::Array array;
    for (const auto& element : field) array.push_back(ToValue(element));
    return Value{std::move(array)};
  } else if constexpr (std::is_same_v<T, std::map<std::string, std::string>>) {
    Value::Object object;
    for (const auto& [key, text] : field) object.push_back({key, Value{text}});
    return Value{std::move(object)};
  } else {
    static_assert(Described<T>);
    Value::Object object;
    Fields fields(object);
    // What writes changes nothing.
    Describe(fields, const_cast<T&>(field));
    return Value{std::move(object)};
  }
}

template <typename T>
void Fields::Take(const std::string& key, const Value& value, T& field, Check check) {
  if constexpr (std::is_same_v<T, bool>) {
    const bool* flag = std::get_if<bool>(&value.value);
    if (flag == nullptr) return Fail(key, "neither true nor false");
    field = *flag;
  } else if constexpr (std::integral<T>) {
    using Range = std::numeric_limits<T>;
    if (const auto bits = TakeInteger(key, value, static_cast<int64_t>(Range::min()),
                                      static_cast<uint64_t>(Range::max()))) {
      field = static_cast<T>(*bits);
    }
  } else if constexpr (internal::kIsDuration<T>) {
    if (const auto bits = TakeInteger(key, value, 0, INT64_MAX)) {
      field = T(static_cast<int64_t>(*bits));
    }
  } else if constexpr (internal::kIsVector<T>) {
    if (value.array() == nullptr) return Fail(key, "not an array");
    field.clear();
    for (const Value& element : *value.array()) {
      const std::string place = key + "[" + std::to_string(field.size()) + "]";
      Take(place, element, field.emplace_back(), check);
    }
  } else if constexpr (std::is_same_v<T, std::map<std::string, std::string>>) {
    if (value.object() == nullptr) return Fail(key, "not an object");
    field.clear();
    for (const Member& member : *value.object()) {
      TakeString(key + "." + member.key.substr(0, 80), member.value, field[member.key], check);
    }
  } else if constexpr (std::is_same_v<T, std::string>) {
    TakeString(key, value, field, check);
  } else {
    static_assert(Described<T>);
    Fields fields(value, where_ + ": " + key, limits_);
    Describe(fields, field);
    if (status_.ok()) status_ = fields.status();
  }
}

// {"code": "NOT_FOUND", "message": …, "reason": …}; a code that nobody knows reads as kUnknown, a
// reason as that of its code.
void Describe(Fields& fields, Status& status);

template <Described T>
std::string Write(const T& object, int indent = -1) {
  return Format(Fields::ToValue(object), indent);
}

// `object` keeps what the text does not say. Errors: kDataLoss, names the member.
template <Described T>
Status Read(std::string_view text, const std::string& where, T& object, const Limits& limits = {}) {
  const Result<Value> value = Parse(text, limits);
  if (!value.ok()) return value.status().While(where);
  Fields fields(*value, where, limits);
  Describe(fields, object);
  return fields.status();
}

}  // namespace cryopod::json
