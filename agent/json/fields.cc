#include "agent/json/fields.h"

#include <algorithm>

#include "agent/os/log.h"
#include "agent/os/text.h"

namespace cryopod::json {

const char* Text(std::string_view text) {
  return HasControlCharacters(text) ? "holds control characters" : nullptr;
}

const char* Identifier(std::string_view text) {
  return text.empty() || IsPlainName(text) ? nullptr : "is no name";
}

const char* Name(std::string_view text) { return text.empty() ? "empty" : Identifier(text); }

Fields::Fields(const Value& source, std::string where, const Limits& limits)
    : source_(&source), where_(std::move(where)), limits_(limits) {
  if (source.object() == nullptr) status_ = Status(Code::kDataLoss, where_ + ": not a JSON object");
}

void Fields::Fail(const std::string& key, const std::string& why) {
  if (status_.ok()) status_ = Status(Code::kDataLoss, where_ + ": " + JsonEscape(key) + ": " + why);
}

void Fields::TakeString(const std::string& key, const Value& value, std::string& field,
                        Check check) {
  const std::string* text = value.string();
  if (text == nullptr) return Fail(key, "not a string");
  if (text->size() > limits_.string_bytes_max) {
    return Fail(key, "longer than " + std::to_string(limits_.string_bytes_max) + " bytes");
  }
  if (const char* why = check(*text)) {
    return Fail(key, "\"" + JsonEscape(text->substr(0, 80)) + "\" " + why);
  }
  field = *text;
}

std::optional<uint64_t> Fields::TakeInteger(const std::string& key, const Value& value,
                                            int64_t lowest, uint64_t highest) {
  const uint64_t* const whole = std::get_if<uint64_t>(&value.value);
  const int64_t* const negative = std::get_if<int64_t>(&value.value);
  if (whole == nullptr && negative == nullptr) {
    Fail(key, "not a whole number");
    return std::nullopt;
  }
  const uint64_t bits = whole != nullptr ? *whole : static_cast<uint64_t>(*negative);
  const bool is_below_zero = whole == nullptr && *negative < 0;
  if (is_below_zero ? *negative >= lowest : bits <= highest) return bits;
  Fail(key, "not a number from " + std::to_string(lowest) + " to " + std::to_string(highest));
  return std::nullopt;
}

void Fields::AtMost(const char* key, size_t count, size_t count_max) {
  if (count > count_max) Fail(key, "more than " + std::to_string(count_max) + " elements");
}

void Fields::NamedNumber(const char* key, size_t& number, std::span<const std::string_view> names) {
  std::string name = number < names.size() ? std::string(names[number]) : "";
  Required(key, name);
  if (!reading() || !status_.ok()) return;
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) {
    return Fail(key, "\"" + JsonEscape(name.substr(0, 80)) + "\" is none that is known");
  }
  number = static_cast<size_t>(found - names.begin());
}

void Describe(Fields& fields, Status& status) {
  std::string code(CodeName(status.code()));
  std::string message = status.message();
  std::string reason(status.ok() ? "" : ReasonName(status.reason()));
  fields.Optional("code", code);
  fields.OptionalNonEmpty("message", message);
  fields.OptionalNonEmpty("reason", reason);
  if (!fields.reading()) return;
  status = code == CodeName(Code::kOk)
               ? Status()
               : Status(CodeFromName(code), message,
                        reason.empty() ? Reason::kNone : ReasonFromName(reason));
}

}  // namespace cryopod::json
