#pragma once

#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>

#include "results/contents.h"

namespace gemmsmith::results {

/// {"shape": ..., "dtypes": ..., "search_mode": ..., "result": ..., "metadata": ...}
void AppendJson(std::string& out, const StoredResult& entry);
void AppendJson(std::string& out, const TuningRecord& record);
/// One member that says what it is: {"entry": ...}, {"tuning": ...}, {"used": ...}, {"lookups": ...}.
std::string ToJson(const Change& change);

/// `why` says what is wrong with one that is refused. All numbers are checked.
std::optional<StoredResult> ReadEntry(const simdjson::dom::element& json, std::string& why);
std::optional<TuningRecord> ReadTuning(const simdjson::dom::element& json, std::string& why);
std::optional<Change> ReadChange(const simdjson::dom::element& json, std::string& why);

/// "2026-11-21T16:05:39Z"
std::string TimeText(std::int64_t unix_seconds);
std::optional<std::int64_t> ParseTime(std::string_view text);

/// The members of an object, which are mostly asked for in the order in which they were written.
class Members {
 public:
  explicit Members(const simdjson::dom::object& object) : object_(object), next_(object.begin()) {}
  /// False where there is no such member.
  bool Find(std::string_view name, simdjson::dom::element& value) {
    if (next_ != object_.end() && next_.key() == name) [[likely]] {
      value = next_.value();
      ++next_;
      return true;
    }
    return object_.at_key(name).get(value) == simdjson::SUCCESS;
  }
  /// False where there is none of that kind. Whole numbers are numbers.
  bool Get(std::string_view name, std::int64_t& value);
  bool Get(std::string_view name, std::uint64_t& value);
  bool Get(std::string_view name, double& value);
  bool Get(std::string_view name, bool& value);
  bool Get(std::string_view name, std::string_view& value);
  bool Get(std::string_view name, simdjson::dom::object& value);
  bool Get(std::string_view name, simdjson::dom::array& value);
  bool GetTime(std::string_view name, std::int64_t& value);

 private:
  template <class T>
  bool GetAs(std::string_view name, T& value);

  simdjson::dom::object object_;
  simdjson::dom::object::iterator next_;
};

}  // namespace gemmsmith::results
