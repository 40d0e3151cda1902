#include "agent/json/value.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "agent/os/log.h"

namespace cryopod::json {
namespace {

// Members by name: what is written twice is the same text.
using Json = nlohmann::json;

// Builds the value while the text is read, so that the limits hold before the memory is spent.
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(const Limits& limits) : limits_(limits) {}
  bool null() override { return Add(Value{}); }
  bool boolean(bool value) override { return Add(Value{value}); }
  bool number_integer(number_integer_t value) override { return Add(Value{int64_t{value}}); }
  bool number_unsigned(number_unsigned_t value) override { return Add(Value{uint64_t{value}}); }
  bool number_float(number_float_t value, const string_t&) override {
    return Add(Value{double{value}});
  }
  bool string(string_t& value) override { return Add(Value{std::move(value)}); }
  bool binary(binary_t&) override { return Fail("binary value"); }
  bool start_object(std::size_t) override { return Open(Value{Value::Object{}}); }
  bool start_array(std::size_t) override { return Open(Value{Value::Array{}}); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& value) override {
    if (!open_.back().keys.insert(value).second) {
      return Fail("member \"" + JsonEscape(value.substr(0, 80)) + "\" stands twice in one object");
    }
    open_.back().key = std::move(value);
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const Json::exception&) override {
    return Fail("not JSON at byte " + std::to_string(position));
  }

  const std::string& error() const { return error_; }
  Value Take() { return std::move(root_); }

 private:
  struct Level {
    Value value;
    std::string key;  // of the member whose value comes next
    std::set<std::string> keys;
  };

  bool Fail(std::string why) {
    error_ = std::move(why);
    return false;
  }

  bool Count() {
    return ++nodes_ <= limits_.nodes_max ||
           Fail("more than " + std::to_string(limits_.nodes_max) + " values");
  }

  bool Add(Value value) {
    if (!Count()) return false;
    Place(std::move(value));
    return true;
  }

  void Place(Value value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (auto* array = std::get_if<Value::Array>(&open_.back().value.value)) {
      array->push_back(std::move(value));
    } else {
      auto& object = std::get<Value::Object>(open_.back().value.value);
      object.push_back({std::move(open_.back().key), std::move(value)});
    }
  }

  bool Open(Value value) {
    if (!Count()) return false;
    if (open_.size() >= limits_.depth_max) {
      return Fail("deeper than " + std::to_string(limits_.depth_max) + " levels");
    }
    open_.push_back({std::move(value), {}, {}});
    return true;
  }

  bool Close() {
    Value value = std::move(open_.back().value);
    open_.pop_back();
    Place(std::move(value));
    return true;
  }

  const Limits limits_;
  std::vector<Level> open_;
  Value root_;
  size_t nodes_ = 0;
  std::string error_;
};

Json ToJson(const Value& value) {
  return std::visit(
      [](const auto& held) -> Json {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<T, std::monostate>) {
          return nullptr;
        } else if constexpr (std::is_same_v<T, Value::Array>) {
          Json array = Json::array();
          for (const Value& element : held) array.push_back(ToJson(element));
          return array;
        } else if constexpr (std::is_same_v<T, Value::Object>) {
          Json object = Json::object();
          for (const Member& member : held) object[member.key] = ToJson(member.value);
          return object;
        } else {
          return held;
        }
      },
      value.value);
}

}  // namespace

const Value* Value::Find(std::string_view key) const {
  const auto member = std::ranges::find(Members(), key, &Member::key);
  return member == Members().end() ? nullptr : &member->value;
}

const Value& Value::At(std::string_view key) const {
  static const Value kNothing;
  const Value* const member = Find(key);
  return member == nullptr ? kNothing : *member;
}

std::vector<std::string> Value::Texts() const {
  std::vector<std::string> texts;
  for (const Value& element : Elements()) {
    if (element.string() != nullptr) texts.push_back(*element.string());
  }
  return texts;
}

Value& Value::Make(std::string_view key) {
  if (object() == nullptr) value = Object();
  if (const Value* const member = Find(key)) return const_cast<Value&>(*member);
  return std::get<Object>(value).emplace_back(Member{std::string(key), {}}).value;
}

Result<Value> Parse(std::string_view text, const Limits& limits) {
  if (text.size() > limits.bytes_max) {
    return Status(Code::kDataLoss, "JSON of " + std::to_string(text.size()) +
                                       " bytes is larger than " + std::to_string(limits.bytes_max));
  }
  Builder builder(limits);
  if (!Json::sax_parse(text, &builder)) {
    return Status(Code::kDataLoss, builder.error().empty() ? "not JSON" : builder.error());
  }
  return builder.Take();
}

std::string Format(const Value& value, int indent) {
  return ToJson(value).dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace cryopod::json
