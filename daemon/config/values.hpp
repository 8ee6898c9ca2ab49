// The scalars of a configuration: durations, sizes, numbers and words, each a rule that reads one
// text.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.hpp"

namespace appserver::config {

struct Failure {
  std::string problem;
};

inline Failure failed(std::string problem) { return {std::move(problem)}; }

// A value, or the words that say why there is none.
template <typename T>
class Parsed {
 public:
  Parsed(T value) : value_(std::move(value)) {}                      // NOLINT: a return value
  Parsed(Failure failure) : problem_(std::move(failure.problem)) {}  // NOLINT: a return value

  explicit operator bool() const { return value_.has_value(); }
  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }
  const std::string& problem() const { return problem_; }

 private:
  std::optional<T> value_;
  std::string problem_;
};

// "expected WHAT, got 'TEXT'", and "; HINT" if there is one.
Failure wrong_value(std::string_view what, std::string_view text, std::string_view hint = {});

// What an unquoted null looks like: nothing, ~, null, Null or NULL.
bool is_null_word(std::string_view text);

// A rule has `expected()`, the noun for messages, and `parse()`, whose problem is a whole phrase.

// Of one group.
inline constexpr std::uint32_t kMaxWorkers = 1024;

// Of a wait that may not be left out.
inline constexpr milliseconds kShortestWait{1};

// 500ms, 30s, 5m, 2h, 1d or 0; from `min` to 365d.
struct DurationRule {
  milliseconds min{0};
  std::string expected() const;
  Parsed<milliseconds> parse(std::string_view text) const;
};

// Some of the largest values and messages at the same time.
inline constexpr Bytes kLeastBusMemory{1ull << 20};

// Above any machine: a limit beyond it is none.
inline constexpr Bytes kMostMemory{1ull << 40};
// Of what is held whole for one connection; within what the length of a frame can say.
inline constexpr Bytes kMostMessage{2ull << 30};

// 512KiB, 10MiB, 1GiB, 10MB, 100B, or a number of bytes; from `min` to `max`.
struct SizeRule {
  Bytes min{};
  Bytes max{std::numeric_limits<std::uint64_t>::max()};
  std::string expected() const;
  Parsed<Bytes> parse(std::string_view text) const;
};

// 0 for off, or from `min` on.
struct DurationOrOffRule {
  milliseconds min{0};
  std::string expected() const;
  Parsed<milliseconds> parse(std::string_view text) const;
};

struct SizeOrOffRule {
  Bytes min{};
  std::string expected() const;
  Parsed<Bytes> parse(std::string_view text) const;
};

// A decimal whole number from `min` to `max`.
struct IntegerRule {
  std::int64_t min = 0;
  std::int64_t max = 0;
  std::string expected() const;
  Parsed<std::int64_t> parse(std::string_view text) const;
};

// 1 to 1024, or `auto`: the processors that this process may use.
struct CountRule {
  std::string expected() const;
  Parsed<std::uint32_t> parse(std::string_view text) const;
};

struct BooleanRule {
  std::string expected() const;
  Parsed<bool> parse(std::string_view text) const;
};

struct LogLevelRule {
  std::string expected() const;
  Parsed<LogLevel> parse(std::string_view text) const;
};

struct LogFormatRule {
  std::string expected() const;
  Parsed<LogFormat> parse(std::string_view text) const;
};

// continue, rollback or wait.
struct InconclusiveRule {
  std::string expected() const;
  Parsed<Inconclusive> parse(std::string_view text) const;
};

// none, optional or required.
struct ClientCertificatesRule {
  std::string expected() const;
  Parsed<ClientCertificates> parse(std::string_view text) const;
};

// 1.2 or 1.3.
struct TlsVersionRule {
  std::string expected() const;
  Parsed<TlsVersion> parse(std::string_view text) const;
};

// plain, gateway or business.
struct GroupKindRule {
  std::string expected() const;
  Parsed<GroupKind> parse(std::string_view text) const;
};

// at_least_once or at_most_once.
struct DeliveryRule {
  std::string expected() const;
  Parsed<Delivery> parse(std::string_view text) const;
};

// Who may connect: "10.0.0.0/8", "2001:db8::1" or "unix".
struct AddressRangeRule {
  std::string expected() const;
  Parsed<os::AddressRange> parse(std::string_view text) const;
};

// 127.0.0.0/8, ::1 and unix.
std::vector<os::AddressRange> proxies_of_this_machine();

// Any text without NUL that is not empty; `what` is what it names ("a path").
struct TextRule {
  std::string_view what;
  std::string expected() const;
  Parsed<std::string> parse(std::string_view text) const;
};

// A user or group by name or number. Nothing is looked up.
struct AccountRule {
  std::string expected() const;
  Parsed<std::string> parse(std::string_view text) const;
};

// A path of a request such as /healthz.
struct ProbeRule {
  std::string expected() const;
  Parsed<std::string> parse(std::string_view text) const;
};

std::string_view to_word(LogLevel level);
std::string_view to_word(LogFormat format);
std::string_view to_word(Inconclusive policy);
std::string_view to_word(ClientCertificates wanted);
std::string_view to_word(TlsVersion version);
std::string_view to_word(GroupKind kind);
std::string_view to_word(Delivery delivery);

// The shortest text that reads back as the same value: "90s", "10MiB".
std::string to_text(milliseconds duration);
std::string to_text(Bytes size);

// Processors that sched_setaffinity(2) leaves to this process, 1 to 1024.
std::uint32_t usable_processors();

// [a-z][a-z0-9_-]{0,31}
bool is_group_name(std::string_view name);

// Words that `appserverctl reload` takes in the place of a group's name.
bool is_reserved_name(std::string_view name);

}  // namespace appserver::config
