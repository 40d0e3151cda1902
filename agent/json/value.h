#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/os/status.h"

namespace cryopod::json {

// What a document may take; more is refused before the memory is spent.
struct Limits {
  size_t bytes_max = size_t{4} << 20;
  size_t depth_max = 32;
  size_t nodes_max = 100'000;
  size_t string_bytes_max = 4096;  // of a string that is read as a field
};

struct Member;

struct Value {
  using Array = std::vector<Value>;
  using Object = std::vector<Member>;  // in the order of the text, keys unique
  std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string, Array, Object> value;

  const Object* object() const { return std::get_if<Object>(&value); }
  const Array* array() const { return std::get_if<Array>(&value); }
  const std::string* string() const { return std::get_if<std::string>(&value); }
  // The member of an object; nullptr: there is none, or this is no object.
  const Value* Find(std::string_view key) const;

  // For what a program of this node has written: whatever is absent, null or of another type reads
  // as empty. Whether something must be there is for the caller to say.
  const Value& At(std::string_view key) const;
  std::string Text() const { return As<std::string>(); }
  uint64_t Number() const { return As<uint64_t>(); }
  bool IsTrue() const { return As<bool>(); }
  const Array& Elements() const { return As<Array>(); }
  const Object& Members() const { return As<Object>(); }
  std::vector<std::string> Texts() const;  // of the elements those that are strings

  // The member to be written, made when absent; what was no object becomes one.
  Value& Make(std::string_view key);

 private:
  template <typename T>
  const T& As() const {
    static const T kNothing{};
    const T* const held = std::get_if<T>(&value);
    return held == nullptr ? kNothing : *held;
  }
};

struct Member {
  std::string key;
  Value value;
};

// Text that anybody may have written. Refused: more than `limits`, a key twice in one object,
// invalid UTF-8, anything after the value. Errors: kDataLoss, says where.
Result<Value> Parse(std::string_view text, const Limits& limits = {});

// Canonical, members sorted by name: one line, or `indent` blanks a level. Bytes that are no valid
// UTF-8 are replaced: paths and logs may hold any, JSON may not.
std::string Format(const Value& value, int indent = -1);

}  // namespace cryopod::json
